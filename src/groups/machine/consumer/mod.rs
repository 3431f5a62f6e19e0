//! The consumer group protocol of KIP-848, as a machine without I/O: members say what they subscribe to, the group says
//! what each of them owns.
//!
//! Three numbers drive it. The *group epoch* grows whenever something changes that the assignment depends on: members,
//! subscriptions, topics. The *target epoch* says for which group epoch the target assignment was made. A *member's epoch*
//! says up to which target the member has come: it gives up first what others shall own, then takes what others have given
//! up. Between the two a partition is nobody's, and at no time two members'.
//!
//! Nothing waits here. [`Consumer::handle_heartbeat`] answers at once; what it answers may only leave when the changes
//! that it counts, [`Consumer::changes`], are stored, so that no epoch is used twice after a crash. Topics come as a
//! snapshot with each heartbeat.
//!
//! Facts: apache/kafka `GroupMetadataManager.consumerGroupHeartbeat`, `CurrentAssignmentBuilder`, `TargetAssignmentBuilder`
//! (4.2), KIP-848, KIP-1082.

mod assignment;
mod assignors;
mod heartbeat;
mod leave;
mod member;
mod pattern;
mod reconcile;
mod snapshot;
mod state;
mod target;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::MemberId;

pub use assignment::Assignment;
pub use assignors::Assignor;
pub use member::{Member, Progress};
pub use snapshot::Snapshot;
pub use state::{Consumer, State};
pub use topics::Topics;

/// The epoch with which a member joins.
pub const JOINS: i32 = 0;
/// The epoch with which a member leaves.
pub const LEAVES: i32 = -1;
/// The epoch with which a static member leaves for a while: its place is kept for a session's time.
pub const LEAVES_FOR_A_WHILE: i32 = -2;

/// A sign of life of a member, with what has changed. `None`: as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// empty: a new member that wants an id
    pub member_id: MemberId,
    /// as the group said last, or one of [`JOINS`], [`LEAVES`], [`LEAVES_FOR_A_WHILE`]
    pub epoch: i32,
    /// what a static member is known by across restarts
    pub instance_id: Option<Arc<str>>,
    /// where it runs
    pub rack_id: Option<Arc<str>>,
    /// as it calls itself
    pub client_id: Arc<str>,
    /// where it is
    pub client_host: Arc<str>,
    /// without a sign of life for so long, it is removed; the group's setting
    pub session_timeout_ms: i64,
    /// how long it may take to give up partitions
    pub rebalance_timeout_ms: Option<i64>,
    /// topics by name, there or not
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// topics by a regular expression; empty: none
    pub pattern: Option<Arc<str>>,
    /// who is to assign
    pub assignor: Option<Assignor>,
    /// what it owns
    pub owned: Option<Assignment>,
}

/// What a member hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// who it is
    pub member_id: MemberId,
    /// for its next heartbeat
    pub epoch: i32,
    /// what it owns from now on; `None`: as before
    pub assignment: Option<Assignment>,
}
