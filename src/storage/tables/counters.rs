//! Numbers that are given out once and never again. Row: `u64`.

use bytes::Bytes;

use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::{Storage, keys};
use crate::storage::db::Db;

/// What is counted. The numbers are on disk and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// topics' slots in keys; the storage's own
    Slot = 1,
    /// deployments' ids
    Deployment = 2,
}

/// The next number that was not given out yet; 1 at first. Blocking.
pub fn load(storage: &Storage, counter: Counter) -> Result<u32, ReadError> {
    load_from(storage.db(), counter)
}

pub(in crate::storage) fn load_from(db: &Db, counter: Counter) -> Result<u32, ReadError> {
    let Some(row) = db.get(Family::Meta, &keys::counter(counter as u8))? else { return Ok(1) };
    let value = row.try_into().ok().map(u64::from_be_bytes).and_then(|n| u32::try_from(n).ok());
    value.ok_or_else(|| ReadError::Damaged(format!("row of the counter {counter:?}")))
}

/// Stores the next number to give out, together with the row that uses the one before.
pub fn put(commit: &mut Commit, counter: Counter, next: u32) {
    let row = Bytes::copy_from_slice(&u64::from(next).to_be_bytes());
    commit.put(Family::Meta, keys::counter(counter as u8), row);
}
