//! Reads that may have to wait for the disk, on threads of their own: never on the network threads, never on the
//! writer. The queue to them is bounded; who finds it full waits.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::model::batch::RecordBatch;
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::{Offset, TimestampMs};

use super::db::{Db, Direction, walk};
use super::error::ReadError;
use super::keys;
use super::log::Log;
use super::queue::Queue;

/// Reads that wait for a thread.
pub(super) const QUEUE_JOBS: u32 = 1_024;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What a reader thread does.
pub(super) fn run(queue: &Queue<Job>) {
    while let Some(job) = queue.pop() {
        // The asker hears of a panic as a closed channel; the thread goes on with the next one.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a read panicked");
        }
    }
}

/// Batches in memory, if `from` is there. `Some` of nothing at the tail.
pub(super) fn read_memory(
    log: &Log,
    from: Offset,
    bytes_max: usize,
) -> Result<Option<Vec<RecordBatch>>, ReadError> {
    let tail = log.check(from)?;
    if from == tail {
        return Ok(Some(Vec::new()));
    }
    let mut found = log.ring.lock().read(from, bytes_max);
    if let Some(batches) = &mut found {
        // Written already and about to be published.
        batches.retain(|batch| batch.header().next_offset() <= tail);
    }
    Ok(found)
}

/// Batches from disk; blocking. The bounds are those of [`super::Storage::read`].
pub(super) fn read_disk(
    db: &Db,
    log: &Log,
    from: Offset,
    bytes_max: usize,
) -> Result<Vec<RecordBatch>, ReadError> {
    let mut bytes = 0;
    let mut found = Vec::new();
    let tail = each_batch(db, log, from, |value| {
        bytes += value.len();
        if bytes > bytes_max && !found.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        found.push(parse(log, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    if found.is_empty() && from < tail {
        return Err(ReadError::Damaged(format!("{log:?} has no batch at or after offset {from}")));
    }
    Ok(found)
}

/// The offset of the first record with a timestamp of `at` or later; blocking. Reads at most about one segment.
pub(super) fn find_time(db: &Db, log: &Log, at: TimestampMs) -> Result<Option<Offset>, ReadError> {
    loop {
        let Some(from) = log.ledger.lock().find_time(at) else { return Ok(None) };
        let from = from.max(log.start());
        match find_time_from(db, log, from, at) {
            // Retention overtook the search; what it deleted is not looked for.
            Err(ReadError::OutOfRange { start, .. }) if start > from => {}
            found => return found,
        }
    }
}

fn find_time_from(db: &Db, log: &Log, from: Offset, at: TimestampMs) -> Result<Option<Offset>, ReadError> {
    let mut found = None;
    each_batch(db, log, from, |value| {
        // Most batches are passed over by their header alone.
        let header = crate::model::batch::BatchHeader::read(value).map_err(|e| damaged(log, &e))?;
        if header.max_timestamp >= at {
            found = first_record(log, &parse(log, value)?, at)?;
        }
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

fn first_record(log: &Log, batch: &RecordBatch, at: TimestampMs) -> Result<Option<Offset>, ReadError> {
    let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).map_err(|e| damaged(log, &e))?;
    for record in payload.records() {
        let record = record.map_err(|e| damaged(log, &e))?;
        if record.timestamp >= at {
            return Ok(Some(batch.header().base_offset + Offset::from(record.offset_delta)));
        }
    }
    Ok(None)
}

/// Visits the values of the log's batches from the one that holds `from` up to the tail, which it returns.
fn each_batch(
    db: &Db,
    log: &Log,
    from: Offset,
    mut visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, ReadError>,
) -> Result<Offset, ReadError> {
    let tail = log.check(from)?;
    let gone = || ReadError::TopicGone { topic: log.topic_id() };
    let family = db.topic_family(&log.family).ok_or_else(gone)?;
    let key = |last| keys::batch(log.slot, log.partition(), last);

    let rows = db.iterator(&family, key(tail));
    let mut failed = None;
    walk(rows, Some(&key(from)), Direction::Forward, |_, value| {
        visit(value).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    // What retention has deleted meanwhile may be missing in front: better no answer than one with a hole.
    log.check(from)?;
    failed.map_or(Ok(tail), Err)
}

fn parse(log: &Log, value: &[u8]) -> Result<RecordBatch, ReadError> {
    RecordBatch::trusted(Bytes::copy_from_slice(value)).map_err(|e| damaged(log, &e))
}

fn damaged(log: &Log, error: &crate::model::batch::BatchError) -> ReadError {
    ReadError::Damaged(format!("{log:?}: {error}"))
}

/// Starts the threads.
pub(super) fn start(
    threads: usize,
    queue: &Arc<Queue<Job>>,
) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    (0..threads.max(1))
        .map(|i| {
            let queue = queue.clone();
            crate::runtime::tasks::thread(&format!("reader-{i}"), move || run(&queue))
        })
        .collect()
}
