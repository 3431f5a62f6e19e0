//! Reads that may have to wait for the disk, on threads of their own: never on the network threads, never on the
//! writer. The queue to them is bounded; who finds it full waits.

use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::model::Offset;
use crate::model::batch::{BatchError, RecordBatch};
use crate::model::limits::KIB;
use crate::runtime::{slices, tasks};

use super::db::{Db, Direction, walk};
use super::error::ReadError;
use super::keys;
use super::log::Log;
use super::queue::Queue;

/// Reads that wait for a thread.
pub(super) const QUEUE_JOBS: u32 = 1_024;

/// Batches from this size on are better guessed at than read in vain: clients whose bound is 1 MiB write batches of nearly as
/// much, so every second one would be.
const LARGE: usize = 64 * KIB;

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
    let tail = log.check(from)?;
    each_batch(db, log, from..tail, |value| {
        bytes += value.len();
        if bytes > bytes_max && !found.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        found.push(parse(log, value)?);
        // The next one is read before its length is known; one like this would be read in vain.
        let is_last = value.len() >= LARGE && bytes + value.len() > bytes_max;
        Ok(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if found.is_empty() && from < tail {
        return Err(ReadError::Damaged(format!("{log:?} has no batch at or after offset {from}")));
    }
    Ok(found)
}

/// Visits the values of the log's batches from the one that holds the start of the range on, as far as they begin before
/// its end, which must not lie beyond the tail.
pub(super) fn each_batch(
    db: &Db,
    log: &Log,
    range: Range<Offset>,
    mut visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, ReadError>,
) -> Result<(), ReadError> {
    log.check(range.start)?;
    let gone = || ReadError::TopicGone { topic: log.topic_id() };
    let family = db.topic_family(&log.family).ok_or_else(gone)?;
    let key = |last| keys::batch(log.slot, log.partition(), last);

    // No batch lies across a tail or a last stable offset.
    let rows = db.iterator(&family, key(range.end));
    let mut failed = None;
    walk(rows, Some(&key(range.start)), Direction::Forward, |_, value| {
        visit(value).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    // What retention has deleted meanwhile may be missing in front: better no answer than one with a hole.
    log.check(range.start)?;
    failed.map_or(Ok(()), Err)
}

pub(super) fn parse(log: &Log, value: &[u8]) -> Result<RecordBatch, ReadError> {
    RecordBatch::trusted(Bytes::copy_from_slice(value)).map_err(|e| damaged(log, &e))
}

pub(super) fn damaged(log: &Log, error: &BatchError) -> ReadError {
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
            let read = move || {
                // Every answer from the log waits for it.
                slices::short();
                run(&queue);
            };
            tasks::thread(&format!("reader-{i}"), read)
        })
        .collect()
}
