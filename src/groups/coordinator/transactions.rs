//! Offsets that are part of a transaction. The coordinator of transactions makes the commits; here their rows are put in,
//! and the memory follows when they are made.
//!
//! A commit passes through here **once at most**: it holds the gate open, and would wait for itself behind a deletion that
//! came between.

use std::sync::Arc;

use super::offsets::{Made, NewOffset};
use super::{Groups, Inner};
use crate::groups::machine::OffsetCommitter;
use crate::groups::offsets::{Pending, TopicPartition};
use crate::groups::{GroupError, GroupId, rows};
use crate::storage::{Commit, tables};

/// Offsets that a transaction is about to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOffsets {
    /// whose transaction
    pub producer_id: i64,
    /// of the producer
    pub producer_epoch: i16,
    /// of this group
    pub group: GroupId,
    /// for whom the producer reads; −1 with an empty member id if it does not say
    pub who: OffsetCommitter,
    /// of partitions that exist
    pub offsets: Vec<NewOffset>,
}

impl Groups {
    /// Puts offsets into a commit that are to count when their transaction commits; one result for each, in their order.
    /// Until then whoever asks for stable offsets hears that they are not. Nothing is changed unless the commit is made.
    ///
    /// # Errors
    /// For all: `IllegalGeneration` (also when the group is not there), `UnknownMember`, `FencedInstance`, `ReadOnly`,
    /// `TooMany`, `OutOfRoom`, `Deleting`, `EmptyId`. For one: `UnknownTopic`, `MetadataTooLong`.
    pub async fn add_pending_offsets(
        &self,
        request: PendingOffsets,
        commit: &mut Commit,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let PendingOffsets { producer_id, producer_epoch, group, who, offsets } = request;
        let inner = self.inner();
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        inner.check_writable(&group)?;
        inner.check_room(offsets.iter().map(|o| o.metadata.len() + o.topic.as_str().len()).sum())?;
        let guard = inner.enter().await;
        inner.check_transactional(&group, &who)?;

        let now_ms = inner.clock.now_ms();
        let mut added = Vec::with_capacity(offsets.len());
        let mut results = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let kept = offset.committed(inner, now_ms, None).map(|(topic, partition, committed)| {
                let pending = Pending { producer_epoch, committed };
                let row = rows::encode_pending(&pending);
                let name = group.as_str();
                tables::pending_offsets::put(commit, producer_id, name, topic.as_str(), partition, row);
                added.push(((topic, partition), pending));
            });
            results.push(kept);
        }
        if !added.is_empty() {
            commit.hold(guard);
            let memory = inner.clone();
            commit.when_made(move || memory.take_in_pending(producer_id, &group, added));
        }
        Ok(results)
    }

    /// Puts the end of a producer's transaction into a commit: its pending offsets are in force, or forgotten, when the
    /// commit is made. What it added before has to be stored by then. Without pending offsets nothing happens.
    pub async fn complete_transaction(&self, producer_id: i64, is_committed: bool, commit: &mut Commit) {
        let inner = self.inner();
        let guard = inner.enter().await;
        let groups = inner.producers.lock().get(&producer_id).cloned();
        let Some(groups) = groups else { return };
        tables::pending_offsets::delete_range(commit, producer_id, None);
        let mut ended = Vec::with_capacity(groups.len());
        for group in groups {
            let due = match inner.find(&group) {
                Some(entry) if is_committed => entry.group.lock().offsets.due(producer_id),
                _ => Vec::new(),
            };
            let mut made = Vec::with_capacity(due.len());
            for ((topic, partition), committed) in due {
                let row = rows::encode_offset(&committed);
                tables::offsets::put(commit, group.as_str(), topic.as_str(), partition, row);
                made.push(Made { topic, partition, committed, supersedes: Vec::new() });
            }
            ended.push((group, made));
        }
        commit.hold(guard);
        let memory = inner.clone();
        commit.when_made(move || memory.end_transaction(producer_id, ended));
    }

    /// Producers that have pending offsets; after a crash some may have no transaction any more.
    pub fn producers_with_pending_offsets(&self) -> Vec<i64> {
        let mut producers: Vec<_> = self.inner().producers.lock().keys().copied().collect();
        producers.sort_unstable();
        producers
    }
}

impl Inner {
    fn check_transactional(&self, group: &GroupId, who: &OffsetCommitter) -> Result<(), GroupError> {
        let Some(entry) = self.find(group) else {
            if who.generation >= 0 {
                return Err(GroupError::IllegalGeneration { asked: who.generation, current: -1 });
            }
            return self.check_groups();
        };
        match entry.group.lock().machine.check_commit(who, true) {
            // What clients of transactions know, whichever protocol the members follow.
            Err(GroupError::StaleEpoch { asked, current }) => {
                Err(GroupError::IllegalGeneration { asked, current })
            }
            checked => checked,
        }
    }

    fn take_in_pending(&self, producer_id: i64, id: &GroupId, added: Vec<(TopicPartition, Pending)>) {
        let entry: Arc<_> = self.make(id);
        let mut group = entry.group.lock();
        for (at, pending) in added {
            group.offsets.put_pending(producer_id, at, pending);
        }
        self.recount(&mut group);
        drop(group);
        self.producers.lock().entry(producer_id).or_default().insert(id.clone());
    }

    fn end_transaction(&self, producer_id: i64, ended: Vec<(GroupId, Vec<Made>)>) {
        for (id, made) in ended {
            if !made.is_empty() {
                self.take_in(&id, made);
            }
            if let Some(entry) = self.find(&id) {
                let mut group = entry.group.lock();
                group.offsets.remove_pending(producer_id);
                self.recount(&mut group);
            }
            self.forget_producer(producer_id, &id);
        }
    }

    /// The producer is not about to commit offsets of this group any more.
    pub(super) fn forget_producer(&self, producer_id: i64, id: &GroupId) {
        let mut producers = self.producers.lock();
        if let Some(groups) = producers.get_mut(&producer_id) {
            groups.remove(id);
            if groups.is_empty() {
                producers.remove(&producer_id);
            }
        }
    }
}
