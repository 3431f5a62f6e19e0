//! The groups of this node: it owns their machines, stores what they want stored, answers those who wait, and lets time
//! pass for them.
//!
//! Order. What happens to one group happens under its lock, which is never held while something is waited for. Commits of
//! offsets go to the writer side by side, and change the memory in the order in which the writer made them. Each of them
//! holds the *gate* open until its commit has ended; what takes offsets away (deletions, retention) closes the gate first,
//! so that it sees all that was committed, and nothing is committed beside it. Rows of groups are written by one task.

mod consumers;
mod entry;
mod load;
mod membership;
mod offsets;
mod removal;
mod saving;
mod shown;
mod stores;
#[cfg(test)]
mod tests;
mod timers;
mod transactions;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::OwnedRwLockReadGuard;
use tokio::task::JoinHandle;

use self::entry::{Entry, Group};
use super::machine::consumer::Topics;
use super::machine::{Now, Rules};
use super::read_only::ReadOnlyGroups;
use super::subscribable::Subscribable;
use super::{GroupError, GroupId};
use crate::model::limits;
use crate::runtime::clock::Clock;
use crate::runtime::tasks;
use crate::storage::Storage;

pub use offsets::{CommitOffsets, FetchOffsets, FetchedOffset, FetchedTopic, NewOffset};
pub use shown::{Described, DescribedConsumers, GroupKind, Listed};
pub use transactions::PendingOffsets;

/// Settings of the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// members and rebalances
    pub rules: Rules,
    /// shortest session timeout that is accepted, ms; shorter ones take a pause of the client for its end
    pub session_timeout_min_ms: i64,
    /// longest session timeout that is accepted, ms; so long may the partitions of a member that died lie idle
    pub session_timeout_max_ms: i64,
    /// how long offsets that nobody uses are kept, ms; shorter ones forget a consumer that pauses, longer ones cost memory
    pub offsets_kept_ms: i64,
    /// time between two looks for such offsets, ms
    pub look_through_ms: i64,
    /// groups of this node
    pub groups_max: usize,
    /// memory of members and offsets, bytes
    pub bytes_max: usize,
}

/// Handle of the groups; cheap to clone. Their tasks hold nothing while they wait, and end when the last one is dropped.
#[derive(Clone)]
pub struct Groups(Arc<Owner>);

/// Ends the tasks.
struct Owner {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    storage: Storage,
    clock: Clock,
    options: Options,
    groups: RwLock<HashMap<GroupId, Arc<Entry>>>,
    /// held for reading by commits of offsets and of groups until they have ended, for writing by what deletes them
    gate: Arc<tokio::sync::RwLock<()>>,
    /// of members and offsets
    bytes: AtomicUsize,
    timers: Arc<timers::Timers>,
    stores: Arc<stores::Stores>,
    /// producer → groups that its transaction is about to commit offsets of
    producers: Mutex<HashMap<i64, BTreeSet<GroupId>>>,
    read_only: OnceLock<Arc<dyn ReadOnlyGroups>>,
    /// what can be subscribed to beside topics
    others: OnceLock<Arc<dyn Subscribable>>,
    /// as they were when somebody asked last
    topics: Mutex<Arc<Topics>>,
    is_closed: AtomicBool,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            rules: Rules {
                initial_delay_ms: ms(limits::INITIAL_REBALANCE_DELAY),
                new_member_wait_ms: ms(limits::NEW_MEMBER_WAIT),
                members_max: limits::GROUP_MEMBERS_MAX,
            },
            session_timeout_min_ms: ms(limits::SESSION_TIMEOUT_MIN),
            session_timeout_max_ms: ms(limits::SESSION_TIMEOUT_MAX),
            offsets_kept_ms: ms(limits::OFFSETS_KEPT),
            look_through_ms: ms(limits::OFFSETS_LOOKED_THROUGH_EVERY),
            groups_max: limits::GROUPS_MAX,
            bytes_max: limits::GROUPS_BYTES_MAX,
        }
    }
}

// === impl Groups ===

impl Groups {
    /// Takes the stored groups into use. Blocking, and to be called inside of the runtime that runs its tasks. Members that
    /// were there have a session's time to give a sign of life. Offsets of topics that are gone go too.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub fn open(storage: Storage, clock: Clock, options: Options) -> Result<Self, crate::storage::ReadError> {
        let inner = Arc::new(Inner {
            storage,
            clock,
            options,
            groups: RwLock::default(),
            gate: Arc::default(),
            bytes: AtomicUsize::new(0),
            timers: Arc::default(),
            stores: Arc::default(),
            producers: Mutex::default(),
            read_only: OnceLock::new(),
            others: OnceLock::new(),
            topics: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        let lost = inner.load()?;
        // Closed before anybody can commit anything: what is lost goes first.
        let closed = inner.gate.clone().try_write_owned().expect("nobody else has the gate yet");
        let tasks = vec![
            tasks::spawn("group timers", timers::run(Arc::downgrade(&inner))),
            tasks::spawn("group rows", stores::run(Arc::downgrade(&inner))),
            tasks::spawn("group offsets", removal::run(Arc::downgrade(&inner), closed, lost)),
        ];
        Ok(Self(Arc::new(Owner { inner, tasks: Mutex::new(tasks) })))
    }

    /// Takes in groups that only show something. Once; a second call changes nothing.
    pub fn show(&self, read_only: Arc<dyn ReadOnlyGroups>) {
        let _ = self.inner().read_only.set(read_only);
    }

    /// Takes in what can be subscribed to beside topics. Once; a second call changes nothing.
    pub fn subscribe_to(&self, others: Arc<dyn Subscribable>) {
        let _ = self.inner().others.set(others);
    }

    /// Ends the tasks; whoever waits hears `Closed`. Happens by itself when the last handle goes.
    pub fn close(&self) {
        self.0.close();
    }

    /// Settings in force.
    pub fn options(&self) -> &Options {
        &self.inner().options
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }
}

// === impl Owner ===

impl Owner {
    fn close(&self) {
        self.inner.is_closed.store(true, Ordering::SeqCst);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        // Whoever still waits hears that the groups are closed.
        for entry in self.inner.entries() {
            let mut group = entry.group.lock();
            group.waiters.clear();
            group.saving.close();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Inner ===

impl Inner {
    fn now(&self) -> Now {
        Now { tick_ms: self.clock.tick_ms(), wall_ms: self.clock.now_ms() }
    }

    fn find(&self, group: &GroupId) -> Option<Arc<Entry>> {
        self.groups.read().get(group).cloned()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.groups.read().values().cloned().collect()
    }

    /// The group, made if it is not there.
    fn find_or_make(&self, group: &GroupId) -> Result<Arc<Entry>, GroupError> {
        if let Some(entry) = self.find(group) {
            return Ok(entry);
        }
        self.check_groups()?;
        Ok(self.make(group))
    }

    fn check_groups(&self) -> Result<(), GroupError> {
        let limit = self.options.groups_max;
        if self.groups.read().len() >= limit { Err(GroupError::TooMany { limit }) } else { Ok(()) }
    }

    /// The group, made if it is not there, whatever the limit is.
    fn make(&self, group: &GroupId) -> Arc<Entry> {
        let mut groups = self.groups.write();
        let new = || Arc::new(Entry::new(group.clone(), Group::new(self.options.rules, self.now())));
        groups.entry(group.clone()).or_insert_with(new).clone()
    }

    /// Whoever waits with the group locked and this asked is told when the groups are closed.
    fn check_open(&self) -> Result<(), GroupError> {
        if self.is_closed.load(Ordering::SeqCst) { Err(GroupError::Closed) } else { Ok(()) }
    }

    /// Is there memory for so many bytes more?
    fn check_room(&self, bytes: usize) -> Result<(), GroupError> {
        let limit = self.options.bytes_max;
        if self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > limit {
            return Err(GroupError::OutOfRoom { limit });
        }
        Ok(())
    }

    /// Holds the gate open. Waits while something is being deleted, which takes a write to the disk.
    async fn enter(&self) -> OwnedRwLockReadGuard<()> {
        self.gate.clone().read_owned().await
    }

    /// Refuses what a group that only shows something cannot do.
    fn check_writable(&self, group: &GroupId) -> Result<(), GroupError> {
        match self.read_only.get().and_then(|groups| groups.find(group.as_str())) {
            Some(found) => Err(GroupError::ReadOnly { group: group.clone(), deployment: found.deployment }),
            None => Ok(()),
        }
    }
}
