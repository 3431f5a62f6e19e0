//! When something by key is over: sessions, buffered records of joins, entries with a time to live.
//!
//! Moments are rounded up to buckets. A row `(bucket, key)` says that something of this key may be over then; one timer per
//! bucket and task fires. What has moved on by then is entered again under its new moment, so a key that changes with every
//! record costs one entry per bucket and not one per record.

use std::time::Duration;

use crate::model::Fault;
use crate::timers::{self, Clock, Timer};

use super::codec::{Key, Stored, encode};
use super::hash::Map;
use super::table::Table;

/// Keys of a call of [`Expiry::due`]: their rows fit well into an instance's memory.
const KEYS_MAX: u32 = 4096;

/// What is over when, by key.
#[derive(Debug)]
pub struct Expiry<K> {
    entries: Table<(i64, K), ()>,
    name: Vec<u8>,
    bucket: i64,
    /// buckets whose timers this instance has set
    set: Map<i64, ()>,
}

// === impl Expiry ===

impl<K: Key> Expiry<K> {
    /// Keeps its entries in this store; moments are rounded up to multiples of `bucket`, at least a millisecond.
    pub fn open(store: &str, bucket: Duration) -> Self {
        let bucket = i64::try_from(bucket.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut name = vec![store.len() as u8];
        name.extend_from_slice(store.as_bytes());
        // Entries are only looked at when they are due.
        Self { entries: Table::open(store).cache(0), name, bucket, set: Map::default() }
    }

    /// The bucket of a moment: its end.
    pub fn bucket(&self, at: i64) -> i64 {
        at.saturating_add(self.bucket - 1).div_euclid(self.bucket).saturating_mul(self.bucket)
    }

    /// Enters a key under the bucket of a moment, and says which bucket that is.
    pub fn enter(&mut self, at: i64, key: K) -> i64 {
        let bucket = self.bucket(at);
        self.entries.set((bucket, key), Some(()));
        bucket
    }

    /// Writes the entries of the batch and sets the timers of their buckets.
    pub fn flush(&mut self) {
        for ((bucket, _), entry) in self.entries.changed() {
            if entry.is_some() && self.set.insert(*bucket, ()).is_none() {
                timers::set(Clock::EventTime, timer(&self.name, *bucket), *bucket);
            }
        }
        self.entries.flush();
    }

    /// Whether a timer is of these entries.
    pub fn owns(&self, timer: &Timer) -> bool {
        timer.clock == Clock::EventTime && timer.name.starts_with(&self.name)
    }

    /// The keys of the bucket that a timer is for, and takes their entries out; up to a number that fits into memory, the
    /// others with the next call of `on_timer`. Empty for a timer of something else.
    ///
    /// # Errors
    /// An entry that is not readable.
    pub fn due(&mut self, due: &Timer) -> Result<Vec<K>, Fault> {
        if !self.owns(due) {
            return Ok(Vec::new());
        }
        let mut bytes = &due.name[self.name.len()..];
        let Some(bucket) = i64::take(&mut bytes) else { return Ok(Vec::new()) };
        let (start, end) = (encode(&bucket), encode(&bucket.saturating_add(1)));
        let entries = self.entries.scan(&start, Some(&end), KEYS_MAX)?;
        self.set.remove(&bucket);
        if entries.len() == KEYS_MAX as usize {
            self.set.insert(bucket, ());
            timers::set(Clock::EventTime, &due.name, bucket);
        }
        let mut keys = Vec::with_capacity(entries.len());
        for ((_, key), ()) in entries {
            self.entries.set((bucket, key.clone()), None);
            keys.push(key);
        }
        self.entries.flush();
        Ok(keys)
    }
}

fn timer(name: &[u8], bucket: i64) -> Vec<u8> {
    let mut name = name.to_vec();
    bucket.put(&mut name);
    name
}
