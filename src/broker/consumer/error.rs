//! What a member that lives here can meet.

use crate::broker::{ReadError, TopicError};
use crate::groups::GroupError;
use crate::groups::machine::MemberId;
use crate::model::{Partition, TopicName};

/// Why a member does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// It was silent for too long, was removed, or another server was here when it joined.
    #[error("the group has no member `{member}` any more, and its partitions may belong to others")]
    Fenced {
        /// as asked
        member: MemberId,
    },
    /// It commits what others may read by now.
    #[error("partition {partition} of topic `{topic}` is not assigned to member `{member}`")]
    NotAssigned {
        /// who asks
        member: MemberId,
        /// as asked
        topic: TopicName,
        /// as asked
        partition: Partition,
    },
    /// Another request of the same member is at work.
    #[error("another request of member `{member}` is under way")]
    Busy {
        /// as asked
        member: MemberId,
    },
    /// As many members as may live here.
    #[error("there are {limit} members over HTTP, no more are taken")]
    TooMany {
        /// members
        limit: usize,
    },
    /// No such topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The group refuses.
    #[error(transparent)]
    Group(#[from] GroupError),
}

impl ConsumerError {
    /// What the group says to a member, in the words of this module.
    pub(super) fn of(member: &MemberId, error: GroupError) -> Self {
        match error {
            GroupError::UnknownMember { .. }
            | GroupError::FencedInstance { .. }
            | GroupError::NotFound { .. } => Self::Fenced { member: member.clone() },
            error => Self::Group(error),
        }
    }
}
