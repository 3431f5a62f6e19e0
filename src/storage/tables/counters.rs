//! Numbers that are given out once and never again. Row: `u64`.

use std::ops::Range;

use bytes::Bytes;

use super::super::commit::Commit;
use super::super::error::{CommitError, ReadError};
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
    /// ids of idempotent producers; given out by [`reserve_producer_ids`]
    Producer = 3,
}

/// The next number that was not given out yet; 1 at first. Blocking.
pub fn load(storage: &Storage, counter: Counter) -> Result<u32, ReadError> {
    load_from(storage.db(), counter)
}

pub(in crate::storage) fn load_from(db: &Db, counter: Counter) -> Result<u32, ReadError> {
    u32::try_from(load_wide(db, counter)?).map_err(|_| damaged(counter))
}

fn load_wide(db: &Db, counter: Counter) -> Result<u64, ReadError> {
    let Some(row) = db.get(Family::Meta, &keys::counter(counter as u8))? else { return Ok(1) };
    row.try_into().map(u64::from_be_bytes).map_err(|_| damaged(counter))
}

fn damaged(counter: Counter) -> ReadError {
    ReadError::Damaged(format!("row of the counter {counter:?}"))
}

/// Stores the next number to give out, together with the row that uses the one before.
pub fn put(commit: &mut Commit, counter: Counter, next: u32) {
    put_wide(commit, counter, next.into());
}

fn put_wide(commit: &mut Commit, counter: Counter, next: u64) {
    commit.put(Family::Meta, keys::counter(counter as u8), Bytes::copy_from_slice(&next.to_be_bytes()));
}

/// Takes `count` producer ids, which are nobody else's, ever: `start..end`. What is not used of them is lost, so a block
/// is taken at a time. Waits for a reader thread and for the commit.
///
/// # Errors
/// Those of a commit; what cannot be read is `Unknown`.
pub async fn reserve_producer_ids(storage: &Storage, count: u32) -> Result<Range<i64>, CommitError> {
    let _one = storage.shared().producer_ids.lock().await;
    let unreadable = |e: ReadError| CommitError::Unknown(e.to_string());
    let loaded = storage.on_reader(|storage| load_wide(storage.db(), Counter::Producer)).await;
    let start = loaded.and_then(|start| start).map_err(unreadable)?;
    let end = start.saturating_add(count.into()).min(i64::MAX.cast_unsigned());
    let mut commit = Commit::new();
    put_wide(&mut commit, Counter::Producer, end);
    storage.commit(commit).await?;
    Ok(start.cast_signed()..end.cast_signed())
}
