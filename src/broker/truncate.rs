//! Deleting the oldest records of a topic before retention would.

use super::{Broker, OffsetSpec, ReadError, TopicHandle};
use crate::model::{Offset, Partition, TopicName};
use crate::storage;

/// Why records stay.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// The server's own topics are kept.
    #[error("topic `{0}` is internal: its records are the server's to delete")]
    Internal(TopicName),
    /// Compaction alone decides what goes.
    #[error("topic `{0}` is compacted, and its `cleanup.policy` has no `delete`")]
    Compacted(TopicName),
    /// No such partition, or an offset beyond its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage said no.
    #[error("records of partition {partition} of topic `{topic}` could not be deleted")]
    Storage {
        /// the topic
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// why
        source: storage::Error,
    },
}

/// What is deleted of a partition: the records `log_start..before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// the partition
    pub partition: Partition,
    /// where the log starts without it
    pub log_start: Offset,
    /// where the log starts with it
    pub before: Offset,
    /// the log's end
    pub high_watermark: Offset,
}

impl Broker {
    /// What deleting the records before a position would delete now: never records of transactions that are open, nor
    /// anything after them.
    ///
    /// # Errors
    /// `Internal`, `Compacted`, `Read` for an unknown partition and an offset beyond the end.
    pub async fn plan_truncation(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        before: OffsetSpec,
    ) -> Result<Truncation, TruncateError> {
        if topic.name().is_internal() {
            return Err(TruncateError::Internal(topic.name().clone()));
        }
        let cleanup = topic.topic.config.cleanup();
        if cleanup.compact && !cleanup.delete {
            return Err(TruncateError::Compacted(topic.name().clone()));
        }
        let log = topic.log(partition).ok_or_else(|| ReadError::UnknownPartition {
            topic: topic.name().clone(),
            partition,
            partitions: topic.topic.partitions,
        })?;
        let asked = self.resolve_offset(topic, partition, before).await?;
        let (start, tail) = (log.start(), log.tail());
        if asked > tail {
            let topic = topic.name().clone();
            return Err(ReadError::OutOfRange { topic, partition, asked, start, tail }.into());
        }
        let before = asked.min(log.stable()).max(start);
        Ok(Truncation { partition, log_start: start, before, high_watermark: tail })
    }

    /// Deletes what was planned, and gives it as it came out: retention may have been faster.
    ///
    /// # Errors
    /// `Read` for a partition that is gone, `Storage`.
    pub async fn truncate(&self, topic: &TopicHandle, plan: Truncation) -> Result<Truncation, TruncateError> {
        let partition = plan.partition;
        let log = topic.log(partition).ok_or_else(|| ReadError::UnknownPartition {
            topic: topic.name().clone(),
            partition,
            partitions: topic.topic.partitions,
        })?;
        let deleted = self.storage().delete_records(log, plan.before).await;
        let before = deleted.map_err(|source| {
            let topic = topic.name().clone();
            TruncateError::Storage { topic, partition, source }
        })?;
        Ok(Truncation { before, high_watermark: log.tail(), ..plan })
    }
}
