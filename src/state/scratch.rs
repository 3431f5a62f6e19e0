//! State for code whose work leaves nothing behind: entries that somebody made up, or a task's committed state of one
//! moment, and over them, in memory, what the code has written since. The last handle takes all of it along.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::positions::{self, Positions};
use super::quota::Usage;
use super::store::Base;
use super::ttl::{HEAD_LEN, Ttls};
use super::watermarks::{self, Watermarks};
use super::{Allowed, Error, TaskId, TaskState, check_key, check_store, check_value, keys};
use crate::storage::{KeyRange, PinnedState, ReadError};

/// The state of one task that is thrown away; cheap to clone.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: TaskId,
    under: Under,
    written: Mutex<Written>,
}

#[derive(Debug)]
enum Under {
    Given(Rows),
    Pinned(PinnedState),
}

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// Rows over those that lie under them; `None`: deleted.
#[derive(Debug, Default)]
struct Written {
    rows: BTreeMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
}

/// Entries by store and key.
pub type Given = BTreeMap<String, BTreeMap<Vec<u8>, Bytes>>;

/// What was written against what lies under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// by store and key
    pub entries: Vec<Changed>,
    /// there are others
    pub more: bool,
}

/// An entry that differs; `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// its store
    pub store: String,
    /// its key
    pub key: Bytes,
    /// as it was, or as the one has it
    pub before: Option<Bytes>,
    /// as it is, or as the other has it
    pub after: Option<Bytes>,
}

/// How much of the changes is wanted.
#[derive(Debug, Clone, Copy)]
pub struct ChangesMax {
    /// entries
    pub entries: usize,
    /// of their keys and values
    pub bytes: usize,
}

impl Scratch {
    /// No state at first.
    pub fn empty(id: TaskId) -> Self {
        Self::on(id, Under::Given(BTreeMap::new()))
    }

    /// The task's state of the pinned moment.
    pub fn pinned(id: TaskId, pinned: PinnedState) -> Self {
        Self::on(id, Under::Pinned(pinned))
    }

    /// These entries at first.
    ///
    /// # Errors
    /// `StoreName`, `KeySize`, `ValueSize`.
    pub fn given(id: TaskId, stores: Given) -> Result<Self, Error> {
        let mut rows = BTreeMap::new();
        for (store, entries) in stores {
            check_store(&store)?;
            let mut usage = Usage::default();
            for (key, value) in entries {
                check_key(&key)?;
                check_value(&value)?;
                usage.keys += 1;
                usage.bytes += (key.len() + value.len()) as u64;
                rows.insert(keys::entry(id, &store, &key), value);
            }
            rows.insert(keys::stats(id, &store), usage.encode());
        }
        Ok(Self::on(id, Under::Given(rows)))
    }

    fn on(id: TaskId, under: Under) -> Self {
        Self(Arc::new(Inner { id, under, written: Mutex::default() }))
    }

    /// State over what was settled so far, which may grow to what is allowed. One at a time. Of entries that somebody made
    /// up none expires.
    ///
    /// # Errors
    /// `Kind`, `Read`.
    pub fn open(&self, allowed: Allowed, ttls: Ttls) -> Result<TaskState, Error> {
        let state = TaskState::on(Base::Scratch(self.clone()), self.0.id, allowed)?;
        match self.0.under {
            Under::Given(_) => Ok(state),
            Under::Pinned(_) => state.timed(ttls),
        }
    }

    /// Bytes of everything that was written.
    pub fn bytes(&self) -> usize {
        self.0.written.lock().bytes
    }

    /// The positions that the task had committed at that moment.
    ///
    /// # Errors
    /// `Damaged`, `Engine`, `Closed`.
    pub fn positions(&self) -> Result<Positions, ReadError> {
        positions::read(self.0.id, |range, visit| self.scan(range, visit))
    }

    /// The watermark that the task had committed at that moment, and what it was made of.
    ///
    /// # Errors
    /// `Damaged`, `Engine`, `Closed`.
    pub fn watermarks(&self) -> Result<Watermarks, ReadError> {
        watermarks::read(self.0.id, |row| self.value(row))
    }

    /// What the settled writes have changed, by store and key.
    ///
    /// # Errors
    /// `Damaged`, `Engine`, `Closed`.
    pub fn changes(&self, max: ChangesMax) -> Result<Changes, ReadError> {
        let rows = self.0.written.lock().rows.clone();
        let sides = rows.into_iter().map(|(row, after)| Ok((self.0.under.value(&row)?, after, row)));
        differing(sides, |store| self.is_timed(store), max)
    }

    /// Where this state differs from another's, which lies over the same moment: `before` is this one's.
    ///
    /// # Errors
    /// `Damaged`, `Engine`, `Closed`.
    pub fn differences(&self, other: &Self, max: ChangesMax) -> Result<Changes, ReadError> {
        let mut rows: Vec<_> = self.0.written.lock().rows.keys().cloned().collect();
        rows.extend(other.0.written.lock().rows.keys().cloned());
        rows.sort_unstable();
        rows.dedup();
        let sides = rows.into_iter().map(|row| Ok((self.value(&row)?, other.value(&row)?, row)));
        differing(sides, |store| self.is_timed(store) || other.is_timed(store), max)
    }

    /// Have a store's values the times of their writes?
    fn is_timed(&self, store: &str) -> bool {
        let row = self.value(&keys::stats(self.0.id, store)).ok().flatten();
        row.and_then(|row| Usage::decode(&row)).is_some_and(|usage| usage.timed)
    }

    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if let Some(value) = self.0.written.lock().rows.get(key) {
            return Ok(value.clone());
        }
        self.0.under.value(key)
    }

    /// Visits keys and values of a range, which is not reversed, until the visitor breaks.
    pub(super) fn scan(
        &self,
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        if range.start >= range.end {
            return Ok(());
        }
        let written = self.0.written.lock();
        let mut own = written.rows.range(range.start.clone()..range.end.clone()).peekable();
        let mut ended = false;
        self.0.under.scan(range, |key, value| {
            // What was written up to this key comes first, and hides it if it is of this key.
            while let Some((own_key, own_value)) = own.peek().copied() {
                let order = own_key.as_slice().cmp(key);
                if order == Ordering::Greater {
                    break;
                }
                own.next();
                if let Some(own_value) = own_value {
                    ended = visit(own_key, own_value).is_break();
                }
                if ended {
                    return ControlFlow::Break(());
                }
                if order == Ordering::Equal {
                    return ControlFlow::Continue(());
                }
            }
            ended = visit(key, value).is_break();
            if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut rest = own.filter(|_| !ended).filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let _ = rest.try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    pub(super) fn write(&self, key: Vec<u8>, value: Option<Bytes>) {
        let written = &mut *self.0.written.lock();
        let size = |value: &Option<Bytes>| key.len() + value.as_ref().map_or(0, Bytes::len);
        written.bytes += size(&value);
        let old = written.rows.get(&key).map_or(0, size);
        written.bytes -= old;
        written.rows.insert(key, value);
    }
}

/// The entries among rows whose two sides differ.
fn differing(
    sides: impl Iterator<Item = Result<(Option<Bytes>, Option<Bytes>, Vec<u8>), ReadError>>,
    is_timed: impl Fn(&str) -> bool,
    max: ChangesMax,
) -> Result<Changes, ReadError> {
    let mut changes = Changes::default();
    let mut bytes = 0;
    for side in sides {
        let (before, after, row) = side?;
        let Some((store, key)) = keys::parse_entry(&row).filter(|_| before != after) else { continue };
        // The times of writes are not the code's.
        let head = if is_timed(store) { HEAD_LEN } else { 0 };
        let own = |stored: Option<Bytes>| stored.map(|stored| stored.slice(head.min(stored.len())..));
        let (before, after) = (own(before), own(after));
        if before == after {
            continue;
        }
        bytes += key.len() + before.as_ref().map_or(0, Bytes::len) + after.as_ref().map_or(0, Bytes::len);
        if changes.entries.len() >= max.entries || bytes > max.bytes {
            changes.more = true;
            break;
        }
        let (store, key) = (store.to_owned(), Bytes::copy_from_slice(key));
        changes.entries.push(Changed { store, key, before, after });
    }
    Ok(changes)
}

impl Under {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Given(rows) => Ok(rows.get(key).cloned()),
            Self::Pinned(pinned) => pinned.value(key),
        }
    }

    fn scan(
        &self,
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        match self {
            Self::Given(rows) => {
                let mut rows = rows.range(range.start.clone()..range.end.clone());
                let _ = rows.try_for_each(|(key, value)| visit(key, value));
                Ok(())
            }
            Self::Pinned(pinned) => pinned.scan(range, visit),
        }
    }
}
