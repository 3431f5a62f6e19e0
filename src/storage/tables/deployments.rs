//! Deployments. Row: JSON of [`Deployment`] under its id.

use super::super::Storage;
use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::deployment::Deployment;

/// Stores a deployment under its id.
pub fn put(commit: &mut Commit, deployment: &Deployment) {
    commit.put(Family::Meta, keys::deployment(deployment.id), super::encode_json(deployment));
}

/// Forgets a deployment. Its state goes with `state::clear_deployment`.
pub fn delete(commit: &mut Commit, id: u32) {
    commit.delete(Family::Meta, keys::deployment(id));
}

/// All deployments in the order of their ids. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<Deployment>, ReadError> {
    super::load_json(storage, Kind::Deployment, "deployment")
}
