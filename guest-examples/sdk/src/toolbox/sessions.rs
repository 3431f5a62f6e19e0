//! Session windows: what a key does without a pause of `gap` between. A row holds the open sessions of a key, of which there
//! is one as a rule, and more while records come out of order; records that close a pause merge two of them.

use std::time::Duration;

use crate::model::Fault;
use crate::timers::{self, Timer};

use super::codec::{Key, Stored};
use super::expiry::Expiry;
use super::table::Table;
use super::windows::{Merge, Window};

/// An open session: its window ends a gap after its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session<A> {
    /// the first record's time, and a gap after the last one's
    pub window: Window,
    /// what it has seen
    pub aggregate: A,
}

/// The sessions of a key in the order of time, and the bucket under which the key is entered.
#[derive(Debug)]
struct Open<A> {
    sessions: Vec<Session<A>>,
    bucket: i64,
}

/// Sessions with aggregates `A` by key. See [`Windows`](super::Windows) for how such a thing is used; here `add` takes the
/// place of `at`.
#[derive(Debug)]
pub struct Sessions<K, A> {
    rows: Table<K, Open<A>>,
    expiry: Expiry<K>,
    gap: i64,
}

// === impl Sessions ===

impl<K: Key, A: Stored + Merge> Sessions<K, A> {
    /// Sessions end after this gap. `every` is how exactly in time their results come: those that ended within it come
    /// together. Uses the stores `store` and `store.ends`.
    pub fn open(store: &str, gap: Duration, every: Duration) -> Self {
        Self {
            rows: Table::open(store),
            expiry: Expiry::open(&format!("{store}.ends"), every),
            gap: i64::try_from(gap.as_millis()).unwrap_or(i64::MAX).max(1),
        }
    }

    /// Brings in the sessions of these keys.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn load(&mut self, keys: impl IntoIterator<Item = K>) -> Result<(), Fault> {
        self.rows.load(keys)
    }

    /// Adds a record of a key that was loaded in this batch, and returns its session so far.
    ///
    /// # Panics
    /// When the key was not loaded.
    pub fn add(&mut self, time: i64, key: &K, aggregate: A) -> &Session<A> {
        let new = Session { window: Window { start: time, end: time.saturating_add(self.gap) }, aggregate };
        let row = self.rows.row(key);
        let open = row.get_or_insert_with(|| Open { sessions: Vec::with_capacity(1), bucket: i64::MAX });
        let at = open.add(new);
        let end = open.sessions[at].window.end;
        // A later end than the one entered is found when that one is due.
        if end < open.bucket {
            let bucket = self.expiry.bucket(end);
            if bucket < open.bucket {
                open.bucket = self.expiry.enter(end, key.clone());
            }
        }
        &open.sessions[at]
    }

    /// Early results: the open sessions of keys that changed since the last flush.
    pub fn early(&self) -> impl Iterator<Item = (&K, &[Session<A>])> {
        self.rows.changed().filter_map(|(key, row)| Some((key, &*row?.sessions)))
    }

    /// Writes the sessions of the batch and sets the timers of their ends.
    pub fn flush(&mut self) {
        self.rows.flush();
        self.expiry.flush();
    }

    /// Whether a timer is of these sessions.
    pub fn owns(&self, timer: &Timer) -> bool {
        self.expiry.owns(timer)
    }

    /// Visits the sessions that are over, with their final aggregates. A timer of something else is ignored.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn fire(&mut self, due: &Timer, mut visit: impl FnMut(&K, Session<A>)) -> Result<(), Fault> {
        let keys = self.expiry.due(due)?;
        if keys.is_empty() {
            return Ok(());
        }
        let now = timers::watermark().unwrap_or(due.at).max(due.at);
        self.rows.load(keys.iter().cloned())?;
        for key in keys {
            let row = self.rows.row(&key);
            let Some(mut open) = row.take() else { continue };
            let over = open.sessions.partition_point(|session| session.window.end <= now);
            for session in open.sessions.drain(..over) {
                visit(&key, session);
            }
            if let Some(first) = open.sessions.first() {
                open.bucket = self.expiry.enter(first.window.end, key);
                *row = Some(open);
            }
        }
        self.flush();
        Ok(())
    }
}

// === impl Open ===

impl<A: Merge> Open<A> {
    /// Adds a session, merged with those that it touches; says at which place it now is.
    fn add(&mut self, mut new: Session<A>) -> usize {
        // Sessions do not touch one another, so their starts and ends have one order.
        let from = self.sessions.partition_point(|open| open.window.end <= new.window.start);
        let to = self.sessions.partition_point(|open| open.window.start < new.window.end);
        if from == to {
            self.sessions.insert(from, new);
            return from;
        }
        for old in self.sessions.drain(from + 1..to) {
            new.window.end = new.window.end.max(old.window.end);
            new.aggregate.merge(old.aggregate);
        }
        let open = &mut self.sessions[from];
        open.window.start = open.window.start.min(new.window.start);
        open.window.end = open.window.end.max(new.window.end);
        open.aggregate.merge(new.aggregate);
        from
    }
}

impl<A: Stored> Stored for Open<A> {
    fn put(&self, to: &mut Vec<u8>) {
        self.bucket.put(to);
        self.sessions.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self { bucket: i64::take(from)?, sessions: Vec::take(from)? })
    }
}

impl<A: Stored> Stored for Session<A> {
    fn put(&self, to: &mut Vec<u8>) {
        self.window.start.put(to);
        self.window.end.put(to);
        self.aggregate.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let window = Window { start: i64::take(from)?, end: i64::take(from)? };
        Some(Self { window, aggregate: A::take(from)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_merge_where_they_touch() {
        let gap = 10;
        let mut open = Open { sessions: Vec::new(), bucket: 0 };
        let mut add = |time: i64| {
            open.add(Session { window: Window { start: time, end: time + gap }, aggregate: 1_u64 });
            let shown = |s: &Session<u64>| (s.window.start, s.window.end, s.aggregate);
            open.sessions.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(add(100), [(100, 110, 1)]);
        assert_eq!(add(110), [(100, 110, 1), (110, 120, 1)], "a pause of the whole gap ends a session");
        assert_eq!(add(80), [(80, 90, 1), (100, 110, 1), (110, 120, 1)]);
        assert_eq!(add(109), [(80, 90, 1), (100, 120, 3)], "it closes the pause");
        assert_eq!(add(91), [(80, 90, 1), (91, 120, 4)]);
        assert_eq!(add(85), [(80, 120, 6)]);
    }
}
