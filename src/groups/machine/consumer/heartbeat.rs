//! Heartbeats of members that join or stay.

use std::sync::Arc;

use super::{
    Assignment, Beat, Consumer, Heartbeat, JOINS, LEAVES, LEAVES_FOR_A_WHILE, Member, MemberId, Topics,
};
use crate::groups::GroupError;
use crate::groups::machine::Now;

impl Consumer {
    /// A member gives a sign of life, joins or leaves; `fresh_id`, never used before, is its id if it has none. An error
    /// has changed nothing.
    ///
    /// # Errors
    /// `UnknownMember`, `FencedInstance`, `FencedEpoch`, `UnreleasedInstance`, `Pattern`, `Full`, `Epoch`, `Deleting`.
    pub fn handle_heartbeat(
        &mut self,
        beat: &Heartbeat,
        fresh_id: MemberId,
        topics: &Arc<Topics>,
        now: Now,
    ) -> Result<Beat, GroupError> {
        if self.is_dead {
            return Err(GroupError::Deleting);
        }
        match beat.epoch {
            JOINS => self.join(beat, fresh_id, topics, now),
            LEAVES => self.leave(&beat.member_id, beat.instance_id.as_ref()),
            LEAVES_FOR_A_WHILE => self.leave_for_a_while(&beat.member_id, beat.instance_id.as_ref()),
            epoch if epoch > 0 => self.stay(beat, topics, now),
            epoch => Err(GroupError::Epoch { asked: epoch }),
        }
    }

    /// Whoever joins says that it owns nothing, so one that was a member under the same id begins anew.
    fn join(
        &mut self,
        beat: &Heartbeat,
        fresh_id: MemberId,
        topics: &Arc<Topics>,
        now: Now,
    ) -> Result<Beat, GroupError> {
        let id = if beat.member_id.is_empty() { fresh_id } else { beat.member_id.clone() };
        let before = beat.instance_id.as_ref().and_then(|instance| self.statics.get(instance)).cloned();
        if let Some(other) = before.as_ref().filter(|other| **other != id)
            && !self.members.get(other).is_some_and(Member::is_away)
        {
            let instance_id = beat.instance_id.clone().unwrap_or_default();
            return Err(GroupError::UnreleasedInstance { instance_id });
        }
        let is_there = before.is_some() || self.members.contains_key(&id);
        if !is_there && self.members.len() >= self.rules.members_max {
            return Err(GroupError::Full { limit: self.rules.members_max });
        }
        self.take_pattern(beat, topics)?;

        let same = self.take(&id);
        let mut member = match before.and_then(|before| self.take(&before)) {
            // A static member is back: what was assigned to it waits for it.
            Some(before) => Member { id: id.clone(), ..before },
            None => same.map_or_else(|| Member::new(id.clone()), begin_anew),
        };
        member.epoch = 0;
        member.previous_epoch = 0;
        let is_other = member.update(beat) || !is_there;
        member.renew(now.tick_ms);
        self.put(member);
        self.changes += 1;
        self.advance(&id, beat, is_other, topics, now)
    }

    fn stay(&mut self, beat: &Heartbeat, topics: &Arc<Topics>, now: Now) -> Result<Beat, GroupError> {
        let member = self.find(&beat.member_id, beat.instance_id.as_ref())?;
        check_epoch(member, beat)?;
        self.take_pattern(beat, topics)?;
        let id = beat.member_id.clone();
        let Some(member) = self.members.get_mut(&id) else {
            return Err(GroupError::UnknownMember { member_id: id });
        };
        let before = (member.rack_id.clone(), member.assignor, member.rebalance_timeout_ms);
        let is_other = member.update(beat);
        member.renew(now.tick_ms);
        if is_other || before != (member.rack_id.clone(), member.assignor, member.rebalance_timeout_ms) {
            self.changes += 1;
        }
        self.advance(&id, beat, is_other, topics, now)
    }

    /// Brings the group, its target and this member forward.
    fn advance(
        &mut self,
        id: &MemberId,
        beat: &Heartbeat,
        is_other: bool,
        topics: &Arc<Topics>,
        now: Now,
    ) -> Result<Beat, GroupError> {
        self.see(is_other, topics);
        if self.epoch != self.target_epoch {
            self.make_target();
        }
        let is_moving = |m: &&Member| !m.is_reconciled(self.target_epoch);
        let before = self.members.get(id).filter(is_moving).map(|m| m.assigned.clone());
        self.reconcile(id, beat.owned.as_ref(), now);
        let Some(member) = self.members.get(id) else {
            return Err(GroupError::UnknownMember { member_id: id.clone() });
        };
        let says_all = beat.rebalance_timeout_ms.is_some()
            && (beat.topics.is_some() || beat.pattern.is_some())
            && beat.owned.is_some();
        let is_told =
            beat.epoch == JOINS || says_all || before.is_some_and(|before| before != member.assigned);
        Ok(Beat {
            member_id: id.clone(),
            epoch: member.epoch,
            assignment: is_told.then(|| member.assigned.clone()),
        })
    }

    fn take_pattern(&mut self, beat: &Heartbeat, topics: &Arc<Topics>) -> Result<(), GroupError> {
        match beat.pattern.as_ref().filter(|pattern| !pattern.is_empty()) {
            Some(pattern) => self.patterns.add(pattern, topics),
            None => Ok(()),
        }
    }
}

/// A member that says it owns nothing.
fn begin_anew(member: Member) -> Member {
    Member {
        assigned: Assignment::default(),
        revoking: Assignment::default(),
        progress: super::Progress::Stable,
        revocation_ends: None,
        ..member
    }
}

/// A member may come with the epoch before if it does not own more than it has: the answer with the last one was lost.
fn check_epoch(member: &Member, beat: &Heartbeat) -> Result<(), GroupError> {
    let owns_no_more = || beat.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
    if beat.epoch == member.epoch
        || (beat.epoch == member.previous_epoch && !member.is_away() && owns_no_more())
    {
        return Ok(());
    }
    Err(GroupError::FencedEpoch { asked: beat.epoch, current: member.epoch })
}
