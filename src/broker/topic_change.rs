//! What the catalog is asked for: a new topic, a change of one.

use std::collections::BTreeMap;

use crate::model::TopicName;
use crate::model::topic::{ConfigChange, TopicConfig};

/// A topic to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// not internal, unless the server itself creates it
    pub name: TopicName,
    /// 1 to `PARTITIONS_MAX`
    pub partitions: u32,
    /// what differs from the defaults
    pub config: TopicConfig,
    /// kept and told; one node has one copy
    pub replication_factor: u16,
}

/// A change of a topic.
#[derive(Debug, Clone, Default)]
pub struct TopicChange {
    /// by name
    pub config: BTreeMap<String, ConfigChange>,
    /// every setting that `config` does not name returns to its default
    pub only_these: bool,
    /// the new number; not less than now
    pub partitions: Option<u32>,
    /// refuse unless the topic has this revision
    pub if_revision: Option<u64>,
    /// check everything, change nothing
    pub dry_run: bool,
}

// === impl NewTopic ===

impl NewTopic {
    /// A topic with one copy.
    pub fn new(name: TopicName, partitions: u32, config: TopicConfig) -> Self {
        Self { name, partitions, config, replication_factor: 1 }
    }
}
