//! Records on their way to any number of topics, as part of a commit that has its own reason: what processors emit,
//! what transforms send elsewhere, dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::produce::RECORD_FRAMING_MAX;
use super::{Broker, TopicHandle};
use crate::model::batch::{BatchBuilder, HEADER_LEN, ProducerStamp};
use crate::model::partitioner::partition_of;
use crate::model::topic::TimestampType;
use crate::model::{Partition, RecordView, TopicId, TopicName};
use crate::storage::Commit;

/// Why a record cannot be put.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Its topic is not there: nobody's record is to blame.
    #[error("{source}")]
    Gone {
        /// where it was to go
        topic: TopicName,
        /// as the catalog says it
        source: super::TopicError,
    },
    /// Larger than its topic allows.
    #[error("an output of {found} bytes, topic `{topic}` allows {limit} (max.message.bytes)")]
    TooLarge {
        /// where it was to go
        topic: TopicName,
        /// its bytes
        found: usize,
        /// the bound
        limit: usize,
    },
    /// Its topic is compacted, which goes by keys.
    #[error("an output without a key, and topic `{topic}` is compacted (cleanup.policy)")]
    KeyMissing {
        /// where it was to go
        topic: TopicName,
    },
}

/// Batches under construction: one for each topic partition, or more where the topic's limit asks for it. Records of
/// one partition keep their order.
#[derive(Default)]
pub struct Outbox {
    /// few, so that looking through them is quicker than hashing a name for each record
    topics: Vec<Bound>,
    count: u64,
    /// who is written on the batches
    stamp: Option<ProducerStamp>,
}

/// What is bound for one topic, and what its configuration says of each record: a lookup by name and a parse for every one
/// of them would cost as much as the encoding.
struct Bound {
    topic: Arc<TopicHandle>,
    batches: BTreeMap<Partition, Vec<BatchBuilder>>,
    /// bytes of a batch
    limit: usize,
    needs_key: bool,
    append_time: bool,
}

impl Bound {
    fn new(topic: Arc<TopicHandle>) -> Self {
        let config = &topic.topic.config;
        let (limit, needs_key) = (config.message_bytes_max(), config.cleanup().compact);
        let append_time = config.timestamp_type() == TimestampType::LogAppendTime;
        Self { topic, batches: BTreeMap::new(), limit, needs_key, append_time }
    }
}

impl Outbox {
    /// For records that are part of a producer's transaction, if there is one.
    pub(super) fn of(stamp: Option<ProducerStamp>) -> Self {
        Self { stamp, ..Self::default() }
    }

    /// The partitions that records are bound for.
    pub(super) fn partitions(&self) -> Vec<(TopicId, Partition)> {
        let of = |bound: &Bound| bound.batches.keys().map(|p| (bound.topic.id(), *p)).collect::<Vec<_>>();
        self.topics.iter().flat_map(of).collect()
    }

    /// Records so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a record to its topic, by its key or on the partition of the number `fallback`.
    ///
    /// # Errors
    /// See [`OutboxError`]; then the record is not in.
    pub fn push(
        &mut self,
        broker: &Broker,
        topic: &TopicName,
        fallback: Partition,
        record: &RecordView<'_>,
    ) -> Result<(), OutboxError> {
        let bound = match self.topics.iter().position(|bound| bound.topic.name() == topic) {
            Some(index) => &mut self.topics[index],
            None => {
                let gone = |source| OutboxError::Gone { topic: topic.clone(), source };
                let topic = broker.topic(topic.as_str()).map_err(gone)?;
                self.topics.push(Bound::new(topic));
                self.topics.last_mut().expect("it was pushed just now")
            }
        };
        let limit = bound.limit;
        let (found, size) = (record.size(), record.size() + RECORD_FRAMING_MAX);
        if size + HEADER_LEN > limit {
            return Err(OutboxError::TooLarge { topic: topic.clone(), found, limit });
        }
        if record.key.is_none() && bound.needs_key {
            return Err(OutboxError::KeyMissing { topic: topic.clone() });
        }

        let partitions = bound.topic.topic.partitions.max(1);
        let partition = record.key.map_or(fallback % partitions, |key| partition_of(key, partitions));
        let batches = bound.batches.entry(partition).or_default();
        match batches.last_mut() {
            Some(open) if open.size() + size <= limit => open.push_view(record),
            _ => {
                let mut open = BatchBuilder::with_capacity(size);
                if bound.append_time {
                    open.log_append_time(broker.clock().now_ms());
                }
                if let Some(stamp) = self.stamp {
                    open.producer(stamp);
                }
                open.push_view(record);
                batches.push(open);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Appends everything to the commit.
    pub fn write_into(self, commit: &mut Commit) {
        for Bound { topic, batches, .. } in self.topics {
            let codec = topic.topic.config.codec();
            for (partition, batches) in batches {
                let Some(log) = topic.log(partition) else { continue };
                for batch in batches.into_iter().filter_map(|builder| builder.finish(codec)) {
                    commit.append(log, batch);
                }
            }
        }
    }
}
