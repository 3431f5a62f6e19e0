//! Members: join, sync, heartbeat, leave.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Groups;
use super::entry::{Machine, Waiter, fresh_member_id};
use crate::groups::machine::{Join, JoinRefused, Joined, Leaving, MemberId, SyncRequest, Synced};
use crate::groups::{GroupError, GroupId};
use crate::model::limits::GROUP_BYTES_MAX;

impl Groups {
    /// Joins a group. Waits for the other members, at most for as long as they ask for; a new member five minutes. Dropping
    /// the future does not take the join back.
    ///
    /// # Errors
    /// With the id that the member is to use next: `MemberIdRequired`, `UnknownMember`, `FencedInstance`, `Rebalancing`,
    /// `InconsistentProtocol`, `SessionTimeout`, `Full`, `TooMany`, `OutOfRoom`, `EmptyId`, `ReadOnly`, `Deleting`,
    /// `Storage`, `Closed`.
    pub async fn join(&self, group: &GroupId, join: Join) -> Result<Joined, JoinRefused> {
        let member_id = join.member_id.clone();
        let refused = |error| JoinRefused { member_id: member_id.clone(), error };
        self.check_join(group, &join).map_err(refused)?;
        let inner = self.inner();
        let entry = match inner.find(group) {
            Some(entry) => entry,
            None if join.member_id.is_empty() => inner.find_or_make(group).map_err(refused)?,
            None => return Err(refused(GroupError::UnknownMember { member_id: join.member_id })),
        };
        let (sender, answer) = oneshot::channel();
        inner
            .happen(&entry, |group, now| {
                inner.check_open()?;
                if group.member_bytes().saturating_add(bytes_of(&join)) > GROUP_BYTES_MAX {
                    return Err(GroupError::OutOfRoom { limit: GROUP_BYTES_MAX });
                }
                let fresh_id = fresh_member_id(&join);
                let ticket = group.wait(Waiter::Join(sender));
                match group.classic_to_join(inner.options.rules, now) {
                    Ok(classic) => classic.handle_join(ticket, join, fresh_id, now),
                    Err(error) => {
                        group.waiters.remove(&ticket);
                        return Err(error);
                    }
                }
                Ok(())
            })
            .map_err(refused)?;
        answer.await.unwrap_or_else(|_| Err(refused(GroupError::Closed)))
    }

    fn check_join(&self, group: &GroupId, join: &Join) -> Result<(), GroupError> {
        let (inner, options) = (self.inner(), self.options());
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        inner.check_writable(group)?;
        let (min, max) = (options.session_timeout_min_ms, options.session_timeout_max_ms);
        let asked = join.session_timeout_ms;
        if !(min..=max).contains(&asked) {
            return Err(GroupError::SessionTimeout { asked, min, max });
        }
        inner.check_room(bytes_of(join))
    }

    /// Asks for a member's assignment; the leader gives those of all. Followers wait for the leader, at most for as long as
    /// a rebalance may take, and the leader until its are stored.
    ///
    /// # Errors
    /// `UnknownMember`, `FencedInstance`, `IllegalGeneration`, `Rebalancing`, `InconsistentProtocol`, `OutOfRoom`, `EmptyId`,
    /// `ReadOnly`, `Deleting`, `Storage`, `Closed`.
    pub async fn sync(&self, group: &GroupId, sync: SyncRequest) -> Result<Synced, GroupError> {
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        let inner = self.inner();
        inner.check_writable(group)?;
        let bytes: usize = sync.assignments.iter().map(|(id, assignment)| id.len() + assignment.len()).sum();
        if bytes > GROUP_BYTES_MAX {
            return Err(GroupError::OutOfRoom { limit: GROUP_BYTES_MAX });
        }
        inner.check_room(bytes)?;
        let member_id = sync.member_id.clone();
        let unknown = || GroupError::UnknownMember { member_id: member_id.clone() };
        let entry = inner.find(group).ok_or_else(unknown)?;
        let (sender, answer) = oneshot::channel();
        inner.happen(&entry, |group, now| {
            inner.check_open()?;
            // A group that follows the other protocol by now has no such member.
            if group.machine.classic().is_err() {
                return Err(unknown());
            }
            let ticket = group.wait(Waiter::Sync(sender));
            group.machine.classic()?.handle_sync(ticket, sync, now);
            Ok(())
        })?;
        answer.await.unwrap_or(Err(GroupError::Closed))
    }

    /// Says that a member is alive.
    ///
    /// # Errors
    /// `Rebalancing`: it is, and has to join again. `UnknownMember`, `FencedInstance`, `IllegalGeneration`, `EmptyId`,
    /// `ReadOnly`, `Deleting`.
    pub fn heartbeat(
        &self,
        group: &GroupId,
        member_id: &MemberId,
        instance_id: Option<&Arc<str>>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        let inner = self.inner();
        inner.check_writable(group)?;
        let unknown = || GroupError::UnknownMember { member_id: member_id.clone() };
        let entry = inner.find(group).ok_or_else(unknown)?;
        let now = inner.now();
        // Nothing follows from a heartbeat but a later deadline, which the timers find when they look.
        let mut group = entry.group.lock();
        match &mut group.machine {
            Machine::Classic(classic) => classic.handle_heartbeat(member_id, instance_id, generation, now),
            Machine::Consumer(_) => Err(unknown()),
        }
    }

    /// Members leave; one result for each, in their order.
    ///
    /// # Errors
    /// For all: `EmptyId`, `ReadOnly`, `Deleting`. For one: `UnknownMember`, `FencedInstance`.
    pub fn leave(
        &self,
        group: &GroupId,
        leaving: &[Leaving],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        let inner = self.inner();
        inner.check_writable(group)?;
        let unknown = |who: &Leaving| Err(GroupError::UnknownMember { member_id: who.member_id.clone() });
        let Some(entry) = inner.find(group) else { return Ok(leaving.iter().map(unknown).collect()) };
        inner.happen(&entry, |group, now| match &mut group.machine {
            Machine::Classic(classic) => classic.handle_leave(leaving, now),
            Machine::Consumer(_) => Ok(leaving.iter().map(unknown).collect()),
        })
    }

    /// All members go, so that the group can be worked on from outside. They learn it by their next heartbeat.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`.
    pub fn expel(&self, group: &GroupId) -> Result<(), GroupError> {
        let inner = self.inner();
        inner.check_writable(group)?;
        let entry = inner.find(group).ok_or_else(|| GroupError::NotFound { group: group.clone() })?;
        inner.happen(&entry, |group, now| {
            group.machine.handle_expel(now);
            Ok(())
        })
    }
}

/// Bytes of what a member says of itself.
fn bytes_of(join: &Join) -> usize {
    let protocols = join.protocols.iter().map(|p| p.name.len() + p.metadata.len() + 64).sum::<usize>();
    let names = join.member_id.len() + join.client_id.len() + join.client_host.len();
    names + join.instance_id.as_deref().map_or(0, str::len) + protocols
}
