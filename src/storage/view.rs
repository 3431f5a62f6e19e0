//! Reads of task state: point reads and ordered scans of the state family. Synchronous, for the guests' threads and for
//! [`super::Storage::on_reader`]. Only acknowledged commits are seen.

use std::ops::ControlFlow;

use bytes::Bytes;
use rocksdb::{ReadOptions, SnapshotWithThreadMode};

use super::Storage;
use super::db::{Direction, Inner, bounded, walk};
use super::error::ReadError;
use super::families::Family;

/// Reads the newest committed state; each call sees what is committed when it is made.
#[derive(Clone, Debug)]
pub struct StateReader {
    storage: Storage,
}

/// The committed state at one moment: all reads see the same commits. Keeps old rows on disk, so it is for one request,
/// not for long.
pub struct StateView<'a> {
    reader: &'a StateReader,
    snapshot: SnapshotWithThreadMode<'a, Inner>,
}

/// Keys `start..end` in key order, or in reverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// the first key
    pub start: Vec<u8>,
    /// the key after the last
    pub end: Vec<u8>,
    /// from the last to the first
    pub reverse: bool,
}

impl KeyRange {
    fn direction(&self) -> Direction {
        if self.reverse { Direction::Backward } else { Direction::Forward }
    }
}

impl StateReader {
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    /// The value of a key.
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let db = self.storage.db();
        let value = db.inner().get_pinned_cf(&db.family(Family::State), key)?;
        Ok(value.map(|v| Bytes::copy_from_slice(&v)))
    }

    /// The values of keys, one for each in their order, read together.
    pub fn values<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Vec<u8>>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let db = self.storage.db();
        let found = db.inner().batched_multi_get_cf(&db.family(Family::State), keys, false);
        found.into_iter().map(|value| Ok(value?.map(|v| Bytes::copy_from_slice(&v)))).collect()
    }

    /// Visits keys and values of a range until the visitor breaks.
    pub fn scan(
        &self,
        range: &KeyRange,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let db = self.storage.db();
        let mut options = bounded(range.end.clone());
        options.set_iterate_lower_bound(range.start.clone());
        let rows = db.inner().raw_iterator_cf_opt(&db.family(Family::State), options);
        walk(rows, None, range.direction(), visit)
    }

    /// The state of this moment.
    pub fn view(&self) -> StateView<'_> {
        StateView { reader: self, snapshot: self.storage.db().inner().snapshot() }
    }
}

impl StateView<'_> {
    /// The value of a key.
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let db = self.reader.storage.db();
        let value = self.snapshot.get_pinned_cf(&db.family(Family::State), key)?;
        Ok(value.map(|v| Bytes::copy_from_slice(&v)))
    }

    /// The values of keys, one for each in their order, read together.
    pub fn values<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Vec<u8>>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let db = self.reader.storage.db();
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        let found = db.inner().batched_multi_get_cf_opt(&db.family(Family::State), keys, false, &options);
        found.into_iter().map(|value| Ok(value?.map(|v| Bytes::copy_from_slice(&v)))).collect()
    }

    /// Visits keys and values of a range until the visitor breaks.
    pub fn scan(
        &self,
        range: &KeyRange,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let db = self.reader.storage.db();
        let mut options = bounded(range.end.clone());
        options.set_iterate_lower_bound(range.start.clone());
        let rows = self.snapshot.raw_iterator_cf_opt(&db.family(Family::State), options);
        walk(rows, None, range.direction(), visit)
    }
}
