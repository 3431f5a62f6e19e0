//! What a task has read and written in its stores since its last commit, over what is committed.
//!
//! Entries are *dirty* (written, not committed) or *clean* (known to be committed). Clean ones save reads: most code
//! gets a key, then puts it, and the put has to know what was there before. They also stay after a commit, within a
//! small bound, so that hot keys need no reads at all.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::model::limits::{KIB, MIB};

/// Clean entries of one task: within a batch, and from one batch to the next. A task's hot keys fit; thousands of tasks
/// still fit memory (a guess).
const CLEAN_BYTES_MAX: usize = 4 * MIB;
const KEPT_BYTES_MAX: usize = 512 * KIB;
/// What an entry takes beside key and value (a guess).
const ENTRY_OVERHEAD: usize = 96;

/// What is known of one key; a value of `None`: there is no such key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Option<Bytes>,
    pub(super) dirty: bool,
}

type Store = BTreeMap<Box<[u8]>, Entry>;

#[derive(Debug, Default)]
pub(super) struct Overlay {
    stores: BTreeMap<Box<str>, Store>,
    dirty_bytes: usize,
    clean_bytes: usize,
}

fn cost(key: &[u8], value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len) + ENTRY_OVERHEAD
}

impl Overlay {
    /// `None`: nothing is known of this key.
    pub(super) fn entry(&self, store: &str, key: &[u8]) -> Option<&Entry> {
        self.stores.get(store)?.get(key)
    }

    /// Bytes that the next commit will carry.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Remembers what was read.
    pub(super) fn note(&mut self, store: &str, key: &[u8], value: Option<Bytes>) {
        if self.clean_bytes > CLEAN_BYTES_MAX {
            self.forget_clean();
        }
        self.set(store, key, Entry { value, dirty: false });
    }

    /// Writes.
    pub(super) fn write(&mut self, store: &str, key: &[u8], value: Option<Bytes>) {
        self.set(store, key, Entry { value, dirty: true });
    }

    fn set(&mut self, store: &str, key: &[u8], entry: Entry) {
        let added = cost(key, entry.value.as_ref());
        let dirty = entry.dirty;
        let entries = match self.stores.get_mut(store) {
            Some(entries) => entries,
            None => self.stores.entry(store.into()).or_default(),
        };
        if let Some(old) = entries.insert(key.into(), entry) {
            let removed = cost(key, old.value.as_ref());
            *(if old.dirty { &mut self.dirty_bytes } else { &mut self.clean_bytes }) -= removed;
        }
        *(if dirty { &mut self.dirty_bytes } else { &mut self.clean_bytes }) += added;
    }

    /// The written entries of a store in `start..end` (`None`: to its end), in key order.
    pub(super) fn dirty_range<'a>(
        &'a self,
        store: &str,
        start: &'a [u8],
        end: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a Bytes>)> + use<'a> {
        let is_empty = end.is_some_and(|end| end <= start);
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let entries = self.stores.get(store).filter(|_| !is_empty);
        entries
            .into_iter()
            .flat_map(move |entries| entries.range::<[u8], _>(bounds))
            .filter(|(_, entry)| entry.dirty)
            .map(|(key, entry)| (&**key, entry.value.as_ref()))
    }

    /// Hands out everything that was written, by store and key, and counts it as committed.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&str, &[u8], Option<&Bytes>)) {
        for (store, entries) in &mut self.stores {
            for (key, entry) in entries.iter_mut().filter(|(_, entry)| entry.dirty) {
                each(store, key, entry.value.as_ref());
                entry.dirty = false;
            }
        }
        self.clean_bytes += std::mem::take(&mut self.dirty_bytes);
        if self.clean_bytes > KEPT_BYTES_MAX {
            *self = Self::default();
        }
    }

    fn forget_clean(&mut self) {
        for entries in self.stores.values_mut() {
            entries.retain(|_, entry| entry.dirty);
        }
        self.clean_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirty(overlay: &Overlay) -> Vec<(&[u8], Option<&Bytes>)> {
        overlay.dirty_range("s", b"", None).collect()
    }

    #[test]
    fn what_was_read_costs_nothing_at_the_commit_until_it_is_written() {
        let mut overlay = Overlay::default();
        overlay.note("s", b"a", Some("old".into()));
        assert_eq!((overlay.dirty_bytes(), dirty(&overlay)), (0, vec![]));
        overlay.write("s", b"a", Some("new!".into()));
        assert_eq!(overlay.dirty_bytes(), 1 + 4 + ENTRY_OVERHEAD);
        assert_eq!(overlay.clean_bytes, 0);
        overlay.write("s", b"a", None);
        assert_eq!(overlay.dirty_bytes(), 1 + ENTRY_OVERHEAD);
    }

    #[test]
    fn a_drained_overlay_knows_what_it_committed() {
        let mut overlay = Overlay::default();
        overlay.write("s", b"a", Some("1".into()));
        overlay.write("s", b"b", None);
        let mut drained = Vec::new();
        overlay.drain(|store, key, value| drained.push((store.to_owned(), key.to_vec(), value.cloned())));
        let expected = [("s".into(), b"a".to_vec(), Some("1".into())), ("s".into(), b"b".to_vec(), None)];
        assert_eq!(drained, expected);
        assert_eq!(overlay.entry("s", b"a").unwrap(), &Entry { value: Some("1".into()), dirty: false });
        assert_eq!(overlay.dirty_bytes(), 0);
        overlay.drain(|_, _, _| panic!("nothing is drained twice"));
    }

    #[test]
    fn memory_of_what_was_read_is_bounded() {
        let mut overlay = Overlay::default();
        overlay.write("s", b"kept", Some("x".into()));
        for i in 0..100u32 {
            overlay.note("s", &i.to_be_bytes(), Some(vec![0; 100 * KIB].into()));
        }
        assert!(overlay.clean_bytes <= CLEAN_BYTES_MAX + 101 * KIB, "{}", overlay.clean_bytes);
        assert_eq!(dirty(&overlay).len(), 1);
        overlay.drain(|_, _, _| {});
        assert_eq!(overlay.clean_bytes, 0, "too much to keep for the next batch");
    }

    #[test]
    fn an_empty_or_inverted_range_has_no_entries() {
        let mut overlay = Overlay::default();
        overlay.write("s", b"b", Some("x".into()));
        assert_eq!(overlay.dirty_range("s", b"b", Some(b"b")).count(), 0);
        assert_eq!(overlay.dirty_range("s", b"c", Some(b"a")).count(), 0);
        assert_eq!(overlay.dirty_range("s", b"a", Some(b"c")).count(), 1);
        assert_eq!(overlay.dirty_range("other", b"", None).count(), 0);
    }
}
