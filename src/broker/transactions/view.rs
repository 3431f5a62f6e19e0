//! What is shown of transactions and of producers.

use std::collections::BTreeMap;

use super::super::{Broker, ReadError, TopicHandle};
use super::{Entry, TransactionError, Work};
use crate::model::transaction::{Outcome, Phase, Producer};
use crate::model::{Offset, Partition, TimestampMs, TopicName};

/// A transactional id as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// the transactional id
    pub id: String,
    /// who may write
    pub producer: Producer,
    /// where it stands
    pub status: TransactionStatus,
    /// an open transaction is aborted after so long
    pub timeout_ms: u32,
    /// when the open transaction began
    pub started_ms: Option<TimestampMs>,
    /// what it includes; topics that were deleted are left out
    pub partitions: BTreeMap<TopicName, Vec<Partition>>,
}

/// Where a transactional id stands, with Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// nothing since the producer was initialised
    Empty,
    /// open
    Ongoing,
    /// its commit is being written
    PrepareCommit,
    /// its abort is being written
    PrepareAbort,
    /// the last one was committed
    CompleteCommit,
    /// the last one was aborted
    CompleteAbort,
}

/// A producer of a partition as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerDetail {
    /// who; epoch -1 when it is not known any more
    pub producer: Producer,
    /// of its last record, -1 when that is not known
    pub last_sequence: i32,
    /// when its last batch was appended, -1 when that is not known
    pub updated_ms: TimestampMs,
    /// where its open transaction begins
    pub open_since: Option<Offset>,
}

impl TransactionStatus {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

impl Broker {
    /// All transactional ids, in their order.
    pub fn transactions(&self) -> Vec<TransactionView> {
        let mut entries: Vec<_> = self.0.transactions.entries.read().values().cloned().collect();
        entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        entries.iter().map(|entry| self.view(entry)).collect()
    }

    /// One transactional id.
    ///
    /// # Errors
    /// `EmptyId`, `UnknownId`.
    pub fn transaction(&self, id: &str) -> Result<TransactionView, TransactionError> {
        self.0.transactions.find(id).map(|entry| self.view(&entry))
    }

    fn view(&self, entry: &Entry) -> TransactionView {
        let (transaction, work) = {
            let held = entry.held.lock();
            (held.transaction.clone(), held.work)
        };
        let status = match (work, transaction.phase) {
            (Some(Work::Ending(Outcome::Commit)), _) => TransactionStatus::PrepareCommit,
            (Some(Work::Ending(Outcome::Abort)), _) => TransactionStatus::PrepareAbort,
            (_, Phase::Empty) => TransactionStatus::Empty,
            (_, Phase::Ongoing) => TransactionStatus::Ongoing,
            (_, Phase::Committed) => TransactionStatus::CompleteCommit,
            (_, Phase::Aborted) => TransactionStatus::CompleteAbort,
        };
        let partitions: Vec<_> = transaction.partitions.iter().copied().collect();
        let topics = self.topics_of(&partitions).into_iter();
        TransactionView {
            id: entry.id.clone(),
            producer: transaction.producer,
            status,
            timeout_ms: transaction.timeout_ms,
            started_ms: (transaction.phase == Phase::Ongoing).then_some(transaction.started_ms),
            partitions: topics.map(|(topic, list)| (topic.name().clone(), list)).collect(),
        }
    }

    /// The producers of a partition, by id: those whose batches are remembered, and those with an open transaction.
    ///
    /// # Errors
    /// `UnknownPartition`.
    pub fn producers(
        &self,
        topic: &TopicHandle,
        partition: Partition,
    ) -> Result<Vec<ProducerDetail>, ReadError> {
        let log = super::super::read::partition_log(topic, partition)?;
        let open = log.open_transactions();
        let mut details: Vec<_> = open
            .iter()
            .map(|open| ProducerDetail {
                producer: Producer { id: open.producer_id, epoch: self.epoch_of(open.producer_id) },
                last_sequence: -1,
                updated_ms: -1,
                open_since: Some(open.first_offset),
            })
            .collect();
        for known in self.0.producers.of(log).list() {
            let detail = match details.iter_mut().find(|d| d.producer.id == known.producer_id) {
                Some(detail) => detail,
                None => {
                    let producer = Producer { id: known.producer_id, epoch: known.epoch };
                    let (last_sequence, updated_ms) = (-1, -1);
                    details.push(ProducerDetail { producer, last_sequence, updated_ms, open_since: None });
                    let Some(last) = details.last_mut() else { continue };
                    last
                }
            };
            detail.producer.epoch = known.epoch;
            detail.last_sequence = known.last_sequence;
            detail.updated_ms = known.updated_ms;
        }
        details.sort_unstable_by_key(|detail| detail.producer.id);
        Ok(details)
    }

    fn epoch_of(&self, producer_id: i64) -> i16 {
        let entry = self.0.transactions.by_producer.read().get(&producer_id).cloned();
        entry.map_or(-1, |entry| entry.held.lock().transaction.producer.epoch)
    }
}
