//! The end of members: leaving, silence, an operator; and the end of the group.

use std::sync::Arc;

use super::{Assignment, Beat, Consumer, LEAVES, LEAVES_FOR_A_WHILE, Member, MemberId, Progress};
use crate::groups::GroupError;
use crate::groups::machine::Now;

impl Consumer {
    pub(super) fn leave(
        &mut self,
        id: &MemberId,
        instance_id: Option<&Arc<str>>,
    ) -> Result<Beat, GroupError> {
        let id = self.find(id, instance_id)?.id.clone();
        self.remove(&id);
        Ok(Beat { member_id: id, epoch: LEAVES, assignment: None })
    }

    /// A static member says that it will be back. Nobody gets what it owned unless its session ends before.
    pub(super) fn leave_for_a_while(
        &mut self,
        id: &MemberId,
        instance_id: Option<&Arc<str>>,
    ) -> Result<Beat, GroupError> {
        let member = self.find(id, instance_id)?;
        let (id, assigned) = (member.id.clone(), member.assigned.clone());
        if member.instance_id.is_none() {
            return Err(GroupError::Epoch { asked: LEAVES_FOR_A_WHILE });
        }
        self.hold(&id, assigned, Assignment::default());
        if let Some(member) = self.members.get_mut(&id) {
            member.epoch = LEAVES_FOR_A_WHILE;
            member.progress = Progress::Stable;
            member.revocation_ends = None;
        }
        self.changes += 1;
        Ok(Beat { member_id: id, epoch: LEAVES_FOR_A_WHILE, assignment: None })
    }

    /// Removes members whose time is over. Called early it does nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        let is_over = |m: &&Member| m.next_deadline() <= now.tick_ms;
        let over: Vec<_> = self.members.values().filter(is_over).map(|m| m.id.clone()).collect();
        for id in over {
            self.remove(&id);
        }
    }

    /// All members go, whatever they are doing: an operator wants the group for himself.
    pub fn handle_expel(&mut self) {
        let everybody: Vec<_> = self.members.keys().cloned().collect();
        for id in &everybody {
            self.remove(id);
        }
    }

    /// May the group be deleted? If so nobody can join any more, until [`Consumer::handle_revive`].
    ///
    /// # Errors
    /// `NotEmpty`, `Deleting`.
    pub fn handle_delete(&mut self) -> Result<(), GroupError> {
        if self.is_dead {
            return Err(GroupError::Deleting);
        }
        if !self.members.is_empty() {
            return Err(GroupError::NotEmpty { members: self.members.len() });
        }
        self.is_dead = true;
        Ok(())
    }

    /// The deletion could not be stored.
    pub fn handle_revive(&mut self) {
        self.is_dead = false;
    }

    fn remove(&mut self, id: &MemberId) {
        if self.take(id).is_some() {
            self.bump();
        }
    }
}
