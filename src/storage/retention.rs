//! Deletes what topics do not keep any more, by time and by size, every half minute on a thread of its own.
//!
//! The writer decides what goes and moves the log's start in the same write. Afterwards the deleted range is compacted,
//! which rewrites keys only: blob files that hold nothing else are then removed as a whole, which frees the disk.
//! Records also go when somebody asks for it; their space is given back with the next round.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::Offset;
use crate::runtime::tasks;
use crate::telemetry::metric_names as names;

use super::commit::{Commit, Trim};
use super::db::{Db, Direction, walk};
use super::error::{CommitError, Error, ReadError};
use super::log::{Ends, Log};
use super::{Shared, Storage, keys};

/// Between two rounds. Records live so much longer than asked for, at most.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) fn run(shared: &Shared) {
    while !shared.stop.wait(PAUSE) {
        enforce(shared);
    }
}

/// One round over all topics.
pub(super) fn enforce(shared: &Shared) {
    let topics: Vec<Vec<Arc<Log>>> = shared.table.read().values().map(|entry| entry.logs.clone()).collect();
    for logs in topics {
        if shared.stop.is_set() {
            return;
        }
        trim(shared, &logs);
    }
}

fn trim(shared: &Shared, logs: &[Arc<Log>]) {
    let now_ms = shared.clock.now_ms();
    let mut commit = Commit::new();
    let mut held = Vec::new();
    for log in logs {
        // Somebody is at work on it: its turn comes with the next round.
        let Some(guard) = log.upkeep.try_lock() else { continue };
        let (count, is_active_old) = log.ledger.lock().expired(&log.settings().keep, now_ms);
        if count > 0 || is_active_old {
            commit.trims.push((log.clone(), Trim::Retention));
            held.push((guard, log.start(), log.bytes()));
        }
    }
    let trimmed: Vec<_> = commit.trims.iter().map(|(log, _)| log.clone()).collect();
    if !trimmed.is_empty()
        && let Err(error) = shared.commit_now(commit)
    {
        tracing::warn!(%error, "retention could not delete");
        return;
    }
    for (log, (guard, start, bytes)) in trimmed.iter().zip(held) {
        drop(guard);
        if log.start() > start {
            let freed = bytes.saturating_sub(log.bytes());
            metrics::counter!(names::RETENTION_DELETED_BYTES_TOTAL).increment(freed);
            tracing::debug!(?log, freed, "retention deleted records");
            log.has_garbage.store(true, Ordering::Relaxed);
        }
    }
    for log in logs {
        if log.has_garbage.swap(false, Ordering::Relaxed) {
            let key = |last| keys::batch(log.slot, log.partition(), last);
            shared.db.compact(&log.family, &key(0), &key(log.start()));
        }
    }
}

impl Storage {
    /// Deletes the records before `to`, at most those before the last stable offset, and gives the log's start, which may
    /// lie inside a batch. Blocks nobody; goes on to its end even if the caller does not wait for it.
    ///
    /// # Errors
    /// `OutOfRange` for an offset beyond the tail, `TopicGone`, `Damaged`, `Engine` as `Read`; those of a commit.
    pub async fn delete_records(&self, log: &Arc<Log>, to: Offset) -> Result<Offset, Error> {
        let (storage, log) = (self.clone(), log.clone());
        let done =
            tasks::spawn_blocking("delete records", move || delete_records(storage.shared(), &log, to));
        // Only a panic or the end of the runtime breaks the task off.
        done.await.unwrap_or(Err(Error::Commit(CommitError::Closed)))
    }
}

fn delete_records(shared: &Shared, log: &Arc<Log>, to: Offset) -> Result<Offset, Error> {
    let _one = log.upkeep.lock();
    let Ends { tail, stable } = log.ends();
    if to > tail {
        return Err(Error::Read(ReadError::OutOfRange { asked: to, start: log.start(), tail }));
    }
    let offset = to.min(stable);
    if offset > log.start() {
        let cut_bytes = bytes_before(&shared.db, log, offset)?;
        let mut commit = Commit::new();
        commit.trims.push((log.clone(), Trim::To { offset, cut_bytes }));
        shared.commit_now(commit)?;
        log.has_garbage.store(true, Ordering::Relaxed);
    }
    Ok(log.start())
}

/// Bytes of the batches that end before `offset`, in the segment that holds it.
fn bytes_before(db: &Db, log: &Log, offset: Offset) -> Result<u64, ReadError> {
    let segment = log.ledger.lock().segment_of(offset);
    let gone = || ReadError::TopicGone { topic: log.topic_id() };
    let family = db.topic_family(&log.family).ok_or_else(gone)?;
    let key = |last| keys::batch(log.slot, log.partition(), last);
    let mut bytes = 0;
    walk(db.iterator(&family, key(offset)), Some(&key(segment.base)), Direction::Forward, |_, batch| {
        bytes += batch.len() as u64;
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}
