//! The cursor of a source: what its last committed poll has returned. It lies beside the state and changes in the same
//! commit as the records of the poll, which is what makes a source exactly once as far as the outside allows.

use bytes::Bytes;

use super::{TaskId, keys};
use crate::storage::{Commit, ReadError, Storage};

/// The first byte of a row.
const FORMAT: u8 = 1;

/// Stores a cursor with the commit that holds the poll's records.
pub fn put(commit: &mut Commit, id: TaskId, cursor: &[u8]) {
    commit.put_state(keys::cursor(id), [&[FORMAT], cursor].concat().into());
}

/// Forgets it: the next poll begins from nothing.
pub fn delete(commit: &mut Commit, id: TaskId) {
    commit.delete_state(keys::cursor(id));
}

/// The committed cursor; `None`: no poll has left one. Blocking.
pub fn load(storage: &Storage, id: TaskId) -> Result<Option<Bytes>, ReadError> {
    let reader = storage.state();
    let Some(row) = reader.view().value(&keys::cursor(id))? else { return Ok(None) };
    match row.first() {
        Some(&FORMAT) => Ok(Some(row.slice(1..))),
        _ => Err(ReadError::Damaged(format!("row with the cursor of {id:?}"))),
    }
}
