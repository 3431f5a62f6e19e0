//! Input positions of tasks: the next offset to read of every input partition. They lie beside the state and change in
//! the same commit, which is what makes processing exactly once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{TaskId, keys};
use crate::model::{Offset, Partition, TopicId};
use crate::storage::keys::Kind;
use crate::storage::{Commit, KeyRange, ReadError, Storage};

/// The next offset to read, by input partition.
pub type Positions = BTreeMap<(TopicId, Partition), Offset>;

/// Stores a position with the commit that has used all records before it.
pub fn put(commit: &mut Commit, id: TaskId, topic: TopicId, partition: Partition, next: Offset) {
    commit.put_state(keys::position(id, topic, partition), Bytes::copy_from_slice(&next.to_be_bytes()));
}

/// The committed positions of a task; input partitions that it never committed are not among them. Blocking.
pub fn load(storage: &Storage, id: TaskId) -> Result<Positions, ReadError> {
    let reader = storage.state();
    read(id, |range, visit| reader.scan(range, visit))
}

/// Reads positions with `scan`.
pub(super) fn read(
    id: TaskId,
    scan: impl FnOnce(&KeyRange, &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<(), ReadError>,
) -> Result<Positions, ReadError> {
    let (start, end) = keys::of_kind(id, Kind::StatePosition);
    let mut positions = BTreeMap::new();
    let mut damaged = false;
    scan(&KeyRange { start, end, reverse: false }, &mut |key, row| {
        match (keys::parse_position(key), row.try_into()) {
            (Some(partition), Ok(next)) => drop(positions.insert(partition, Offset::from_be_bytes(next))),
            _ => damaged = true,
        }
        if damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if damaged {
        return Err(ReadError::Damaged(format!("row with a position of {id:?}")));
    }
    Ok(positions)
}
