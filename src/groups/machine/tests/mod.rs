//! The machine under virtual time: events go in, actions are compared.

mod joining;
mod leaving;
mod random;
mod rebalancing;
mod statics;
mod stored;
mod syncing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;

const SESSION: i64 = 10_000;
const REBALANCE: i64 = 60_000;
const DELAY: i64 = 3_000;
const NEW_MEMBER: i64 = 300_000;

/// A group, a clock, and what became of every request.
struct Sim {
    group: Classic,
    now_ms: i64,
    tickets: Ticket,
    ids: u32,
    joins: BTreeMap<Ticket, Result<Joined, JoinRefused>>,
    syncs: BTreeMap<Ticket, Result<Synced, GroupError>>,
    stores: Vec<Snapshot>,
}

impl Sim {
    /// Without the wait of the first rebalance.
    fn new() -> Self {
        Self::with(Rules { initial_delay_ms: 0, new_member_wait_ms: NEW_MEMBER, members_max: 100 })
    }

    fn with(rules: Rules) -> Self {
        Self::of(Classic::new(rules, 0), 0)
    }

    fn of(group: Classic, now_ms: i64) -> Self {
        let (joins, syncs, stores) = Default::default();
        Self { group, now_ms, tickets: 0, ids: 0, joins, syncs, stores }
    }

    fn now(&self) -> Now {
        at(self.now_ms)
    }

    /// Carries actions out; a ticket is answered once.
    fn settle(&mut self) {
        if self.group.next_deadline().is_some_and(|at| at <= self.now_ms) {
            self.group.handle_timeout(self.now());
        }
        for action in self.group.take_actions() {
            match action {
                Action::AnswerJoin { ticket, answer } => {
                    assert_eq!(self.joins.insert(ticket, answer), None, "join {ticket} answered twice");
                }
                Action::AnswerSync { ticket, answer } => {
                    assert_eq!(self.syncs.insert(ticket, answer), None, "sync {ticket} answered twice");
                }
                Action::Store(snapshot) => self.stores.push(*snapshot),
            }
        }
    }

    fn advance(&mut self, ms: i64) {
        let until = self.now_ms + ms;
        while let Some(next) = self.group.next_deadline().filter(|next| *next <= until) {
            assert!(next >= self.now_ms, "a deadline lies in the past");
            self.now_ms = next;
            self.group.handle_timeout(self.now());
            self.settle();
        }
        self.now_ms = until;
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    fn join(&mut self, join: Join) -> Ticket {
        let ticket = self.ticket();
        self.ids += 1;
        let fresh_id = format!("m{}", self.ids).into();
        self.group.handle_join(ticket, join, fresh_id, self.now());
        self.settle();
        ticket
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let assignments = assignments.iter().map(|(id, what)| ((*id).into(), bytes(what))).collect();
        self.sync_as(SyncRequest { assignments, ..sync(member, generation) })
    }

    fn sync_as(&mut self, sync: SyncRequest) -> Ticket {
        let ticket = self.ticket();
        self.group.handle_sync(ticket, sync, self.now());
        self.settle();
        ticket
    }

    fn stored(&mut self, stored: Result<(), GroupError>) {
        self.group.handle_stored(stored, self.now());
        self.settle();
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let beat = self.group.handle_heartbeat(&member.into(), None, generation, self.now());
        self.settle();
        beat
    }

    fn leave(&mut self, member: &str) -> Result<(), GroupError> {
        let leaving = Leaving { member_id: member.into(), instance_id: None };
        let mut left = self.group.handle_leave(&[leaving], self.now()).unwrap();
        self.settle();
        left.remove(0)
    }

    /// The answer to a join, which has to be there.
    fn joined(&self, ticket: Ticket) -> Joined {
        self.joins[&ticket].clone().unwrap()
    }

    fn refused(&self, ticket: Ticket) -> GroupError {
        self.joins[&ticket].clone().unwrap_err().error
    }

    fn assigned(&self, ticket: Ticket) -> Bytes {
        self.syncs[&ticket].clone().unwrap().assignment
    }

    /// A stable group of `m1..=mN`, led by `m1`, at generation 1 or later; who has what.
    fn stable(members: usize) -> Self {
        let mut sim = Self::with(Rules { initial_delay_ms: DELAY, ..Self::new().group.rules });
        for _ in 0..members {
            sim.join(new_member());
        }
        sim.advance(2 * DELAY);
        sim.assign_all();
        sim
    }

    /// All members sync, the leader with an assignment named after each member and generation.
    fn assign_all(&mut self) {
        let generation = self.group.generation();
        let ids: Vec<String> = self.group.members.keys().map(ToString::to_string).collect();
        let leader = self.group.leader.clone().unwrap();
        for id in &ids {
            if **id != *leader {
                self.sync(id, generation, &[]);
            }
        }
        let parts: Vec<_> = ids.iter().map(|id| (id.clone(), format!("{id}@{generation}"))).collect();
        let parts: Vec<_> = parts.iter().map(|(id, what)| (id.as_str(), what.as_str())).collect();
        self.sync(&leader, generation, &parts);
        self.stored(Ok(()));
        assert_eq!(self.group.state(), State::Stable);
    }
}

fn at(ms: i64) -> Now {
    Now { tick_ms: ms, wall_ms: 1_000_000 + ms }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn protocols(list: &[(&str, &str)]) -> Vec<Protocol> {
    list.iter().map(|(name, metadata)| Protocol { name: (*name).into(), metadata: bytes(metadata) }).collect()
}

/// A dynamic member of old clients, which need no second join.
fn new_member() -> Join {
    Join {
        member_id: "".into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "test".into(),
        protocols: protocols(&[("range", "r"), ("sticky", "s")]),
        needs_known_id: false,
        may_skip_assignment: false,
    }
}

fn known(id: &str) -> Join {
    Join { member_id: id.into(), ..new_member() }
}

/// What a member that has changed says; it makes any group rebalance.
fn changed(id: &str) -> Join {
    Join { protocols: protocols(&[("range", "changed")]), ..known(id) }
}

fn instance(name: &str) -> Join {
    Join { instance_id: Some(name.into()), ..new_member() }
}

fn sync(member: &str, generation: i32) -> SyncRequest {
    SyncRequest {
        member_id: member.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    }
}

fn unknown(id: &str) -> GroupError {
    GroupError::UnknownMember { member_id: id.into() }
}
