//! Reading records: pages of one partition, positions from times; `merged` reads all partitions. Readers see committed records
//! and stop at the first open transaction, unless they ask for everything.

mod merged;

use std::sync::Arc;
use std::time::Duration;

use super::fetch::{Isolation, Visible, WaitPoint};
use super::view::{Look, Scan, View};
use super::{Broker, ReadError, TopicHandle};
use crate::model::batch::{BatchError, RecordBatch};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::{Offset, Partition, Record, TimestampMs};
use crate::runtime::clock::monotonic;
use crate::storage::{self, Log};

pub use merged::{Cursor, Merged};

/// Bounds of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// at most so many
    pub records: usize,
    /// stop after so many bytes of records; one record at least
    pub bytes: usize,
    /// when there is nothing, wait so long for the first record
    pub wait: Duration,
    /// which records
    pub isolation: Isolation,
}

/// Records of one partition.
#[derive(Debug, Clone)]
pub struct Page {
    /// in offset order
    pub records: Vec<(Offset, Record)>,
    /// where the next read begins
    pub next_offset: Offset,
    /// the first offset that is not yet acknowledged
    pub high_watermark: Offset,
    /// the oldest kept
    pub log_start_offset: Offset,
    /// through a view: records that its code has looked at
    pub scanned: u64,
    /// through a view: records left out because its code had trouble with them
    pub skipped: u64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// the oldest kept
    Earliest,
    /// the first that is not there for committed readers: unwritten, or of an open transaction
    Latest,
    /// exactly here
    Offset(Offset),
    /// so many before the end
    Back(u64),
    /// the first record at or after this time; the end when there is none
    Timestamp(TimestampMs),
}

impl Broker {
    /// Reads a page; waits at most `limits.wait` for the first record. Through a view a page may be empty and yet move
    /// `next_offset`: then there was more to look at than one answer may cost.
    ///
    /// # Errors
    /// `UnknownPartition`, `OutOfRange`, `Storage` (also when the view is deleted meanwhile); through a view `View` when the
    /// very next record stops it, and `ViewClosed`.
    pub async fn read(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        from: Offset,
        limits: ReadLimits,
    ) -> Result<Page, ReadError> {
        self.read_within(topic, partition, from, limits, &mut Scan::one_of(1)).await
    }

    async fn read_within(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        from: Offset,
        limits: ReadLimits,
        scan: &mut Scan,
    ) -> Result<Page, ReadError> {
        let log = partition_log(topic, partition)?;
        check_range(topic, log, from)?;
        let began = monotonic();
        let mut page = Page::at(log, from);
        loop {
            let view = self.view_now(topic)?;
            let left = limits.wait.saturating_sub(began.elapsed());
            if limits.isolation.end(log.ends()) <= page.next_offset && !left.is_zero() {
                // Running out of time is an empty page, not an error.
                let point = WaitPoint::of(log, page.next_offset, view.as_ref());
                self.wait_for_any(&[point], limits.isolation, left).await;
                if view.as_ref().is_some_and(|view| view.is_replaced()) {
                    continue;
                }
            }
            (page.high_watermark, page.log_start_offset) = (log.tail(), log.start());
            let before = page.next_offset;
            match &view {
                None => self.fill(topic, log, &mut page, limits).await?,
                Some(view) => self.fill_through(topic, view, log, &mut page, limits, scan).await?,
            }
            // What a view drops is nothing to wake a reader for.
            let goes_on = view.is_some() && page.records.is_empty() && page.next_offset > before;
            if !goes_on || scan.is_over() || began.elapsed() >= limits.wait {
                return Ok(page);
            }
        }
    }

    async fn fill(
        &self,
        topic: &TopicHandle,
        log: &Arc<Log>,
        page: &mut Page,
        limits: ReadLimits,
    ) -> Result<(), ReadError> {
        let end = || limits.isolation.end(log.ends());
        let mut bytes = 0;
        while page.records.len() < limits.records && bytes < limits.bytes && page.next_offset < end() {
            let found = self.visible(log, page.next_offset, limits.bytes - bytes, limits.isolation).await;
            let found = found.map_err(|e| unreadable(topic, log, e))?;
            if found.next <= page.next_offset {
                break;
            }
            if take_all(&found.batches, page, &mut bytes, limits).map_err(|e| damaged(topic, log, &e))? {
                break;
            }
            page.next_offset = page.next_offset.max(found.next);
        }
        Ok(())
    }

    async fn fill_through(
        &self,
        topic: &TopicHandle,
        view: &Arc<View>,
        log: &Arc<Log>,
        page: &mut Page,
        limits: ReadLimits,
        scan: &mut Scan,
    ) -> Result<(), ReadError> {
        let end = || limits.isolation.end(log.ends());
        let mut bytes = 0;
        while page.records.len() < limits.records
            && bytes < limits.bytes
            && page.next_offset < end()
            && !scan.is_over()
        {
            let isolation = limits.isolation;
            let from = page.next_offset;
            let look = Look { from, room: limits.bytes - bytes, isolation };
            let seen = self.look(topic, view, log, look, scan).await?;
            page.scanned += seen.scanned;
            page.skipped += seen.skipped;
            if take_all(&seen.batches, page, &mut bytes, limits).map_err(|e| damaged(topic, log, &e))? {
                break;
            }
            page.next_offset = page.next_offset.max(seen.next);
            match seen.failed {
                Some(failed) if page.records.is_empty() => return Err(failed),
                Some(_) => break,
                None if page.next_offset <= from => break,
                None => {}
            }
        }
        Ok(())
    }

    /// The offset that a position means now.
    ///
    /// # Errors
    /// `UnknownPartition`, `Storage`.
    pub async fn resolve_offset(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        at: OffsetSpec,
    ) -> Result<Offset, ReadError> {
        let log = partition_log(topic, partition)?;
        Ok(match at {
            OffsetSpec::Earliest => log.start(),
            OffsetSpec::Latest => log.stable(),
            OffsetSpec::Offset(offset) => offset,
            OffsetSpec::Back(count) => log.stable().saturating_sub(count).max(log.start()),
            OffsetSpec::Timestamp(ms) => {
                let stable = log.stable();
                let found = self.storage().offset_for_time(log, ms, stable).await;
                found.map_err(|e| unreadable(topic, log, e))?.map_or(stable, |(offset, _)| offset)
            }
        })
    }

    /// Batches with records that the isolation lets see, from the one that holds `from` on; bounds as for
    /// [`storage::Storage::read`], which counts also what is left out.
    pub(crate) async fn visible(
        &self,
        log: &Arc<Log>,
        from: Offset,
        bytes_max: usize,
        isolation: Isolation,
    ) -> Result<Visible, storage::ReadError> {
        let until = isolation.end(log.ends());
        if (log.start()..=log.tail()).contains(&from) && from >= until {
            return Ok(Visible { batches: Vec::new(), next: from });
        }
        let mut batches = self.storage().read(log, from, bytes_max).await?;
        // What was published meanwhile may belong to a transaction that has begun meanwhile.
        batches.retain(|batch| batch.header().base_offset < until);
        let end = batches.last().map_or(from, |batch| batch.header().next_offset());
        let aborted = match isolation {
            Isolation::Committed if end > from => self.storage().aborted(log, from, end).await?,
            Isolation::Committed | Isolation::Uncommitted => Vec::new(),
        };
        Ok(Visible::of(batches, &aborted, from))
    }
}

pub(super) fn partition_log(topic: &TopicHandle, partition: Partition) -> Result<&Arc<Log>, ReadError> {
    topic.log(partition).ok_or_else(|| ReadError::UnknownPartition {
        topic: topic.name().clone(),
        partition,
        partitions: topic.topic.partitions,
    })
}

pub(super) fn check_range(topic: &TopicHandle, log: &Log, asked: Offset) -> Result<(), ReadError> {
    let (start, tail) = (log.start(), log.tail());
    if (start..=tail).contains(&asked) {
        return Ok(());
    }
    Err(ReadError::OutOfRange { topic: topic.name().clone(), partition: log.partition(), asked, start, tail })
}

pub(super) fn unreadable(topic: &TopicHandle, log: &Log, source: storage::ReadError) -> ReadError {
    match source {
        storage::ReadError::OutOfRange { asked, start, tail } => ReadError::OutOfRange {
            topic: topic.name().clone(),
            partition: log.partition(),
            asked,
            start,
            tail,
        },
        source => ReadError::Storage { topic: topic.name().clone(), partition: log.partition(), source },
    }
}

pub(super) fn damaged(topic: &TopicHandle, log: &Log, error: &BatchError) -> ReadError {
    unreadable(topic, log, storage::ReadError::Damaged(error.to_string()))
}

impl Page {
    fn at(log: &Log, from: Offset) -> Self {
        Self {
            records: Vec::new(),
            next_offset: from,
            high_watermark: log.tail(),
            log_start_offset: log.start(),
            scanned: 0,
            skipped: 0,
        }
    }
}

/// [`take`] of all batches, until the page is full.
fn take_all(
    batches: &[RecordBatch],
    page: &mut Page,
    bytes: &mut usize,
    limits: ReadLimits,
) -> Result<bool, BatchError> {
    for batch in batches {
        if take(batch, page, bytes, limits)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the batch's records from `page.next_offset` on; true when the page is full.
fn take(
    batch: &RecordBatch,
    page: &mut Page,
    bytes: &mut usize,
    limits: ReadLimits,
) -> Result<bool, BatchError> {
    let header = *batch.header();
    if !header.control {
        let payload = batch.payload(BATCH_UNCOMPRESSED_MAX)?;
        for record in payload.records() {
            let record = record?;
            let offset = header.base_offset + Offset::from(record.offset_delta);
            if offset < page.next_offset {
                continue;
            }
            if page.records.len() >= limits.records || (*bytes >= limits.bytes && !page.records.is_empty()) {
                return Ok(true);
            }
            let record = record.to_owned_in(payload.bytes());
            *bytes += record.size();
            page.next_offset = offset + 1;
            page.records.push((offset, record));
        }
    }
    page.next_offset = page.next_offset.max(header.next_offset());
    Ok(false)
}
