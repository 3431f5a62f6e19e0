//! The classic group protocol, as a machine without I/O: who is a member, who leads, which generation it is. The other
//! protocol is in [`consumer`].
//!
//! [`Classic`] has four kinds of methods:
//!
//! - Handlers of events from members, the storage and the passing of time, named `handle_*`. Each may change the group
//!   and leave actions behind; what can be answered at once is the return value.
//! - [`Classic::take_actions`]: what is to be done now, in this order. To be called after every handler.
//! - [`Classic::next_deadline`]: when [`Classic::handle_timeout`] wants to be called, at the latest.
//! - Getters and checks, which change nothing.
//!
//! A request that has to wait is known by its [`Ticket`]; the machine answers every ticket once, whatever becomes of its
//! member. What members send is opaque and comes back as it came; only the topics of a subscription are looked at, to
//! know which offsets are in use.
//!
//! Facts: apache/kafka `GroupMetadataManager` and `ClassicGroup` (4.x), KIP-62, 134, 345, 394, 559, 814.

pub mod consumer;
mod describe;
mod join;
mod leave;
mod member;
mod rebalance;
mod snapshot;
mod state;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::GroupError;
use crate::model::TimestampMs;

pub use describe::{Description, MemberDescription};
pub use leave::{Leaving, OffsetCommitter};
pub use member::Protocol;
pub use snapshot::{MemberSnapshot, Snapshot};
pub use state::{Classic, State};

/// A request that waits for its answer.
pub type Ticket = u64;

/// What a member is known by; made by the coordinator.
pub type MemberId = Arc<str>;

/// A moment, by two measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// milliseconds that only grow: all deadlines are counted in them
    pub tick_ms: i64,
    /// wall time, for what is stored
    pub wall_ms: TimestampMs,
}

/// Settings of all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// how long the first rebalance of an empty group waits for more members, each time that one comes
    pub initial_delay_ms: i64,
    /// how long a new member waits in a rebalance before it is given up: it cannot send heartbeats yet
    pub new_member_wait_ms: i64,
    /// members of a group, those that have asked for an id included
    pub members_max: usize,
}

/// A member that wants to take part in the next generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// empty: a new member
    pub member_id: MemberId,
    /// what a static member is known by across restarts
    pub instance_id: Option<Arc<str>>,
    /// as it calls itself
    pub client_id: Arc<str>,
    /// where it is
    pub client_host: Arc<str>,
    /// without a sign of life for so long, it is removed
    pub session_timeout_ms: i64,
    /// how long a rebalance waits for it
    pub rebalance_timeout_ms: i64,
    /// such as `consumer`; the same for all members
    pub protocol_type: Arc<str>,
    /// ways to assign that it can follow, the best first
    pub protocols: Vec<Protocol>,
    /// a new dynamic member has to come twice, so that a lost answer leaves no ghost (KIP-394)
    pub needs_known_id: bool,
    /// a static leader that is back may be told to keep its assignment (KIP-814)
    pub may_skip_assignment: bool,
}

/// A member of the generation that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// its number
    pub generation: i32,
    /// of the group
    pub protocol_type: Option<Arc<str>>,
    /// the one chosen
    pub protocol: Option<Arc<str>>,
    /// who assigns
    pub leader: MemberId,
    /// who this is
    pub member_id: MemberId,
    /// all members with their metadata, for the leader; none for others
    pub members: Vec<JoinedMember>,
    /// the leader is not to assign
    pub skip_assignment: bool,
}

/// What the leader hears of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// of this generation
    pub member_id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// as it sent it with the chosen protocol
    pub metadata: Bytes,
}

/// A join that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefused {
    /// what the member is to call itself in its next try; may be empty
    pub member_id: MemberId,
    /// why
    pub error: GroupError,
}

/// A member that asks for its assignment; the leader brings everybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// who asks
    pub member_id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// as joined
    pub generation: i32,
    /// as joined, if the client says so (KIP-559)
    pub protocol_type: Option<Arc<str>>,
    /// as joined, if the client says so
    pub protocol: Option<Arc<str>>,
    /// from the leader: member and what it gets; empty from others
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a member gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// of the group
    pub protocol_type: Option<Arc<str>>,
    /// the one chosen
    pub protocol: Option<Arc<str>>,
    /// as the leader sent it
    pub assignment: Bytes,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// answer the join under this ticket
    AnswerJoin {
        /// whose
        ticket: Ticket,
        /// with what
        answer: Result<Joined, JoinRefused>,
    },
    /// answer the sync under this ticket
    AnswerSync {
        /// whose
        ticket: Ticket,
        /// with what
        answer: Result<Synced, GroupError>,
    },
    /// store this, and then call [`Classic::handle_stored`]; stores of a group are made in their order
    Store(Box<Snapshot>),
}
