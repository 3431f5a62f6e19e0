//! Whole batches for readers who take them as they lie in the log, under either isolation; and what they need to know to
//! make sense of them: where the log stands, and which transactions among the batches were aborted.

#[cfg(test)]
mod tests;
mod visible;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use super::read::{check_range, partition_log, unreadable};
use super::{Broker, ReadError, TopicHandle};
use crate::model::batch::RecordBatch;
use crate::model::{Offset, Partition, TimestampMs};
use crate::runtime::clock;
use crate::storage::{AbortedTxn, Ends, Log};

pub(crate) use visible::Visible;
pub use wait::WaitPoint;

/// Which records a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// all that are acknowledged, also those of open and aborted transactions
    Uncommitted,
    /// those outside of transactions and those of committed ones, up to the first open one
    #[default]
    Committed,
}

/// Batches of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// in offset order, from the one that holds the offset asked for; those of aborted transactions and markers included
    pub batches: Vec<RecordBatch>,
    /// the first offset that is not yet acknowledged
    pub high_watermark: Offset,
    /// the first offset of the earliest open transaction; the high watermark if there is none
    pub last_stable_offset: Offset,
    /// the oldest kept
    pub log_start_offset: Offset,
    /// aborted transactions that have records in the batches, by first offset; only with [`Isolation::Committed`]
    pub aborted: Vec<AbortedTxn>,
}

/// Batches of many partitions.
pub struct FetchRequest {
    /// in the order in which the bytes are shared out
    pub partitions: Vec<FetchPartition>,
    /// which records
    pub isolation: Isolation,
    /// wait for so many bytes
    pub min_bytes: usize,
    /// stop after so many; the first batch comes in any case
    pub max_bytes: usize,
    /// but wait no longer than this
    pub max_wait: Duration,
}

/// One partition of a request.
pub struct FetchPartition {
    /// of this topic
    pub topic: Arc<TopicHandle>,
    /// this one
    pub partition: Partition,
    /// begin here
    pub from: Offset,
    /// stop after so many bytes
    pub max_bytes: usize,
}

/// Where to look for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetQuery {
    /// the oldest kept
    Earliest,
    /// the end of what the isolation lets see
    Latest,
    /// the first record with the largest timestamp
    MaxTimestamp,
    /// the first record at or after this time
    Since(TimestampMs),
}

/// An offset that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetFound {
    /// of the record, or an end of the log
    pub offset: Offset,
    /// the record's, when it was looked for by time
    pub timestamp: Option<TimestampMs>,
}

impl Isolation {
    /// Where a reader has to stop.
    pub fn end(self, ends: Ends) -> Offset {
        match self {
            Self::Uncommitted => ends.tail,
            Self::Committed => ends.stable,
        }
    }
}

impl Broker {
    /// Whole batches of a partition from the one that holds `from` on, up to `max_bytes` but at least one; none at the
    /// end. Waits for the disk, not for records.
    ///
    /// # Errors
    /// `UnknownPartition`, `OutOfRange`, `Storage`.
    pub async fn fetch(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Fetched, ReadError> {
        let log = partition_log(topic, partition)?;
        check_range(topic, log, from)?;
        let until = isolation.end(log.ends());
        let mut batches = Vec::new();
        if from < until {
            let found = self.storage().read(log, from, max_bytes).await;
            batches = found.map_err(|e| unreadable(topic, log, e))?;
            // What was published meanwhile may belong to a transaction that has begun meanwhile.
            batches.retain(|batch| batch.header().base_offset < until);
        }
        let aborted = match batches.last() {
            Some(last) if isolation == Isolation::Committed => {
                let found = self.storage().aborted(log, from, last.header().next_offset()).await;
                found.map_err(|e| unreadable(topic, log, e))?
            }
            _ => Vec::new(),
        };
        let Ends { tail, stable } = log.ends();
        Ok(Fetched {
            batches,
            high_watermark: tail,
            last_stable_offset: stable,
            log_start_offset: log.start(),
            aborted,
        })
    }

    /// Batches of many partitions; waits until there are enough of them, or one partition has an error, or the time is
    /// over. Results in the order of the partitions.
    pub async fn fetch_many(&self, request: &FetchRequest) -> Vec<Result<Fetched, ReadError>> {
        let deadline = clock::monotonic() + request.max_wait;
        let mut found: Vec<Result<Fetched, ReadError>> = Vec::with_capacity(request.partitions.len());
        let mut bytes = 0;
        for wanted in &request.partitions {
            let result = self.fetch_next(wanted, request, wanted.from, 0, bytes).await;
            bytes += result.as_ref().map_or(0, size);
            found.push(result);
        }
        while bytes < request.min_bytes && found.iter().all(Result::is_ok) {
            let points: Vec<_> = request
                .partitions
                .iter()
                .zip(&found)
                .filter_map(|(wanted, found)| {
                    let past = next(wanted, found.as_ref().ok()?);
                    WaitPoint::new(&wanted.topic, wanted.partition, past)
                })
                .collect();
            let wait = deadline.saturating_duration_since(clock::monotonic());
            if wait.is_zero() || !self.wait_for_any(&points, request.isolation, wait).await {
                break;
            }
            for (wanted, found) in request.partitions.iter().zip(&mut found) {
                let Ok(before) = found else { continue };
                let (from, had) = (next(wanted, before), size(before));
                match self.fetch_next(wanted, request, from, had, bytes).await {
                    Ok(more) => {
                        bytes += size(&more);
                        before.add(more);
                    }
                    Err(error) => *found = Err(error),
                }
            }
        }
        found
    }

    /// What fits of a partition when it has `had` bytes in the answer, and all together have `bytes`.
    async fn fetch_next(
        &self,
        wanted: &FetchPartition,
        request: &FetchRequest,
        from: Offset,
        had: usize,
        bytes: usize,
    ) -> Result<Fetched, ReadError> {
        let FetchPartition { topic, partition, max_bytes, .. } = wanted;
        let room = max_bytes.saturating_sub(had).min(request.max_bytes.saturating_sub(bytes));
        if room == 0 && bytes > 0 {
            return nothing(topic, *partition, from);
        }
        let mut fetched = self.fetch(topic, *partition, from, room, request.isolation).await?;
        // Only the first batch of the whole answer may be larger than what was asked for.
        if bytes > 0 && size(&fetched) > room {
            fetched.batches.clear();
            fetched.aborted.clear();
        }
        Ok(fetched)
    }

    /// Looks for an offset; `None` when no record is there.
    ///
    /// # Errors
    /// `UnknownPartition`, `Storage`.
    pub async fn find_offset(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        query: OffsetQuery,
        isolation: Isolation,
    ) -> Result<Option<OffsetFound>, ReadError> {
        let log = partition_log(topic, partition)?;
        let end = isolation.end(log.ends());
        let at = |offset| Some(OffsetFound { offset, timestamp: None });
        let found = match query {
            OffsetQuery::Earliest => return Ok(at(log.start())),
            OffsetQuery::Latest => return Ok(at(end)),
            OffsetQuery::MaxTimestamp => self.storage().max_timestamp(log, end).await,
            OffsetQuery::Since(ms) => self.storage().offset_for_time(log, ms, end).await,
        };
        let found = found.map_err(|e| unreadable(topic, log, e))?;
        Ok(found.map(|(offset, timestamp)| OffsetFound { offset, timestamp: Some(timestamp) }))
    }
}

/// A partition for whose batches there is no room.
fn nothing(topic: &TopicHandle, partition: Partition, from: Offset) -> Result<Fetched, ReadError> {
    let log: &Arc<Log> = partition_log(topic, partition)?;
    check_range(topic, log, from)?;
    let Ends { tail, stable } = log.ends();
    Ok(Fetched {
        batches: Vec::new(),
        high_watermark: tail,
        last_stable_offset: stable,
        log_start_offset: log.start(),
        aborted: Vec::new(),
    })
}

/// Bytes of the batches.
fn size(fetched: &Fetched) -> usize {
    fetched.batches.iter().map(|batch| batch.bytes().len()).sum()
}

/// Where the next read of a partition begins.
fn next(wanted: &FetchPartition, fetched: &Fetched) -> Offset {
    fetched.batches.last().map_or(wanted.from, |batch| batch.header().next_offset()).max(wanted.from)
}

impl Fetched {
    /// Adds what a later read has found behind this one.
    fn add(&mut self, more: Self) {
        let Self { batches, high_watermark, last_stable_offset, log_start_offset, aborted } = more;
        self.batches.extend(batches);
        self.high_watermark = high_watermark;
        self.last_stable_offset = last_stable_offset;
        self.log_start_offset = log_start_offset;
        self.aborted.extend(aborted);
        // A transaction that has records on both sides is there twice.
        self.aborted.sort_unstable_by_key(|txn| (txn.first_offset, txn.producer_id));
        self.aborted.dedup();
    }
}
