//! The topics of the node, as a snapshot: what a group has to know of them.

use std::collections::BTreeMap;

use crate::model::{Partition, TopicId, TopicName};

/// Topics by name, of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics {
    revision: u64,
    by_name: BTreeMap<TopicName, (TopicId, Partition)>,
}

impl Topics {
    /// Topics with their numbers of partitions. Another revision says that something may have changed.
    pub fn new(revision: u64, topics: impl IntoIterator<Item = (TopicName, TopicId, Partition)>) -> Self {
        let by_name = topics.into_iter().map(|(name, id, partitions)| (name, (id, partitions)));
        Self { revision, by_name: by_name.collect() }
    }

    /// Of this moment.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn find(&self, name: &str) -> Option<(TopicId, Partition)> {
        self.by_name.get(name).copied()
    }

    /// The names that a regular expression may match: the server's own topics are subscribed to by name only.
    pub(super) fn names(&self) -> impl Iterator<Item = &TopicName> {
        self.by_name.keys().filter(|name| !name.is_internal())
    }
}
