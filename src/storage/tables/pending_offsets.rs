//! Offsets that a transaction gives a group when it commits. Row: the caller's bytes, under producer id, group, topic name
//! and partition.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind, OffsetKey};
use crate::model::Partition;

/// Stores an offset that is not in force yet.
pub fn put(
    commit: &mut Commit,
    producer_id: i64,
    group: &str,
    topic: &str,
    partition: Partition,
    row: impl Into<Bytes>,
) {
    let key = keys::pending_offset(producer_id, &OffsetKey { group, topic, partition });
    commit.put(Family::Groups, key, row.into());
}

/// Forgets one.
pub fn delete(commit: &mut Commit, producer_id: i64, group: &str, topic: &str, partition: Partition) {
    let key = keys::pending_offset(producer_id, &OffsetKey { group, topic, partition });
    commit.delete(Family::Groups, key);
}

/// Forgets all of a producer, or those for one group; those put later in this commit stay.
pub fn delete_range(commit: &mut Commit, producer_id: i64, group: Option<&str>) {
    let (start, end) = keys::pending_offsets(producer_id, group);
    commit.delete_range(Family::Groups, start, end);
}

/// Visits producer id, group, topic name, partition and row of all pending offsets; those of a producer together, and
/// among them those of a group. Blocking.
pub fn each(
    storage: &Storage,
    mut visit: impl FnMut(i64, &str, &str, Partition, &[u8]),
) -> Result<(), ReadError> {
    storage.db().scan(Family::Groups, keys::all(Kind::PendingOffset), |key, row| {
        if let Some((producer_id, OffsetKey { group, topic, partition })) = keys::parse_pending_offset(key) {
            visit(producer_id, group, topic, partition, row);
        }
        ControlFlow::Continue(())
    })
}
