//! Every key on disk: one enum of kinds, and the codec of each with its layout. Integers are big endian, so that keys
//! sort by number. Decoding returns `None` for bytes that are no such key; nothing here panics on input.
//!
//! ```text
//! topic families   slot u32 | partition u32 | last offset u64                      → record batch, base offset patched in
//! meta, producers, modules
//!                  kind u8 | what the kind says below                              → row, see `tables`
//! state            deployment u32 | generation u32 | task u32 | kind u8 | ...      → see `state::keys`
//! ```
//!
//! The last offset in the key makes "the batch that holds offset X" one forward seek, also over gaps. The slot is the
//! number of a topic, so that several small topics can share one family.

use crate::model::module::{Digest, Version};
use crate::model::{ModuleName, Offset, Partition, TopicId};

/// What a row is. The numbers are on disk: they are never changed and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `1 | topic id 16`
    Topic = 1,
    /// `2 | topic id 16 | partition u32`
    Log = 2,
    /// `3 | topic id 16 | partition u32 | base offset u64`
    Segment = 3,
    /// `4 | deployment u32`
    Deployment = 4,
    /// `5 | module name | 0 | version as text`
    Module = 5,
    /// `6 | counter u8`
    Counter = 6,
    /// `7 | digest 32 | index u32`
    ModulePiece = 7,
    /// `8 | idempotency key`
    Idempotency = 8,
    /// in the state family: an entry of a store
    StateEntry = 9,
    /// in the state family: the next offset of an input partition
    StatePosition = 10,
    /// in the state family: keys and bytes of a store
    StateStats = 11,
}

/// Bytes of a batch key.
pub(super) const BATCH_KEY_LEN: usize = 16;

/// The key of the batch whose last record has `last` as its offset; as a seek target, the first batch at or after it.
pub(super) fn batch(slot: u32, partition: Partition, last: Offset) -> [u8; BATCH_KEY_LEN] {
    let mut key = [0; BATCH_KEY_LEN];
    key[..4].copy_from_slice(&slot.to_be_bytes());
    key[4..8].copy_from_slice(&partition.to_be_bytes());
    key[8..].copy_from_slice(&last.to_be_bytes());
    key
}

fn with_kind(kind: Kind, rest: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest);
    key.push(kind as u8);
    key
}

/// All keys of a kind: `start..end`.
pub(super) fn all(kind: Kind) -> (Vec<u8>, Vec<u8>) {
    (vec![kind as u8], vec![kind as u8 + 1])
}

pub(super) fn topic(id: TopicId) -> Vec<u8> {
    let mut key = with_kind(Kind::Topic, 16);
    key.extend_from_slice(id.0.as_bytes());
    key
}

pub(super) fn log(id: TopicId, partition: Partition) -> Vec<u8> {
    let mut key = with_kind(Kind::Log, 20);
    key.extend_from_slice(id.0.as_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub(super) fn parse_log(key: &[u8]) -> Option<(TopicId, Partition)> {
    let rest = key.strip_prefix(&[Kind::Log as u8])?;
    let (id, partition) = rest.split_first_chunk::<16>()?;
    Some((topic_id(id), u32::from_be_bytes(partition.try_into().ok()?)))
}

pub(super) fn segment(id: TopicId, partition: Partition, base: Offset) -> Vec<u8> {
    let mut key = with_kind(Kind::Segment, 28);
    key.extend_from_slice(id.0.as_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&base.to_be_bytes());
    key
}

pub(super) fn parse_segment(key: &[u8]) -> Option<(TopicId, Partition, Offset)> {
    let rest = key.strip_prefix(&[Kind::Segment as u8])?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (partition, base) = rest.split_first_chunk::<4>()?;
    Some((topic_id(id), u32::from_be_bytes(*partition), u64::from_be_bytes(base.try_into().ok()?)))
}

fn topic_id(bytes: &[u8; 16]) -> TopicId {
    TopicId(uuid::Uuid::from_bytes(*bytes))
}

/// The keys of one topic among those of `kind` (`Log` or `Segment`): `start..end`.
pub(super) fn of_topic(kind: Kind, id: TopicId) -> (Vec<u8>, Vec<u8>) {
    let mut start = with_kind(kind, 16);
    start.extend_from_slice(id.0.as_bytes());
    let end = prefix_end(&start);
    (start, end)
}

pub(super) fn deployment(id: u32) -> Vec<u8> {
    let mut key = with_kind(Kind::Deployment, 4);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

pub(super) fn module(name: &ModuleName, version: &Version) -> Vec<u8> {
    let version = version.to_string();
    let mut key = with_kind(Kind::Module, name.as_str().len() + 1 + version.len());
    key.extend_from_slice(name.as_str().as_bytes());
    // No name holds a NUL, so no module's keys lie among another's.
    key.push(0);
    key.extend_from_slice(version.as_bytes());
    key
}

pub(super) fn counter(id: u8) -> Vec<u8> {
    vec![Kind::Counter as u8, id]
}

pub(super) fn module_piece(digest: &Digest, index: u32) -> Vec<u8> {
    let mut key = with_kind(Kind::ModulePiece, 36);
    key.extend_from_slice(&digest.0);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn parse_module_piece(key: &[u8]) -> Option<(Digest, u32)> {
    let rest = key.strip_prefix(&[Kind::ModulePiece as u8])?;
    let (digest, index) = rest.split_first_chunk::<32>()?;
    Some((Digest(*digest), u32::from_be_bytes(index.try_into().ok()?)))
}

/// All pieces of a module: `start..end`.
pub(super) fn module_pieces(digest: &Digest) -> (Vec<u8>, Vec<u8>) {
    let mut start = with_kind(Kind::ModulePiece, 32);
    start.extend_from_slice(&digest.0);
    let end = prefix_end(&start);
    (start, end)
}

pub(super) fn idempotency(mut key: Vec<u8>) -> Vec<u8> {
    key.insert(0, Kind::Idempotency as u8);
    key
}

pub(super) fn parse_idempotency(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[Kind::Idempotency as u8])
}

/// The least key greater than every key that begins with `prefix`. A prefix of nothing but 0xff has no such key; what
/// is returned then is greater than every key of the lengths in use.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0xff; prefix.len() + 64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn batch_keys_sort_by_slot_partition_and_offset(a: (u32, u32, u64), b: (u32, u32, u64)) {
            prop_assert_eq!(batch(a.0, a.1, a.2).cmp(&batch(b.0, b.1, b.2)), a.cmp(&b));
        }

        #[test]
        fn log_and_segment_keys_read_back(id: u128, partition: u32, base: u64) {
            let id = TopicId(Uuid::from_u128(id));
            prop_assert_eq!(parse_log(&log(id, partition)), Some((id, partition)));
            prop_assert_eq!(parse_segment(&segment(id, partition, base)), Some((id, partition, base)));
            for (kind, key) in [(Kind::Log, log(id, partition)), (Kind::Segment, segment(id, partition, base))] {
                let (start, end) = of_topic(kind, id);
                prop_assert!(start <= key && key < end);
                let (start, end) = all(kind);
                prop_assert!(start <= key && key < end);
            }
        }

        #[test]
        fn module_pieces_read_back_and_lie_in_their_range(digest: [u8; 32], index: u32) {
            let digest = Digest(digest);
            let key = module_piece(&digest, index);
            prop_assert_eq!(parse_module_piece(&key), Some((digest, index)));
            let (start, end) = module_pieces(&digest);
            prop_assert!(start <= key && key < end);
        }

        #[test]
        fn idempotency_keys_read_back(key: Vec<u8>) {
            let row = idempotency(key.clone());
            prop_assert_eq!(parse_idempotency(&row), Some(&key[..]));
        }

        #[test]
        fn a_prefix_end_lies_above_all_keys_with_the_prefix(prefix: Vec<u8>, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let key = [&prefix[..], &rest].concat();
            prop_assert!(key < prefix_end(&prefix));
        }

        #[test]
        fn short_long_and_foreign_keys_are_refused(key: Vec<u8>) {
            if key.len() != 21 || key[0] != Kind::Log as u8 { prop_assert_eq!(parse_log(&key), None); }
            if key.len() != 29 || key[0] != Kind::Segment as u8 { prop_assert_eq!(parse_segment(&key), None); }
            if key.len() != 37 || key[0] != Kind::ModulePiece as u8 { prop_assert_eq!(parse_module_piece(&key), None); }
        }
    }

    #[test]
    fn the_prefix_of_the_highest_numbers_still_has_an_end() {
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), [2]);
        assert!(prefix_end(&[0xff; 4]) > vec![0xff; 20]);
    }

    #[test]
    fn a_modules_versions_do_not_lie_among_anothers() {
        let key = |n, v| module(&ModuleName::parse(n).unwrap(), &Version::parse(v).unwrap());
        assert!(key("a", "9.0.0") < key("a-b", "1.0.0"));
    }
}
