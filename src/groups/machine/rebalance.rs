//! Rebalancing: gathering the members of the next generation, and what the passing of time does.

use super::state::JoinTimer;
use super::sync::Then;
use super::{Action, Classic, GroupError, MemberId, Now, State};

/// Pause between two looks whether one of the static members, which all are missing, has joined (a guess).
const NOBODY_PAUSE_MS: i64 = 1_000;

/// What is due first.
enum Due {
    Session(MemberId),
    Pending(MemberId),
    Join(JoinTimer),
    Sync,
}

impl Classic {
    /// Does what has become due, in the order of time. Called early it does nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.due(now.tick_ms) {
            match due {
                Due::Session(id) => self.end_session(&id, now),
                Due::Pending(id) => {
                    self.remove(&id);
                    self.complete_join_if_nobody_is_missing(now);
                }
                Due::Join(JoinTimer::Initial { delay_ms, remaining_ms, .. }) => {
                    self.end_initial_wait(delay_ms, remaining_ms, now);
                }
                Due::Join(JoinTimer::Rebalance { .. }) => self.complete_join(now),
                Due::Sync => self.remove_unsynced(now),
            }
        }
    }

    fn due(&self, tick_ms: i64) -> Option<Due> {
        let sessions =
            self.members.values().filter_map(|m| Some((m.session_ends?, Due::Session(m.id.clone()))));
        let pending = self.pending.iter().map(|(id, at)| (*at, Due::Pending(id.clone())));
        let join = self.join_timer.map(|timer| (timer.at(), Due::Join(timer)));
        let sync = self.sync_ends.map(|at| (at, Due::Sync));
        let all = sessions.chain(pending).chain(join).chain(sync);
        all.filter(|(at, _)| *at <= tick_ms).min_by_key(|(at, _)| *at).map(|(_, due)| due)
    }

    fn end_session(&mut self, id: &MemberId, now: Now) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.session_ends = None;
        if member.is_alive() {
            return;
        }
        self.remove(id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.rebalance(now),
            _ => self.complete_join_if_nobody_is_missing(now),
        }
    }

    /// The first members of a group came one after the other: gives those that follow some time, but not for ever.
    fn end_initial_wait(&mut self, delay_ms: i64, remaining_ms: i64, now: Now) {
        if !self.is_joined_meanwhile || remaining_ms == 0 {
            return self.complete_join(now);
        }
        self.is_joined_meanwhile = false;
        let next_ms = self.rules.initial_delay_ms.min(remaining_ms);
        self.join_timer = Some(JoinTimer::Initial {
            at: now.tick_ms.saturating_add(next_ms),
            delay_ms: next_ms,
            remaining_ms: remaining_ms.saturating_sub(delay_ms).max(0),
        });
    }

    /// Members that never asked for their assignment hold nobody up for ever.
    fn remove_unsynced(&mut self, now: Now) {
        self.sync_ends = None;
        let missing = std::mem::take(&mut self.unsynced);
        if missing.is_empty() || !matches!(self.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        for id in missing {
            self.remove(&id);
        }
        self.prepare_rebalance(now);
    }

    /// Begins a rebalance, or takes part in the one that is being prepared.
    pub(super) fn rebalance(&mut self, now: Now) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(now),
            State::PreparingRebalance | State::Dead => self.complete_join_if_all_are_there(now),
        }
    }

    pub(super) fn prepare_rebalance(&mut self, now: Now) {
        if self.state == State::CompletingRebalance {
            self.drop_assignments(&GroupError::Rebalancing, now);
        }
        self.unsynced.clear();
        self.sync_ends = None;
        let is_initial = self.state == State::Empty;
        self.move_to(State::PreparingRebalance, now.wall_ms);
        if is_initial {
            let delay_ms = self.rules.initial_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            let at = now.tick_ms.saturating_add(delay_ms);
            self.is_joined_meanwhile = false;
            self.join_timer = Some(JoinTimer::Initial { at, delay_ms, remaining_ms });
        } else if self.have_all_joined() {
            self.complete_join(now);
        } else {
            self.wait_for_joins(self.rebalance_timeout_ms(), now);
        }
    }

    fn wait_for_joins(&mut self, wait_ms: i64, now: Now) {
        self.join_timer = Some(JoinTimer::Rebalance { at: now.tick_ms.saturating_add(wait_ms) });
    }

    /// After somebody has joined. An initial rebalance waits on, for those that nobody knows yet.
    pub(super) fn complete_join_if_all_are_there(&mut self, now: Now) {
        if self.previous != State::Empty {
            self.complete_join_if_nobody_is_missing(now);
        }
    }

    /// After somebody has gone.
    fn complete_join_if_nobody_is_missing(&mut self, now: Now) {
        if self.state == State::PreparingRebalance && self.have_all_joined() {
            self.complete_join(now);
        }
    }

    /// Begins the next generation with those that have joined. Static members belong to it even if they have not.
    pub(super) fn complete_join(&mut self, now: Now) {
        self.join_timer = None;
        let late = self.members.values().filter(|m| m.join.is_none() && !m.is_static());
        for id in late.map(|m| m.id.clone()).collect::<Vec<_>>() {
            self.remove(&id);
        }
        if self.state == State::Dead {
            return;
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members are left, none of them has joined: their sessions decide.
            return self.wait_for_joins(self.rebalance_timeout_ms().max(NOBODY_PAUSE_MS), now);
        }

        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.unsynced.clear();
        self.sync_ends = None;
        self.protocol = self.select_protocol();
        self.read_topics();
        if self.members.is_empty() {
            self.leader = None;
            self.move_to(State::Empty, now.wall_ms);
            return self.store(Then::Nothing);
        }
        self.move_to(State::CompletingRebalance, now.wall_ms);
        self.answer_joins(now);
        self.sync_ends = Some(now.tick_ms.saturating_add(self.rebalance_timeout_ms()));
    }

    /// The leader stays if it has joined, else one that has follows. False: nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.members.get(id).is_some_and(|m| m.join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(next) = self.members.values().find(|m| m.join.is_some()) else { return false };
        self.leader = Some(next.id.clone());
        true
    }

    fn answer_joins(&mut self, now: Now) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            let ticket = member.join.take();
            member.is_new = false;
            member.renew(now.tick_ms);
            self.unsynced.insert(id);
            if let Some(ticket) = ticket {
                self.actions.push(Action::AnswerJoin { ticket, answer: Ok(joined) });
            }
        }
    }
}
