//! Groups that nobody can join: they show, to tools that know groups only, how far something else has read. What that is
//! is known on a floor above, which gives the groups from there.

use super::offsets::Committed;
use crate::model::{Partition, TopicName};

/// A group that only shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlyGroup {
    /// its name as a group
    pub id: String,
    /// what it shows the position of
    pub deployment: String,
}

/// Where such groups come from. Asked often: it must answer from memory.
pub trait ReadOnlyGroups: Send + Sync {
    /// All of them, in the order of their names.
    fn list(&self) -> Vec<ReadOnlyGroup>;

    /// The one of this name.
    fn find(&self, id: &str) -> Option<ReadOnlyGroup>;

    /// How far the one of this name has read, in the order of topics and partitions; empty if there is none.
    fn offsets(&self, id: &str) -> Vec<(TopicName, Partition, Committed)>;
}
