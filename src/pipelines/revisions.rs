//! What has become of a deployment: its kept revisions, each with how it differs from the one before.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::DeployError;
use super::plan::{self, Change};
use super::supervisor::Pipelines;
use crate::model::deployment::{DeploymentSpec, Desired};
use crate::model::revision::{Action, Revision, StateChange};
use crate::model::{Offset, Partition, TopicName};
use crate::storage::{Storage, tables};

/// A revision as its users see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RevisionView {
    /// its number; the ETag of its time
    pub revision: u64,
    /// milliseconds since the epoch
    pub at_ms: i64,
    /// `applied`, `upgraded`, `rolled_back`, `rewound`, `paused`, `resumed` or `retired`
    #[schema(value_type = String)]
    pub action: Action,
    /// rolled back: to which revision
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// what it did with the state: `keep`, `clear` or `migrate`
    #[schema(value_type = String)]
    pub state: StateChange,
    /// `name@version` of the code from then on
    pub module: String,
    /// its digest
    pub digest: String,
    /// grows when the state is cleared
    pub generation: u32,
    /// running, paused or retired
    #[schema(value_type = String)]
    pub desired: Desired,
    /// the first offset of every input partition that it holds for
    pub positions: Vec<PositionView>,
    /// what differs from the revision before, by JSON pointers into `{spec, version, digest, generation, desired}`; absent
    /// when that one is not kept
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// from then on; not in lists
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub spec: Option<DeploymentSpec>,
}

/// An offset from which a revision holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PositionView {
    /// the input
    #[schema(value_type = String)]
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// of the first record
    pub offset: Offset,
}

impl Pipelines {
    /// The kept revisions of a deployment, newest first, without their specs.
    ///
    /// # Errors
    /// `Unknown`, `Tables`.
    pub async fn revisions(&self, name: &str) -> Result<Vec<RevisionView>, DeployError> {
        let stored = self.stored_revisions(name).await?;
        let before = std::iter::once(None).chain(stored.iter().map(Some));
        let mut views: Vec<_> = stored.iter().zip(before).map(|(r, before)| view(r, before)).collect();
        views.reverse();
        Ok(views)
    }

    /// One of them, whole.
    ///
    /// # Errors
    /// `Unknown`, `NoRevision`, `Tables`.
    pub async fn revision(&self, name: &str, number: u64) -> Result<RevisionView, DeployError> {
        let stored = self.stored_revisions(name).await?;
        let (revision, before) = find(name, &stored, number)?;
        Ok(RevisionView { spec: Some(revision.spec.clone()), ..view(revision, before) })
    }

    /// Oldest first.
    pub(super) async fn stored_revisions(&self, name: &str) -> Result<Vec<Revision>, DeployError> {
        let id = self.entry(name)?.deployment.id;
        let load = move |storage: &Storage| tables::revisions::load(storage, id);
        Ok(self.broker().storage().on_reader(load).await??)
    }
}

/// The revision of this number among those that are kept, and the one before it.
pub(super) fn find<'a>(
    name: &str,
    stored: &'a [Revision],
    number: u64,
) -> Result<(&'a Revision, Option<&'a Revision>), DeployError> {
    let at = stored.iter().position(|r| r.revision == number);
    let found =
        at.and_then(|at| Some((stored.get(at)?, at.checked_sub(1).and_then(|before| stored.get(before)))));
    found.ok_or_else(|| DeployError::NoRevision {
        name: name.to_owned(),
        revision: number,
        kept: stored.first().map(|r| r.revision).zip(stored.last().map(|r| r.revision)),
    })
}

fn view(revision: &Revision, before: Option<&Revision>) -> RevisionView {
    let changes = match before {
        Some(before) => Some(plan::diff(&compared(before), &compared(revision))),
        // Before the first one there was nothing.
        None => (revision.revision == 1).then(|| plan::diff(&Value::Null, &compared(revision))),
    };
    let place = |p: &crate::model::revision::EffectiveFrom| PositionView {
        topic: p.topic.clone(),
        partition: p.partition,
        offset: p.offset,
    };
    let module = revision.spec.module.split('@').next().unwrap_or_default();
    RevisionView {
        revision: revision.revision,
        at_ms: revision.at_ms,
        action: revision.action,
        of: revision.of,
        state: revision.state,
        module: format!("{module}@{}", revision.version),
        digest: revision.digest.to_string(),
        generation: revision.generation,
        desired: revision.desired,
        positions: revision.positions.iter().map(place).collect(),
        changes,
        spec: None,
    }
}

/// What one revision is compared with another by.
fn compared(revision: &Revision) -> Value {
    json!({
        "spec": revision.spec,
        "version": revision.version,
        "digest": revision.digest,
        "generation": revision.generation,
        "desired": revision.desired,
    })
}
