//! The group itself: its members, and the questions that need no event.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::member::Member;
use super::sync::Then;
use super::{Action, GroupError, MemberId, Rules, Ticket, subscription};
use crate::model::TimestampMs;

/// The type of protocol whose metadata are subscriptions to topics.
pub(super) const CONSUMER: &str = "consumer";

/// Where a group stands.
///
/// ```text
/// Empty ─────► PreparingRebalance ─────► CompletingRebalance ─────► Stable
///   ▲             │      ▲   ▲                  │                     │
///   └─────────────┘      │   └──────────────────┘                     │
///     all have left      └──────────────────────────────────────────-─┘
/// ```
/// `Dead` follows from `Empty`, and is the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// no members
    Empty,
    /// waits until all members have joined, or for those that have when it waited long enough
    PreparingRebalance,
    /// waits for the leader's assignments
    CompletingRebalance,
    /// every member can have its assignment
    Stable,
    /// it is deleted, or about to be
    Dead,
}

/// A group that follows the classic protocol.
#[derive(Debug, Clone)]
pub struct Classic {
    pub(super) rules: Rules,
    pub(super) state: State,
    /// the state before this one: a rebalance that began with nobody is not completed early
    pub(super) previous: State,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// instance id → member
    pub(super) statics: HashMap<Arc<str>, MemberId>,
    /// ids given to new members, and when they lapse if nobody joins with them
    pub(super) pending: BTreeMap<MemberId, i64>,
    /// members of this generation that have not asked for their assignment
    pub(super) unsynced: BTreeSet<MemberId>,
    /// somebody came while an initial rebalance waited
    pub(super) is_joined_meanwhile: bool,
    pub(super) join_timer: Option<JoinTimer>,
    /// when members that have not synced are removed
    pub(super) sync_ends: Option<i64>,
    /// topics that the members read, if their metadata say so
    pub(super) topics: Option<HashSet<Arc<str>>>,
    /// wall time of the last change of state
    pub(super) changed_ms: TimestampMs,
    /// what follows the stores that were asked for and have not ended
    pub(super) storing: VecDeque<Then>,
    pub(super) actions: Vec<Action>,
}

/// Ends the wait for joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// of an initial rebalance; it may be extended
    Initial {
        at: i64,
        delay_ms: i64,
        remaining_ms: i64,
    },
    Rebalance {
        at: i64,
    },
}

// === impl State ===

impl State {
    /// As Kafka's tools show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

// === impl JoinTimer ===

impl JoinTimer {
    pub(super) fn at(self) -> i64 {
        match self {
            Self::Initial { at, .. } | Self::Rebalance { at } => at,
        }
    }
}

// === impl Classic ===

impl Classic {
    /// A group without members.
    pub fn new(rules: Rules, wall_ms: TimestampMs) -> Self {
        Self {
            rules,
            state: State::Empty,
            previous: State::Dead,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: HashMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            is_joined_meanwhile: false,
            join_timer: None,
            sync_ends: None,
            topics: None,
            changed_ms: wall_ms,
            storing: VecDeque::new(),
            actions: Vec::new(),
        }
    }

    /// What is to be done now, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`Classic::handle_timeout`] has something to do, unless something happens before.
    pub fn next_deadline(&self) -> Option<i64> {
        let sessions = self.members.values().filter_map(|m| m.session_ends);
        let timers = [self.join_timer.map(JoinTimer::at), self.sync_ends];
        sessions.chain(self.pending.values().copied()).chain(timers.into_iter().flatten()).min()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The number of its generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What its members are, such as `consumer`; `None` if it never had any.
    pub fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// How many members it has, without those that have only asked for an id.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Nobody is in it, and nobody has asked for an id.
    pub fn is_deserted(&self) -> bool {
        matches!(self.state, State::Empty | State::Dead) && self.pending.is_empty()
    }

    /// Since when it has been as it is, by wall time.
    pub fn changed_ms(&self) -> TimestampMs {
        self.changed_ms
    }

    /// Do its members read this topic? Consumers whose metadata cannot be read might read any.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type.as_deref() == Some(CONSUMER),
        }
    }

    /// Are the topics known that its members read?
    pub fn knows_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Bytes that its members take in memory, about.
    pub fn bytes(&self) -> usize {
        let pending = self.pending.keys().map(|id| id.len() + 64).sum::<usize>();
        self.members.values().map(Member::bytes).sum::<usize>() + pending
    }

    pub(super) fn move_to(&mut self, state: State, wall_ms: TimestampMs) {
        self.previous = self.state;
        self.state = state;
        self.changed_ms = wall_ms;
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// The longest that a member asks a rebalance to wait.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| m.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    pub(super) fn joining(&self) -> usize {
        self.members.values().filter(|m| m.join.is_some()).count()
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|m| m.join.is_some())
    }

    /// Is this member who it says it is?
    pub(super) fn check(&self, id: &str, instance_id: Option<&Arc<str>>) -> Result<(), GroupError> {
        let unknown = || GroupError::UnknownMember { member_id: id.into() };
        if let Some(instance_id) = instance_id {
            let now = self.statics.get(instance_id).ok_or_else(unknown)?;
            if **now != *id {
                return Err(GroupError::FencedInstance { instance_id: instance_id.clone() });
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(unknown()) }
    }

    pub(super) fn check_generation(&self, asked: i32) -> Result<(), GroupError> {
        let current = self.generation;
        if asked == current { Ok(()) } else { Err(GroupError::IllegalGeneration { asked, current }) }
    }

    /// Adds a member; its protocols have been checked against the others'.
    pub(super) fn add(&mut self, member: Member, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member or a pending id out, and answers what it waits for: it may join again as a new member.
    pub(super) fn remove(&mut self, id: &str) {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let Some(member) = self.members.remove(id) else { return };
        let gone = GroupError::UnknownMember { member_id: member.id.clone() };
        if let Some(ticket) = member.join {
            self.refuse_join(ticket, Arc::from(""), gone.clone());
        }
        if let Some(ticket) = member.sync {
            self.answer_sync(ticket, Err(gone));
        }
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Can somebody with these protocols be a member beside those who are?
    pub(super) fn supports(&self, protocol_type: &str, names: impl Iterator<Item = Arc<str>>) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && names.count() > 0;
        }
        let all_support = |name: Arc<str>| self.members.values().all(|m| m.supports(&name));
        self.protocol_type.as_deref() == Some(protocol_type) && names.into_iter().any(all_support)
    }

    /// The protocol that all members know and most of them like best; between equals the leader's order decides.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let voter = self.leader.as_ref().and_then(|id| self.members.get(id));
        let voter = voter.or_else(|| self.members.values().next())?;
        let candidates: Vec<&Arc<str>> = voter
            .protocols
            .iter()
            .map(|p| &p.name)
            .filter(|name| self.members.values().all(|m| m.supports(name)))
            .collect();
        let mut votes = vec![0usize; candidates.len()];
        for member in self.members.values() {
            let mut liked = member.protocols.iter();
            if let Some(at) = liked.find_map(|p| candidates.iter().position(|c| **c == p.name)) {
                votes[at] += 1;
            }
        }
        let most = votes.iter().copied().max()?;
        candidates.into_iter().zip(votes).find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }

    /// Reads the topics out of the members' metadata.
    pub(super) fn read_topics(&mut self) {
        self.topics = None;
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return;
        }
        let protocol = self.protocol.as_deref();
        if protocol.is_none() && !self.members.is_empty() {
            return;
        }
        let mut all = HashSet::new();
        for member in self.members.values() {
            let Some(topics) = subscription::topics(&member.metadata(protocol)) else { return };
            all.extend(topics);
        }
        self.topics = Some(all);
    }

    pub(super) fn refuse_join(&mut self, ticket: Ticket, member_id: MemberId, error: GroupError) {
        let answer = Err(super::JoinRefused { member_id, error });
        self.actions.push(Action::AnswerJoin { ticket, answer });
    }

    pub(super) fn answer_sync(&mut self, ticket: Ticket, answer: Result<super::Synced, GroupError>) {
        self.actions.push(Action::AnswerSync { ticket, answer });
    }
}
