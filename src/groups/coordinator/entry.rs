//! A group in use: its machine, its offsets, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Inner;
use super::saving::Saving;
use crate::groups::machine::consumer::Consumer;
use crate::groups::machine::{
    Action, Classic, Join, JoinRefused, Joined, Now, OffsetCommitter, Rules, Snapshot, State, Synced, Ticket,
};
use crate::groups::offsets::{Offsets, Unused};
use crate::groups::{GroupError, GroupId};
use crate::runtime::events::{self, What};

/// A group by its name. Once its state is `Dead` and it is no longer in the table it is forgotten.
pub(super) struct Entry {
    pub(super) id: GroupId,
    pub(super) group: Mutex<Group>,
}

/// What there is of a group. The members' protocol is a variant of [`Machine`]; offsets are the same for all.
pub(super) struct Group {
    pub(super) machine: Machine,
    pub(super) offsets: Offsets,
    pub(super) waiters: HashMap<Ticket, Waiter>,
    tickets: Ticket,
    /// counts the protocols that it has followed: what was begun for one is not told to the next
    pub(super) turn: u32,
    /// what the classic machine wants stored, in its order
    pub(super) stores: VecDeque<Snapshot>,
    /// what is stored of the other machine
    pub(super) saving: Saving,
    /// it stands in the queue of those that have something to store
    pub(super) is_queued: bool,
    /// bytes that are counted for it
    counted: usize,
    /// the state that was told to who listens
    told: &'static str,
}

/// Who the members of a group are to each other. A group without members can become any.
pub(super) enum Machine {
    Classic(Box<Classic>),
    Consumer(Box<Consumer>),
}

/// Somebody who waits.
pub(super) enum Waiter {
    Join(oneshot::Sender<Result<Joined, JoinRefused>>),
    Sync(oneshot::Sender<Result<Synced, GroupError>>),
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(rules: Rules, now: Now) -> Self {
        Self::Classic(Box::new(Classic::new(rules, now.wall_ms)))
    }

    /// The classic protocol's view of it.
    ///
    /// # Errors
    /// `InconsistentProtocol` when its members follow another.
    pub(super) fn classic(&mut self) -> Result<&mut Classic, GroupError> {
        match self {
            Self::Classic(classic) => Ok(classic),
            Self::Consumer(_) => Err(GroupError::InconsistentProtocol),
        }
    }

    /// Does the group do nothing but keep offsets?
    pub(super) fn is_deserted(&self) -> bool {
        match self {
            Self::Classic(classic) => classic.is_deserted(),
            Self::Consumer(consumer) => consumer.members().len() == 0,
        }
    }

    /// Is it deleted, or about to be?
    pub(super) fn is_dead(&self) -> bool {
        match self {
            Self::Classic(classic) => classic.state() == State::Dead,
            Self::Consumer(consumer) => consumer.is_dead(),
        }
    }

    /// Where it stands, as Kafka names it.
    fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(classic) => classic.state().name(),
            Self::Consumer(consumer) => consumer.state().name(),
        }
    }

    /// How many members it has.
    pub(super) fn members(&self) -> usize {
        match self {
            Self::Classic(classic) => classic.members(),
            Self::Consumer(consumer) => consumer.members().len(),
        }
    }

    /// From when on its offsets count as unused; `None`: they are in use.
    pub(super) fn unused(&self) -> Option<Unused> {
        match self {
            Self::Classic(classic) => match (classic.protocol_type(), classic.state()) {
                (None, _) => Some(Unused::SinceCommit),
                (Some(_), State::Empty) => Some(Unused::Since(classic.changed_ms())),
                (Some(_), State::Stable) if classic.knows_topics() => Some(Unused::SinceCommit),
                (Some(_), _) => None,
            },
            Self::Consumer(_) => Some(Unused::SinceCommit),
        }
    }

    /// Do its members read this topic?
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(classic) => classic.is_subscribed(topic),
            Self::Consumer(consumer) => consumer.is_subscribed(topic),
        }
    }

    /// May these offsets be committed? In a transaction the state of the group does not matter.
    ///
    /// # Errors
    /// As the protocol has it.
    pub(super) fn check_commit(&self, who: &OffsetCommitter, in_transaction: bool) -> Result<(), GroupError> {
        match self {
            Self::Classic(classic) => classic.check_commit(who, in_transaction),
            Self::Consumer(consumer) => consumer.check_commit(who, in_transaction),
        }
    }

    /// The same outside of transactions, and if so it may be a sign of life.
    ///
    /// # Errors
    /// As the protocol has it.
    pub(super) fn handle_commit(&mut self, who: &OffsetCommitter, now: Now) -> Result<(), GroupError> {
        match self {
            Self::Classic(classic) => classic.handle_commit(who, now),
            Self::Consumer(consumer) => consumer.check_commit(who, false),
        }
    }

    /// May the group be deleted? If so nobody can join any more.
    ///
    /// # Errors
    /// `NotEmpty`, `Deleting`.
    pub(super) fn handle_delete(&mut self, now: Now) -> Result<(), GroupError> {
        match self {
            Self::Classic(classic) => classic.handle_delete(now),
            Self::Consumer(consumer) => consumer.handle_delete(),
        }
    }

    /// The deletion could not be stored.
    pub(super) fn handle_revive(&mut self) {
        match self {
            Self::Classic(classic) => classic.handle_revive(),
            Self::Consumer(consumer) => consumer.handle_revive(),
        }
    }

    /// All members go.
    pub(super) fn handle_expel(&mut self, now: Now) {
        match self {
            Self::Classic(classic) => classic.handle_expel(now),
            Self::Consumer(consumer) => consumer.handle_expel(),
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        match self {
            Self::Classic(classic) => classic.next_deadline(),
            Self::Consumer(consumer) => consumer.next_deadline(),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        match self {
            Self::Classic(classic) => classic.handle_timeout(now),
            Self::Consumer(consumer) => consumer.handle_timeout(now),
        }
    }

    fn take_actions(&mut self) -> Vec<Action> {
        match self {
            Self::Classic(classic) => classic.take_actions(),
            Self::Consumer(_) => Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Classic(classic) => classic.bytes(),
            Self::Consumer(consumer) => consumer.bytes(),
        }
    }
}

// === impl Group ===

impl Group {
    /// Of the structure and its place in the tables, about (counted by hand).
    const OVERHEAD: usize = 1_024;

    pub(super) fn new(rules: Rules, now: Now) -> Self {
        Self::of(Machine::new(rules, now))
    }

    pub(super) fn of(machine: Machine) -> Self {
        let told = machine.state_name();
        Self {
            machine,
            told,
            offsets: Offsets::default(),
            waiters: HashMap::new(),
            tickets: 0,
            turn: 0,
            stores: VecDeque::new(),
            saving: Saving::default(),
            is_queued: false,
            counted: 0,
        }
    }

    /// The classic protocol's view, for somebody who joins: a group without members becomes one of that protocol.
    ///
    /// # Errors
    /// `InconsistentProtocol`, `Deleting`.
    pub(super) fn classic_to_join(&mut self, rules: Rules, now: Now) -> Result<&mut Classic, GroupError> {
        if matches!(self.machine, Machine::Consumer(_)) {
            self.check_alive()?;
            if self.machine.is_deserted() {
                self.follow(Machine::new(rules, now));
            }
        }
        self.machine.classic()
    }

    /// The consumer protocol's view; for somebody who joins, a group without members becomes one of that protocol.
    ///
    /// # Errors
    /// `NotConsumer`, `Deleting`.
    pub(super) fn consumer(
        &mut self,
        id: &GroupId,
        joins: bool,
        rules: Rules,
    ) -> Result<&mut Consumer, GroupError> {
        self.check_alive()?;
        if joins && matches!(self.machine, Machine::Classic(_)) && self.machine.is_deserted() {
            self.follow(Machine::Consumer(Box::new(Consumer::new(rules))));
        }
        match &mut self.machine {
            Machine::Consumer(consumer) => Ok(consumer),
            Machine::Classic(_) => Err(GroupError::NotConsumer { group: id.clone() }),
        }
    }

    fn check_alive(&self) -> Result<(), GroupError> {
        if self.machine.is_dead() { Err(GroupError::Deleting) } else { Ok(()) }
    }

    fn follow(&mut self, machine: Machine) {
        self.machine = machine;
        self.turn += 1;
        self.stores.clear();
        self.saving = Saving::default();
    }

    /// Has it changes that are to be stored and for which nobody has asked yet? Now somebody has.
    fn ask_for_store(&mut self) -> bool {
        match &self.machine {
            Machine::Classic(_) => !self.stores.is_empty(),
            Machine::Consumer(consumer) => self.saving.ask(consumer.changes()),
        }
    }

    /// A ticket under which somebody waits.
    pub(super) fn wait(&mut self, waiter: Waiter) -> Ticket {
        self.tickets += 1;
        self.waiters.insert(self.tickets, waiter);
        self.tickets
    }

    /// Bytes that its members take.
    pub(super) fn member_bytes(&self) -> usize {
        self.machine.bytes()
    }

    fn bytes(&self) -> usize {
        Self::OVERHEAD + self.machine.bytes() + self.offsets.bytes()
    }

    fn answer(&mut self, action: Action) {
        // Whoever has gone is not told, and a ticket has one kind of answer.
        match action {
            Action::AnswerJoin { ticket, answer } => {
                if let Some(Waiter::Join(waiter)) = self.waiters.remove(&ticket) {
                    let _ = waiter.send(answer);
                }
            }
            Action::AnswerSync { ticket, answer } => {
                if let Some(Waiter::Sync(waiter)) = self.waiters.remove(&ticket) {
                    let _ = waiter.send(answer);
                }
            }
            Action::Store(snapshot) => self.stores.push_back(*snapshot),
        }
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(id: GroupId, group: Group) -> Self {
        Self { id, group: Mutex::new(group) }
    }
}

// === impl Inner ===

impl Inner {
    /// Lets something happen to a group, and does what follows from it.
    pub(super) fn happen<T>(&self, entry: &Arc<Entry>, event: impl FnOnce(&mut Group, Now) -> T) -> T {
        let now = self.now();
        let mut group = entry.group.lock();
        let result = event(&mut group, now);
        self.settle(entry, &mut group, now);
        result
    }

    pub(super) fn settle(&self, entry: &Arc<Entry>, group: &mut Group, now: Now) {
        group.machine.handle_timeout(now);
        for action in group.machine.take_actions() {
            group.answer(action);
        }
        if group.ask_for_store() && !group.is_queued {
            group.is_queued = true;
            self.stores.push(entry.clone());
        }
        self.timers.set(&entry.id, group.machine.next_deadline());
        self.recount(group);
        let state = group.machine.state_name();
        if std::mem::replace(&mut group.told, state) != state {
            let members = group.machine.members().to_string();
            let details = vec![("state", state.to_owned()), ("members", members)];
            events::publish(What::GroupChanged, entry.id.as_str(), details);
        }
    }

    /// Counts the bytes of a group again, after something has come or gone.
    pub(super) fn recount(&self, group: &mut Group) {
        let bytes = group.bytes();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(std::mem::replace(&mut group.counted, bytes), Ordering::Relaxed);
    }

    /// Takes a group that is deleted out of the table, with all that is counted for it. `group` is locked.
    pub(super) fn forget(&self, entry: &Arc<Entry>, group: &mut Group) {
        let mut groups = self.groups.write();
        if groups.get(&entry.id).is_some_and(|current| Arc::ptr_eq(current, entry)) {
            groups.remove(&entry.id);
        }
        drop(groups);
        for producer in group.offsets.producers() {
            self.forget_producer(producer, &entry.id);
        }
        group.offsets = Offsets::default();
        group.stores.clear();
        group.saving.close();
        self.timers.set(&entry.id, None);
        self.bytes.fetch_sub(std::mem::take(&mut group.counted), Ordering::Relaxed);
    }
}

/// A member id that was never used: what the member calls itself, and a random part.
pub(super) fn fresh_member_id(join: &Join) -> Arc<str> {
    let name = join.instance_id.as_deref().unwrap_or(&join.client_id);
    format!("{name}-{}", uuid::Uuid::new_v4()).into()
}
