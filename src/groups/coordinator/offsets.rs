//! Committing and reading offsets.

use std::sync::Arc;

use super::entry::Machine;
use super::{Groups, Inner};
use crate::groups::machine::OffsetCommitter;
use crate::groups::offsets::Committed;
use crate::groups::{GroupError, GroupId, rows};
use crate::model::limits::OFFSET_METADATA_MAX;
use crate::model::{Partition, TimestampMs, TopicId, TopicName};
use crate::storage::{Commit, tables};

/// Offsets to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOffsets {
    /// of this group; made if it is not there and nobody of it asks
    pub group: GroupId,
    /// who asks
    pub who: OffsetCommitter,
    /// Old clients say how long offsets are to be kept, in ms.
    pub kept_ms: Option<i64>,
    /// of partitions that exist
    pub offsets: Vec<NewOffset>,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOffset {
    /// the topic
    pub topic: TopicName,
    /// its identity, so that the offset does not fall to another one of its name
    pub topic_id: TopicId,
    /// its partition
    pub partition: Partition,
    /// the next record to read
    pub offset: i64,
    /// of the last record read; −1 if the client does not say
    pub leader_epoch: i32,
    /// whatever the client keeps with it
    pub metadata: Arc<str>,
}

/// Offsets to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOffsets {
    /// of this group
    pub group: GroupId,
    /// of the consumer protocol: the member that asks, and its epoch; −1: nobody of the group
    pub member: Option<(Arc<str>, i32)>,
    /// `None`: all that are committed
    pub topics: Option<Vec<(Arc<str>, Vec<i32>)>>,
    /// offsets that a transaction is about to change are not told
    pub require_stable: bool,
}

/// Offsets of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// as asked
    pub topic: Arc<str>,
    /// as asked, or in the order of partitions
    pub partitions: Vec<FetchedOffset>,
}

/// The offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// as asked
    pub partition: i32,
    /// `None`: nothing is committed. The error is `Unstable`.
    pub committed: Result<Option<Committed>, GroupError>,
}

/// An offset on its way into the memory.
pub(super) struct Made {
    pub(super) topic: TopicName,
    pub(super) partition: Partition,
    pub(super) committed: Committed,
    /// Producers whose pending offset it takes the place of: whatever becomes of their transactions, this one was later.
    pub(super) supersedes: Vec<i64>,
}

impl NewOffset {
    /// As it is kept. The gate is held open: a topic that is there now is not forgotten before the commit has ended.
    ///
    /// # Errors
    /// `UnknownTopic`, `MetadataTooLong`.
    pub(super) fn committed(
        self,
        inner: &Inner,
        now_ms: TimestampMs,
        kept_ms: Option<i64>,
    ) -> Result<(TopicName, Partition, Committed), GroupError> {
        if !inner.has_topic(self.topic_id) {
            return Err(GroupError::UnknownTopic { topic: self.topic });
        }
        // Bytes are never fewer than UTF-16 units, so most metadata need no counting.
        let is_long = self.metadata.len() > OFFSET_METADATA_MAX;
        let length = if is_long { self.metadata.encode_utf16().count() } else { 0 };
        if length > OFFSET_METADATA_MAX {
            return Err(GroupError::MetadataTooLong { length, limit: OFFSET_METADATA_MAX });
        }
        let committed = Committed {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            committed_ms: now_ms,
            expires_ms: kept_ms.map(|kept| now_ms.saturating_add(kept)),
            metadata: self.metadata,
        };
        Ok((self.topic, self.partition, committed))
    }
}

impl Groups {
    /// Commits offsets; one result for each, in their order. Waits for the disk. Who reads them afterwards finds them.
    ///
    /// # Errors
    /// For all: `NotFound` (a member of a group that is not there), `UnknownMember`, `FencedInstance`,
    /// `IllegalGeneration`, `StaleEpoch`, `Rebalancing`, `ReadOnly`, `TooMany`, `OutOfRoom`, `Deleting`, `Storage`. For
    /// one: `UnknownTopic`, `MetadataTooLong`.
    pub async fn commit_offsets(
        &self,
        request: CommitOffsets,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let CommitOffsets { group, who, kept_ms, offsets } = request;
        let inner = self.inner();
        inner.check_writable(&group)?;
        inner.check_room(offsets.iter().map(|o| o.metadata.len() + o.topic.as_str().len()).sum())?;
        let guard = inner.enter().await;
        inner.check_committer(&group, &who)?;

        let now_ms = inner.clock.now_ms();
        let entry = inner.find(&group);
        let mut commit = Commit::new();
        commit.past_reserve();
        let mut made = Vec::with_capacity(offsets.len());
        let mut results = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let kept = offset.committed(inner, now_ms, kept_ms).map(|(topic, partition, committed)| {
                let row = rows::encode_offset(&committed);
                tables::offsets::put(&mut commit, group.as_str(), topic.as_str(), partition, row);
                let locked = entry.as_ref().map(|entry| entry.group.lock());
                let supersedes =
                    locked.map(|g| g.offsets.pending_of(topic.as_str(), partition)).unwrap_or_default();
                for producer in &supersedes {
                    let name = group.as_str();
                    tables::pending_offsets::delete(&mut commit, *producer, name, topic.as_str(), partition);
                }
                made.push(Made { topic, partition, committed, supersedes });
            });
            results.push(kept);
        }
        if made.is_empty() {
            return Ok(results);
        }
        commit.hold(guard);
        let memory = inner.clone();
        commit.when_made(move || memory.take_in(&group, made));
        inner.storage.commit(commit).await?;
        Ok(results)
    }

    /// Reads committed offsets from memory. A group that is not there has none.
    ///
    /// # Errors
    /// None for classic groups. For members of the consumer protocol `UnknownMember`, `StaleEpoch`.
    pub fn fetch_offsets(&self, request: &FetchOffsets) -> Result<Vec<FetchedTopic>, GroupError> {
        let inner = self.inner();
        if let Some(shown) = self.shown_offsets(request) {
            return Ok(shown);
        }
        let Some(entry) = inner.find(&request.group) else {
            return Ok(pick(request, |_, _| Ok(None), Vec::new));
        };
        let group = entry.group.lock();
        if let (Machine::Consumer(consumer), Some((member, epoch))) = (&group.machine, &request.member) {
            consumer.check_epoch(member, None, *epoch)?;
        }
        let offsets = &group.offsets;
        let find = |topic: &str, partition| {
            if request.require_stable && offsets.is_unstable(topic, partition) {
                return Err(GroupError::Unstable);
            }
            Ok(offsets.get(topic, partition).cloned())
        };
        let all = || offsets.iter().map(|(topic, partition, _)| (topic.clone(), partition)).collect();
        Ok(pick(request, find, all))
    }

    /// Sets offsets from outside, past the members: with `force` they go first, else a group that has some refuses. For an
    /// operator's reset.
    ///
    /// # Errors
    /// `NotEmpty`, and those of [`Groups::commit_offsets`].
    pub async fn reset_offsets(
        &self,
        group: GroupId,
        offsets: Vec<NewOffset>,
        force: bool,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        self.inner().check_writable(&group)?;
        if let Some(entry) = self.inner().find(&group) {
            if force {
                self.expel(&group)?;
            }
            let members = entry.group.lock().machine.members();
            if members > 0 {
                return Err(GroupError::NotEmpty { members });
            }
        }
        let who = OffsetCommitter { member_id: Arc::from(""), instance_id: None, generation: -1 };
        self.commit_offsets(CommitOffsets { group, who, kept_ms: None, offsets }).await
    }

    /// The offsets of a group that only shows something.
    fn shown_offsets(&self, request: &FetchOffsets) -> Option<Vec<FetchedTopic>> {
        let groups = self.inner().read_only.get()?;
        groups.find(request.group.as_str())?;
        let offsets = groups.offsets(request.group.as_str());
        let find = |topic: &str, partition| {
            let mut all = offsets.iter();
            let found = all.find(|(name, index, _)| *index == partition && name.as_str() == topic);
            Ok(found.map(|(_, _, committed)| committed.clone()))
        };
        let all = || offsets.iter().map(|(topic, partition, _)| (topic.clone(), *partition)).collect();
        Some(pick(request, find, all))
    }
}

/// What was asked for, in its order; or all, by topic.
fn pick(
    request: &FetchOffsets,
    find: impl Fn(&str, Partition) -> Result<Option<Committed>, GroupError>,
    all: impl FnOnce() -> Vec<(TopicName, Partition)>,
) -> Vec<FetchedTopic> {
    let fetch = |topic: &str, partition: i32| FetchedOffset {
        partition,
        committed: Partition::try_from(partition).map_or(Ok(None), |index| find(topic, index)),
    };
    if let Some(topics) = &request.topics {
        let of = |(topic, partitions): &(Arc<str>, Vec<i32>)| FetchedTopic {
            topic: topic.clone(),
            partitions: partitions.iter().map(|partition| fetch(topic, *partition)).collect(),
        };
        return topics.iter().map(of).collect();
    }
    let mut topics: Vec<FetchedTopic> = Vec::new();
    for (topic, partition) in all() {
        let fetched = fetch(topic.as_str(), partition.cast_signed());
        match topics.last_mut() {
            Some(last) if *last.topic == *topic.as_str() => last.partitions.push(fetched),
            _ => topics.push(FetchedTopic { topic: topic.as_str().into(), partitions: vec![fetched] }),
        }
    }
    topics
}

impl Inner {
    /// May these offsets be committed? A group that is not there is made by the first commit of somebody who is not of it.
    fn check_committer(&self, group: &GroupId, who: &OffsetCommitter) -> Result<(), GroupError> {
        let Some(entry) = self.find(group) else {
            if who.generation >= 0 {
                return Err(GroupError::NotFound { group: group.clone() });
            }
            return self.check_groups();
        };
        let now = self.now();
        let mut group = entry.group.lock();
        group.machine.handle_commit(who, now)
    }

    /// Offsets are stored and in force now. Runs on the writer's thread, in its order.
    pub(super) fn take_in(&self, group: &GroupId, made: Vec<Made>) {
        let entry = self.make(group);
        let mut group = entry.group.lock();
        for Made { topic, partition, committed, supersedes } in made {
            for producer in supersedes {
                group.offsets.remove_pending_of(producer, topic.as_str(), partition);
            }
            group.offsets.put(topic, partition, committed);
        }
        self.recount(&mut group);
    }
}
