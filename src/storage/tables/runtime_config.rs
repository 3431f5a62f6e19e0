//! Settings of the broker and of groups that were changed while the server ran. Row: JSON of [`Row`] under its scope; a
//! scope without settings has no row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::runtime_config::ConfigScope;

/// What was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// on what
    pub scope: ConfigScope,
    /// values by name
    pub set: BTreeMap<String, String>,
}

/// Stores what is set on a scope now.
pub fn put(commit: &mut Commit, row: &Row) {
    let key = match &row.scope {
        ConfigScope::EveryBroker => keys::runtime_config(0, ""),
        ConfigScope::Broker => keys::runtime_config(1, ""),
        ConfigScope::Group(name) => keys::runtime_config(2, name),
    };
    if row.set.is_empty() {
        commit.delete(Family::Meta, key);
    } else {
        commit.put(Family::Meta, key, super::encode_json(row));
    }
}

/// All rows, in no order. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<Row>, ReadError> {
    super::load_json(storage, Kind::RuntimeConfig, "settings of the broker or of a group")
}
