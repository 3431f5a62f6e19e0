//! Joining: new members, members that are back, and static members that take their own place again.

use std::sync::Arc;

use super::member::Member;
use super::sync::Then;
use super::{Action, Classic, GroupError, Join, Joined, JoinedMember, MemberId, Now, State, Ticket};

impl Classic {
    /// Somebody wants to be in the next generation; `fresh_id`, never used before, is its id if it is new. The answer
    /// comes as an action, now or later.
    pub fn handle_join(&mut self, ticket: Ticket, join: Join, fresh_id: MemberId, now: Now) {
        if self.state == State::Dead {
            return self.refuse_join(ticket, join.member_id, GroupError::Deleting);
        }
        if !self.has_room_for(&join.member_id) {
            // Who has not joined again when the group is full makes room, as in Kafka.
            self.remove(&join.member_id);
            self.refuse_join(ticket, Arc::from(""), GroupError::Full { limit: self.rules.members_max });
            return self.complete_join_if_all_are_there(now);
        }
        let names = join.protocols.iter().map(|p| p.name.clone());
        if !self.supports(&join.protocol_type, names) {
            return self.refuse_join(ticket, join.member_id, GroupError::InconsistentProtocol);
        }
        if join.member_id.is_empty() {
            self.join_new(ticket, join, fresh_id, now);
        } else {
            self.join_again(ticket, join, now);
        }
    }

    /// While a rebalance is prepared those count that have joined: the last to come find no room. Afterwards all members
    /// count, and who is one keeps its place.
    fn has_room_for(&self, id: &str) -> bool {
        let member = self.members.get(id);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                member.is_some_and(|m| m.join.is_some()) || self.joining() < self.rules.members_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < self.rules.members_max
            }
        }
    }

    fn join_new(&mut self, ticket: Ticket, join: Join, id: MemberId, now: Now) {
        let old = join.instance_id.as_ref().and_then(|instance| self.statics.get(instance)).cloned();
        if let Some(old) = old {
            return self.take_over(ticket, &old, id, join, now);
        }
        if join.instance_id.is_some() || !join.needs_known_id {
            return self.add_member(ticket, id, join, now);
        }
        if self.pending.len() >= self.rules.members_max {
            let error = GroupError::Full { limit: self.rules.members_max };
            return self.refuse_join(ticket, Arc::from(""), error);
        }
        self.pending.insert(id.clone(), now.tick_ms.saturating_add(join.session_timeout_ms));
        self.refuse_join(ticket, id.clone(), GroupError::MemberIdRequired { member_id: id });
    }

    fn add_member(&mut self, ticket: Ticket, id: MemberId, join: Join, now: Now) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.is_joined_meanwhile = true;
        }
        let protocol_type = join.protocol_type.clone();
        let mut member = Member::new(id, ticket, join);
        // It does not know its id yet, so heartbeats cannot tell whether it is there. If it is, it asks again.
        member.session_ends = Some(now.tick_ms.saturating_add(self.rules.new_member_wait_ms));
        self.add(member, &protocol_type);
        self.rebalance(now);
    }

    fn join_again(&mut self, ticket: Ticket, join: Join, now: Now) {
        let id = join.member_id.clone();
        if self.pending.contains_key(&id) && join.instance_id.is_none() {
            return self.add_member(ticket, id, join, now);
        }
        if let Err(error) = self.check(&id, join.instance_id.as_ref()) {
            return self.refuse_join(ticket, id, error);
        }
        let is_same = self.members.get(&id).is_some_and(|m| m.protocols == join.protocols);
        match self.state {
            State::PreparingRebalance => self.update_and_rebalance(ticket, join, now),
            // It may not have got the answer to its join; nothing else has changed.
            State::CompletingRebalance if is_same => self.answer_joined(ticket, &id),
            // The leader joins again when something has changed that its metadata do not show, such as partitions.
            State::Stable if is_same && !self.is_leader(&id) => self.answer_joined(ticket, &id),
            State::CompletingRebalance | State::Stable => self.update_and_rebalance(ticket, join, now),
            State::Empty | State::Dead => {
                let error = GroupError::UnknownMember { member_id: id.clone() };
                self.refuse_join(ticket, id, error);
            }
        }
    }

    fn update_and_rebalance(&mut self, ticket: Ticket, join: Join, now: Now) {
        let id = join.member_id.clone();
        self.update(&id, ticket, join);
        self.rebalance(now);
    }

    /// Takes what a member says of itself now. An earlier join of it that still waits has lost its connection.
    fn update(&mut self, id: &str, ticket: Ticket, join: Join) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols = join.protocols;
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        if let Some(earlier) = member.join.replace(ticket) {
            let id = member.id.clone();
            self.refuse_join(earlier, id, GroupError::Rebalancing);
        }
    }

    /// A static member is back under a new id: the old one is fenced at once, and its place and assignment go over. The
    /// group rebalances only if the protocol that it would choose has changed (KIP-345).
    fn take_over(&mut self, ticket: Ticket, old_id: &MemberId, new_id: MemberId, join: Join, now: Now) {
        let may_skip = join.may_skip_assignment;
        let Some(before) = self.replace(old_id, &new_id, now) else { return };
        self.update(&new_id, ticket, join);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                self.store(Then::TakeOver(Box::new(TakeOver { before, new_id, ticket, may_skip })));
            }
            State::Stable => self.rebalance(now),
            // The leader may be assigning to the old id already.
            State::CompletingRebalance => self.prepare_rebalance(now),
            State::PreparingRebalance => self.complete_join_if_all_are_there(now),
            // There are no static members to take over from.
            State::Empty | State::Dead => {}
        }
    }

    /// Puts a static member under another id, and answers what the old one waits for.
    fn replace(&mut self, old_id: &MemberId, new_id: &MemberId, now: Now) -> Option<Member> {
        let old = self.members.remove(old_id)?;
        let instance_id = old.instance_id.clone().unwrap_or_default();
        let fenced = GroupError::FencedInstance { instance_id: instance_id.clone() };
        if let Some(ticket) = old.join {
            self.refuse_join(ticket, old_id.clone(), fenced.clone());
        }
        if let Some(ticket) = old.sync {
            self.answer_sync(ticket, Err(fenced));
        }
        let mut new = Member { id: new_id.clone(), join: None, sync: None, is_new: false, ..old.clone() };
        new.renew(now.tick_ms);
        self.statics.insert(instance_id, new_id.clone());
        self.members.insert(new_id.clone(), new);
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.clone());
        }
        Some(Member { join: None, sync: None, ..old })
    }

    /// The new id of a static member is stored, or could not be.
    pub(super) fn finish_take_over(&mut self, over: TakeOver, stored: Result<(), GroupError>, now: Now) {
        let TakeOver { before, new_id, ticket, may_skip } = over;
        let is_waiting = self.members.get(&new_id).is_some_and(|m| m.join == Some(ticket));
        // A rebalance that has begun meanwhile answers the join when it completes.
        if !is_waiting || self.state != State::Stable {
            return;
        }
        if let Err(error) = stored {
            self.refuse_join(ticket, Arc::from(""), error);
            return self.give_back(before, &new_id, now);
        }
        let mut joined = self.joined(&new_id);
        if may_skip {
            joined.skip_assignment = self.is_leader(&new_id);
        } else if self.is_leader(&new_id) {
            // A leader that cannot be told to skip is told that its old self leads: then it does not assign.
            joined.leader = before.id;
            joined.members.clear();
        }
        self.actions.push(Action::AnswerJoin { ticket, answer: Ok(joined) });
        if let Some(member) = self.members.get_mut(&new_id) {
            member.join = None;
            member.renew(now.tick_ms);
        }
    }

    /// The member that was replaced is as it was.
    fn give_back(&mut self, mut old: Member, new_id: &MemberId, now: Now) {
        self.members.remove(new_id);
        if let Some(instance_id) = &old.instance_id {
            self.statics.insert(instance_id.clone(), old.id.clone());
        }
        if self.is_leader(new_id) {
            self.leader = Some(old.id.clone());
        }
        if self.unsynced.remove(new_id) {
            self.unsynced.insert(old.id.clone());
        }
        old.renew(now.tick_ms);
        self.members.insert(old.id.clone(), old);
    }

    /// The generation as it is, for one of its members.
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let protocol = self.protocol.as_deref();
        let member = |m: &Member| JoinedMember {
            member_id: m.id.clone(),
            instance_id: m.instance_id.clone(),
            metadata: m.metadata(protocol),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| Arc::from("")),
            member_id: id.clone(),
            members: if self.is_leader(id) {
                self.members.values().map(member).collect()
            } else {
                Vec::new()
            },
            skip_assignment: false,
        }
    }

    fn answer_joined(&mut self, ticket: Ticket, id: &MemberId) {
        let answer = Ok(self.joined(id));
        self.actions.push(Action::AnswerJoin { ticket, answer });
    }
}

/// A static member whose place another id has taken, until that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TakeOver {
    /// as it was before
    before: Member,
    new_id: MemberId,
    ticket: Ticket,
    may_skip: bool,
}
