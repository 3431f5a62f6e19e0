//! A group as it is stored: a generation with its members, or the memory of one. What is under way is not part of it;
//! after a crash the members find the last generation that was stored, and go on or join again.

use std::sync::Arc;

use bytes::Bytes;

use super::member::Member;
use super::{Classic, MemberId, Now, Protocol, Rules, State};
use crate::model::TimestampMs;

/// A group at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// number
    pub generation: i32,
    /// of the members, the last ones if there are none
    pub protocol_type: Option<Arc<str>>,
    /// as chosen; none if there are no members
    pub protocol: Option<Arc<str>>,
    /// who assigned
    pub leader: Option<MemberId>,
    /// wall time of the last change of state
    pub changed_ms: TimestampMs,
    /// in the order of their ids
    pub members: Vec<MemberSnapshot>,
}

/// A member with its assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// who it is
    pub id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// as it calls itself
    pub client_id: Arc<str>,
    /// where it was
    pub client_host: Arc<str>,
    /// ms
    pub session_timeout_ms: i64,
    /// ms
    pub rebalance_timeout_ms: i64,
    /// as joined, all of them: with the same it may join again without a rebalance
    pub protocols: Vec<Protocol>,
    /// opaque
    pub assignment: Bytes,
}

impl Snapshot {
    pub(super) fn of(group: &Classic) -> Self {
        let member = |m: &Member| MemberSnapshot {
            id: m.id.clone(),
            instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            session_timeout_ms: m.session_timeout_ms,
            rebalance_timeout_ms: m.rebalance_timeout_ms,
            protocols: m.protocols.clone(),
            assignment: m.assignment.clone(),
        };
        Self {
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader: group.leader.clone(),
            changed_ms: group.changed_ms,
            members: group.members.values().map(member).collect(),
        }
    }
}

impl Classic {
    /// The group as it was stored. Its members have a session's time to give a sign of life.
    pub fn restore(snapshot: Snapshot, rules: Rules, now: Now) -> Self {
        let mut group = Self::new(rules, snapshot.changed_ms);
        group.generation = snapshot.generation;
        group.protocol_type = snapshot.protocol_type;
        group.protocol = snapshot.protocol;
        let protocol_type = group.protocol_type.clone().unwrap_or_else(|| Arc::from(""));
        for stored in snapshot.members {
            let mut member = Member {
                id: stored.id,
                instance_id: stored.instance_id,
                client_id: stored.client_id,
                client_host: stored.client_host,
                session_timeout_ms: stored.session_timeout_ms,
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                protocols: stored.protocols,
                assignment: stored.assignment,
                join: None,
                sync: None,
                is_new: false,
                session_ends: None,
            };
            member.renew(now.tick_ms);
            group.add(member, &protocol_type);
        }
        let is_there = |id: &MemberId| group.members.contains_key(id);
        if let Some(leader) = snapshot.leader.filter(is_there) {
            group.leader = Some(leader);
        }
        group.read_topics();
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        if group.members.len() > rules.members_max {
            // The limit was lowered: members commit, and the last ones to come back find no room.
            group.prepare_rebalance(now);
        }
        group
    }
}
