//! Every key on disk: one enum of kinds, and the codec of each with its layout. Integers are big endian, so that keys
//! sort by number. Decoding returns `None` for bytes that are no such key; nothing here panics on input.
//!
//! ```text
//! topic families   slot u32 | partition u32 | last offset u64                      → record batch, base offset patched in
//! meta, groups, producers, modules
//!                  kind u8 | what the kind says below                              → row, see `tables`
//! state            deployment u32 | generation u32 | task u32 | kind u8 | ...      → see `state::keys`
//! ```
//!
//! The last offset in the key makes "the batch that holds offset X" one forward seek, also over gaps. The slot is the
//! number of a topic, so that several small topics can share one family. A text that is not the last part of a key has its
//! length in front, so that nobody's keys lie among another's.

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
    /// `12 | topic id 16 | partition u32 | producer id i64`
    Producer = 12,
    /// `13 | transactional id`
    Transaction = 13,
    /// `14 | group id`
    Group = 14,
    /// `15 | group id length u32 | group id | topic name | partition u32`
    GroupOffset = 15,
    /// `16 | producer id i64 | group id length u32 | group id | topic name | partition u32`
    PendingOffset = 16,
    /// `17 | topic id 16 | partition u32 | producer id i64`
    OpenTransaction = 17,
    /// `18 | topic id 16 | partition u32 | offset of the marker u64`
    AbortedTransaction = 18,
    /// `19 | topic id 16 | partition u32`
    Cleaned = 19,
    /// `20 | scope u8 | group name`
    RuntimeConfig = 20,
    /// `21 | deployment u32 | revision u64`
    Revision = 21,
    /// in the state family: how far a task's migration is
    StateMigration = 22,
    /// in the state family: the cursor of a source
    StateCursor = 23,
    /// in the state family: a timer, by its name
    StateTimer = 24,
    /// in the state family: a timer, by its time
    StateTimerDue = 25,
    /// in the state family: how many timers a task has
    StateTimers = 26,
    /// in the state family: the watermark of a task and what it is made of
    StateWatermark = 27,
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

/// The key of a kind that has one row for each log (`Log`, `Cleaned`).
pub(super) fn of_log(kind: Kind, id: TopicId, partition: Partition) -> Vec<u8> {
    let mut key = with_kind(kind, 28);
    key.extend_from_slice(id.0.as_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub(super) fn parse_of_log(kind: Kind, key: &[u8]) -> Option<(TopicId, Partition)> {
    let rest = key.strip_prefix(&[kind as u8])?;
    let (id, partition) = rest.split_first_chunk::<16>()?;
    Some((topic_id(id), u32::from_be_bytes(partition.try_into().ok()?)))
}

/// The key of a kind that has rows by number for each log: `Segment`, `AbortedTransaction` by offset, `Producer`,
/// `OpenTransaction` by producer id, whose bits are taken as they are.
pub(super) fn in_log(kind: Kind, id: TopicId, partition: Partition, number: u64) -> Vec<u8> {
    let mut key = of_log(kind, id, partition);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn parse_in_log(kind: Kind, key: &[u8]) -> Option<(TopicId, Partition, u64)> {
    let rest = key.strip_prefix(&[kind as u8])?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (partition, number) = rest.split_first_chunk::<4>()?;
    Some((topic_id(id), u32::from_be_bytes(*partition), u64::from_be_bytes(number.try_into().ok()?)))
}

/// All keys of one log among those of a kind with rows by number: `start..end`.
pub(super) fn all_in_log(kind: Kind, id: TopicId, partition: Partition) -> (Vec<u8>, Vec<u8>) {
    let start = of_log(kind, id, partition);
    let end = prefix_end(&start);
    (start, end)
}

fn topic_id(bytes: &[u8; 16]) -> TopicId {
    TopicId(uuid::Uuid::from_bytes(*bytes))
}

/// The keys of one topic among those of a kind that begins with the topic's id: `start..end`.
pub(super) fn of_topic(kind: Kind, id: TopicId) -> (Vec<u8>, Vec<u8>) {
    let mut start = with_kind(kind, 16);
    start.extend_from_slice(id.0.as_bytes());
    let end = prefix_end(&start);
    (start, end)
}

/// The key of a kind that is followed by one text: `Transaction`, `Group`.
pub(super) fn text(kind: Kind, text: &str) -> Vec<u8> {
    let mut key = with_kind(kind, text.len());
    key.extend_from_slice(text.as_bytes());
    key
}

pub(super) fn parse_text(kind: Kind, key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(&[kind as u8])?).ok()
}

/// A partition of a topic for which a group has an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetKey<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
}

impl<'a> OffsetKey<'a> {
    fn put(&self, key: &mut Vec<u8>) {
        put_group(key, self.group);
        key.extend_from_slice(self.topic.as_bytes());
        key.extend_from_slice(&self.partition.to_be_bytes());
    }

    fn parse(rest: &'a [u8]) -> Option<Self> {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (group, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (topic, partition) = rest.split_last_chunk::<4>()?;
        Some(Self {
            group: std::str::from_utf8(group).ok()?,
            topic: std::str::from_utf8(topic).ok()?,
            partition: u32::from_be_bytes(*partition),
        })
    }
}

/// The door takes no text longer than 32 KiB, so the length always fits.
fn put_group(key: &mut Vec<u8>, group: &str) {
    key.extend_from_slice(&(group.len() as u32).to_be_bytes());
    key.extend_from_slice(group.as_bytes());
}

pub(super) fn group_offset(offset: &OffsetKey<'_>) -> Vec<u8> {
    let mut key = with_kind(Kind::GroupOffset, 8 + offset.group.len() + offset.topic.len());
    offset.put(&mut key);
    key
}

pub(super) fn parse_group_offset(key: &[u8]) -> Option<OffsetKey<'_>> {
    OffsetKey::parse(key.strip_prefix(&[Kind::GroupOffset as u8])?)
}

/// All offsets of a group: `start..end`.
pub(super) fn group_offsets(group: &str) -> (Vec<u8>, Vec<u8>) {
    let mut start = with_kind(Kind::GroupOffset, 4 + group.len());
    put_group(&mut start, group);
    let end = prefix_end(&start);
    (start, end)
}

fn pending(producer_id: i64, rest: usize) -> Vec<u8> {
    let mut key = with_kind(Kind::PendingOffset, 8 + rest);
    key.extend_from_slice(&producer_id.to_be_bytes());
    key
}

pub(super) fn pending_offset(producer_id: i64, offset: &OffsetKey<'_>) -> Vec<u8> {
    let mut key = pending(producer_id, 8 + offset.group.len() + offset.topic.len());
    offset.put(&mut key);
    key
}

pub(super) fn parse_pending_offset(key: &[u8]) -> Option<(i64, OffsetKey<'_>)> {
    let rest = key.strip_prefix(&[Kind::PendingOffset as u8])?;
    let (producer_id, rest) = rest.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*producer_id), OffsetKey::parse(rest)?))
}

/// All pending offsets of a producer, or those for one group: `start..end`.
pub(super) fn pending_offsets(producer_id: i64, group: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let mut start = pending(producer_id, 4 + group.map_or(0, str::len));
    if let Some(group) = group {
        put_group(&mut start, group);
    }
    let end = prefix_end(&start);
    (start, end)
}

pub(super) fn deployment(id: u32) -> Vec<u8> {
    let mut key = with_kind(Kind::Deployment, 4);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

pub(super) fn revision(deployment: u32, revision: u64) -> Vec<u8> {
    let mut key = with_kind(Kind::Revision, 12);
    key.extend_from_slice(&deployment.to_be_bytes());
    key.extend_from_slice(&revision.to_be_bytes());
    key
}

/// All revisions of a deployment: `start..end`.
pub(super) fn revisions(deployment: u32) -> (Vec<u8>, Vec<u8>) {
    let mut start = with_kind(Kind::Revision, 4);
    start.extend_from_slice(&deployment.to_be_bytes());
    let end = prefix_end(&start);
    (start, end)
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

pub(super) fn runtime_config(scope: u8, group: &str) -> Vec<u8> {
    let mut key = with_kind(Kind::RuntimeConfig, 1 + group.len());
    key.push(scope);
    key.extend_from_slice(group.as_bytes());
    key
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

    const IN_LOGS: [Kind; 4] =
        [Kind::Segment, Kind::Producer, Kind::OpenTransaction, Kind::AbortedTransaction];

    proptest! {
        #[test]
        fn cut_offset_keys_are_refused_or_name_something_else(group: String, cut in 0..4usize) {
            let offset = OffsetKey { group: &group, topic: "", partition: 7 };
            let key = group_offset(&offset);
            let parsed = parse_group_offset(&key[..key.len() - 1 - cut]);
            prop_assert_eq!(parsed, None);
        }

        #[test]
        fn batch_keys_sort_by_slot_partition_and_offset(a: (u32, u32, u64), b: (u32, u32, u64)) {
            prop_assert_eq!(batch(a.0, a.1, a.2).cmp(&batch(b.0, b.1, b.2)), a.cmp(&b));
        }

        #[test]
        fn keys_of_logs_read_back_and_lie_in_their_ranges(id: u128, partition: u32, number: u64) {
            let id = TopicId(Uuid::from_u128(id));
            for kind in [Kind::Log, Kind::Cleaned] {
                let key = of_log(kind, id, partition);
                prop_assert_eq!(parse_of_log(kind, &key), Some((id, partition)));
                for (start, end) in [of_topic(kind, id), all(kind)] {
                    prop_assert!(start <= key && key < end);
                }
            }
            for kind in IN_LOGS {
                let key = in_log(kind, id, partition, number);
                prop_assert_eq!(parse_in_log(kind, &key), Some((id, partition, number)));
                for (start, end) in [all_in_log(kind, id, partition), of_topic(kind, id), all(kind)] {
                    prop_assert!(start <= key && key < end);
                }
            }
        }

        #[test]
        fn texts_read_back(text_in: String) {
            for kind in [Kind::Transaction, Kind::Group] {
                let key = text(kind, &text_in);
                prop_assert_eq!(parse_text(kind, &key), Some(&text_in[..]));
                let (start, end) = all(kind);
                prop_assert!(start <= key && key < end);
            }
        }

        #[test]
        fn offset_keys_read_back_and_lie_in_their_groups_range(
            producer_id: i64, group: String, topic: String, partition: u32, other: String,
        ) {
            let offset = OffsetKey { group: &group, topic: &topic, partition };
            let key = group_offset(&offset);
            prop_assert_eq!(parse_group_offset(&key), Some(offset));
            for (start, end) in [group_offsets(&group), all(Kind::GroupOffset)] {
                prop_assert!(start <= key && key < end);
            }
            let (start, end) = group_offsets(&other);
            prop_assert_eq!(start <= key && key < end, other == group);

            let key = pending_offset(producer_id, &offset);
            prop_assert_eq!(parse_pending_offset(&key), Some((producer_id, offset)));
            let ranges =
                [pending_offsets(producer_id, None), pending_offsets(producer_id, Some(&group)), all(Kind::PendingOffset)];
            for (start, end) in ranges {
                prop_assert!(start <= key && key < end);
            }
            let (start, end) = pending_offsets(producer_id, Some(&other));
            prop_assert_eq!(start <= key && key < end, other == group);
            let (start, end) = pending_offsets(producer_id ^ 1, None);
            prop_assert!(key < start || end <= key);
        }

        #[test]
        fn revisions_sort_by_number_and_lie_in_their_deployments_range(a: (u32, u64), b: (u32, u64)) {
            prop_assert_eq!(revision(a.0, a.1).cmp(&revision(b.0, b.1)), a.cmp(&b));
            let (start, end) = revisions(b.0);
            let key = revision(a.0, a.1);
            prop_assert_eq!(start <= key && key < end, a.0 == b.0);
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
            if key.len() != 21 || key[0] != Kind::Log as u8 { prop_assert_eq!(parse_of_log(Kind::Log, &key), None); }
            for kind in IN_LOGS {
                if key.len() != 29 || key[0] != kind as u8 { prop_assert_eq!(parse_in_log(kind, &key), None); }
            }
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
