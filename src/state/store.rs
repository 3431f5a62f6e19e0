//! A task's stores as its code sees them: ordered maps from bytes to bytes, with the task's own uncommitted writes over
//! what is committed.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::overlay::Overlay;
use super::quota::{self, Quota};
use super::scratch::Scratch;
use super::timers::Timers;
use super::ttl::{Times, Ttls};
use super::{Allowed, Error, TaskId, check_key, check_store, check_value, keys, watermarks};
use crate::model::TimestampMs;
use crate::model::limits::{SCAN_ENTRIES_MAX, STATE_BATCH_BYTES_MAX, STATE_KEY_MAX, STATE_VALUE_MAX};
use crate::storage::{Commit, KeyRange, PinnedState, ReadError, StateReader, Storage};

/// The state of one task, owned by whoever runs the task. Calls are synchronous and may read from disk; they are made on
/// the guests' threads. Nothing changes on disk before [`TaskState::write_into`] and the commit it goes into. Until that
/// commit has ended no further call may be made; [`TaskState::write_ahead`] is for those who go on meanwhile. If a commit
/// was not made the state has to be opened anew.
#[derive(Debug)]
pub struct TaskState {
    pub(super) id: TaskId,
    pub(super) base: Base,
    pub(super) overlay: Overlay,
    quota: Quota,
    pub(super) times: Times,
    pub(super) timers: Timers,
    pub(super) touched: bool,
}

/// What lies under a task's own writes.
#[derive(Debug)]
pub(super) enum Base {
    Committed(StateReader),
    /// of one moment, and not to be changed
    Pinned(PinnedState),
    Scratch(Scratch),
}

/// Bytes of a page of [`TaskState::scan`]; a longer one is cut there. Any 256 entries fit.
const SCAN_BYTES_MAX: usize = 256 * (STATE_KEY_MAX + STATE_VALUE_MAX);

impl TaskState {
    /// The committed state of a task, and what it may grow to.
    ///
    /// # Errors
    /// `Read`.
    pub fn open(storage: &Storage, id: TaskId, allowed: Allowed) -> Result<Self, Error> {
        Self::on(Base::Committed(storage.state()), id, allowed)
    }

    /// The state of a task at the pinned moment, with the watermark of then. It is only read: every change is refused.
    ///
    /// # Errors
    /// `Kind`, `Read`.
    pub fn pinned(pinned: PinnedState, id: TaskId, ttls: Ttls) -> Result<Self, Error> {
        let watermark = watermarks::read(id, |row| pinned.value(row))?.watermark;
        let mut state = Self::on(Base::Pinned(pinned), id, Allowed { bytes: 0, keys: 0 })?.timed(ttls)?;
        state.move_watermark(watermark);
        Ok(state)
    }

    pub(super) fn on(base: Base, id: TaskId, allowed: Allowed) -> Result<Self, Error> {
        let stores = quota::load(id, |range, visit| base.scan(range, visit))?;
        let quota = Quota::new(stores, allowed);
        let timers = Timers::load(id, |row| base.value(row))?;
        let (overlay, times) = (Overlay::default(), Times::default());
        Ok(Self { id, base, overlay, quota, times, timers, touched: false })
    }

    /// The same, with stores whose entries expire.
    ///
    /// # Errors
    /// `Kind` when one of them holds keys without times, or another holds keys with them.
    pub fn timed(mut self, ttls: Ttls) -> Result<Self, Error> {
        self.quota.set_timed(&ttls)?;
        self.times.ttls = ttls;
        Ok(self)
    }

    /// From now on it is this time, in milliseconds since the epoch; it does not go back.
    pub fn begin(&mut self, now_ms: TimestampMs) {
        self.times.move_to(now_ms);
    }

    /// Was it read or written since it was opened?
    pub fn is_touched(&self) -> bool {
        self.touched
    }

    /// The value of a key; `None`: there is no such key.
    ///
    /// # Errors
    /// `StoreName`, `KeySize`, `Read`.
    pub fn get(&mut self, store: &str, key: &[u8]) -> Result<Option<Bytes>, Error> {
        check_store(store)?;
        check_key(key)?;
        Ok(self.value(store, key)?.and_then(|stored| self.times.seen_bytes(store, &stored)))
    }

    /// The values of keys, one for each in their order; what is not known of them is read together. Holds them all, so keys
    /// come in small numbers.
    ///
    /// # Errors
    /// `StoreName`, `KeySize`, `Read`.
    pub fn get_many(&mut self, store: &str, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, Error> {
        check_store(store)?;
        keys.iter().try_for_each(|key| check_key(key))?;
        if !self.quota.knows(store) {
            return keys.iter().map(|key| self.get(store, key)).collect();
        }
        let row = |key: &Vec<u8>| keys::entry(self.id, store, key);
        if let Base::Pinned(pinned) = &self.base {
            // Nothing lies over it, and what is looked at once is not kept.
            let rows: Vec<_> = keys.iter().map(row).collect();
            let seen = |stored: Option<Bytes>| self.times.seen_bytes(store, &stored?);
            return Ok(pinned.values(&rows)?.into_iter().map(seen).collect());
        }
        if let Base::Committed(reader) = &self.base {
            let unknown: Vec<_> =
                keys.iter().filter(|key| self.overlay.entry(store, key).is_none()).collect();
            let rows: Vec<_> = unknown.iter().map(|key| row(key)).collect();
            for (key, value) in unknown.into_iter().zip(reader.values(&rows)?) {
                self.overlay.note(store, key, value);
            }
        }
        keys.iter().map(|key| self.get(store, key)).collect()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// All of [`Error`]; nothing is changed then.
    pub fn put(&mut self, store: &str, key: &[u8], value: Bytes) -> Result<(), Error> {
        check_store(store)?;
        check_key(key)?;
        check_value(&value)?;
        let stored = self.times.stored(store, value);
        self.write(store, key, Some(stored))
    }

    /// Deletes a key; one that is not there is no error.
    ///
    /// # Errors
    /// `StoreName`, `KeySize`, `BatchBytes`, `Pinned`, `Read`.
    pub fn delete(&mut self, store: &str, key: &[u8]) -> Result<(), Error> {
        check_store(store)?;
        check_key(key)?;
        self.write(store, key, None)
    }

    /// The entries with keys in `start..end` (`None`: to the end of the store), in key order: at most `limit`, at most
    /// [`SCAN_ENTRIES_MAX`], and about 226 MiB, which any 256 entries fit. Who wants more goes on after the last key.
    ///
    /// # Errors
    /// `StoreName`, `Read`.
    pub fn scan(
        &mut self,
        store: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        check_store(store)?;
        self.rows(store, start, end, limit)
    }

    /// The rows of a store, or of the timers.
    pub(super) fn rows(
        &mut self,
        store: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        self.touched = true;
        let prefix = keys::store(self.id, store);
        let range = KeyRange {
            start: keys::entry(self.id, store, start),
            end: match end {
                Some(end) => keys::entry(self.id, store, end),
                None => crate::storage::keys::prefix_end(&prefix),
            },
            reverse: false,
        };
        let mut page = Page::new(limit.min(SCAN_ENTRIES_MAX));
        if limit == 0 || range.start >= range.end {
            return Ok(page.entries);
        }
        let mut own = self.overlay.own_range(store, start, end).peekable();
        let times = &self.times;
        self.base.scan(&range, |key, value| {
            let key = &key[prefix.len()..];
            // Own writes up to this key come first, and hide it if they are of this key.
            while let Some((own_key, own_value)) = own.peek().copied() {
                let order = own_key.cmp(key);
                if order == Ordering::Greater {
                    break;
                }
                own.next();
                if let Some(own_value) = own_value.and_then(|stored| times.seen(store, stored))
                    && page.push(own_key, own_value).is_break()
                {
                    return ControlFlow::Break(());
                }
                if order == Ordering::Equal {
                    return ControlFlow::Continue(());
                }
            }
            match times.seen(store, value) {
                Some(value) => page.push(key, value),
                None => ControlFlow::Continue(()),
            }
        })?;
        for (key, value) in own {
            if page.is_full() {
                break;
            }
            if let Some(value) = value.and_then(|stored| times.seen(store, stored)) {
                let _ = page.push(key, value);
            }
        }
        Ok(page.entries)
    }

    /// Puts everything written since the last commit into `commit`, with the sizes of the stores. The state then counts
    /// it as committed: if the commit is refused or its outcome is unknown, the state has to be opened anew.
    pub fn write_into(&mut self, commit: &mut Commit) {
        let id = self.id;
        self.overlay.drain(|store, key, value| put(commit, id, store, key, value));
        self.quota.drain(|store, usage| commit.put_state(keys::stats(id, store), usage));
        self.timers.drain(|row| commit.put_state(keys::timers(id), row));
    }

    /// The same for a commit that is under way while the state is read and written further: what it holds is seen as if
    /// it were committed. Such commits are made in their order, and [`TaskState::committed`] is told of each.
    pub fn write_ahead(&mut self, commit: &mut Commit) {
        let id = self.id;
        self.overlay.drain_ahead(|store, key, value| put(commit, id, store, key, value));
        self.quota.drain(|store, usage| commit.put_state(keys::stats(id, store), usage));
        self.timers.drain(|row| commit.put_state(keys::timers(id), row));
    }

    /// The oldest commit of [`TaskState::write_ahead`] that is under way was made.
    pub fn committed(&mut self) {
        self.overlay.commit();
    }

    /// Puts everything written since the last time into the [`Scratch`] that lies under it. State over what is committed
    /// is not changed by it.
    pub fn settle(&mut self) {
        let Base::Scratch(scratch) = &self.base else { return };
        let id = self.id;
        self.overlay.drain(|store, key, value| scratch.write(keys::entry(id, store, key), value.cloned()));
        self.quota.drain(|store, usage| scratch.write(keys::stats(id, store), Some(usage)));
        self.timers.drain(|row| scratch.write(keys::timers(id), Some(row)));
    }

    /// Removes those of these keys that have expired.
    ///
    /// # Errors
    /// `BatchBytes`, `Read`.
    pub fn remove_expired(&mut self, store: &str, keys: &[Bytes]) -> Result<(), Error> {
        for key in keys {
            let stored = self.value(store, key)?;
            if stored.is_some_and(|stored| self.times.seen(store, &stored).is_none()) {
                self.write(store, key, None)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, store: &str, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.touched = true;
        if let Some(entry) = self.overlay.entry(store, key) {
            return Ok(entry.value.clone());
        }
        // A store that holds nothing needs no reads.
        let value = match self.quota.knows(store) {
            true => self.base.value(&keys::entry(self.id, store, key))?,
            false => None,
        };
        self.overlay.note(store, key, value.clone());
        Ok(value)
    }

    /// May it be changed, and do so many bytes more fit into the batch?
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), Error> {
        if let Base::Pinned(_) = self.base {
            return Err(Error::Pinned);
        }
        let found = self.overlay.dirty_bytes() + bytes;
        if found > STATE_BATCH_BYTES_MAX {
            return Err(Error::BatchBytes { found, limit: STATE_BATCH_BYTES_MAX });
        }
        Ok(())
    }

    fn write(&mut self, store: &str, key: &[u8], value: Option<Bytes>) -> Result<(), Error> {
        self.check_room(key.len() + value.as_ref().map_or(0, Bytes::len))?;
        let before = self.value(store, key)?;
        let times = &self.times;
        let size = |value: &Option<Bytes>| value.as_ref().map(|v| (key.len() + times.len(store, v)) as u64);
        if before.is_none() && value.is_none() {
            return Ok(());
        }
        self.quota.change(store, size(&before), size(&value))?;
        self.overlay.write(store, key, value);
        Ok(())
    }
}

fn put(commit: &mut Commit, id: TaskId, store: &str, key: &[u8], value: Option<&Bytes>) {
    let row = keys::entry(id, store, key);
    match value {
        Some(value) => commit.put_state(row, value.clone()),
        None => commit.delete_state(row),
    }
}

// === impl Base ===

impl Base {
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Committed(reader) => reader.value(key),
            Self::Pinned(pinned) => pinned.value(key),
            Self::Scratch(scratch) => scratch.value(key),
        }
    }

    fn scan(
        &self,
        range: &KeyRange,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        match self {
            Self::Committed(reader) => reader.scan(range, visit),
            Self::Pinned(pinned) => pinned.scan(range, visit),
            Self::Scratch(scratch) => scratch.scan(range, visit),
        }
    }
}

/// The entries of one scan, with their bounds.
struct Page {
    entries: Vec<(Bytes, Bytes)>,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, limit }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= SCAN_BYTES_MAX
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.bytes += key.len() + value.len();
        self.entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
