//! Stores whose entries expire: `state.stores[].ttl`. An entry is gone so long after its last write, by the server's clock,
//! whatever happens: the code, queries and scans see it no more, and a sweep removes it some time later.
//!
//! The clock is the server's because entries have to go also when no record comes; what is replayed by a rewind is written
//! anew, and lives as long as what was written then. The code sees one time for all of a call, which never goes back.
//!
//! ```text
//! value of an entry in such a store:  format u8 = 1 | last write u64 (milliseconds since the epoch, big endian) | value
//! ```
//!
//! A store is of one kind or the other as long as it holds keys; the row with its size says which.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::model::TimestampMs;

const FORMAT: u8 = 1;
/// Bytes before the value.
pub(super) const HEAD_LEN: usize = 9;

/// How long the entries of stores live, in milliseconds; other stores keep theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ttls(pub BTreeMap<Box<str>, u64>);

/// The times that a task's code sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) ttls: Ttls,
    now_ms: TimestampMs,
}

/// How a reader outside the task sees a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// of the store
    pub ttl_ms: u64,
    /// of the read
    pub now_ms: TimestampMs,
}

// === impl Ttls ===

impl Ttls {
    /// Of a deployment's stores.
    pub fn of(spec: &crate::model::deployment::StateSpec) -> Self {
        let ttl = |store: &crate::model::deployment::StoreSpec| {
            let ms = u64::try_from(store.ttl?.as_millis()).unwrap_or(u64::MAX);
            Some((store.name.as_str().into(), ms))
        };
        Self(spec.stores.iter().filter_map(ttl).collect())
    }

    /// How a reader sees a store at this time.
    pub fn at(&self, store: &str, now_ms: TimestampMs) -> Option<Expiry> {
        self.0.get(store).map(|ttl_ms| Expiry { ttl_ms: *ttl_ms, now_ms })
    }

    /// Do its entries expire?
    pub fn has(&self, store: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(store)
    }
}

// === impl Times ===

impl Times {
    /// Time goes on.
    pub(super) fn move_to(&mut self, now_ms: TimestampMs) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// What time it is.
    pub(super) fn now(&self) -> TimestampMs {
        self.now_ms
    }

    /// What is put, as it is stored.
    pub(super) fn stored(&self, store: &str, value: Bytes) -> Bytes {
        if !self.ttls.has(store) {
            return value;
        }
        let mut stored = BytesMut::with_capacity(HEAD_LEN + value.len());
        stored.put_u8(FORMAT);
        stored.put_u64(self.now_ms.max(0) as u64);
        stored.extend_from_slice(&value);
        stored.freeze()
    }

    /// Bytes of a stored value that are the code's.
    pub(super) fn len(&self, store: &str, stored: &Bytes) -> usize {
        if self.ttls.has(store) { stored.len().saturating_sub(HEAD_LEN) } else { stored.len() }
    }

    /// What the code sees of a stored value.
    pub(super) fn seen<'v>(&self, store: &str, stored: &'v [u8]) -> Option<&'v [u8]> {
        if self.ttls.0.is_empty() {
            return Some(stored);
        }
        seen(self.ttls.at(store, self.now_ms), stored)
    }

    /// The same, without a copy.
    pub(super) fn seen_bytes(&self, store: &str, stored: &Bytes) -> Option<Bytes> {
        let seen = self.seen(store, stored)?;
        Some(stored.slice_ref(seen))
    }
}

/// What a reader sees of a stored value; nothing once it has expired.
pub(super) fn seen(expiry: Option<Expiry>, stored: &[u8]) -> Option<&[u8]> {
    let Some(Expiry { ttl_ms, now_ms }) = expiry else { return Some(stored) };
    let (head, value) = stored.split_at_checked(HEAD_LEN)?;
    let written = head.strip_prefix(&[FORMAT])?.try_into().map(u64::from_be_bytes).ok()?;
    (written.saturating_add(ttl_ms) > now_ms.max(0) as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(now_ms: TimestampMs) -> Times {
        let mut times = Times { ttls: Ttls(BTreeMap::from([("s".into(), 100)])), now_ms: 0 };
        times.move_to(now_ms);
        times
    }

    #[test]
    fn an_entry_is_seen_until_its_time_is_over_and_time_does_not_go_back() {
        let mut times = times(1_000);
        let stored = times.stored("s", "v".into());
        // As it lies on disk: a change of these bytes needs a format of its own.
        assert_eq!(&stored[..], [&[1, 0, 0, 0, 0, 0, 0, 3, 0xe8][..], b"v"].concat());
        assert_eq!((times.len("s", &stored), times.len("other", &stored)), (1, 10));
        times.move_to(1_099);
        assert_eq!(times.seen("s", &stored), Some(&b"v"[..]));
        assert_eq!(times.seen_bytes("s", &stored), Some("v".into()));
        times.move_to(1_100);
        assert_eq!(times.seen("s", &stored), None);
        times.move_to(0);
        assert_eq!(times.seen("s", &stored), None);
        assert_eq!(times.stored("other", "v".into()), "v");
        assert_eq!(times.seen("other", b"v"), Some(&b"v"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_hidden(stored: Vec<u8>, now_ms: i64, ttl_ms: u64) {
            let found = seen(Some(Expiry { ttl_ms, now_ms }), &stored);
            if stored.len() < HEAD_LEN || stored[0] != FORMAT { prop_assert_eq!(found, None); }
            prop_assert_eq!(seen(None, &stored), Some(&stored[..]));
        }
    }
}
