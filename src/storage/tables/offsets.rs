//! How far groups have read. Row: the caller's bytes, under group, topic name and partition.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind, OffsetKey};
use crate::model::Partition;

/// Stores a group's offset of a partition.
pub fn put(commit: &mut Commit, group: &str, topic: &str, partition: Partition, row: impl Into<Bytes>) {
    let key = keys::group_offset(&OffsetKey { group, topic, partition });
    commit.put(Family::Groups, key, row.into());
}

/// Forgets a group's offset of a partition.
pub fn delete(commit: &mut Commit, group: &str, topic: &str, partition: Partition) {
    commit.delete(Family::Groups, keys::group_offset(&OffsetKey { group, topic, partition }));
}

/// Forgets all offsets of a group; those put later in this commit stay.
pub fn delete_group(commit: &mut Commit, group: &str) {
    let (start, end) = keys::group_offsets(group);
    commit.delete_range(Family::Groups, start, end);
}

/// Visits group, topic name, partition and row of all offsets; those of a group together. Blocking.
pub fn each(storage: &Storage, mut visit: impl FnMut(&str, &str, Partition, &[u8])) -> Result<(), ReadError> {
    storage.db().scan(Family::Groups, keys::all(Kind::GroupOffset), |key, row| {
        if let Some(OffsetKey { group, topic, partition }) = keys::parse_group_offset(key) {
            visit(group, topic, partition, row);
        }
        ControlFlow::Continue(())
    })
}
