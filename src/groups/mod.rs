//! Floor 4: consumer groups: their members, their assignments, and how far they have read. Knows neither records nor the
//! topics in use: whoever commits offsets has made sure that their partitions exist.
//!
//! `machine` decides what becomes of members and does nothing else; `coordinator` owns the groups of this node, with the
//! storage, the clock and those who wait; `client` is what a member does, for those that live in this server.

pub mod client;
mod coordinator;
mod error;
pub mod machine;
mod offsets;
mod read_only;
mod rows;
mod subscribable;

use std::fmt;
use std::sync::Arc;

pub use coordinator::{
    CommitOffsets, Described, DescribedConsumers, FetchOffsets, FetchedOffset, FetchedTopic, GroupKind,
    Groups, Listed, NewOffset, Options, PendingOffsets,
};
pub use error::GroupError;
pub use offsets::{Committed, TopicPartition};
pub use read_only::{ReadOnlyGroup, ReadOnlyGroups};
pub use subscribable::Subscribable;

/// The name of a group. Any text, as in Kafka; groups with members need one that is not empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// A name from outside.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for GroupId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
