//! What has become of a deployment over time: one revision for every change, kept beside the deployment.

use serde::{Deserialize, Serialize};

use super::deployment::{DeploymentSpec, Desired};
use super::module::{Digest, Version};
use super::{Offset, Partition, TopicName};

/// What a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// by a spec, the first one included
    Applied,
    /// to another module version
    Upgraded,
    /// to the spec and version of an earlier revision
    RolledBack,
    /// to other positions
    Rewound,
    /// told to stand still
    Paused,
    /// told to go on
    Resumed,
    /// deleted, with its state kept
    Retired,
}

/// What a change has done with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateChange {
    /// it stayed as it was
    #[default]
    Keep,
    /// it was dropped
    Clear,
    /// the new version's `migrate` was set to work on it
    Migrate,
}

/// A change and what it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// of the deployment since then
    pub revision: u64,
    /// milliseconds since the epoch
    pub at_ms: i64,
    /// what it was
    pub action: Action,
    /// rolled back: to which revision
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// what it did with the state
    #[serde(default)]
    pub state: StateChange,
    /// the spec from then on
    pub spec: DeploymentSpec,
    /// the module version from then on
    pub version: Version,
    /// its digest
    pub digest: Digest,
    /// of the state
    pub generation: u32,
    /// running, paused or retired
    pub desired: Desired,
    /// where it took effect: the first offset of every input partition that it holds for
    pub positions: Vec<EffectiveFrom>,
}

/// The first offset of an input partition that a revision holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveFrom {
    /// the input
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// every record before it was processed by revisions before
    pub offset: Offset,
}

/// State that a version has left to a later one to be migrated, task by task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// which version made the state
    pub from: Version,
    /// the revision that asked for it; names it among others
    pub revision: u64,
}
