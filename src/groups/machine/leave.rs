//! Signs of life and their end: heartbeats, commits of offsets, leaving, deletion.

use std::sync::Arc;

use super::{Classic, GroupError, MemberId, Now, State};

/// Who is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// empty: whoever has the instance id
    pub member_id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
}

/// Who commits offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitter {
    /// empty: nobody of the group, which is allowed while it is empty
    pub member_id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// as joined; −1 with an empty member id
    pub generation: i32,
}

impl Classic {
    /// A member gives a sign of life.
    ///
    /// # Errors
    /// `Rebalancing`: it is alive and has to join again. `UnknownMember`, `FencedInstance`, `IllegalGeneration`,
    /// `Deleting`.
    pub fn handle_heartbeat(
        &mut self,
        id: &MemberId,
        instance_id: Option<&Arc<str>>,
        generation: i32,
        now: Now,
    ) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::Deleting);
        }
        self.check(id, instance_id)?;
        self.check_generation(generation)?;
        self.renew(id, now);
        if self.state == State::PreparingRebalance { Err(GroupError::Rebalancing) } else { Ok(()) }
    }

    /// Members leave, of their own will or by an operator's; one result for each, in their order.
    ///
    /// # Errors
    /// `Deleting` for all; `UnknownMember`, `FencedInstance` for one.
    pub fn handle_leave(
        &mut self,
        leaving: &[Leaving],
        now: Now,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::Deleting);
        }
        let results: Vec<_> = leaving.iter().map(|who| self.take_leave(who)).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.rebalance(now),
                _ => self.complete_join_if_all_are_there(now),
            }
        }
        Ok(results)
    }

    fn take_leave(&mut self, who: &Leaving) -> Result<(), GroupError> {
        let id = if who.member_id.is_empty() {
            let found = who.instance_id.as_ref().and_then(|instance| self.statics.get(instance));
            found.cloned().ok_or_else(|| GroupError::UnknownMember { member_id: who.member_id.clone() })?
        } else if self.pending.contains_key(&who.member_id) {
            who.member_id.clone()
        } else {
            self.check(&who.member_id, who.instance_id.as_ref())?;
            who.member_id.clone()
        };
        self.remove(&id);
        Ok(())
    }

    /// All members go, whatever they are doing: an operator wants the group for himself.
    pub fn handle_expel(&mut self, now: Now) {
        let everybody: Vec<_> = self.members.keys().chain(self.pending.keys()).cloned().collect();
        for id in &everybody {
            self.remove(id);
        }
        match self.state {
            State::Stable | State::CompletingRebalance => self.rebalance(now),
            State::PreparingRebalance => self.complete_join(now),
            State::Empty | State::Dead => {}
        }
    }

    /// May these offsets be committed now? If so it is a sign of life.
    ///
    /// # Errors
    /// `Rebalancing`, `UnknownMember`, `FencedInstance`, `IllegalGeneration`, `Deleting`.
    pub fn handle_commit(&mut self, who: &OffsetCommitter, now: Now) -> Result<(), GroupError> {
        self.check_commit(who, false)?;
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.renew(&who.member_id, now);
        }
        Ok(())
    }

    /// May these offsets be committed? In a transaction the state of the group does not matter, and a producer that does
    /// not say for whom it commits is believed, as in Kafka.
    pub fn check_commit(&self, who: &OffsetCommitter, in_transaction: bool) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::Deleting);
        }
        if who.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if who.generation >= 0 || !who.member_id.is_empty() || who.instance_id.is_some() {
            self.check(&who.member_id, who.instance_id.as_ref())?;
            self.check_generation(who.generation)?;
        } else if !in_transaction && self.state != State::Empty {
            return Err(GroupError::UnknownMember { member_id: who.member_id.clone() });
        }
        // The member knows the generation and not yet its assignment: what it commits belongs to the one before.
        if !in_transaction && self.state == State::CompletingRebalance {
            return Err(GroupError::Rebalancing);
        }
        Ok(())
    }

    /// May the group be deleted? If so nobody can join any more, until [`Classic::handle_revive`].
    ///
    /// # Errors
    /// `NotEmpty`, `Deleting`.
    pub fn handle_delete(&mut self, now: Now) -> Result<(), GroupError> {
        match self.state {
            State::Empty => {
                // Ids that were given out lapse with the group.
                self.pending.clear();
                self.move_to(State::Dead, now.wall_ms);
                Ok(())
            }
            State::Dead => Err(GroupError::Deleting),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                Err(GroupError::NotEmpty { members: self.members.len().max(1) })
            }
        }
    }

    /// The deletion could not be stored.
    pub fn handle_revive(&mut self) {
        if self.state == State::Dead {
            self.state = State::Empty;
        }
    }

    fn renew(&mut self, id: &MemberId, now: Now) {
        if let Some(member) = self.members.get_mut(id) {
            member.renew(now.tick_ms);
        }
    }
}
