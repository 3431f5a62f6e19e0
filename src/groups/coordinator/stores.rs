//! Rows of groups: one task writes them, many groups in one commit, each group's in their order.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Inner;
use super::entry::Entry;
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
        commit.hold(guard);
        let counts: Vec<_> = entries.iter().map(|entry| put_latest(entry, &mut commit)).collect();
        let stored = self.storage.commit(commit).await.map(|_| ()).map_err(GroupError::from);
        if let Err(error) = &stored {
            tracing::warn!(%error, groups = entries.len(), "groups could not be stored");
        }
        for (entry, count) in entries.iter().zip(counts) {
            self.tell_stored(entry, count, &stored);
        }
        true
    }

    /// Each store that was asked for hears of it; the last snapshot stood for all.
    fn tell_stored(&self, entry: &Arc<Entry>, count: usize, stored: &Result<(), GroupError>) {
        self.happen(entry, |group, now| {
            for _ in 0..count {
                if let Ok(classic) = group.machine.classic() {
                    classic.handle_stored(stored.clone(), now);
                }
            }
        });
    }
}

/// Puts the group's latest snapshot into the commit, and says how many it stands for.
fn put_latest(entry: &Entry, commit: &mut Commit) -> usize {
    let mut group = entry.group.lock();
    group.is_queued = false;
    let stores = std::mem::take(&mut group.stores);
    drop(group);
    if let Some(latest) = stores.back() {
        tables::group_rows::put(commit, entry.id.as_str(), rows::encode_classic(latest));
    }
    stores.len()
}
