//! Creating, changing and deleting topics: their families on a blocking thread, their rows through the writer. One
//! change at a time; a change goes on to its end even if whoever asked for it stops waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::TopicId;
use crate::model::topic::Topic;
use crate::runtime::tasks;

use super::commit::Commit;
use super::error::{CommitError, Error};
use super::families;
use super::ledger::Ledger;
use super::log::{Log, Settings};
use super::tables::counters::{self, Counter};
use super::tables::{self, topics::Row};
use super::{Shared, Storage};

/// The topics that exist, with their logs by partition.
pub(super) type Table = HashMap<TopicId, Entry>;

pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) logs: Vec<Arc<Log>>,
}

impl Storage {
    /// Every topic that is committed, in no order.
    pub fn topics(&self) -> Vec<Topic> {
        self.shared().table.read().values().map(|entry| entry.row.topic.clone()).collect()
    }

    /// Another number than before says that topics may have come, gone or changed since. At least 1. To be asked before
    /// the topics are.
    pub fn topics_revision(&self) -> u64 {
        self.shared().revision.load(Ordering::Acquire)
    }

    /// Is this topic there? It is not from the moment on in which its deletion is stored.
    pub fn has_topic(&self, id: TopicId) -> bool {
        self.shared().table.read().contains_key(&id)
    }

    /// The logs of a topic by partition; empty if there is no such topic.
    pub fn logs(&self, id: TopicId) -> Vec<Arc<Log>> {
        self.shared().table.read().get(&id).map(|entry| entry.logs.clone()).unwrap_or_default()
    }

    /// Creates a topic and gives its logs by partition. Takes up to 0.3 s when there are 1,000 topics. How many there
    /// may be is the caller's to check.
    ///
    /// # Errors
    /// `Exists`, `Engine`, `Commit`.
    pub async fn create_topic(&self, topic: Topic) -> Result<Vec<Arc<Log>>, Error> {
        self.change("create a topic", move |shared| create(shared, topic)).await
    }

    /// Stores a topic's new settings, and adds logs if it has more partitions; gives all logs. The settings are in
    /// force for the commits that the writer takes up after this.
    ///
    /// # Errors
    /// `NotFound`, `Partitions` (fewer than before), `Commit`.
    pub async fn update_topic(&self, topic: Topic) -> Result<Vec<Arc<Log>>, Error> {
        self.change("change a topic", move |shared| update(shared, topic)).await
    }

    /// Puts other settings in force for a topic's logs without storing them: defaults that the topic does not set.
    pub fn set_topic_defaults(&self, topic: &Topic) {
        let settings = Settings::of(&topic.config);
        for log in self.logs(topic.id) {
            log.set_settings(settings);
        }
    }

    /// Deletes a topic with all its records. Commits to it that are under way are refused; its readers get `TopicGone`.
    ///
    /// # Errors
    /// `NotFound`, `Commit`.
    pub async fn delete_topic(&self, id: TopicId) -> Result<(), Error> {
        self.change("delete a topic", move |shared| delete(shared, id)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let storage = self.clone();
        let done = tasks::spawn_blocking(name, move || {
            let _one = storage.shared().changes.lock();
            change(storage.shared())
        });
        // Only a panic or the end of the runtime breaks the task off.
        done.await.unwrap_or_else(|_| Err(Error::Commit(CommitError::Closed)))
    }
}

fn create(shared: &Shared, topic: Topic) -> Result<Vec<Arc<Log>>, Error> {
    let is_taken = |entry: &Entry| entry.row.topic.id == topic.id || entry.row.topic.name == topic.name;
    if shared.table.read().values().any(is_taken) {
        return Err(Error::Exists { name: topic.name });
    }
    if let Some(refusal) = shared.refusal() {
        return Err(refusal.into());
    }
    let engine = |message| Error::Engine { action: "create", message };
    let slot = counters::load_from(&shared.db, Counter::Slot).map_err(|e| engine(e.to_string()))?;
    let family = families::of_topic(topic.id);
    shared.db.create_family(&family).map_err(engine)?;

    let row = Row { slot, topic };
    let mut commit = Commit::new();
    counters::put(&mut commit, Counter::Slot, slot + 1);
    tables::topics::put(&mut commit, &row);
    let logs = new_logs(&mut commit, &row, 0);
    if let Err(error) = shared.commit_now(commit) {
        // If the commit was made after all, opening finds a row without family; so it may only go when it was not.
        if !matches!(error, CommitError::Unknown(_)) {
            drop_family(shared, &family);
        }
        return Err(error.into());
    }
    shared.table.write().insert(row.topic.id, Entry { row, logs: logs.clone() });
    shared.revision.fetch_add(1, Ordering::Release);
    Ok(logs)
}

/// The logs of partitions `from..`, with their rows in the commit.
fn new_logs(commit: &mut Commit, row: &Row, from: u32) -> Vec<Arc<Log>> {
    let settings = Settings::of(&row.topic.config);
    let new = |partition| {
        let ledger = Ledger::empty();
        tables::logs::put(commit, row.topic.id, partition, &ledger.head);
        Arc::new(Log::new(row.topic.id, partition, row.slot, settings, ledger))
    };
    (from..row.topic.partitions).map(new).collect()
}

fn update(shared: &Shared, topic: Topic) -> Result<Vec<Arc<Log>>, Error> {
    let (slot, mut logs) = {
        let table = shared.table.read();
        let entry = table.get(&topic.id).ok_or(Error::NotFound { id: topic.id })?;
        (entry.row.slot, entry.logs.clone())
    };
    let found = logs.len() as u32;
    if topic.partitions < found {
        return Err(Error::Partitions { name: topic.name, found, asked: topic.partitions });
    }
    // New settings are taken on a full disk: a shorter retention is what makes room.
    if topic.partitions > found
        && let Some(refusal) = shared.refusal()
    {
        return Err(refusal.into());
    }
    let row = Row { slot, topic };
    let mut commit = Commit::new();
    tables::topics::put(&mut commit, &row);
    logs.extend(new_logs(&mut commit, &row, found));
    shared.commit_now(commit)?;

    let settings = Settings::of(&row.topic.config);
    for log in &logs {
        log.set_settings(settings);
    }
    if settings.compaction.is_none() {
        shared.db.collect_blobs(&families::of_topic(row.topic.id), false);
    }
    shared.table.write().insert(row.topic.id, Entry { row, logs: logs.clone() });
    shared.revision.fetch_add(1, Ordering::Release);
    Ok(logs)
}

fn delete(shared: &Shared, id: TopicId) -> Result<(), Error> {
    let logs = shared.table.read().get(&id).map(|entry| entry.logs.clone()).ok_or(Error::NotFound { id })?;
    let mut commit = Commit::new();
    tables::topics::delete(&mut commit, id);
    commit.retired = logs;

    // The guard must not miss a topic that is meant to go, so it forgets it first, and is held until it is gone.
    let mut last = shared.guard.last.lock();
    shared.write_guard(&mut last, Some(id));
    shared.commit_now(commit)?;
    shared.table.write().remove(&id);
    shared.revision.fetch_add(1, Ordering::Release);
    drop(last);

    drop_family(shared, &families::of_topic(id));
    Ok(())
}

/// A family that cannot be dropped now is left over, and goes when the storage is opened again.
fn drop_family(shared: &Shared, family: &str) {
    if let Err(error) = shared.db.drop_family(family) {
        tracing::warn!(family, error, "cannot drop a topic's files; they go at the next start");
    }
}
