//! Transactions by transactional id. Row: the caller's bytes.

use bytes::Bytes;

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};

/// Stores what is known of a transactional id.
pub fn put(commit: &mut Commit, id: &str, row: impl Into<Bytes>) {
    commit.put(Family::Producers, keys::text(Kind::Transaction, id), row.into());
}

/// Forgets a transactional id.
pub fn delete(commit: &mut Commit, id: &str) {
    commit.delete(Family::Producers, keys::text(Kind::Transaction, id));
}

/// All transactional ids in their order, with their rows. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<(String, Bytes)>, ReadError> {
    super::load_text(storage, Family::Producers, Kind::Transaction)
}
