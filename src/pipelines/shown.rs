//! Positions of processors as groups that can only be looked at: what knows groups and their lag, such as Kafka's tools,
//! sees how far each deployment has come.

use std::sync::{Arc, Weak};

use super::supervisor::{Entry, Inner};
use crate::groups::{Committed, ReadOnlyGroup, ReadOnlyGroups};
use crate::model::deployment::Desired;
use crate::model::{Partition, TopicName};

/// Before the deployment's name.
const PREFIX: &str = "deployment.";

/// The processors of this node as groups. Holds nothing alive.
pub(super) struct Shown(Weak<Inner>);

impl Shown {
    pub(super) fn of(pipelines: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(pipelines))
    }

    fn entry(&self, id: &str) -> Option<Entry> {
        let name = id.strip_prefix(PREFIX)?;
        let entry = self.0.upgrade()?.entries.read().get(name).cloned();
        entry.filter(is_shown)
    }
}

impl ReadOnlyGroups for Shown {
    fn list(&self) -> Vec<ReadOnlyGroup> {
        let Some(inner) = self.0.upgrade() else { return Vec::new() };
        let entries = inner.entries.read();
        entries.values().filter(|entry| is_shown(entry)).map(group).collect()
    }

    fn find(&self, id: &str) -> Option<ReadOnlyGroup> {
        self.entry(id).as_ref().map(group)
    }

    fn offsets(&self, id: &str) -> Vec<(TopicName, Partition, Committed)> {
        let Some(entry) = self.entry(id) else { return Vec::new() };
        let positions = entry.tasks.iter().flat_map(|task| task.status.view().positions);
        let committed = |offset: u64| Committed {
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            leader_epoch: -1,
            committed_ms: entry.deployment.updated_ms,
            expires_ms: None,
            metadata: "".into(),
        };
        let mut all: Vec<_> = positions.map(|at| (at.topic, at.partition, committed(at.offset))).collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }
}

fn is_shown(entry: &Entry) -> bool {
    let deployment = &entry.deployment;
    deployment.spec.kind.has_tasks() && deployment.desired != Desired::Retired
}

fn group(entry: &Entry) -> ReadOnlyGroup {
    let deployment = entry.deployment.spec.name.to_string();
    ReadOnlyGroup { id: format!("{PREFIX}{deployment}"), deployment }
}
