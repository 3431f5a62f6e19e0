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

/// The committed positions of these input partitions, looked up one by one with `value`. A scan would be dearer: every
/// commit writes these rows again, and leaves their past in its way.
pub(super) fn of(
    id: TaskId,
    inputs: &[(TopicId, Partition)],
    value: impl Fn(&[u8]) -> Result<Option<Bytes>, ReadError>,
) -> Result<Positions, ReadError> {
    let mut positions = BTreeMap::new();
    for (topic, partition) in inputs {
        let Some(row) = value(&keys::position(id, *topic, *partition))? else { continue };
        let next = row.as_ref().try_into().map(Offset::from_be_bytes).map_err(|_| damaged(id))?;
        positions.insert((*topic, *partition), next);
    }
    Ok(positions)
}

/// Reads positions with `scan`.
pub(super) fn read(
    id: TaskId,
    scan: impl FnOnce(&KeyRange, &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<(), ReadError>,
) -> Result<Positions, ReadError> {
    let (start, end) = keys::of_kind(id, Kind::StatePosition);
    let mut positions = BTreeMap::new();
    let mut is_damaged = false;
    scan(&KeyRange { start, end, reverse: false }, &mut |key, row| {
        match (keys::parse_position(key), row.try_into()) {
            (Some(partition), Ok(next)) => drop(positions.insert(partition, Offset::from_be_bytes(next))),
            _ => is_damaged = true,
        }
        if is_damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if is_damaged { Err(damaged(id)) } else { Ok(positions) }
}

fn damaged(id: TaskId) -> ReadError {
    ReadError::Damaged(format!("row with a position of {id:?}"))
}
