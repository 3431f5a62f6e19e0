//! What takes groups and offsets away: deletions, topics that go, retention. Each closes the gate: it sees all that was
//! committed, and nothing is committed beside it.

use std::sync::{Arc, Weak};

use tokio::sync::OwnedRwLockWriteGuard;

use super::entry::{Entry, Group, Machine};
use super::load::Lost;
use super::{Groups, Inner};
use crate::groups::machine::State;
use crate::groups::{GroupError, GroupId};
use crate::model::{Partition, TopicName};
use crate::runtime::tasks;
use crate::storage::{Commit, CommitError, tables};

/// Offsets deleted by one commit of the retention (a guess: some megabytes, some milliseconds).
const COMMIT_OFFSETS: usize = 10_000;

/// Groups as they will not be any more, until that is stored; else they are as they were.
struct Dying<'a> {
    inner: &'a Inner,
    entries: Vec<Arc<Entry>>,
}

// === impl Dying ===

impl Dying<'_> {
    /// Takes a group out of use, with its rows in the commit.
    fn kill(&mut self, entry: Arc<Entry>, group: &Group, commit: &mut Commit) {
        let id = entry.id.as_str();
        tables::group_rows::delete(commit, id);
        tables::offsets::delete_group(commit, id);
        for producer in group.offsets.producers() {
            tables::pending_offsets::delete_range(commit, producer, Some(id));
        }
        self.entries.push(entry);
    }

    /// It is stored.
    fn bury(&mut self) {
        for entry in self.entries.drain(..) {
            self.inner.forget(&entry, &mut entry.group.lock());
        }
    }
}

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        for entry in self.entries.drain(..) {
            entry.group.lock().machine.handle_revive();
        }
    }
}

/// Deletes the rows that are lost while the gate is closed, then looks for old offsets now and then, until the groups are
/// gone.
pub(super) async fn run(groups: Weak<Inner>, closed: OwnedRwLockWriteGuard<()>, lost: Lost) {
    let Some(inner) = groups.upgrade() else { return };
    let (clock, storage) = (inner.clock.clone(), inner.storage.clone());
    let pause_ms = inner.options.look_through_ms;
    drop(inner);
    if lost.count > 0
        && let Err(error) = storage.commit(lost.commit).await
    {
        tracing::warn!(%error, "offsets of topics that are gone could not be deleted; tried again at the next start");
    }
    drop((closed, storage));
    loop {
        clock.sleep_until(clock.tick_ms().saturating_add(pause_ms)).await;
        let Some(inner) = groups.upgrade() else { return };
        match inner.expire().await {
            Ok(0) => {}
            Ok(offsets) => tracing::info!(offsets, "committed offsets that nobody used were deleted"),
            Err(error) => tracing::warn!(%error, "old offsets could not be deleted; tried again later"),
        }
    }
}

// === impl Groups ===

impl Groups {
    /// Deletes groups without members, with their offsets; one result for each, in their order. Goes on to its end even if
    /// the caller stops waiting.
    ///
    /// # Errors
    /// For one: `NotFound`, `NotEmpty`, `ReadOnly`, `Deleting`, `Storage`.
    pub async fn delete_groups(&self, groups: Vec<GroupId>) -> Vec<Result<(), GroupError>> {
        let (inner, count) = (self.inner().clone(), groups.len());
        let done = tasks::spawn("delete groups", async move { inner.delete_all(groups).await });
        done.await.unwrap_or_else(|_| vec![Err(GroupError::Closed); count])
    }

    /// Deletes offsets of partitions that the members do not read; one result for each, in their order. What is not there
    /// is deleted already. Goes on to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// For all: `NotFound`, `NotEmpty` (members whose topics cannot be known), `ReadOnly`, `Deleting`, `Storage`. For one:
    /// `Subscribed`.
    pub async fn delete_offsets(
        &self,
        group: GroupId,
        partitions: Vec<(TopicName, Partition)>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let inner = self.inner().clone();
        inner.check_writable(&group)?;
        let done = tasks::spawn("delete offsets", async move { inner.delete_some(&group, partitions).await });
        done.await.unwrap_or(Err(GroupError::Closed))
    }

    /// Forgets the offsets of a topic that was deleted, so that one of the same name begins without.
    ///
    /// # Errors
    /// When it cannot be stored; then they go when the server starts again.
    pub async fn forget_topic(&self, topic: &TopicName) -> Result<(), CommitError> {
        let (inner, topic) = (self.inner().clone(), topic.clone());
        let done = tasks::spawn("forget a topic", async move {
            let _closed = inner.gate.write().await;
            inner.forget_topics(|t| *t == topic).await
        });
        done.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Deletes offsets that nobody uses and groups that keep nothing; how many offsets. Happens by itself every ten minutes.
    ///
    /// # Errors
    /// When it cannot be stored; it is tried again next time.
    pub async fn expire_offsets(&self) -> Result<usize, CommitError> {
        self.inner().expire().await
    }
}

// === impl Inner ===

impl Inner {
    async fn delete_all(&self, groups: Vec<GroupId>) -> Vec<Result<(), GroupError>> {
        let _closed = self.gate.write().await;
        let mut commit = Commit::new();
        let mut dying = Dying { inner: self, entries: Vec::new() };
        let mut results: Vec<_> =
            groups.iter().map(|group| self.delete_one(group, &mut dying, &mut commit)).collect();
        if dying.entries.is_empty() {
            return results;
        }
        match self.storage.commit(commit).await {
            Ok(_) => dying.bury(),
            Err(error) => {
                for result in results.iter_mut().filter(|r| r.is_ok()) {
                    *result = Err(GroupError::Storage(error.clone()));
                }
            }
        }
        results
    }

    fn delete_one(&self, id: &GroupId, dying: &mut Dying<'_>, commit: &mut Commit) -> Result<(), GroupError> {
        self.check_writable(id)?;
        let entry = self.find(id).ok_or_else(|| GroupError::NotFound { group: id.clone() })?;
        let mut group = entry.group.lock();
        let now = self.now();
        group.machine.handle_delete(now)?;
        dying.kill(entry.clone(), &group, commit);
        Ok(())
    }

    async fn delete_some(
        &self,
        id: &GroupId,
        partitions: Vec<(TopicName, Partition)>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let _closed = self.gate.write().await;
        let entry = self.find(id).ok_or_else(|| GroupError::NotFound { group: id.clone() })?;
        let mut commit = Commit::new();
        let mut gone = Vec::new();
        let mut results = Vec::with_capacity(partitions.len());
        {
            let group = entry.group.lock();
            check_reset(&group)?;
            for (topic, partition) in partitions {
                if group.machine.is_subscribed(topic.as_str()) {
                    results.push(Err(GroupError::Subscribed { topic }));
                    continue;
                }
                results.push(Ok(()));
                delete_rows(id, &group, topic.as_str(), partition, &mut commit);
                gone.push((topic, partition));
            }
        }
        if !gone.is_empty() {
            self.storage.commit(commit).await?;
            self.take_out(&entry, &gone);
        }
        Ok(results)
    }

    /// Forgets the offsets of some topics, in all groups. The gate is closed.
    async fn forget_topics(&self, is_gone: impl Fn(&TopicName) -> bool) -> Result<(), CommitError> {
        let mut commit = Commit::new();
        let mut gone = Vec::new();
        for entry in self.entries() {
            let group = entry.group.lock();
            let mut of_group = Vec::new();
            for topic in group.offsets.topics().into_iter().filter(&is_gone) {
                for partition in group.offsets.partitions_of(topic.as_str()) {
                    delete_rows(&entry.id, &group, topic.as_str(), partition, &mut commit);
                    of_group.push((topic.clone(), partition));
                }
            }
            drop(group);
            if !of_group.is_empty() {
                gone.push((entry, of_group));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.storage.commit(commit).await?;
        for (entry, partitions) in gone {
            self.take_out(&entry, &partitions);
        }
        Ok(())
    }

    async fn expire(&self) -> Result<usize, CommitError> {
        let mut total = 0;
        let mut entries = self.entries();
        while !entries.is_empty() {
            total += self.expire_some(&mut entries).await?;
        }
        Ok(total)
    }

    /// Looks groups through until one commit has enough to do. The gate opens in between.
    async fn expire_some(&self, entries: &mut Vec<Arc<Entry>>) -> Result<usize, CommitError> {
        let _closed = self.gate.write().await;
        let mut commit = Commit::new();
        let mut dying = Dying { inner: self, entries: Vec::new() };
        let (mut count, mut gone) = (0, Vec::new());
        while count < COMMIT_OFFSETS
            && let Some(entry) = entries.pop()
        {
            let expired = self.expire_one(&entry, &mut dying, &mut commit);
            count += expired.len().max(1);
            if !expired.is_empty() {
                gone.push((entry, expired));
            }
        }
        if gone.is_empty() && dying.entries.is_empty() {
            return Ok(0);
        }
        self.storage.commit(commit).await?;
        dying.bury();
        let mut offsets = 0;
        for (entry, expired) in gone {
            offsets += expired.len();
            self.take_out(&entry, &expired);
        }
        Ok(offsets)
    }

    fn expire_one(
        &self,
        entry: &Arc<Entry>,
        dying: &mut Dying<'_>,
        commit: &mut Commit,
    ) -> Vec<(TopicName, Partition)> {
        let mut group = entry.group.lock();
        let now = self.now();
        let machine = &group.machine;
        let is_read = |topic: &str| machine.is_subscribed(topic);
        let kept_ms = self.options.offsets_kept_ms;
        let expired = match machine.unused() {
            Some(unused) => group.offsets.expired(unused, now.wall_ms, kept_ms, is_read),
            None => Vec::new(),
        };
        for (topic, partition) in &expired {
            delete_rows(&entry.id, &group, topic.as_str(), *partition, commit);
        }
        let keeps_nothing = group.offsets.iter().count() == expired.len() && !group.offsets.has_pending();
        let is_deserted = group.machine.is_deserted();
        if keeps_nothing && is_deserted && group.machine.handle_delete(now).is_ok() {
            dying.kill(entry.clone(), &group, commit);
        }
        expired
    }

    /// Offsets are deleted on disk: they are gone from memory too.
    fn take_out(&self, entry: &Arc<Entry>, partitions: &[(TopicName, Partition)]) {
        let mut group = entry.group.lock();
        let before = group.offsets.producers();
        for (topic, partition) in partitions {
            group.offsets.remove(topic.as_str(), *partition);
            for producer in &before {
                group.offsets.remove_pending_of(*producer, topic.as_str(), *partition);
            }
        }
        let after = group.offsets.producers();
        // A group that has been forgotten meanwhile is not counted again.
        if !group.machine.is_dead() {
            self.recount(&mut group);
        }
        drop(group);
        for producer in before.into_iter().filter(|p| !after.contains(p)) {
            self.forget_producer(producer, &entry.id);
        }
    }
}

/// Deletes the rows of one partition, committed and pending.
fn delete_rows(id: &GroupId, group: &Group, topic: &str, partition: Partition, commit: &mut Commit) {
    tables::offsets::delete(commit, id.as_str(), topic, partition);
    for producer in group.offsets.pending_of(topic, partition) {
        tables::pending_offsets::delete(commit, producer, id.as_str(), topic, partition);
    }
}

/// Offsets are deleted under consumers, whose topics are known, and under nobody else.
fn check_reset(group: &Group) -> Result<(), GroupError> {
    if group.machine.is_dead() {
        return Err(GroupError::Deleting);
    }
    let Machine::Classic(classic) = &group.machine else { return Ok(()) };
    let is_consumer = classic.protocol_type().is_some_and(|kind| &**kind == "consumer");
    match classic.state() {
        State::Empty => Ok(()),
        _ if is_consumer => Ok(()),
        _ => Err(GroupError::NotEmpty { members: classic.members() }),
    }
}
