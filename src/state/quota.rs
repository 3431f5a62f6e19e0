//! How many keys and bytes each store of a task holds, and what may be put. The numbers are rows of the state itself,
//! changed in the commit that changes what they count, so they are exact after any crash.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Allowed, Error, TaskId, Ttls, keys};
use crate::model::limits::STORES_MAX;
use crate::storage::keys::Kind;
use crate::storage::{KeyRange, ReadError};

const FORMAT: u8 = 1;
/// Of a store whose values have the times of their writes; servers that know no ttl refuse it.
const FORMAT_TIMED: u8 = 2;

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) keys: u64,
    /// of keys and values
    pub(super) bytes: u64,
    /// its values have the times of their writes
    pub(super) timed: bool,
}

/// The usage of all stores of a task, uncommitted changes included.
#[derive(Debug)]
pub(super) struct Quota {
    allowed: Allowed,
    bytes: u64,
    keys: u64,
    stores: BTreeMap<Box<str>, Usage>,
    /// the stores whose values have times
    ttls: Ttls,
    /// stores that changed since the last commit
    changed: BTreeSet<Box<str>>,
}

impl Usage {
    pub(super) fn encode(self) -> Bytes {
        let mut row = vec![if self.timed { FORMAT_TIMED } else { FORMAT }];
        row.extend_from_slice(&self.keys.to_be_bytes());
        row.extend_from_slice(&self.bytes.to_be_bytes());
        row.into()
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (format, sizes) = row.split_first()?;
        let timed = match *format {
            FORMAT => false,
            FORMAT_TIMED => true,
            _ => return None,
        };
        let (keys, bytes) = sizes.split_first_chunk::<8>()?;
        let bytes = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { keys: u64::from_be_bytes(*keys), bytes, timed })
    }
}

/// The committed usage of a task's stores, read with `scan`.
pub(super) fn load(
    id: TaskId,
    scan: impl FnOnce(&KeyRange, &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<(), ReadError>,
) -> Result<BTreeMap<Box<str>, Usage>, ReadError> {
    let (start, end) = keys::of_kind(id, Kind::StateStats);
    let mut stores = BTreeMap::new();
    let mut damaged = false;
    scan(&KeyRange { start, end, reverse: false }, &mut |key, row| {
        match (keys::parse_stats(key), Usage::decode(row)) {
            (Some(store), Some(usage)) => drop(stores.insert(store.into(), usage)),
            _ => damaged = true,
        }
        if damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if damaged {
        return Err(ReadError::Damaged(format!("row with the size of a store of {id:?}")));
    }
    Ok(stores)
}

impl Quota {
    pub(super) fn new(stores: BTreeMap<Box<str>, Usage>, allowed: Allowed) -> Self {
        let bytes = stores.values().map(|usage| usage.bytes).sum();
        let keys = stores.values().map(|usage| usage.keys).sum();
        Self { allowed, bytes, keys, stores, ttls: Ttls::default(), changed: BTreeSet::new() }
    }

    /// Makes these stores the ones whose values have times.
    ///
    /// # Errors
    /// `Kind` when a store holds keys of the other kind.
    pub(super) fn set_timed(&mut self, ttls: &Ttls) -> Result<(), Error> {
        for (store, usage) in &mut self.stores {
            let timed = ttls.has(store);
            if usage.timed != timed && usage.keys > 0 {
                return Err(Error::Kind { store: store.to_string(), timed: usage.timed });
            }
            usage.timed = timed;
        }
        self.ttls = ttls.clone();
        Ok(())
    }

    pub(super) fn knows(&self, store: &str) -> bool {
        self.stores.contains_key(store)
    }

    /// Counts a change of one entry, given what it took before and will take (`None`: not there). Growth beyond the
    /// quota, or into one store too many, is refused and changes nothing.
    pub(super) fn change(
        &mut self,
        store: &str,
        before: Option<u64>,
        after: Option<u64>,
    ) -> Result<(), Error> {
        let (old, new) = (before.unwrap_or(0), after.unwrap_or(0));
        let bytes = (self.bytes - old.min(self.bytes)).saturating_add(new);
        if new > old && bytes > self.allowed.bytes {
            return Err(Error::Quota { bytes, limit: self.allowed.bytes });
        }
        let keys = (self.keys - u64::from(before.is_some()).min(self.keys)) + u64::from(after.is_some());
        if keys > self.keys && keys > self.allowed.keys {
            return Err(Error::Keys { keys, limit: self.allowed.keys });
        }
        let known = self.stores.get(store).copied();
        if known.is_none() && after.is_none() {
            return Ok(());
        }
        if known.is_none() && self.stores.len() >= STORES_MAX {
            return Err(Error::Stores { limit: STORES_MAX });
        }
        if !self.changed.contains(store) {
            self.changed.insert(store.into());
        }
        let mut usage = known.unwrap_or_else(|| Usage { timed: self.ttls.has(store), ..Usage::default() });
        usage.bytes = (usage.bytes - old.min(usage.bytes)).saturating_add(new);
        usage.keys = (usage.keys - u64::from(before.is_some()).min(usage.keys)) + u64::from(after.is_some());
        match self.stores.get_mut(store) {
            Some(known) => *known = usage,
            None => drop(self.stores.insert(store.into(), usage)),
        }
        self.bytes = bytes;
        self.keys = keys;
        Ok(())
    }

    /// Hands out the rows of the stores that changed, and counts them as committed.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&str, Bytes)) {
        for store in std::mem::take(&mut self.changed) {
            each(&store, self.stores.get(&store).copied().unwrap_or_default().encode());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn usage_reads_back(keys: u64, bytes: u64, timed: bool) {
            let usage = Usage { keys, bytes, timed };
            prop_assert_eq!(Usage::decode(&usage.encode()), Some(usage));
        }

        #[test]
        fn short_and_long_usage_is_refused(row: Vec<u8>) {
            if row.len() != 17 || !(FORMAT..=FORMAT_TIMED).contains(&row[0]) { prop_assert_eq!(Usage::decode(&row), None); }
        }
    }

    #[test]
    fn rows_of_either_format_read_as_they_were_written() {
        let row = |format| [&[format][..], &[0, 0, 0, 0, 0, 0, 0, 3], &[0, 0, 0, 0, 0, 0, 1, 0]].concat();
        for (format, timed) in [(1, false), (2, true)] {
            let usage = Usage { keys: 3, bytes: 256, timed };
            assert_eq!(Usage::decode(&row(format)), Some(usage));
            assert_eq!(usage.encode(), row(format));
        }
        assert_eq!(Usage::decode(&row(3)), None);
    }

    #[test]
    fn a_store_with_keys_stays_of_its_kind() {
        let stores = BTreeMap::from([
            ("full".into(), Usage { keys: 1, bytes: 1, timed: false }),
            ("empty".into(), Usage::default()),
        ]);
        let mut quota = Quota::new(stores, Allowed { bytes: 100, keys: 100 });
        let ttls = |store: &str| Ttls(BTreeMap::from([(store.into(), 1_000)]));
        let refused = quota.set_timed(&ttls("full"));
        assert_eq!(refused, Err(Error::Kind { store: "full".into(), timed: false }));
        quota.set_timed(&ttls("empty")).unwrap();
        quota.change("empty", None, Some(1)).unwrap();
        assert!(quota.stores["empty"].timed);
        let refused = quota.set_timed(&Ttls::default());
        assert_eq!(refused, Err(Error::Kind { store: "empty".into(), timed: true }));
    }

    #[test]
    fn growth_beyond_the_quota_is_refused_and_shrinking_never_is() {
        let full = BTreeMap::from([("a".into(), Usage { keys: 2, bytes: 150, timed: false })]);
        let mut quota = Quota::new(full, Allowed { bytes: 100, keys: 100 });
        let refused = quota.change("a", Some(50), Some(60));
        assert!(matches!(refused, Err(Error::Quota { bytes: 160, limit: 100 })));
        quota.change("a", Some(50), Some(40)).unwrap();
        quota.change("a", Some(100), None).unwrap();
        assert_eq!(quota.stores["a"], Usage { keys: 1, bytes: 40, timed: false });
        quota.change("b", None, Some(60)).unwrap();
        assert!(quota.change("b", None, Some(1)).is_err());
    }

    #[test]
    fn one_key_too_many_is_refused_and_a_deleted_one_makes_room() {
        let mut quota = Quota::new(BTreeMap::new(), Allowed { bytes: 1_000, keys: 2 });
        quota.change("a", None, Some(1)).unwrap();
        quota.change("b", None, Some(1)).unwrap();
        assert_eq!(quota.change("a", None, Some(1)), Err(Error::Keys { keys: 3, limit: 2 }));
        quota.change("a", Some(1), Some(9)).unwrap();
        quota.change("b", Some(1), None).unwrap();
        quota.change("a", None, Some(1)).unwrap();
    }

    #[test]
    fn one_store_too_many_is_refused() {
        let mut quota = Quota::new(BTreeMap::new(), Allowed { bytes: 1_000, keys: 1_000 });
        for i in 0..STORES_MAX {
            quota.change(&i.to_string(), None, Some(1)).unwrap();
        }
        let refused = quota.change("more", None, Some(1));
        assert!(matches!(refused, Err(Error::Stores { limit: STORES_MAX })));
        quota.change("more", None, None).unwrap();
        assert!(!quota.knows("more"), "deleting from an unknown store makes none");
    }
}
