//! Consumer groups. Row: the caller's bytes, under the group's id.

use bytes::Bytes;

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};

/// Stores what is known of a group.
pub fn put(commit: &mut Commit, group: &str, row: impl Into<Bytes>) {
    commit.put(Family::Groups, keys::text(Kind::Group, group), row.into());
}

/// Forgets a group. Its offsets go with [`super::offsets::delete_group`].
pub fn delete(commit: &mut Commit, group: &str) {
    commit.delete(Family::Groups, keys::text(Kind::Group, group));
}

/// All groups in the order of their ids, with their rows. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<(String, Bytes)>, ReadError> {
    super::load_text(storage, Family::Groups, Kind::Group)
}
