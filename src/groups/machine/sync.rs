//! Handing out assignments: followers wait for the leader's, the leader waits until its are stored.

use std::collections::HashMap;

use bytes::Bytes;

use super::join::TakeOver;
use super::{Action, Classic, GroupError, MemberId, Now, Snapshot, State, SyncRequest, Synced, Ticket};

/// What follows a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// the assignments of this generation are handed out
    Assign {
        generation: i32,
        assignments: HashMap<MemberId, Bytes>,
    },
    /// the static member that is back is answered
    TakeOver(Box<TakeOver>),
}

impl Classic {
    /// A member asks for its assignment. The answer comes as an action, now or later.
    pub fn handle_sync(&mut self, ticket: Ticket, sync: SyncRequest, now: Now) {
        if let Err(error) = self.check_sync(&sync) {
            return self.answer_sync(ticket, Err(error));
        }
        let id = sync.member_id;
        match self.state {
            State::CompletingRebalance => {
                let Some(member) = self.members.get_mut(&id) else { return };
                let id = member.id.clone();
                // An earlier sync of it that still waits has lost its connection.
                if let Some(earlier) = member.sync.replace(ticket) {
                    self.answer_sync(earlier, Err(GroupError::Rebalancing));
                }
                self.note_synced(&id);
                if self.is_leader(&id) {
                    self.assign(sync.assignments);
                }
            }
            State::Stable => {
                self.note_synced(&id);
                self.answer_synced(ticket, &id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.renew(now.tick_ms);
                }
            }
            State::Empty | State::PreparingRebalance | State::Dead => {
                self.answer_sync(ticket, Err(GroupError::Rebalancing));
            }
        }
    }

    /// The first store that was asked for and had not ended has ended.
    pub fn handle_stored(&mut self, stored: Result<(), GroupError>, now: Now) {
        match self.storing.pop_front() {
            None | Some(Then::Nothing) => {}
            Some(Then::TakeOver(over)) => self.finish_take_over(*over, stored, now),
            Some(Then::Assign { generation, assignments }) => {
                // Somebody may have joined or left meanwhile: then the assignments are past.
                if self.state != State::CompletingRebalance || self.generation != generation {
                    return;
                }
                match stored {
                    Ok(()) => self.hand_out(assignments, now),
                    Err(error) => {
                        self.drop_assignments(&error, now);
                        self.prepare_rebalance(now);
                    }
                }
            }
        }
    }

    fn check_sync(&self, sync: &SyncRequest) -> Result<(), GroupError> {
        match self.state {
            State::Dead => return Err(GroupError::Deleting),
            State::Empty => return Err(GroupError::UnknownMember { member_id: sync.member_id.clone() }),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {}
        }
        self.check(&sync.member_id, sync.instance_id.as_ref())?;
        self.check_generation(sync.generation)?;
        let differs = |asked: &Option<_>, own: &Option<_>| asked.is_some() && own.is_some() && asked != own;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn note_synced(&mut self, id: &MemberId) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_ends = None;
        }
    }

    /// Members that the leader has left out get nothing; whom it invented are not there.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>) {
        let mut assignments: HashMap<_, _> = assignments.into_iter().collect();
        assignments.retain(|id, _| self.members.contains_key(id));
        let generation = self.generation;
        self.store(Then::Assign { generation, assignments });
    }

    fn hand_out(&mut self, mut assignments: HashMap<MemberId, Bytes>, now: Now) {
        let mut answers = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
            if let Some(ticket) = member.sync.take() {
                // Its session may have ended while it waited, which did not count.
                member.renew(now.tick_ms);
                answers.push((ticket, member.id.clone()));
            }
        }
        for (ticket, id) in answers {
            self.answer_synced(ticket, &id);
        }
        self.move_to(State::Stable, now.wall_ms);
    }

    /// No member has an assignment any more, and whoever waits for one is told why.
    pub(super) fn drop_assignments(&mut self, error: &GroupError, now: Now) {
        let mut tickets = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(ticket) = member.sync.take() {
                member.renew(now.tick_ms);
                tickets.push(ticket);
            }
        }
        for ticket in tickets {
            self.answer_sync(ticket, Err(error.clone()));
        }
    }

    fn answer_synced(&mut self, ticket: Ticket, id: &MemberId) {
        let Some(member) = self.members.get(id) else { return };
        let assignment = member.assignment.clone();
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        self.answer_sync(ticket, Ok(Synced { protocol_type, protocol, assignment }));
    }

    /// Asks for the group to be stored as it is, with the assignments that follow if it is.
    pub(super) fn store(&mut self, then: Then) {
        let mut snapshot = self.snapshot();
        if let Then::Assign { assignments, .. } = &then {
            for member in &mut snapshot.members {
                member.assignment = assignments.get(&member.id).cloned().unwrap_or_default();
            }
        }
        self.storing.push_back(then);
        self.actions.push(Action::Store(Box::new(snapshot)));
    }

    /// How the group stands, to be stored.
    fn snapshot(&self) -> Snapshot {
        Snapshot::of(self)
    }
}
