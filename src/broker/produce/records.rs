//! The records of a request, placed on their partitions and encoded as they come: nothing of the request has to be kept
//! but the batches.

use std::borrow::Cow;
use std::sync::Arc;

use super::RECORD_FRAMING_MAX;
use crate::broker::admission::RECORD_OVERHEAD;
use crate::broker::append::rules_of;
use crate::broker::{AppendError, ProduceError, TopicHandle};
use crate::model::batch::validate::Timestamps;
use crate::model::batch::{BatchBuilder, Codec, HEADER_LEN, ProducerStamp, RecordBatch};
use crate::model::partitioner::partition_of;
use crate::model::{Partition, TimestampMs};

/// Batches that the server builds are closed at this size, or at `max.message.bytes` if that is less. 64 KiB batches
/// reach nearly the disk's speed (STORAGE.md); larger ones make readers fetch more than they asked for.
const BATCH_BYTES_TARGET: usize = 256 << 10;

/// A record to be stored, and where it is to go; borrowed from its request as far as that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// `None`: by the key; without a key, the request's sticky partition
    pub partition: Option<Partition>,
    /// milliseconds since the epoch; `None`: now
    pub timestamp: Option<TimestampMs>,
    /// `None`: no key
    pub key: Option<Cow<'a, [u8]>>,
    /// `None`: a tombstone
    pub value: Option<Cow<'a, [u8]>>,
    /// in their order
    pub headers: Vec<NewHeader<'a>>,
}

/// Name and value of a header.
pub type NewHeader<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

/// Records for one topic.
pub struct Records {
    topic: Arc<TopicHandle>,
    /// in partition order
    shares: Vec<Share>,
    /// of the keyless records
    sticky: Option<Partition>,
    times: Timestamps,
    now_ms: TimestampMs,
    /// batches are closed at this size
    batch_bytes: usize,
    /// room to begin a batch with
    room: usize,
    count: usize,
    bytes: usize,
}

/// The records for one partition.
struct Share {
    partition: Partition,
    full: Vec<BatchBuilder>,
    open: BatchBuilder,
    sent: Vec<Sent>,
}

/// A partition's records in their batches.
pub(super) struct Encoded {
    pub(super) partition: Partition,
    pub(super) batches: Vec<RecordBatch>,
    /// one per record, in order
    pub(super) sent: Vec<Sent>,
}

/// A record as its producer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// its number in the request
    pub(super) index: u32,
    pub(super) timestamp: TimestampMs,
}

// === impl NewRecord ===

impl NewRecord<'_> {
    /// Bytes of key, value and headers: what limits and admission count.
    pub fn size(&self) -> usize {
        let len = |bytes: &Option<Cow<'_, [u8]>>| bytes.as_ref().map_or(0, |b| b.len());
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + len(value)).sum();
        len(&self.key) + len(&self.value) + headers
    }
}

// === impl Records ===

impl Records {
    /// None yet, but about `bytes` of them are to come.
    pub fn new(topic: Arc<TopicHandle>, bytes: usize, now_ms: TimestampMs) -> Self {
        let room = (bytes / topic.topic.partitions.max(1) as usize).min(BATCH_BYTES_TARGET);
        let times = rules_of(&topic, now_ms).timestamps;
        let batch_bytes = topic.topic.config.message_bytes_max().min(BATCH_BYTES_TARGET);
        Self { topic, shares: Vec::new(), sticky: None, times, now_ms, batch_bytes, room, count: 0, bytes: 0 }
    }

    /// The same, of a producer that numbers its records: those of a partition stay in one batch.
    pub fn numbered(topic: Arc<TopicHandle>, bytes: usize, now_ms: TimestampMs) -> Self {
        let batch_bytes = topic.topic.config.message_bytes_max();
        Self { batch_bytes, ..Self::new(topic, bytes, now_ms) }
    }

    /// Where they go.
    pub fn topic(&self) -> &Arc<TopicHandle> {
        &self.topic
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that they ask of admission.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record behind those before it.
    ///
    /// # Errors
    /// `UnknownPartition`, `RecordTooLarge`, `KeyMissing`, `Timestamp`; then it is not in, and its number is given to the next one.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), ProduceError> {
        let size = record.size();
        let limit = self.topic.topic.config.message_bytes_max();
        if size + HEADER_LEN + RECORD_FRAMING_MAX > limit {
            let (topic, index) = (self.topic.name().clone(), self.count);
            return Err(ProduceError::RecordTooLarge { topic, index, found: size, limit });
        }
        if record.key.is_none() && self.topic.topic.config.cleanup().compact {
            return Err(ProduceError::KeyMissing { topic: self.topic.name().clone(), index: self.count });
        }
        let timestamp = self.time(record)?;
        let partition = self.place(record)?;
        let index = u32::try_from(self.count).unwrap_or(u32::MAX);
        let room = self.room.max(size + RECORD_FRAMING_MAX);

        let share = match self.shares.binary_search_by_key(&partition, |share| share.partition) {
            Ok(at) => &mut self.shares[at],
            Err(at) => {
                let open = opened(room, self.times);
                self.shares.insert(at, Share { partition, full: Vec::new(), open, sent: Vec::new() });
                &mut self.shares[at]
            }
        };
        let is_full = share.open.size() + size + RECORD_FRAMING_MAX > self.batch_bytes;
        if is_full && share.open.count() > 0 {
            let next = opened(room, self.times);
            share.full.push(std::mem::replace(&mut share.open, next));
        }
        let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_deref()));
        share.open.push(timestamp, record.key.as_deref(), record.value.as_deref(), headers);
        share.sent.push(Sent { index, timestamp });
        self.count += 1;
        self.bytes += size + RECORD_OVERHEAD;
        Ok(())
    }

    /// Whose time counts, and is it one that the topic takes?
    fn time(&self, record: &NewRecord<'_>) -> Result<TimestampMs, ProduceError> {
        match self.times {
            Timestamps::Append { now } => Ok(now),
            Timestamps::Create { from, to } => {
                let timestamp = record.timestamp.unwrap_or(self.now_ms);
                if (from..=to).contains(&timestamp) {
                    return Ok(timestamp);
                }
                let (topic, index) = (self.topic.name().clone(), self.count);
                Err(ProduceError::Timestamp { topic, index, timestamp, from, to })
            }
        }
    }

    fn place(&mut self, record: &NewRecord<'_>) -> Result<Partition, ProduceError> {
        let partitions = self.topic.topic.partitions;
        match (record.partition, &record.key) {
            (Some(partition), _) if partition >= partitions => Err(ProduceError::UnknownPartition {
                topic: self.topic.name().clone(),
                index: self.count,
                partition,
                partitions,
            }),
            (Some(partition), _) => Ok(partition),
            (None, Some(key)) => Ok(partition_of(key, partitions)),
            (None, None) => {
                let topic = &self.topic;
                Ok(*self.sticky.get_or_insert_with(|| topic.sticky_partition()))
            }
        }
    }

    /// The finished batches, in partition order.
    pub(super) fn encode(self, codec: Codec) -> Vec<Encoded> {
        let encode = |share: Share| {
            let builders = share.full.into_iter().chain(std::iter::once(share.open));
            let batches = builders.filter_map(|builder| builder.finish(codec)).collect();
            Encoded { partition: share.partition, batches, sent: share.sent }
        };
        self.shares.into_iter().map(encode).collect()
    }

    /// The one batch of a producer that numbers its records, and its partition.
    ///
    /// # Errors
    /// `Invalid` when there are records of several partitions or none, `TooLarge` when they do not fit into a batch.
    pub(super) fn stamped(
        mut self,
        stamp: ProducerStamp,
        codec: Codec,
    ) -> Result<(Partition, RecordBatch), AppendError> {
        let invalid =
            |message: &str| AppendError::Invalid { message: message.to_owned(), records: Vec::new() };
        if self.shares.len() > 1 {
            return Err(invalid(
                "records with sequence numbers are counted by partition, and these are of several",
            ));
        }
        let mut share = self.shares.pop().ok_or_else(|| invalid("there are no records to number"))?;
        if !share.full.is_empty() {
            let (topic, limit) = (self.topic.name().clone(), self.batch_bytes);
            return Err(AppendError::TooLarge { topic, found: self.bytes, limit });
        }
        share.open.producer(stamp);
        let batch = share.open.finish(codec).ok_or_else(|| invalid("there are no records to number"))?;
        Ok((share.partition, batch))
    }
}

/// A batch to begin with.
fn opened(room: usize, times: Timestamps) -> BatchBuilder {
    let mut builder = BatchBuilder::with_capacity(room);
    stamp_time(&mut builder, times);
    builder
}

/// The broker's time on a batch, if the topic says so.
pub(super) fn stamp_time(builder: &mut BatchBuilder, times: Timestamps) {
    if let Timestamps::Append { now } = times {
        builder.log_append_time(now);
    }
}
