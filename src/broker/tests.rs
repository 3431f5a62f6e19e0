//! A broker on a storage of its own, for the tests of this floor.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::groups;
use crate::model::batch::{BatchBuilder, Codec, ProducerStamp, RecordBatch};
use crate::model::topic::TopicConfig;
use crate::model::transaction::Producer;
use crate::model::{Offset, Partition, TimestampMs, TopicName};
use crate::runtime::clock::ManualClock;
use crate::runtime::guests::GuestThreads;
use crate::storage::tests::{copy_dir, options};

/// Where the clock of every test starts.
pub(super) const START_MS: TimestampMs = 1_700_000_000_000;

pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) clock: ManualClock,
    dir: TempDir,
    guests: GuestThreads,
}

impl World {
    pub(super) fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), START_MS)
    }

    fn open(dir: TempDir, now_ms: TimestampMs) -> Self {
        let (clock, moved) = Clock::manual(now_ms);
        let guests = GuestThreads::start(1).unwrap();
        let storage = Storage::open(options(dir.path(), clock.clone())).unwrap();
        let groups = Groups::open(storage.clone(), clock.clone(), groups::Options::default()).unwrap();
        let broker = Broker::open(storage, groups, guests.handle(), clock).unwrap();
        Self { broker, clock: moved, dir, guests }
    }

    /// Stopped and started again.
    pub(super) fn reopen(self) -> Self {
        let Self { broker, dir, guests, .. } = self;
        let now_ms = broker.clock().now_ms();
        broker.storage().close();
        drop((broker, guests));
        Self::open(dir, now_ms)
    }

    /// What a kill would leave, started beside the one that goes on.
    pub(super) fn after_a_kill(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.dir.path(), copy.path());
        let _ = std::fs::remove_file(Path::new(copy.path()).join("lock"));
        Self::open(copy, self.broker.clock().now_ms())
    }

    pub(super) async fn topic(&self, name: &str, config: &[(&str, &str)]) -> Arc<TopicHandle> {
        let config = TopicConfig::parse(config.iter().copied()).unwrap();
        let new = NewTopic::new(TopicName::parse(name).unwrap(), 3, config);
        self.broker.create_topic(new).await.unwrap()
    }

    pub(super) fn known(&self, name: &str) -> Arc<TopicHandle> {
        self.broker.topic(name).unwrap()
    }

    /// Appends one batch to partition 0 and waits for it.
    pub(super) async fn append(
        &self,
        topic: &Arc<TopicHandle>,
        batch: Bytes,
    ) -> Result<Appended, AppendError> {
        self.append_in(topic, 0, batch, None).await
    }

    /// Appends one batch, perhaps of a transaction, and waits for it.
    pub(super) async fn append_in(
        &self,
        topic: &Arc<TopicHandle>,
        partition: Partition,
        batch: Bytes,
        transaction: Option<TransactionOf>,
    ) -> Result<Appended, AppendError> {
        let entries = vec![AppendEntry { topic: topic.clone(), partition, batch }];
        let reply = self.broker.append(AppendRequest { entries, transaction, permit: None }).await;
        reply.results.into_iter().next().unwrap()
    }

    /// What a reader of committed records sees of partition 0.
    pub(super) async fn committed(&self, topic: &Arc<TopicHandle>) -> Vec<String> {
        self.seen(topic, 0, Isolation::Committed).await
    }

    /// What a reader sees of a partition from its start on, without waiting.
    pub(super) async fn seen(
        &self,
        topic: &Arc<TopicHandle>,
        partition: Partition,
        isolation: Isolation,
    ) -> Vec<String> {
        let wait = std::time::Duration::ZERO;
        let limits = ReadLimits { records: 1_000, bytes: 1 << 20, wait, isolation };
        let page = self.broker.read(topic, partition, 0, limits).await.unwrap();
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        page.records.iter().map(|(_, record)| text(record.value.as_ref().unwrap())).collect()
    }

    /// The batches of a partition as they are stored.
    pub(super) async fn stored(&self, topic: &TopicHandle, partition: Partition) -> Vec<RecordBatch> {
        self.broker.storage().read(topic.log(partition).unwrap(), 0, 1 << 22).await.unwrap()
    }

    pub(super) async fn init(&self, id: &str) -> Result<Producer, TransactionError> {
        let transactional_id = Some(id.to_owned());
        self.broker.init_producer(Initialize { transactional_id, timeout_ms: 60_000, asked: None }).await
    }
}

/// A client's batch without a producer.
pub(super) fn plain(values: &[&str]) -> Bytes {
    build(BatchBuilder::new(), values)
}

/// A client's batch with a sequence.
pub(super) fn sequenced(producer: Producer, base_sequence: i32, values: &[&str]) -> Bytes {
    stamped(producer, base_sequence, false, values)
}

/// A client's batch in a transaction.
pub(super) fn transactional(producer: Producer, base_sequence: i32, values: &[&str]) -> Bytes {
    stamped(producer, base_sequence, true, values)
}

fn stamped(producer: Producer, base_sequence: i32, transactional: bool, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    let Producer { id, epoch } = producer;
    builder.producer(ProducerStamp { id, epoch, base_sequence, transactional });
    build(builder, values)
}

fn build(mut builder: BatchBuilder, values: &[&str]) -> Bytes {
    for value in values {
        builder.push(START_MS, Some(b"k"), Some(value.as_bytes()), []);
    }
    builder.finish(Codec::None).unwrap().bytes().clone()
}

pub(super) fn at(offset: Offset) -> Appended {
    Appended { base_offset: Some(offset), append_time: None, log_start_offset: 0, duplicate: false }
}

pub(super) fn again(offset: Offset) -> Appended {
    Appended { duplicate: true, ..at(offset) }
}
