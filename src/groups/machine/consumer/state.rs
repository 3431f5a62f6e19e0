//! The group itself: its members, and the questions that need no event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pattern::Patterns;
use super::{Assignment, Assignor, Member, MemberId, Topics};
use crate::groups::GroupError;
use crate::groups::machine::{OffsetCommitter, Rules};
use crate::model::{Partition, TopicId};

/// Where a group stands. All but the last follows from its members and epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// no members
    Empty,
    /// something has changed for which there is no target yet: the next heartbeat makes one
    Assigning,
    /// members are on their way to the target
    Reconciling,
    /// every member owns what it shall own
    Stable,
    /// it is deleted, or about to be
    Dead,
}

/// A group that follows the consumer protocol.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub(super) rules: Rules,
    pub(super) epoch: i32,
    /// the group epoch for which the members' targets were made
    pub(super) target_epoch: i32,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// instance id → member
    pub(super) statics: HashMap<Arc<str>, MemberId>,
    /// who owns a partition or has yet to give it up
    pub(super) holders: HashMap<(TopicId, Partition), MemberId>,
    pub(super) patterns: Patterns,
    /// the topics as they were last seen
    pub(super) topics: Arc<Topics>,
    /// what the members subscribe to, as far as it is there: topics with their partitions
    pub(super) subscribed: BTreeMap<TopicId, Partition>,
    /// counts what there is to be stored
    pub(super) changes: u64,
    pub(super) is_dead: bool,
}

// === impl State ===

impl State {
    /// As Kafka's tools show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

// === impl Consumer ===

impl Consumer {
    /// A group without members.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            epoch: 0,
            target_epoch: 0,
            members: BTreeMap::new(),
            statics: HashMap::new(),
            holders: HashMap::new(),
            patterns: Patterns::default(),
            topics: Arc::default(),
            subscribed: BTreeMap::new(),
            changes: 0,
            is_dead: false,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        if self.is_dead {
            State::Dead
        } else if self.members.is_empty() {
            State::Empty
        } else if self.epoch != self.target_epoch {
            State::Assigning
        } else if self.members.values().all(|m| m.is_reconciled(self.target_epoch)) {
            State::Stable
        } else {
            State::Reconciling
        }
    }

    /// Is it deleted, or about to be?
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Grows with every change that is to be stored.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The group epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The group epoch for which the members' targets were made.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// The members in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Do its members read this topic?
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let reads = |m: &Member| {
            m.topics.contains(topic)
                || self.patterns.topics(m.pattern.as_deref()).any(|t| t.as_str() == topic)
        };
        self.members.values().any(reads)
    }

    /// Who assigns: the one that most members ask for; between equals, and if nobody asks, the first.
    pub fn assignor(&self) -> Assignor {
        let votes = |assignor| self.members.values().filter(|m| m.assignor == Some(assignor)).count();
        let mut best = Assignor::ALL[0];
        for assignor in Assignor::ALL {
            if votes(assignor) > votes(best) {
                best = assignor;
            }
        }
        best
    }

    /// Bytes that its members take in memory, about.
    pub fn bytes(&self) -> usize {
        /// Of a partition that is held (counted by hand).
        const HELD: usize = 64;
        self.members.values().map(Member::bytes).sum::<usize>() + self.holders.len() * HELD
    }

    /// When [`Consumer::handle_timeout`] has something to do, unless something happens before.
    pub fn next_deadline(&self) -> Option<i64> {
        self.members.values().map(Member::next_deadline).min()
    }

    /// May these offsets be committed? In a transaction a producer that does not say for whom it commits is believed, as
    /// in Kafka.
    ///
    /// # Errors
    /// `UnknownMember`, `FencedInstance`, `StaleEpoch`, `Deleting`.
    pub fn check_commit(&self, who: &OffsetCommitter, in_transaction: bool) -> Result<(), GroupError> {
        if self.is_dead {
            return Err(GroupError::Deleting);
        }
        let says_nothing = who.generation < 0 && who.member_id.is_empty() && who.instance_id.is_none();
        if (who.generation < 0 && self.members.is_empty()) || (in_transaction && says_nothing) {
            return Ok(());
        }
        self.check_epoch(&who.member_id, who.instance_id.as_ref(), who.generation)
    }

    /// Is this a member that knows where it stands?
    ///
    /// # Errors
    /// `UnknownMember`, `FencedInstance`, `StaleEpoch`.
    pub fn check_epoch(&self, id: &str, instance: Option<&Arc<str>>, asked: i32) -> Result<(), GroupError> {
        let current = self.find(id, instance)?.epoch;
        if asked == current { Ok(()) } else { Err(GroupError::StaleEpoch { asked, current }) }
    }

    /// The member, if it is who it says it is.
    pub(super) fn find(&self, id: &str, instance_id: Option<&Arc<str>>) -> Result<&Member, GroupError> {
        let unknown = || GroupError::UnknownMember { member_id: id.into() };
        if let Some(instance_id) = instance_id {
            let now = self.statics.get(instance_id).ok_or_else(unknown)?;
            if **now != *id {
                return Err(GroupError::FencedInstance { instance_id: instance_id.clone() });
            }
        }
        self.members.get(id).ok_or_else(unknown)
    }

    /// Something has changed that the assignment depends on.
    pub(super) fn bump(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.changes += 1;
    }

    /// Puts a member in, and notes what it holds.
    pub(super) fn put(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        for (topic, partition) in member.assigned.iter().chain(member.revoking.iter()) {
            self.holders.insert((topic, partition), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out; what it held is free.
    pub(super) fn take(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        for held in member.assigned.iter().chain(member.revoking.iter()) {
            self.holders.remove(&held);
        }
        Some(member)
    }

    /// Sets what a member owns and what it has to give up.
    pub(super) fn hold(&mut self, id: &MemberId, assigned: Assignment, revoking: Assignment) {
        let Some(member) = self.members.get_mut(id) else { return };
        for held in member.assigned.iter().chain(member.revoking.iter()) {
            self.holders.remove(&held);
        }
        for held in assigned.iter().chain(revoking.iter()) {
            self.holders.insert(held, id.clone());
        }
        member.assigned = assigned;
        member.revoking = revoking;
    }
}
