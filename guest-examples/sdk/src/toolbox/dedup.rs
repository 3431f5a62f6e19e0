//! The first of each, for a while.

use std::time::Duration;

use crate::model::Fault;
use crate::timers::{self, Timer};

use super::codec::Key;
use super::expiry::Expiry;
use super::table::Table;

/// Remembers keys for a time to live, counted in event time from when they were first seen.
#[derive(Debug)]
pub struct Dedup<K> {
    /// when it is forgotten
    seen: Table<K, i64>,
    expiry: Expiry<K>,
    live: i64,
}

// === impl Dedup ===

impl<K: Key> Dedup<K> {
    /// Forgets keys after this time, give or take a sixteenth of it. Uses the stores `store` and `store.ends`.
    pub fn open(store: &str, live: Duration) -> Self {
        Self {
            seen: Table::open(store),
            expiry: Expiry::open(&format!("{store}.ends"), live / 16),
            live: i64::try_from(live.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Brings in what is known of these keys.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn load(&mut self, keys: impl IntoIterator<Item = K>) -> Result<(), Fault> {
        self.seen.load(keys)
    }

    /// Whether a key, loaded in this batch, is new at this time.
    ///
    /// # Panics
    /// When the key was not loaded.
    pub fn is_first(&mut self, time: i64, key: &K) -> bool {
        if self.seen.get(key).is_some_and(|until| time < *until) {
            return false;
        }
        let until = time.saturating_add(self.live);
        *self.seen.row(key) = Some(until);
        self.expiry.enter(until, key.clone());
        true
    }

    /// Writes what the batch has seen.
    pub fn flush(&mut self) {
        self.seen.flush();
        self.expiry.flush();
    }

    /// Forgets keys whose time is over. A timer of something else is ignored.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn fire(&mut self, due: &Timer) -> Result<(), Fault> {
        let keys = self.expiry.due(due)?;
        if keys.is_empty() {
            return Ok(());
        }
        let now = timers::watermark().unwrap_or(due.at).max(due.at);
        self.seen.load(keys.iter().cloned())?;
        for key in keys {
            // One that was seen again later has an entry of its own for that.
            if self.seen.get(&key).is_some_and(|until| *until <= now) {
                *self.seen.row(&key) = None;
            }
        }
        self.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::{Output, Timed};

    struct Once(Dedup<u64>);

    impl Timed for Once {
        fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
            due.iter().try_for_each(|timer| self.0.fire(timer))?;
            Ok(Vec::new())
        }
    }

    impl Once {
        fn first(&mut self, time: i64, key: u64) -> bool {
            self.0.load([key]).unwrap();
            let is_first = self.0.is_first(time, &key);
            self.0.flush();
            is_first
        }
    }

    #[test]
    fn a_key_is_new_again_when_its_time_is_over_and_then_takes_no_room() {
        let mut once = Once(Dedup::open("seen", Duration::from_secs(16)));
        assert!(once.first(0, 7));
        assert!(!once.first(15_999, 7));
        assert!(once.first(15_000, 8));
        assert!(once.first(16_000, 7), "whether its timer has fired or not");
        testing::move_watermark(&mut once, 31_000).unwrap();
        assert_eq!(testing::store("seen").len(), 1, "7 was seen again");
        assert!(!once.first(31_000, 7));
        testing::move_watermark(&mut once, 33_000).unwrap();
        let left = [testing::store("seen").len(), testing::store("seen.ends").len(), testing::timers().len()];
        assert_eq!(left, [0; 3]);
    }
}
