//! What a task has read and written in its stores since its last commit, over what is committed.
//!
//! Entries are *dirty* (written, in no commit), *ahead* (in a commit that is under way) or *clean* (known to be
//! committed). Clean ones save reads: most code gets a key, then puts it, and the put has to know what was there before.
//! They also stay after a commit, within a small bound, so that hot keys need no reads at all. What is ahead is never
//! forgotten: the storage does not have it yet.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::model::limits::MIB;

/// Clean entries of one task: within a batch, and from one batch to the next. Ten thousand small hot keys fit; a thousand
/// tasks still fit memory (a guess).
const CLEAN_BYTES_MAX: usize = 4 * MIB;
const KEPT_BYTES_MAX: usize = 2 * MIB;
/// What an entry takes beside key and value (a guess).
const ENTRY_OVERHEAD: usize = 96;

/// What is known of one key; a value of `None`: there is no such key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Option<Bytes>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Dirty,
    /// in the commit of this number; clean once that many are committed
    Ahead(u64),
    Clean,
}

type Store = BTreeMap<Box<[u8]>, Entry>;

#[derive(Debug, Default)]
pub(super) struct Overlay {
    stores: BTreeMap<Box<str>, Store>,
    dirty_bytes: usize,
    clean_bytes: usize,
    /// commits that were made of what was written ahead
    committed: u64,
    /// bytes of the entries in each commit under way, the oldest first: its number is `committed` and one
    ahead_bytes: VecDeque<usize>,
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
        self.set(store, key, Entry { value, standing: Standing::Clean });
    }

    /// Writes.
    pub(super) fn write(&mut self, store: &str, key: &[u8], value: Option<Bytes>) {
        self.set(store, key, Entry { value, standing: Standing::Dirty });
    }

    fn set(&mut self, store: &str, key: &[u8], entry: Entry) {
        let added = cost(key, entry.value.as_ref());
        let standing = entry.standing;
        let entries = match self.stores.get_mut(store) {
            Some(entries) => entries,
            None => self.stores.entry(store.into()).or_default(),
        };
        // A hot key costs no allocation.
        let old = match entries.get_mut(key) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => entries.insert(key.into(), entry),
        };
        if let Some(old) = old {
            let removed = cost(key, old.value.as_ref());
            *self.bytes(old.standing) -= removed;
        }
        *self.bytes(standing) += added;
    }

    /// What entries of this standing take together.
    fn bytes(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Dirty => &mut self.dirty_bytes,
            Standing::Ahead(number) if number > self.committed => {
                let index = (number - self.committed - 1) as usize;
                self.ahead_bytes.get_mut(index).unwrap_or(&mut self.clean_bytes)
            }
            Standing::Ahead(_) | Standing::Clean => &mut self.clean_bytes,
        }
    }

    /// The entries of a store in `start..end` (`None`: to its end) that the storage may not have yet, in key order.
    pub(super) fn own_range<'a>(
        &'a self,
        store: &str,
        start: &'a [u8],
        end: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a Bytes>)> + use<'a> {
        let is_empty = end.is_some_and(|end| end <= start);
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let entries = self.stores.get(store).filter(|_| !is_empty);
        let committed = self.committed;
        entries
            .into_iter()
            .flat_map(move |entries| entries.range::<[u8], _>(bounds))
            .filter(move |(_, entry)| !entry.standing.is_clean(committed))
            .map(|(key, entry)| (&**key, entry.value.as_ref()))
    }

    /// Hands out everything that was written, by store and key, and counts it as committed.
    pub(super) fn drain(&mut self, each: impl FnMut(&str, &[u8], Option<&Bytes>)) {
        self.hand_out(Standing::Clean, each);
        self.clean_bytes += std::mem::take(&mut self.dirty_bytes);
        self.keep_little();
    }

    /// Hands out everything that was written, for a commit that is under way when the next entries are written. The
    /// commits end in their order, each with [`Overlay::commit`].
    pub(super) fn drain_ahead(&mut self, each: impl FnMut(&str, &[u8], Option<&Bytes>)) {
        let number = self.committed + self.ahead_bytes.len() as u64 + 1;
        self.hand_out(Standing::Ahead(number), each);
        self.ahead_bytes.push_back(std::mem::take(&mut self.dirty_bytes));
    }

    /// The oldest commit under way is made.
    pub(super) fn commit(&mut self) {
        if let Some(bytes) = self.ahead_bytes.pop_front() {
            self.committed += 1;
            self.clean_bytes += bytes;
            self.keep_little();
        }
    }

    fn hand_out(&mut self, becomes: Standing, mut each: impl FnMut(&str, &[u8], Option<&Bytes>)) {
        for (store, entries) in &mut self.stores {
            for (key, entry) in entries.iter_mut().filter(|(_, entry)| entry.standing == Standing::Dirty) {
                each(store, key, entry.value.as_ref());
                entry.standing = becomes;
            }
        }
    }

    /// What a batch leaves for the next one is less than what it may hold itself.
    fn keep_little(&mut self) {
        if self.clean_bytes > KEPT_BYTES_MAX {
            self.forget_clean();
        }
    }

    fn forget_clean(&mut self) {
        let committed = self.committed;
        for entries in self.stores.values_mut() {
            entries.retain(|_, entry| !entry.standing.is_clean(committed));
        }
        self.clean_bytes = 0;
    }
}

// === impl Standing ===

impl Standing {
    fn is_clean(self, committed: u64) -> bool {
        match self {
            Self::Dirty => false,
            Self::Ahead(number) => number <= committed,
            Self::Clean => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::KIB;

    fn dirty(overlay: &Overlay) -> Vec<(&[u8], Option<&Bytes>)> {
        overlay.own_range("s", b"", None).collect()
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
        let kept = Entry { value: Some("1".into()), standing: Standing::Clean };
        assert_eq!(overlay.entry("s", b"a").unwrap(), &kept);
        assert_eq!(overlay.dirty_bytes(), 0);
        overlay.drain(|_, _, _| panic!("nothing is drained twice"));
    }

    #[test]
    fn memory_of_what_was_read_is_bounded() {
        let mut overlay = Overlay::default();
        overlay.write("s", b"kept", Some("x".into()));
        for i in 0..110u32 {
            overlay.note("s", &i.to_be_bytes(), Some(vec![0; 100 * KIB].into()));
        }
        assert!(overlay.clean_bytes <= CLEAN_BYTES_MAX + 101 * KIB, "{}", overlay.clean_bytes);
        assert_eq!(dirty(&overlay).len(), 1);
        overlay.drain(|_, _, _| {});
        assert_eq!(overlay.clean_bytes, 0, "too much to keep for the next batch");
    }

    #[test]
    fn what_is_ahead_stays_until_its_own_commit_is_made() {
        let mut overlay = Overlay::default();
        let large = || Some(Bytes::from(vec![0; KEPT_BYTES_MAX]));
        overlay.write("s", b"a", large());
        overlay.write("s", b"b", large());
        overlay.drain_ahead(|_, _, _| {});
        overlay.write("s", b"b", Some("second".into()));
        overlay.drain_ahead(|_, _, _| {});
        overlay.write("s", b"c", Some("third".into()));
        let keys = |overlay: &Overlay| dirty(overlay).iter().map(|(key, _)| key[0]).collect::<Vec<_>>();
        assert_eq!(keys(&overlay), *b"abc", "a scan sees them over what is stored");

        overlay.note("s", b"d", Some(vec![0; CLEAN_BYTES_MAX].into()));
        overlay.note("s", b"e", None);
        assert_eq!(overlay.entry("s", b"d"), None, "clean ones make room");
        assert_eq!(keys(&overlay), *b"abc");

        overlay.commit();
        assert_eq!(overlay.entry("s", b"a"), None, "too much to keep");
        assert_eq!(keys(&overlay), *b"bc", "of the second commit, and of none");
        overlay.commit();
        assert_eq!(keys(&overlay), *b"c");
        assert_eq!(overlay.entry("s", b"b").unwrap().value, Some("second".into()), "hot keys stay");
        overlay.commit();
        let cost = |key: &[u8], value: &'static str| cost(key, Some(&value.into()));
        let b = cost(b"b", "second");
        assert_eq!((overlay.dirty_bytes, overlay.clean_bytes), (cost(b"c", "third"), b));
        assert!(overlay.ahead_bytes.is_empty());
    }

    #[test]
    fn an_empty_or_inverted_range_has_no_entries() {
        let mut overlay = Overlay::default();
        overlay.write("s", b"b", Some("x".into()));
        assert_eq!(overlay.own_range("s", b"b", Some(b"b")).count(), 0);
        assert_eq!(overlay.own_range("s", b"c", Some(b"a")).count(), 0);
        assert_eq!(overlay.own_range("s", b"a", Some(b"c")).count(), 1);
        assert_eq!(overlay.own_range("other", b"", None).count(), 0);
    }
}
