//! What a group can answer instead of doing what it was asked. In words of groups; the doors translate.

use std::sync::Arc;

use super::GroupId;
use crate::model::TopicName;
use crate::storage::CommitError;

/// Why a group does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Groups that have members need a name.
    #[error("group id is empty")]
    EmptyId,
    /// No such group.
    #[error("group `{group}` does not exist")]
    NotFound {
        /// as asked
        group: GroupId,
    },
    /// A group of another kind: it follows another protocol, or has one type of protocol and not that of the caller.
    #[error("the group's protocol is another one")]
    InconsistentProtocol,
    /// It was removed, or never was a member: it has to join again, with no member id.
    #[error("the group has no member `{member_id}`")]
    UnknownMember {
        /// as asked
        member_id: Arc<str>,
    },
    /// A new member is to come back with the id that is made for it here.
    #[error("a new member has to join with its id, `{member_id}`")]
    MemberIdRequired {
        /// its id from now on
        member_id: Arc<str>,
    },
    /// Another process has joined under the same instance id since.
    #[error("instance `{instance_id}` is another member now")]
    FencedInstance {
        /// as asked
        instance_id: Arc<str>,
    },
    /// The member speaks of an assignment that is past.
    #[error("generation {asked} is past, the group is at {current}")]
    IllegalGeneration {
        /// as asked
        asked: i32,
        /// the group's
        current: i32,
    },
    /// The member speaks of a target that it is not at, as far as the group knows: it owns nothing, and has to join again.
    #[error(
        "the member is at epoch {current} and not at {asked}; it has to give up its partitions and to join again"
    )]
    FencedEpoch {
        /// as asked
        asked: i32,
        /// the member's
        current: i32,
    },
    /// The member has moved on, or will hear in its next heartbeat that it has to.
    #[error("the member is at epoch {current} and not at {asked}")]
    StaleEpoch {
        /// as asked
        asked: i32,
        /// the member's
        current: i32,
    },
    /// Not a number that a member can come with.
    #[error("member epoch {asked} is not allowed")]
    Epoch {
        /// as asked
        asked: i32,
    },
    /// A static member has to leave before another one takes its place.
    #[error("instance `{instance_id}` is in use by a member that has not left")]
    UnreleasedInstance {
        /// as asked
        instance_id: Arc<str>,
    },
    /// A subscription that cannot be understood.
    #[error("the regular expression is not accepted: {why}")]
    Pattern {
        /// where it breaks
        why: String,
    },
    /// The consumer protocol (KIP-848) does not mix with the classic one.
    #[error("group `{group}` has members of the classic protocol; they have to leave before others join")]
    NotConsumer {
        /// as asked
        group: GroupId,
    },
    /// Members have to join again.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// Neither the group nor its row is there soon; ask again.
    #[error("the group is being deleted")]
    Deleting,
    /// Time without a sign of life that a member may ask for.
    #[error("session timeout is {asked} ms; {min} to {max} ms are allowed")]
    SessionTimeout {
        /// ms
        asked: i64,
        /// ms
        min: i64,
        /// ms
        max: i64,
    },
    /// As many members as a group may have.
    #[error("the group has its {limit} members")]
    Full {
        /// members
        limit: usize,
    },
    /// As many groups as a node may have.
    #[error("there are {limit} groups, no more are taken")]
    TooMany {
        /// groups
        limit: usize,
    },
    /// Metadata, assignments or offsets would take more memory than they may.
    #[error("groups would take more than {limit} bytes of memory")]
    OutOfRoom {
        /// bytes
        limit: usize,
    },
    /// Only a group without members can be deleted, or have its offsets set from outside.
    #[error("the group has members: {members}")]
    NotEmpty {
        /// members
        members: usize,
    },
    /// Offsets of a topic that the group reads are not deleted under it.
    #[error("the group subscribes to topic `{topic}`")]
    Subscribed {
        /// as asked
        topic: TopicName,
    },
    /// The topic was deleted while the commit was on its way.
    #[error("topic `{topic}` does not exist any more")]
    UnknownTopic {
        /// as asked
        topic: TopicName,
    },
    /// What a client keeps beside an offset.
    #[error("metadata of an offset has {length} characters; at most {limit} are kept")]
    MetadataTooLong {
        /// in UTF-16 units, as Kafka counts
        length: usize,
        /// in the same
        limit: usize,
    },
    /// A transaction under way is about to change the offset.
    #[error("a transaction that commits this offset is under way")]
    Unstable,
    /// The group only shows how far a deployment has come.
    #[error("group `{group}` is the position of deployment `{deployment}`, which moves by rewind alone")]
    ReadOnly {
        /// as asked
        group: GroupId,
        /// whose position it is
        deployment: String,
    },
    /// The change could not be stored.
    #[error(transparent)]
    Storage(#[from] CommitError),
    /// The server is stopping.
    #[error("groups are closed")]
    Closed,
}
