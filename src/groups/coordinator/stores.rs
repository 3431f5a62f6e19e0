//! Rows of groups: one task writes them, many groups in one commit, each group's in their order.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Inner;
use super::entry::{Entry, Machine};
use crate::groups::GroupError;
use crate::groups::rows;
use crate::storage::{Commit, tables};

/// Groups of one commit (a guess: so many assignments still make a write of some megabytes).
const COMMIT_GROUPS: usize = 256;

/// Groups that have something to store, each once, so there are no more than groups.
#[derive(Default)]
pub(super) struct Stores {
    waiting: Mutex<VecDeque<Arc<Entry>>>,
    more: Notify,
}

impl Stores {
    pub(super) fn push(&self, entry: Arc<Entry>) {
        self.waiting.lock().push_back(entry);
        self.more.notify_one();
    }

    fn take(&self) -> Vec<Arc<Entry>> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(COMMIT_GROUPS);
        waiting.drain(..count).collect()
    }
}

/// Works until the groups are gone.
pub(super) async fn run(groups: Weak<Inner>) {
    let Some(stores) = groups.upgrade().map(|inner| inner.stores.clone()) else { return };
    loop {
        stores.more.notified().await;
        let Some(inner) = groups.upgrade() else { return };
        while inner.store_some().await {}
    }
}

impl Inner {
    /// One commit of what waits; false: nothing does.
    async fn store_some(&self) -> bool {
        let guard = self.enter().await;
        let entries = self.stores.take();
        if entries.is_empty() {
            return false;
        }
        let mut commit = Commit::new();
        commit.past_reserve();
        commit.hold(guard);
        let puts: Vec<_> = entries.iter().map(|entry| put_latest(entry, &mut commit)).collect();
        let stored = self.storage.commit(commit).await.map(|_| ()).map_err(GroupError::from);
        if let Err(error) = &stored {
            tracing::warn!(%error, groups = entries.len(), "groups could not be stored");
        }
        for (entry, put) in entries.iter().zip(puts) {
            self.tell_stored(entry, &put, &stored);
        }
        true
    }

    /// Each store that was asked for hears of it; the last snapshot stood for all.
    fn tell_stored(&self, entry: &Arc<Entry>, put: &Put, stored: &Result<(), GroupError>) {
        self.happen(entry, |group, now| {
            // A group that follows another protocol since has begun anew.
            if group.turn != put.turn {
                return;
            }
            match &mut group.machine {
                Machine::Classic(classic) => {
                    for _ in 0..put.count {
                        classic.handle_stored(stored.clone(), now);
                    }
                }
                Machine::Consumer(_) => group.saving.end(stored),
            }
        });
    }
}

/// What of a group is in a commit.
struct Put {
    turn: u32,
    /// snapshots of the classic machine for which the last one stands
    count: usize,
}

/// Puts the group's latest state into the commit.
fn put_latest(entry: &Entry, commit: &mut Commit) -> Put {
    let mut group = entry.group.lock();
    group.is_queued = false;
    let stores = std::mem::take(&mut group.stores);
    let put = Put { turn: group.turn, count: stores.len() };
    let row = match &group.machine {
        Machine::Classic(_) => {
            drop(group);
            stores.back().map(rows::encode_classic)
        }
        // It has been deleted meanwhile.
        Machine::Consumer(consumer) if consumer.is_dead() => None,
        Machine::Consumer(consumer) => {
            let (changes, snapshot) = (consumer.changes(), consumer.snapshot());
            group.saving.begin(changes);
            drop(group);
            Some(rows::encode_consumer(&snapshot))
        }
    };
    if let Some(row) = row {
        tables::group_rows::put(commit, entry.id.as_str(), row);
    }
    put
}
