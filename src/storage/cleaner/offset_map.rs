//! The newest offset of every key in a stretch of a log. It knows keys by a hash of 128 bits under secrets of its own, so
//! that its size does not depend on theirs, and so that nobody can make two keys meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use crate::model::Offset;

/// What an entry takes: 24 bytes, one of the table's own, and the free places of the table; twice while it grows.
pub(super) const ENTRY_BYTES: u64 = 64;

pub(super) struct OffsetMap {
    secrets: [RandomState; 2],
    newest: HashMap<Key, Offset, BuildHasherDefault<Taken>>,
    entries_max: usize,
}

/// The hash of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64, u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes a number that is a hash already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl OffsetMap {
    pub(super) fn new(entries_max: usize) -> Self {
        let secrets = [RandomState::new(), RandomState::new()];
        Self { secrets, newest: HashMap::default(), entries_max }
    }

    fn key(&self, key: &[u8]) -> Key {
        Key(self.secrets[0].hash_one(key), self.secrets[1].hash_one(key))
    }

    /// Is there room for so many keys more? There is for the first ones, however many.
    pub(super) fn takes(&self, keys: usize) -> bool {
        self.newest.is_empty() || self.newest.len() + keys <= self.entries_max
    }

    /// A record has this key. Records come in the order of their offsets.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) {
        let key = self.key(key);
        self.newest.insert(key, offset);
    }

    /// Is there a record with this key behind `offset`?
    pub(super) fn has_newer(&self, key: &[u8], offset: Offset) -> bool {
        self.newest.get(&self.key(key)).is_some_and(|newest| *newest > offset)
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_a_key_counts() {
        let mut map = OffsetMap::new(10);
        for (key, offset) in [("a", 1), ("b", 2), ("a", 5)] {
            map.put(key.as_bytes(), offset);
        }
        let newer = |key: &str, offset| map.has_newer(key.as_bytes(), offset);
        assert_eq!([newer("a", 4), newer("a", 5), newer("b", 1), newer("c", 0)], [true, false, true, false]);
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn a_map_is_full_but_for_its_first_batch() {
        let mut map = OffsetMap::new(3);
        assert!(map.takes(100));
        map.put(b"a", 0);
        assert!(map.takes(2));
        assert!(!map.takes(3));
    }

    #[test]
    fn many_keys_do_not_meet() {
        let mut map = OffsetMap::new(usize::MAX);
        for i in 0..50_000u64 {
            map.put(&i.to_be_bytes(), i);
        }
        assert_eq!(map.len(), 50_000);
    }
}
