//! `Idempotency-Key`: a request's key, the digest of its body and its answer are part of its commit, so that a repeated
//! request gets the first one's answer, also after a crash. A live key is never evicted before its 24 hours.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{IdempotencyKey, ProduceError, ProduceReply};
use crate::model::limits::{IDEMPOTENCY_KEPT, IDEMPOTENCY_KEYS_MAX};
use crate::model::module::Digest;
use crate::runtime::clock::Clock;
use crate::storage::{Commit, Placed, ReadError, Storage, tables};

/// A remembered request, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    body: Digest,
    reply: ProduceReply,
    stored_ms: i64,
}

enum Entry {
    InFlight,
    Done(Arc<Remembered>),
}

/// The keys of the last 24 hours.
pub(super) struct Idempotency {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    /// of keys and answers held, as far as they can be estimated
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    clock: Clock,
}

/// What is known of a key.
pub(super) enum Begin {
    /// it was answered
    Known(ProduceReply),
    /// it is new; the slot is given back when dropped before it is remembered
    New(Slot),
}

/// A key in flight. Dropped after its commit has ended: the key is free again unless the commit was made.
pub(super) struct Slot {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    bytes: Arc<AtomicUsize>,
    key: IdempotencyKey,
    made: Arc<OnceLock<Arc<Remembered>>>,
}

/// Gives the answer once the commit is made.
pub(super) struct Answer(Arc<OnceLock<Arc<Remembered>>>);

impl Idempotency {
    /// Reads the remembered keys; at most `bytes_max` of keys and answers are held.
    pub(super) fn load(storage: &Storage, clock: &Clock, bytes_max: usize) -> Result<Self, ReadError> {
        let mut entries = HashMap::new();
        let mut bytes = 0;
        for (key, value) in tables::idempotency::load_all(storage)? {
            let (Ok(key), Ok(row)) = (String::from_utf8(key), serde_json::from_slice::<Remembered>(&value))
            else {
                continue;
            };
            // Also rows past their day, so that the next look for them deletes them on disk as well.
            bytes += weight(&key, &row);
            entries.insert(key, Entry::Done(Arc::new(row)));
        }
        let bytes = Arc::new(AtomicUsize::new(bytes));
        Ok(Self { entries: Arc::new(Mutex::new(entries)), bytes, bytes_max, clock: clock.clone() })
    }

    /// Reserves the key, or tells what became of it.
    ///
    /// # Errors
    /// `IdempotencyInFlight`, `IdempotencyMismatch`, `IdempotencyFull`.
    pub(super) fn begin(&self, key: &IdempotencyKey) -> Result<Begin, ProduceError> {
        let mut entries = self.entries.lock();
        match entries.get(&key.key) {
            Some(Entry::InFlight) => return Err(ProduceError::IdempotencyInFlight),
            Some(Entry::Done(row)) if row.body != key.body => return Err(ProduceError::IdempotencyMismatch),
            Some(Entry::Done(row)) => return Ok(Begin::Known(row.reply.clone())),
            None => {}
        }
        if entries.len() >= IDEMPOTENCY_KEYS_MAX || self.bytes.load(Ordering::Relaxed) >= self.bytes_max {
            return Err(ProduceError::IdempotencyFull { limit: entries.len() });
        }
        entries.insert(key.key.clone(), Entry::InFlight);
        Ok(Begin::New(Slot {
            entries: self.entries.clone(),
            bytes: self.bytes.clone(),
            key: key.clone(),
            made: Arc::default(),
        }))
    }

    /// The keys older than 24 hours. Their rows are to be deleted first, and the keys forgotten when that is done.
    pub(super) fn expired(&self, commit: &mut Commit) -> Vec<String> {
        let oldest = self.clock.now_ms() - kept_ms();
        let entries = self.entries.lock();
        let past = |entry: &Entry| matches!(entry, Entry::Done(row) if row.stored_ms <= oldest);
        let keys: Vec<_> = entries.iter().filter(|(_, e)| past(e)).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            tables::idempotency::delete(commit, key.as_bytes());
        }
        keys
    }

    /// Forgets keys whose rows are gone. Until then they answered as known, so none of them has begun anew.
    pub(super) fn forget(&self, keys: &[String]) {
        let mut entries = self.entries.lock();
        for key in keys {
            if let Some(Entry::Done(row)) = entries.remove(key) {
                self.bytes.fetch_sub(weight(key, &row), Ordering::Relaxed);
            }
        }
    }
}

/// Bytes that a remembered request takes: its key twice (map and row) and about 96 a record (measured by `size_of`).
fn weight(key: &str, row: &Remembered) -> usize {
    2 * key.len() + 128 + row.reply.results.len() * size_of::<super::Produced>()
}

fn kept_ms() -> i64 {
    i64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(i64::MAX)
}

impl Slot {
    /// Puts key and answer into the commit. The answer is made from the offsets that the writer gives.
    pub(super) fn remember(
        self,
        commit: &mut Commit,
        now_ms: i64,
        reply: impl FnOnce(&[Placed]) -> ProduceReply + Send + 'static,
    ) -> Answer {
        let (body, made) = (self.key.body, self.made.clone());
        let (entries, bytes) = (self.entries.clone(), self.bytes.clone());
        let (key, row) = (self.key.key.clone(), self.made.clone());
        tables::idempotency::put(commit, self.key.key.clone().into_bytes(), move |placed| {
            let row = Remembered { body, reply: reply(placed), stored_ms: now_ms };
            let bytes = serde_json::to_vec(&row).unwrap_or_default();
            let _ = made.set(Arc::new(row));
            bytes
        });
        // Only now is the answer true: a write that failed leaves its outcome open.
        commit.when_made(move || {
            if let Some(row) = row.get() {
                bytes.fetch_add(weight(&key, row), Ordering::Relaxed);
                entries.lock().insert(key, Entry::Done(row.clone()));
            }
        });
        let answer = Answer(self.made.clone());
        // A request that its client abandons stays in flight until the fate of its commit is known.
        commit.hold(self);
        answer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        if let Some(Entry::InFlight) = entries.get(&self.key.key) {
            entries.remove(&self.key.key);
        }
    }
}

impl Answer {
    /// The answer; only after the commit's receipt.
    pub(super) fn finish(self) -> Option<ProduceReply> {
        self.0.get().map(|row| row.reply.clone())
    }
}
