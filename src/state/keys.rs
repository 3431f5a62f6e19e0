//! The keys of task state in the state family, with their layout. Everything of a deployment, of one of its
//! generations, and of one task lies together, so that each can be cleared with one range deletion.
//!
//! ```text
//! deployment u32 | generation u32 | task u32 | kind u8 | ...         all big endian
//!   StateEntry     store length u8 | store | key                     → value, as the code put it; with a ttl, see `ttl`
//!   StatePosition  topic id 16 | partition u32                       → next offset u64
//!   StateCursor                                                      → format u8 = 1 | the cursor, as the code gave it
//!   StateStats     store                                             → format u8 = 1, or 2 with a ttl | keys u64 | bytes u64
//!   StateTimer     clock u8 | name                                   → format u8 = 1 | at i64, see `timers`
//!   StateTimerDue  clock u8 | at, its sign bit turned | name         → format u8 = 1
//!   StateTimers                                                      → format u8 = 1 | timers u64
//!   StateWatermark                                                   → see `watermarks`
//!   StateMigration                                                   → how far it is, see `migration`
//! ```

use uuid::Uuid;

use super::TaskId;
use crate::model::{Partition, TopicId};
use crate::storage::keys::{Kind, prefix_end};

/// Bytes of deployment, generation, task and kind.
const PREFIX_LEN: usize = 13;

fn prefix(id: TaskId, kind: Kind, rest: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX_LEN + rest);
    key.extend_from_slice(&id.deployment.to_be_bytes());
    key.extend_from_slice(&id.generation.to_be_bytes());
    key.extend_from_slice(&id.task.to_be_bytes());
    key.push(kind as u8);
    key
}

/// What the rows of timers are called where those of stores have a store's name; no store can have these.
pub(super) const TIMERS: &str = "/timers";
pub(super) const DUE: &str = "/due";

/// What all keys of a store begin with. The name has at most 64 characters.
pub(super) fn store(id: TaskId, store: &str) -> Vec<u8> {
    match store {
        TIMERS => return prefix(id, Kind::StateTimer, 0),
        DUE => return prefix(id, Kind::StateTimerDue, 0),
        _ => {}
    }
    let mut key = prefix(id, Kind::StateEntry, 1 + store.len());
    key.push(store.len() as u8);
    key.extend_from_slice(store.as_bytes());
    key
}

pub(super) fn entry(id: TaskId, store_name: &str, key: &[u8]) -> Vec<u8> {
    let mut out = store(id, store_name);
    out.extend_from_slice(key);
    out
}

/// Store and key of an entry; `None`: it is another row.
pub(super) fn parse_entry(row: &[u8]) -> Option<(&str, &[u8])> {
    let (kind, rest) = row.get(PREFIX_LEN - 1..)?.split_first()?;
    let (len, rest) = rest.split_first().filter(|_| *kind == Kind::StateEntry as u8)?;
    let (store, key) = rest.split_at_checked((*len).into())?;
    Some((std::str::from_utf8(store).ok()?, key))
}

pub(super) fn position(id: TaskId, topic: TopicId, partition: Partition) -> Vec<u8> {
    let mut key = prefix(id, Kind::StatePosition, 20);
    key.extend_from_slice(topic.0.as_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub(super) fn parse_position(key: &[u8]) -> Option<(TopicId, Partition)> {
    let (topic, partition) = key.get(PREFIX_LEN..)?.split_first_chunk::<16>()?;
    Some((TopicId(Uuid::from_bytes(*topic)), u32::from_be_bytes(partition.try_into().ok()?)))
}

/// The number of a task's timers.
pub(super) fn timers(id: TaskId) -> Vec<u8> {
    prefix(id, Kind::StateTimers, 0)
}

/// The watermark of a task.
pub(super) fn watermark(id: TaskId) -> Vec<u8> {
    prefix(id, Kind::StateWatermark, 0)
}

/// The one cursor of a source's task.
pub(super) fn cursor(id: TaskId) -> Vec<u8> {
    prefix(id, Kind::StateCursor, 0)
}

pub(super) fn stats(id: TaskId, store: &str) -> Vec<u8> {
    let mut key = prefix(id, Kind::StateStats, store.len());
    key.extend_from_slice(store.as_bytes());
    key
}

pub(super) fn migration(id: TaskId) -> Vec<u8> {
    prefix(id, Kind::StateMigration, 0)
}

pub(super) fn parse_stats(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(PREFIX_LEN..)?).ok()
}

/// All keys of a kind of one task: `start..end`.
pub(super) fn of_kind(id: TaskId, kind: Kind) -> (Vec<u8>, Vec<u8>) {
    ended(prefix(id, kind, 0))
}

/// All keys of one generation of a deployment.
pub(super) fn of_generation(deployment: u32, generation: u32) -> (Vec<u8>, Vec<u8>) {
    ended([deployment.to_be_bytes(), generation.to_be_bytes()].concat())
}

/// All keys of a deployment.
pub(super) fn of_deployment(deployment: u32) -> (Vec<u8>, Vec<u8>) {
    ended(deployment.to_be_bytes().to_vec())
}

fn ended(start: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let end = prefix_end(&start);
    (start, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id((deployment, generation, task): (u32, u32, u32)) -> TaskId {
        TaskId { deployment, generation, task }
    }

    proptest! {
        #[test]
        fn positions_and_stats_read_back(task: (u32, u32, u32), topic: u128, partition: u32, store in "[a-z.]{1,64}") {
            let (id, topic) = (id(task), TopicId(Uuid::from_u128(topic)));
            prop_assert_eq!(parse_position(&position(id, topic, partition)), Some((topic, partition)));
            let row = stats(id, &store);
            prop_assert_eq!(parse_stats(&row), Some(&store[..]));
            prop_assert_eq!(parse_entry(&row), None);
            let row = entry(id, &store, &partition.to_be_bytes());
            prop_assert_eq!(parse_entry(&row), Some((&store[..], &partition.to_be_bytes()[..])));
        }

        #[test]
        fn keys_lie_in_the_ranges_of_their_owners_and_no_others(
            task: (u32, u32, u32), other: (u32, u32, u32), key: Vec<u8>, store_name in "[a-z]{1,64}",
        ) {
            let (own, other) = (id(task), id(other));
            let row = entry(own, &store_name, &key);
            let (start, end) = of_generation(own.deployment, own.generation);
            let of_source = cursor(own);
            prop_assert!(start <= of_source && of_source < end, "a cleared generation takes the cursor along");
            let within = |(start, end): (Vec<u8>, Vec<u8>)| start <= row && row < end;
            prop_assert!(within(of_kind(own, Kind::StateEntry)) && !within(of_kind(own, Kind::StateStats)));
            let same_generation = own.deployment == other.deployment && own.generation == other.generation;
            prop_assert_eq!(within(of_generation(other.deployment, other.generation)), same_generation);
            prop_assert_eq!(within(of_deployment(other.deployment)), own.deployment == other.deployment);
        }

        #[test]
        fn entries_of_a_store_sort_by_key_and_stay_apart_from_other_stores(
            a: Vec<u8>, b: Vec<u8>, one in "[a-b]{1,3}", two in "[a-b]{1,3}",
        ) {
            let task = id((1, 2, 3));
            prop_assert_eq!(entry(task, &one, &a).cmp(&entry(task, &one, &b)), a.cmp(&b));
            let (start, end) = ended(store(task, &one));
            let row = entry(task, &two, &a);
            prop_assert_eq!(start <= row && row < end, one == two);
        }

        #[test]
        fn short_and_long_positions_are_refused(key: Vec<u8>) {
            if key.len() != PREFIX_LEN + 20 { prop_assert_eq!(parse_position(&key), None); }
        }
    }
}
