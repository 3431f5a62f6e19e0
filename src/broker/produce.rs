//! Produce: admission → idempotency → batches per partition → tickets → transforms → one commit → results.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admission::{Permit, RECORD_OVERHEAD};
use super::inline::{Chain, ChainResult, Fate, OnReject};
use super::{Broker, ProduceError, TopicHandle};
use crate::model::batch::{BatchBuilder, Codec, HEADER_LEN, RecordBatch};
use crate::model::module::Digest;
use crate::model::partitioner::partition_of;
use crate::model::{DeploymentName, Offset, Partition, Record, TimestampMs, TopicName};
use crate::storage::{Commit, CommitError, Placed};

/// Bytes of a record beside key, value and headers, at most: lengths, deltas, header counts.
const RECORD_FRAMING_MAX: usize = 40;
/// Batches that the server builds are closed at this size, or at `max.message.bytes` if that is less. 64 KiB batches
/// reach nearly the disk's speed (STORAGE.md); larger ones make readers fetch more than they asked for.
const BATCH_BYTES_TARGET: usize = 256 << 10;

/// Records for one topic, all in one commit.
pub struct ProduceRequest {
    /// where to
    pub topic: Arc<TopicHandle>,
    /// in order; may be empty
    pub records: Vec<ProduceRecord>,
    /// remembers request and answer for 24 hours
    pub idempotency: Option<IdempotencyKey>,
    /// refuse everything unless these partitions continue at these offsets
    pub expected_offsets: Vec<(Partition, Offset)>,
    /// what a transform's `reject` does
    pub on_rejected: OnRejected,
}

/// A record and where it is to go.
#[derive(Debug, Clone)]
pub struct ProduceRecord {
    /// `None`: by the key; without a key, the request's sticky partition
    pub partition: Option<Partition>,
    /// what is stored
    pub record: Record,
}

/// What a transform's `reject` does when the deployment says `on_reject: fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRejected {
    /// nothing of the request is stored
    FailRequest,
    /// the record alone is refused
    FailRecord,
}

/// A producer's name for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// as sent
    pub key: String,
    /// of path and body: the same key with another body is an error
    pub body: Digest,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceReply {
    /// one per record, in order
    pub results: Vec<Produced>,
    /// the answer of an earlier request with the same idempotency key
    #[serde(default)]
    pub duplicate: bool,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// stored, dropped, dead-lettered, rejected
    pub fate: RecordFate,
    /// where it went or would have gone
    pub partition: Partition,
    /// of the first stored record; `None` unless stored
    pub offset: Option<Offset>,
    /// records stored of it: transforms may make several
    pub count: u32,
    /// as sent
    pub timestamp: TimestampMs,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFate {
    /// in the log, acknowledged
    Stored,
    /// by a transform
    Dropped,
    /// refused by a transform and kept in its dead-letter topic
    DeadLettered,
    /// refused by a transform
    Rejected {
        /// whose transform
        deployment: DeploymentName,
        /// why
        reason: String,
    },
}

/// A record of the request on its way to a partition.
struct Share {
    partition: Partition,
    /// indices into the request, in order
    indices: Vec<usize>,
}

/// A partition's part of the commit, and where each of its records lies in it.
struct Planned {
    /// index into the receipt, for each batch
    batches: Vec<usize>,
    fates: Vec<PlannedRecord>,
    partition: Partition,
}

/// A record's fate, before its offset is known.
struct PlannedRecord {
    /// in the request
    index: usize,
    fate: RecordFate,
    /// the first record stored of it: which batch of the receipt, and which record in that batch
    first: Option<(usize, u32)>,
    count: u32,
}

impl Broker {
    /// Stores the records after their transforms, all in one commit, and waits for the topic's durability.
    ///
    /// # Errors
    /// See [`ProduceError`]. Only `Unknown` leaves open whether the records were stored; all others stored nothing.
    pub async fn produce(&self, request: ProduceRequest) -> Result<ProduceReply, ProduceError> {
        let bytes = check_sizes(&request)?;
        let permit = self.0.admission.admit(bytes)?;

        let Some(key) = request.idempotency.clone() else {
            return self.store(request, permit, None).await;
        };
        let slot = match self.0.idempotency.begin(&key)? {
            super::idempotency::Begin::Known(reply) => return Ok(ProduceReply { duplicate: true, ..reply }),
            super::idempotency::Begin::New(slot) => slot,
        };
        self.store(request, permit, Some(slot)).await
    }

    async fn store(
        &self,
        request: ProduceRequest,
        permit: Permit,
        slot: Option<super::idempotency::Slot>,
    ) -> Result<ProduceReply, ProduceError> {
        let ProduceRequest { topic, records, expected_offsets, on_rejected, .. } = request;
        let shares = place(&topic, &records)?;
        let encoded =
            |codec| shares.iter().map(|share| encode(&topic, &records, share, codec)).collect::<Vec<_>>();
        let mut codec = codec_for(&topic, topic.chain().is_some());
        let mut batches = encoded(codec);

        let mut tickets = topic.lanes().take(shares.iter().map(|s| s.partition));
        tickets.turn().await;
        // The transforms of this moment count: what was deployed while the request stood in line holds for it.
        let chain = topic.chain();
        if codec != codec_for(&topic, chain.is_some()) {
            codec = codec_for(&topic, chain.is_some());
            batches = encoded(codec);
        }

        let mut commit = Commit::new();
        commit.hold(permit);
        for (partition, offset) in expected_offsets {
            let log = topic.log(partition).ok_or_else(|| unknown_partition(&topic, 0, partition))?;
            commit.expect(log, offset);
        }
        let mut plan = Vec::with_capacity(shares.len());
        for (share, batches) in shares.iter().zip(batches) {
            let planned = match &chain {
                None => plain(&topic, share, &batches, &mut commit),
                Some(chain) => {
                    self.transformed(&topic, chain, share, batches, on_rejected, &mut commit).await?
                }
            };
            plan.push(planned);
        }
        let timestamps: Vec<_> = records.iter().map(|r| r.record.timestamp).collect();
        drop(records);

        let Some(slot) = slot else {
            let pending = self.0.storage.submit(commit).await.map_err(|e| refused(&topic, e))?;
            drop(tickets);
            let receipt = pending.receipt().await.map_err(|e| refused(&topic, e))?;
            return Ok(results(&plan, &receipt.placed, &timestamps));
        };
        let reply = slot
            .remember(&mut commit, self.0.clock.now_ms(), move |placed| results(&plan, placed, &timestamps));
        let pending = self.0.storage.submit(commit).await.map_err(|e| refused(&topic, e))?;
        drop(tickets);
        pending.receipt().await.map_err(|e| refused(&topic, e))?;
        reply.finish().ok_or_else(|| ProduceError::Unknown("the commit was made without its answer".into()))
    }

    /// Runs the chain over a partition's batches and puts what comes out into the commit.
    async fn transformed(
        &self,
        topic: &Arc<TopicHandle>,
        chain: &Arc<Chain>,
        share: &Share,
        batches: Vec<RecordBatch>,
        on_rejected: OnRejected,
        commit: &mut Commit,
    ) -> Result<Planned, ProduceError> {
        let mut planned = Planned { batches: Vec::new(), fates: Vec::new(), partition: share.partition };
        let mut first = 0;
        for batch in batches {
            let count = batch.header().count as usize;
            let indices = &share.indices[first..first + count];
            first += count;
            let on_reject = match on_rejected {
                OnRejected::FailRequest => OnReject::FailRequest { indices },
                OnRejected::FailRecord => OnReject::FailRecord,
            };
            let result = chain.run(self, topic, share.partition, batch, on_reject).await?;
            self.put(topic, share.partition, indices, result, commit, &mut planned)?;
        }
        Ok(planned)
    }

    fn put(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        indices: &[usize],
        result: ChainResult,
        commit: &mut Commit,
        planned: &mut Planned,
    ) -> Result<(), ProduceError> {
        let codec = topic.topic.config.codec();
        let limit = topic.topic.config.message_bytes_max();
        let log = topic.log(partition).ok_or_else(|| unknown_partition(topic, 0, partition))?;

        // Which batch and position each origin's first record gets, in the order they are stored.
        let mut firsts: Vec<Option<(usize, u32)>> = vec![None; indices.len()];
        match result.kept_whole(codec) {
            Some(batch) => {
                let slot = commit.append(log, batch);
                for (i, first) in firsts.iter_mut().enumerate() {
                    *first = Some((slot, u32::try_from(i).unwrap_or(u32::MAX)));
                }
                planned.batches.push(slot);
            }
            None => {
                let mut builder = BatchBuilder::new();
                let mut open: Vec<usize> = Vec::new();
                for stored in &result.records {
                    if stored.record.size() + HEADER_LEN + RECORD_FRAMING_MAX > limit {
                        let index = indices.get(stored.origin as usize).copied().unwrap_or(0);
                        let found = stored.record.size();
                        return Err(ProduceError::RecordTooLarge {
                            topic: topic.name().clone(),
                            index,
                            found,
                            limit,
                        });
                    }
                    if builder.count() > 0
                        && builder.size() + stored.record.size() + RECORD_FRAMING_MAX > limit
                    {
                        close(&mut builder, codec, log, commit, &mut firsts, &mut open, planned);
                    }
                    let origin = stored.origin as usize;
                    if firsts.get(origin).is_some_and(Option::is_none) {
                        firsts[origin] = Some((usize::MAX, builder.count()));
                        open.push(origin);
                    }
                    builder.push_record(&stored.record);
                }
                close(&mut builder, codec, log, commit, &mut firsts, &mut open, planned);
            }
        }
        for outside in result.outside {
            outside.append_to(self, commit)?;
        }
        for ((fate, index), first) in result.fates.into_iter().zip(indices).zip(firsts) {
            let (fate, count) = match fate {
                Fate::Stored(count) => (RecordFate::Stored, count),
                Fate::Dropped => (RecordFate::Dropped, 0),
                Fate::DeadLettered => (RecordFate::DeadLettered, 0),
                Fate::Rejected { deployment, reason } => (RecordFate::Rejected { deployment, reason }, 0),
            };
            planned.fates.push(PlannedRecord { index: *index, fate, first, count });
        }
        Ok(())
    }
}

/// With transforms the records go in uncompressed, and are compressed when they come out.
fn codec_for(topic: &TopicHandle, transformed: bool) -> Codec {
    if transformed { Codec::None } else { topic.topic.config.codec() }
}

/// Finishes the open batch; the origins that begin in it learn its place in the receipt.
fn close(
    builder: &mut BatchBuilder,
    codec: Codec,
    log: &Arc<crate::storage::Log>,
    commit: &mut Commit,
    firsts: &mut [Option<(usize, u32)>],
    open: &mut Vec<usize>,
    planned: &mut Planned,
) {
    if let Some(batch) = std::mem::take(builder).finish(codec) {
        let slot = commit.append(log, batch);
        planned.batches.push(slot);
        for origin in open.drain(..) {
            if let Some(Some(first)) = firsts.get_mut(origin) {
                first.0 = slot;
            }
        }
    }
}

/// Without transforms every record is stored where it is.
fn plain(topic: &TopicHandle, share: &Share, batches: &[RecordBatch], commit: &mut Commit) -> Planned {
    let mut planned = Planned { batches: Vec::new(), fates: Vec::new(), partition: share.partition };
    let mut indices = share.indices.iter();
    for batch in batches {
        let Some(log) = topic.log(share.partition) else { continue };
        let slot = commit.append(log, batch.clone());
        planned.batches.push(slot);
        for position in 0..batch.header().count {
            if let Some(index) = indices.next() {
                let first = Some((slot, position));
                planned.fates.push(PlannedRecord {
                    index: *index,
                    fate: RecordFate::Stored,
                    first,
                    count: 1,
                });
            }
        }
    }
    planned
}

/// Bytes that the request asks of admission. Refuses records larger than the topic allows.
fn check_sizes(request: &ProduceRequest) -> Result<usize, ProduceError> {
    let limit = request.topic.topic.config.message_bytes_max();
    let mut total = 0;
    for (index, produce) in request.records.iter().enumerate() {
        let found = produce.record.size();
        if found + HEADER_LEN + RECORD_FRAMING_MAX > limit {
            return Err(ProduceError::RecordTooLarge {
                topic: request.topic.name().clone(),
                index,
                found,
                limit,
            });
        }
        total += found + RECORD_OVERHEAD;
    }
    Ok(total)
}

/// Splits the request by partition, in partition order; the order of the records is kept within each.
fn place(topic: &TopicHandle, records: &[ProduceRecord]) -> Result<Vec<Share>, ProduceError> {
    let partitions = topic.topic.partitions;
    let mut sticky = None;
    let mut choose = |index: usize, produce: &ProduceRecord| match (produce.partition, &produce.record.key) {
        (Some(partition), _) if partition >= partitions => Err(unknown_partition(topic, index, partition)),
        (Some(partition), _) => Ok(partition),
        (None, Some(key)) => Ok(partition_of(key, partitions)),
        (None, None) => Ok(*sticky.get_or_insert_with(|| topic.sticky_partition())),
    };
    if let [only] = records {
        return Ok(vec![Share { partition: choose(0, only)?, indices: vec![0] }]);
    }
    let mut shares = BTreeMap::<Partition, Vec<usize>>::new();
    for (index, produce) in records.iter().enumerate() {
        shares.entry(choose(index, produce)?).or_default().push(index);
    }
    Ok(shares.into_iter().map(|(partition, indices)| Share { partition, indices }).collect())
}

/// The share's records as batches, each within the topic's limit.
fn encode(topic: &TopicHandle, records: &[ProduceRecord], share: &Share, codec: Codec) -> Vec<RecordBatch> {
    let limit = topic.topic.config.message_bytes_max().min(BATCH_BYTES_TARGET);
    let bytes: usize = share.indices.iter().map(|i| records[*i].record.size() + 16).sum();
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::with_capacity(bytes.min(limit));
    for index in &share.indices {
        let record = &records[*index].record;
        if builder.count() > 0 && builder.size() + record.size() + RECORD_FRAMING_MAX > limit {
            batches.extend(std::mem::take(&mut builder).finish(codec));
        }
        builder.push_record(record);
    }
    batches.extend(builder.finish(codec));
    batches
}

/// Offsets for every record, from where the writer placed the batches.
fn results(plan: &[Planned], placed: &[Placed], timestamps: &[TimestampMs]) -> ProduceReply {
    let mut results: Vec<Option<Produced>> = vec![None; timestamps.len()];
    for planned in plan {
        for PlannedRecord { index, fate, first, count } in &planned.fates {
            let base =
                first.and_then(|(batch, position)| Some(placed.get(batch)?.base + Offset::from(position)));
            let (Some(slot), Some(timestamp)) = (results.get_mut(*index), timestamps.get(*index)) else {
                continue;
            };
            *slot = Some(Produced {
                fate: fate.clone(),
                partition: planned.partition,
                offset: base.filter(|_| *count > 0),
                count: *count,
                timestamp: *timestamp,
            });
        }
    }
    ProduceReply { results: results.into_iter().flatten().collect(), duplicate: false }
}

fn unknown_partition(topic: &TopicHandle, index: usize, partition: Partition) -> ProduceError {
    ProduceError::UnknownPartition {
        topic: topic.name().clone(),
        index,
        partition,
        partitions: topic.topic.partitions,
    }
}

/// The storage's refusals in the words of produce.
fn refused(topic: &TopicHandle, error: CommitError) -> ProduceError {
    let name: TopicName = topic.name().clone();
    match error {
        CommitError::Expected { partition, expected, actual, .. } => {
            ProduceError::ExpectedOffset { topic: name, partition, expected, actual }
        }
        CommitError::DiskFull { free, reserve } => ProduceError::DiskFull { free, reserve },
        CommitError::TopicGone { .. } => ProduceError::TopicGone(name),
        CommitError::Closed => ProduceError::Closed,
        CommitError::Unknown(cause) => ProduceError::Unknown(cause),
    }
}
