//! Revisions of deployments: JSON of [`Revision`] under deployment and number, the newest [`REVISIONS_MAX`] of each.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::log::Log;
use super::super::{Storage, keys};
use crate::model::Offset;
use crate::model::limits::REVISIONS_MAX;
use crate::model::revision::Revision;

/// Stores a deployment's newest revision. The oldest goes.
pub fn put(commit: &mut Commit, deployment: u32, revision: &Revision) {
    forget_oldest(commit, deployment, revision.revision);
    let key = keys::revision(deployment, revision.revision);
    commit.put(Family::Meta, key, super::encode_json(revision));
}

/// The same, of one that holds from the place of this commit in the logs on: `fill` completes it with their next offsets,
/// on the writer's thread.
pub fn put_at_ends(
    commit: &mut Commit,
    deployment: u32,
    mut revision: Revision,
    logs: Vec<Arc<Log>>,
    fill: impl FnOnce(&mut Revision, &[Offset]) + Send + 'static,
) {
    forget_oldest(commit, deployment, revision.revision);
    let key = keys::revision(deployment, revision.revision);
    commit.put_at_ends(Family::Meta, key, logs, move |ends| {
        fill(&mut revision, ends);
        super::encode_json(&revision)
    });
}

fn forget_oldest(commit: &mut Commit, deployment: u32, newest: u64) {
    if let Some(gone) = newest.checked_sub(REVISIONS_MAX) {
        commit.delete(Family::Meta, keys::revision(deployment, gone));
    }
}

/// Forgets all revisions of a deployment.
pub fn delete_all(commit: &mut Commit, deployment: u32) {
    let (start, end) = keys::revisions(deployment);
    commit.delete_range(Family::Meta, start, end);
}

/// What is kept of a deployment, oldest first. Blocking.
pub fn load(storage: &Storage, deployment: u32) -> Result<Vec<Revision>, ReadError> {
    let mut revisions = Vec::new();
    let mut damage = None;
    storage.db().scan(Family::Meta, keys::revisions(deployment), |_, row| {
        match super::decode_json("revision", row) {
            Ok(revision) => {
                revisions.push(revision);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damage = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    damage.map_or(Ok(revisions), Err)
}
