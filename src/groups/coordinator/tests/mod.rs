//! The groups over a real storage, under a clock that the test moves.

mod consumers;
mod membership;
mod offsets;
mod removal;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::groups::machine::{Join, JoinRefused, Joined, OffsetCommitter, Protocol, SyncRequest, Synced};
use crate::groups::offsets::Committed;
use crate::model::topic::{Topic, TopicConfig};
use crate::model::{Partition, TopicId, TopicName};
use crate::runtime::clock::ManualClock;
use crate::storage::OpenError;
use crate::storage::tests::options as storage_options;

const SESSION: i64 = 10_000;
const START: i64 = 1_000_000;

/// A node with its groups.
struct Node {
    groups: Groups,
    storage: Storage,
    clock: Clock,
    hand: ManualClock,
    dir: TempDir,
}

impl Node {
    async fn new() -> Self {
        Self::with(options()).await
    }

    async fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(START);
        let storage = Storage::open(storage_options(dir.path(), clock.clone())).unwrap();
        for name in ["orders", "clicks"] {
            storage.create_topic(topic(name)).await.unwrap();
        }
        let groups = Groups::open(storage.clone(), clock.clone(), options).unwrap();
        Self { groups, storage, clock, hand, dir }
    }

    /// Everything in memory is lost.
    async fn restart(self) -> Self {
        let Self { groups, storage, clock, hand, dir } = self;
        let options = *groups.options();
        drop(groups);
        storage.close();
        drop(storage);
        let storage = loop {
            match Storage::open(storage_options(dir.path(), clock.clone())) {
                Ok(storage) => break storage,
                // A task that was at work is dropped when the runtime comes to it.
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let groups = Groups::open(storage.clone(), clock.clone(), options).unwrap();
        Self { groups, storage, clock, hand, dir }
    }

    async fn join(&self, group: &str, join: Join) -> Result<Joined, JoinRefused> {
        self.groups.join(&id(group), join).await
    }

    async fn sync(
        &self,
        group: &str,
        member: &str,
        generation: i32,
        parts: &[(&str, &str)],
    ) -> Result<Synced, GroupError> {
        self.groups.sync(&id(group), sync(member, generation, parts)).await
    }

    fn heartbeat(&self, group: &str, member: &str, generation: i32) -> Result<(), GroupError> {
        self.groups.heartbeat(&id(group), &member.into(), None, generation)
    }

    /// A group with one member, which has everything.
    async fn alone(&self, group: &str, join: Join) -> Joined {
        let joined = self.join(group, join).await.unwrap();
        self.sync(group, &joined.member_id, joined.generation, &[(&joined.member_id, "all")]).await.unwrap();
        joined
    }

    async fn commit(
        &self,
        group: &str,
        who: OffsetCommitter,
        offsets: &[NewOffset],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let request = CommitOffsets { group: id(group), who, kept_ms: None, offsets: offsets.to_vec() };
        self.groups.commit_offsets(request).await
    }

    /// Commits from outside, and succeeds.
    async fn put(&self, group: &str, topic: &str, partition: Partition, offset: i64) {
        let results = self.commit(group, nobody(), &[new_offset(topic, partition, offset)]).await;
        assert_eq!(results, Ok(vec![Ok(())]));
    }

    fn fetch(&self, group: &str, require_stable: bool) -> Vec<(String, i32, Result<i64, GroupError>)> {
        let request = FetchOffsets { group: id(group), member: None, topics: None, require_stable };
        let topics = self.groups.fetch_offsets(&request).unwrap();
        let offset =
            |committed: Result<Option<Committed>, GroupError>| committed.map(|c| c.map_or(-1, |c| c.offset));
        let flat =
            topics.into_iter().flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic.clone(), p)));
        flat.map(|(topic, p)| (topic.to_string(), p.partition, offset(p.committed))).collect()
    }

    /// Partitions of `orders` with their committed offsets.
    fn orders(&self, group: &str) -> Vec<(i32, i64)> {
        let all = self.fetch(group, false).into_iter().filter(|(topic, ..)| topic == "orders");
        all.map(|(_, partition, offset)| (partition, offset.unwrap())).collect()
    }

    fn state(&self, group: &str) -> &'static str {
        self.groups.describe(&id(group)).map_or("none", |d| d.description.state.name())
    }

    /// Waits until something is so that no request waits for.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it becomes so");
    }
}

fn options() -> Options {
    let rules = Rules { initial_delay_ms: 0, ..Options::default().rules };
    // Nothing expires by itself unless a test is about that.
    Options { rules, look_through_ms: i64::MAX, ..Options::default() }
}

fn id(name: &str) -> GroupId {
    GroupId::new(name)
}

fn topic_name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

/// The same for a name, so that tests need not look it up.
fn topic_id(name: &str) -> TopicId {
    TopicId(uuid::Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte))))
}

fn topic(name: &str) -> Topic {
    Topic {
        name: topic_name(name),
        id: topic_id(name),
        partitions: 1,
        config: TopicConfig::default(),
        replication_factor: 1,
        revision: 1,
        created_ms: 0,
    }
}

/// A consumer that subscribes to `orders`.
fn consumer() -> Join {
    Join {
        member_id: "".into(),
        instance_id: None,
        client_id: "app".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x06orders"),
        }],
        needs_known_id: false,
        may_skip_assignment: false,
    }
}

fn sync(member: &str, generation: i32, parts: &[(&str, &str)]) -> SyncRequest {
    let part = |(id, what): &(&str, &str)| ((*id).into(), Bytes::copy_from_slice(what.as_bytes()));
    SyncRequest {
        member_id: member.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: parts.iter().map(part).collect(),
    }
}

fn nobody() -> OffsetCommitter {
    member("", -1)
}

fn member(id: &str, generation: i32) -> OffsetCommitter {
    OffsetCommitter { member_id: id.into(), instance_id: None, generation }
}

fn new_offset(topic: &str, partition: Partition, offset: i64) -> NewOffset {
    NewOffset {
        topic: topic_name(topic),
        topic_id: topic_id(topic),
        partition,
        offset,
        leader_epoch: -1,
        metadata: "".into(),
    }
}
