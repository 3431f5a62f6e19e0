//! Produce: admission → idempotency → batches per partition → tickets → transforms → one commit → results.

mod plan;
mod records;
mod stamped;
mod transformed;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::plan::{Part, Plan};
use super::idempotency::Begin;
use super::inline::{OnReject, Uncommitted};
use super::lane::Tickets;
use super::{Broker, ProduceError, TopicHandle};
use crate::model::batch::Codec;
use crate::model::module::Digest;
use crate::model::{DeploymentName, Offset, Partition, TimestampMs};
use crate::storage::{Commit, CommitError, Log, Placed};

pub use records::{NewHeader, NewRecord, Records};
pub use stamped::Stamped;

/// Bytes of a record beside key, value and headers, at most: lengths, deltas, header counts.
pub(super) const RECORD_FRAMING_MAX: usize = 40;

/// Records for one topic, stored together or not at all.
pub struct ProduceRequest {
    /// in order; may be none
    pub records: Records,
    /// remembers request and answer for 24 hours
    pub idempotency: Option<IdempotencyKey>,
    /// refuse everything unless these partitions continue at these offsets
    pub expected_offsets: Vec<(Partition, Offset)>,
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

/// What became of many records, in sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// in partition order
    pub stored: Vec<StoredIn>,
    /// by a transform
    pub dropped: u64,
    /// refused by a transform and kept in its dead-letter topic
    pub dead_lettered: u64,
    /// refused by a transform, each alone
    pub rejected: Vec<Rejected>,
}

/// What went to one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredIn {
    /// where
    pub partition: Partition,
    /// at least one
    pub records: u64,
    /// of the last of them
    pub last_offset: Offset,
}

/// A record that was refused alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// its number among the records
    pub index: usize,
    /// whose transform
    pub deployment: DeploymentName,
    /// why
    pub reason: String,
}

/// A request that stands in its lanes, ready for the writer.
struct Staged {
    topic: Arc<TopicHandle>,
    commit: Commit,
    plan: Plan,
    tickets: Tickets,
    /// with transforms
    seen: Option<Uncommitted>,
}

impl Broker {
    /// Stores the records after their transforms, all in one commit, and waits for the topic's durability. A record that
    /// a transform rejects fails the whole request, unless the deployment keeps it as a dead letter.
    ///
    /// # Errors
    /// See [`ProduceError`]. Only `Unknown` leaves open whether the records were stored; all others stored nothing.
    pub async fn produce(&self, request: ProduceRequest) -> Result<ProduceReply, ProduceError> {
        let ProduceRequest { records, idempotency, expected_offsets } = request;
        let permit = self.0.admission.admit(records.bytes())?;
        let slot = match idempotency.map(|key| self.0.idempotency.begin(&key)).transpose()? {
            Some(Begin::Known(reply)) => return Ok(ProduceReply { duplicate: true, ..reply }),
            Some(Begin::New(slot)) => Some(slot),
            None => None,
        };

        let mut staged = self.stage(records, &expected_offsets, OnReject::FailBatch).await?;
        staged.commit.hold(permit);
        let Some(slot) = slot else {
            let (plan, placed) = self.submit(staged).await?;
            return Ok(plan.reply(&placed));
        };
        let plan = std::mem::take(&mut staged.plan);
        let now_ms = self.0.clock.now_ms();
        let answer = slot.remember(&mut staged.commit, now_ms, move |placed| plan.reply(placed));
        self.submit(staged).await?;
        answer.finish().ok_or_else(|| ProduceError::Unknown("the commit was made without its answer".into()))
    }

    /// Stores a piece of a stream of records: like [`Broker::produce`], but a record that a transform rejects fails
    /// alone, and the piece waits for room instead of being refused.
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub async fn produce_each(&self, records: Records) -> Result<Tally, ProduceError> {
        let (plan, placed) = self.commit_each(records).await?;
        Ok(plan.tally(&placed))
    }

    /// As [`Broker::produce_each`], with what became of every record, in order.
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub async fn produce_lines(&self, records: Records) -> Result<Vec<Produced>, ProduceError> {
        let (plan, placed) = self.commit_each(records).await?;
        Ok(plan.reply(&placed).results)
    }

    async fn commit_each(&self, records: Records) -> Result<(Plan, Vec<Placed>), ProduceError> {
        let permit = self.0.admission.wait(records.bytes()).await?;
        let mut staged = self.stage(records, &[], OnReject::FailRecord).await?;
        staged.commit.hold(permit);
        self.submit(staged).await
    }

    async fn stage(
        &self,
        records: Records,
        expected_offsets: &[(Partition, Offset)],
        on_reject: OnReject,
    ) -> Result<Staged, ProduceError> {
        let topic = records.topic().clone();
        // Transforms take records uncompressed; what comes out of them is compressed.
        let codec = if topic.chain().is_some() { Codec::None } else { topic.topic.config.codec() };
        let encoded = records.encode(codec);
        let mut commit = Commit::new();
        for (partition, offset) in expected_offsets {
            commit.expect(log_of(&topic, *partition)?, *offset);
        }

        let mut tickets = topic.lanes().take(encoded.iter().map(|share| share.partition));
        tickets.turn().await;
        // The transforms of this moment count: what was deployed while the request stood in line holds for it.
        let mut seen = None;
        let parts = match topic.chain() {
            Some(chain) => {
                seen = Some(chain.uncommitted(encoded.iter().map(|share| share.partition).collect()));
                self.transformed(&topic, &chain, encoded, on_reject, &mut commit).await?
            }
            None => {
                let part = |share: records::Encoded| {
                    let log = log_of(&topic, share.partition)?;
                    Ok(Part::whole(share, log, &mut commit))
                };
                encoded.into_iter().map(part).collect::<Result<_, ProduceError>>()?
            }
        };
        Ok(Staged { topic, commit, plan: Plan { parts }, tickets, seen })
    }

    /// Hands the commit to the writer, gives the tickets back and waits for the outcome.
    async fn submit(&self, staged: Staged) -> Result<(Plan, Vec<Placed>), ProduceError> {
        let Staged { topic, commit, plan, tickets, seen } = staged;
        let pending = self.0.storage.submit(commit).await.map_err(|e| refused(&topic, e))?;
        drop(tickets);
        let receipt = pending.receipt().await.map_err(|e| refused(&topic, e))?;
        if let Some(seen) = seen {
            seen.committed();
        }
        Ok((plan, receipt.placed))
    }
}

fn log_of(topic: &TopicHandle, partition: Partition) -> Result<&Arc<Log>, ProduceError> {
    topic.log(partition).ok_or_else(|| ProduceError::UnknownPartition {
        topic: topic.name().clone(),
        index: 0,
        partition,
        partitions: topic.topic.partitions,
    })
}

/// The storage's refusals in the words of produce.
fn refused(topic: &TopicHandle, error: CommitError) -> ProduceError {
    match error {
        CommitError::Expected { partition, expected, actual, .. } => {
            ProduceError::ExpectedOffset { topic: topic.name().clone(), partition, expected, actual }
        }
        CommitError::DiskFull { free, reserve } => ProduceError::DiskFull { free, reserve },
        CommitError::TopicGone { .. } => ProduceError::TopicGone(topic.name().clone()),
        CommitError::Closed => ProduceError::Closed,
        CommitError::Unknown(cause) => ProduceError::Unknown(cause),
        // Only tasks stand behind a fence.
        fenced @ CommitError::Fenced => ProduceError::Unknown(fenced.to_string()),
    }
}
