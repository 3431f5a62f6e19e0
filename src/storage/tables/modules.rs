//! Versions of modules. Row: JSON of [`ModuleVersion`] under name and version. A row is committed after all pieces of
//! its bytes: a version that is listed has its bytes.

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::ModuleName;
use crate::model::module::{ModuleVersion, Version};

/// Publishes a version.
pub fn put(commit: &mut Commit, module: &ModuleVersion) {
    commit.put(Family::Meta, keys::module(&module.name, &module.version), super::encode_json(module));
}

/// Forgets a version. Its bytes go with [`super::module_bytes::delete`], if no other version has the same digest.
pub fn delete(commit: &mut Commit, name: &ModuleName, version: &Version) {
    commit.delete(Family::Meta, keys::module(name, version));
}

/// All versions by module name, within a module in the order of their text. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<ModuleVersion>, ReadError> {
    super::load_json(storage, Kind::Module, "module")
}
