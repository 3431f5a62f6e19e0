//! Typed rows of a store behind a bounded cache.
//!
//! Why a cache in the instance is safe: a task's rows are written by this task alone, and the server drops an instance
//! whose batch was not committed. Only a `ttl` takes rows away behind its back: over such a store a table has no cache. So what an instance remembers is either committed or part of the batch that is running.
//! Writes go to the store with `flush`, in the batch that made them; only reads outlive it.

use crate::model::Fault;
use crate::state::Store;

use super::codec::{self, Key, Stored};
use super::hash::Map;

/// Bytes of rows in memory unless [`Table::cache`] says otherwise: of the 64 MiB that an instance has by default, a
/// program may keep a few such tables.
const CACHE_BYTES: usize = 8 << 20;
/// What a row in memory takes beside its own bytes: its places in the map and in an allocation (an estimate).
const ROW_BYTES: usize = 64;
/// Rows read at a time where many are visited.
const PAGE: u32 = 1024;

/// Rows by key in a store of this task, behind a cache.
///
/// `load` first, then work on the rows, then `flush`. The cache has two generations: what is used goes to the young one; when
/// that is full, it becomes the old one, and the old one is forgotten.
#[derive(Debug)]
pub struct Table<K, V> {
    store: Store,
    name: String,
    young: Map<K, Slot<V>>,
    old: Map<K, Slot<V>>,
    young_bytes: usize,
    /// of a generation
    bytes_max: usize,
    /// keys whose rows differ from the store; all are in `young`
    changed: Vec<K>,
    missing: Vec<K>,
    arena: Arena,
}

#[derive(Debug)]
struct Slot<V> {
    row: Option<V>,
    changed: bool,
    bytes: usize,
}

/// A key and a row as they are stored.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// Keys and rows on their way to the host, one after the other in one allocation.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

// === impl Table ===

impl<K: Key, V: Stored> Table<K, V> {
    /// Opens the store of this name. For one that has a `ttl` in its deployment go on with `.cache(0)`: rows in memory do not
    /// expire, and would be there until the next restart.
    pub fn open(store: &str) -> Self {
        Self {
            store: Store::open(store),
            name: store.to_owned(),
            young: Map::default(),
            old: Map::default(),
            young_bytes: 0,
            bytes_max: CACHE_BYTES / 2,
            changed: Vec::new(),
            missing: Vec::new(),
            arena: Arena::default(),
        }
    }

    /// Sets how many bytes of rows stay in memory between batches; with 0 every batch reads its rows anew. Those of one batch
    /// are held in any case, until `flush`.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes / 2;
        self
    }

    /// Brings in the rows of these keys, those that are not in memory with one read.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn load(&mut self, keys: impl IntoIterator<Item = K>) -> Result<(), Fault> {
        for key in keys {
            if self.young.contains_key(&key) {
                continue;
            }
            let slot = self.old.remove(&key).unwrap_or_else(|| {
                self.missing.push(key.clone());
                Slot { row: None, changed: false, bytes: ROW_BYTES }
            });
            self.young_bytes += slot.bytes;
            self.young.insert(key, slot);
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        self.arena.clear();
        for key in &self.missing {
            self.arena.push(|bytes| key.put(bytes));
        }
        let stored = self.store.get_many(&self.arena.parts());
        for (key, row) in self.missing.drain(..).zip(stored) {
            let (Some(row), Some(slot)) = (row, self.young.get_mut(&key)) else { continue };
            slot.row = Some(codec::read(&row, &self.name)?);
            slot.bytes += row.len();
            self.young_bytes += row.len();
        }
        Ok(())
    }

    /// The row of a key that was loaded in this batch.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key)?.row.as_ref()
    }

    /// The row of a key that was loaded in this batch, to be changed; none deletes it.
    ///
    /// # Panics
    /// When the key was not loaded: its row would be lost.
    pub fn row(&mut self, key: &K) -> &mut Option<V> {
        let slot = self.young.get_mut(key).expect("every key of a batch is loaded before it is changed");
        if !slot.changed {
            slot.changed = true;
            self.changed.push(key.clone());
        }
        &mut slot.row
    }

    /// Sets a row without looking at what was there; nothing has to be loaded for it.
    pub fn set(&mut self, key: K, row: Option<V>) {
        if !self.young.contains_key(&key) {
            let slot = self.old.remove(&key).unwrap_or(Slot { row: None, changed: false, bytes: ROW_BYTES });
            self.young_bytes += slot.bytes;
            self.young.insert(key.clone(), slot);
        }
        *self.row(&key) = row;
    }

    /// The rows changed since the last flush, each once: what early results are made of.
    pub fn changed(&self) -> impl Iterator<Item = (&K, Option<&V>)> {
        self.changed.iter().map(|key| (key, self.get(key)))
    }

    /// Whether a row was changed since the last flush.
    pub fn is_changed(&self, key: &K) -> bool {
        self.young.get(key).is_some_and(|slot| slot.changed)
    }

    /// Writes what was changed, with one call.
    pub fn flush(&mut self) {
        if !self.changed.is_empty() {
            self.write();
        }
        if self.bytes_max == 0 {
            self.young.clear();
            self.young_bytes = 0;
        }
        // The old generation is forgotten when the young one is full.
        if self.young_bytes > self.bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    fn write(&mut self) {
        self.arena.clear();
        for key in &self.changed {
            let row = self.young.get(key).and_then(|slot| slot.row.as_ref());
            self.arena.push(|bytes| key.put(bytes));
            self.arena.push(|bytes| {
                if let Some(row) = row {
                    row.put(bytes)
                }
            });
        }
        let mut entries = Vec::with_capacity(self.changed.len());
        let parts = self.arena.parts();
        for (key, part) in self.changed.drain(..).zip(parts.chunks_exact(2)) {
            let Some(slot) = self.young.get_mut(&key) else { continue };
            slot.changed = false;
            let bytes = ROW_BYTES + part[1].len();
            self.young_bytes = self.young_bytes - slot.bytes + bytes;
            slot.bytes = bytes;
            let is_gone = slot.row.is_none();
            entries.push((part[0], (!is_gone).then_some(part[1])));
            if is_gone {
                self.young_bytes -= bytes;
                self.young.remove(&key);
            }
        }
        self.store.put_many(&entries);
    }

    /// The first `limit` rows whose keys, as bytes, are in `start..end`; what is not flushed is not seen.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: u32) -> Result<Vec<(K, V)>, Fault> {
        debug_assert!(self.changed.is_empty(), "a scan sees what is flushed");
        let row = |(key, row): Entry| Ok((codec::read(&key, &self.name)?, codec::read(&row, &self.name)?));
        self.store.scan(start, end, limit).into_iter().map(row).collect()
    }

    /// As [`scan`](Self::scan), a page of entries as they are stored, and whether it is the last one.
    pub(super) fn page(&self, start: &[u8], end: Option<&[u8]>) -> (Vec<Entry>, bool) {
        debug_assert!(self.changed.is_empty(), "a scan sees what is flushed");
        let page = self.store.scan(start, end, PAGE);
        let is_last = page.len() < PAGE as usize;
        (page, is_last)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

// === impl Arena ===

impl Arena {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn parts(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_batch_costs_one_read_and_one_write() {
        let mut table: Table<u64, u64> = Table::open("t");
        let before = testing::state_calls();
        table.load([1, 2, 1, 3]).unwrap();
        *table.row(&1) = Some(10);
        *table.row(&1) = Some(11);
        *table.row(&2) = Some(20);
        assert_eq!(table.changed().count(), 2);
        table.flush();
        assert_eq!(testing::state_calls() - before, 2);
        table.load([1, 2, 3]).unwrap();
        assert_eq!(testing::state_calls() - before, 2, "rows and their absence are remembered");
        let rows = [(1, 11), (2, 20)];
        assert_eq!(table.scan(&[], None, 10).unwrap(), rows);
    }

    #[test]
    fn a_deleted_row_is_gone_from_store_and_memory() {
        let mut table: Table<u64, u64> = Table::open("t");
        table.set(1, Some(1));
        table.flush();
        table.set(1, None);
        table.flush();
        assert_eq!(testing::store("t").len(), 0);
        table.load([1]).unwrap();
        assert_eq!(table.get(&1), None);
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_comes_back() {
        let mut table: Table<u64, u64> = Table::open("t").cache(100 * (ROW_BYTES + 8));
        for key in 0..1_000 {
            table.load([key]).unwrap();
            *table.row(&key) = Some(key);
            table.flush();
            assert!(table.young.len() + table.old.len() <= 102);
        }
        for key in 0..1_000 {
            table.load([key]).unwrap();
            assert_eq!(table.get(&key), Some(&key));
        }
    }

    #[test]
    fn without_a_cache_each_batch_sees_what_has_expired() {
        let mut table: Table<u64, u64> = Table::open("t").cache(0);
        for count in [1, 2] {
            table.load([1]).unwrap();
            *table.row(&1).get_or_insert_default() += 1;
            assert_eq!(table.get(&1), Some(&count));
            table.flush();
        }
        table.store.delete(1_u64.to_be_bytes());
        table.load([1]).unwrap();
        assert_eq!(table.get(&1), None);
    }

    #[test]
    fn a_row_of_another_kind_is_a_fault() {
        let table: Table<u64, u64> = Table::open("t");
        table.store.put(1_u64.to_be_bytes(), b"short");
        let mut table = table;
        assert!(matches!(table.load([1]), Err(Fault::Fatal(why)) if why.contains("store `t`")));
    }
}
