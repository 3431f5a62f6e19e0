//! A group in use: its machine, its offsets, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Inner;
use crate::groups::machine::{
    Action, Classic, Join, JoinRefused, Joined, Now, Rules, Snapshot, State, Synced, Ticket,
};
use crate::groups::offsets::{Offsets, Unused};
use crate::groups::{GroupError, GroupId};

/// A group by its name. Once its state is `Dead` and it is no longer in the table it is forgotten.
pub(super) struct Entry {
    pub(super) id: GroupId,
    pub(super) group: Mutex<Group>,
}

/// What there is of a group. A new protocol of members is a variant of [`Machine`]; offsets are the same for all.
pub(super) struct Group {
    pub(super) machine: Machine,
    pub(super) offsets: Offsets,
    pub(super) waiters: HashMap<Ticket, Waiter>,
    tickets: Ticket,
    /// what the machine wants stored, in its order
    pub(super) stores: VecDeque<Snapshot>,
    /// it stands in the queue of those that have something to store
    pub(super) is_queued: bool,
    /// bytes that are counted for it
    counted: usize,
}

/// Who the members of a group are to each other. A group without members can become any.
pub(super) enum Machine {
    Classic(Box<Classic>),
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
        }
    }

    /// Does the group do nothing but keep offsets?
    pub(super) fn is_deserted(&self) -> bool {
        match self {
            Self::Classic(classic) => classic.is_deserted(),
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
        }
    }

    /// Do its members read this topic?
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(classic) => classic.is_subscribed(topic),
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        match self {
            Self::Classic(classic) => classic.next_deadline(),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        match self {
            Self::Classic(classic) => classic.handle_timeout(now),
        }
    }

    fn take_actions(&mut self) -> Vec<Action> {
        match self {
            Self::Classic(classic) => classic.take_actions(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Classic(classic) => classic.bytes(),
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
        Self {
            machine,
            offsets: Offsets::default(),
            waiters: HashMap::new(),
            tickets: 0,
            stores: VecDeque::new(),
            is_queued: false,
            counted: 0,
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
        if !group.stores.is_empty() && !group.is_queued {
            group.is_queued = true;
            self.stores.push(entry.clone());
        }
        self.timers.set(&entry.id, group.machine.next_deadline());
        self.recount(group);
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
        self.timers.set(&entry.id, None);
        self.bytes.fetch_sub(std::mem::take(&mut group.counted), Ordering::Relaxed);
    }
}

/// A member id that was never used: what the member calls itself, and a random part.
pub(super) fn fresh_member_id(join: &Join) -> Arc<str> {
    let name = join.instance_id.as_deref().unwrap_or(&join.client_id);
    format!("{name}-{}", uuid::Uuid::new_v4()).into()
}
