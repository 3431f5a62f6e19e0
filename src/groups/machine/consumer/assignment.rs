//! A set of partitions, by topic.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Partition, TopicId};

/// Partitions that belong together. No topic stands in it without a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment(BTreeMap<TopicId, BTreeSet<Partition>>);

impl Assignment {
    /// Of a topic and a partition, about (counted by hand: places in the trees).
    const TOPIC_BYTES: usize = 96;
    const PARTITION_BYTES: usize = 8;

    /// Are there no partitions?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * Self::TOPIC_BYTES + self.len() * Self::PARTITION_BYTES
    }

    /// Topics with their partitions, both in order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (TopicId, &BTreeSet<Partition>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// All partitions in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, Partition)> {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)))
    }

    /// Is this partition in it?
    pub fn contains(&self, topic: TopicId, partition: Partition) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds a partition; false: it was there.
    pub fn insert(&mut self, topic: TopicId, partition: Partition) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Takes a partition out.
    pub(super) fn remove(&mut self, topic: TopicId, partition: Partition) {
        let Some(partitions) = self.0.get_mut(&topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.0.remove(&topic);
        }
    }

    pub(super) fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|(topic, partition)| other.contains(topic, partition))
    }

    /// What is in it and not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        self.iter().filter(|(topic, partition)| !other.contains(*topic, *partition)).collect()
    }

    /// What is in both.
    pub(super) fn common(&self, other: &Self) -> Self {
        self.iter().filter(|(topic, partition)| other.contains(*topic, *partition)).collect()
    }
}

impl FromIterator<(TopicId, Partition)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, Partition)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        for (topic, partition) in partitions {
            assignment.insert(topic, partition);
        }
        assignment
    }
}
