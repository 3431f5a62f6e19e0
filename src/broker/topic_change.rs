//! What the catalog is asked for: a new topic, a change of one.

use std::collections::BTreeMap;

use super::TopicError;
use crate::model::TopicName;
use crate::model::limits::PARTITIONS_MAX;
use crate::model::topic::{ConfigChange, Topic, TopicConfig};
use crate::runtime::events::{self, What};

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

/// Tells who listens.
pub(super) fn told(what: What, topic: &Topic) {
    let details =
        vec![("partitions", topic.partitions.to_string()), ("revision", topic.revision.to_string())];
    events::publish(what, &topic.name, details);
}

pub(super) fn check_revision(topic: &Topic, expected: Option<u64>) -> Result<(), TopicError> {
    match expected {
        Some(expected) if expected != topic.revision => {
            Err(TopicError::Revision { name: topic.name.clone(), expected, actual: topic.revision })
        }
        _ => Ok(()),
    }
}

pub(super) fn check_partitions(name: &TopicName, asked: u32, least: u32) -> Result<(), TopicError> {
    if (least..=PARTITIONS_MAX).contains(&asked) {
        return Ok(());
    }
    Err(TopicError::Partitions { name: name.clone(), asked, least, most: PARTITIONS_MAX })
}
