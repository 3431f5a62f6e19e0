//! What groups can read that no storage knows as a topic. What that is is known on a floor above, which tells it from there.

use crate::model::{Partition, TopicId, TopicName};

/// Topics for readers alone. Asked often: it must answer from memory.
pub trait Subscribable: Send + Sync {
    /// Grows with every change.
    fn revision(&self) -> u64;

    /// Names, identities and numbers of partitions.
    fn topics(&self) -> Vec<(TopicName, TopicId, Partition)>;

    /// Is there one of this identity?
    fn has_topic(&self, id: TopicId) -> bool;
}
