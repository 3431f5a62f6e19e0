//! Deletes what topics do not keep any more, by time and by size, every half minute on a thread of its own.
//!
//! The writer decides what goes and moves the log's start in the same write. Afterwards the deleted range is compacted,
//! which rewrites keys only: blob files that hold nothing else are then removed as a whole, which frees the disk.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metric_names as names;

use super::commit::Commit;
use super::log::Log;
use super::{Shared, keys};

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
    for log in logs {
        let (count, is_active_old) = log.ledger.lock().expired(&log.settings().keep, now_ms);
        if count > 0 || is_active_old {
            commit.trims.push(log.clone());
        }
    }
    if commit.trims.is_empty() {
        return;
    }
    let before: Vec<_> = commit.trims.iter().map(|log| (log.clone(), log.start(), log.bytes())).collect();
    if let Err(error) = shared.commit_now(commit) {
        tracing::warn!(%error, "retention could not delete");
        return;
    }
    for (log, start, bytes) in before {
        if log.start() > start {
            let freed = bytes.saturating_sub(log.bytes());
            metrics::counter!(names::RETENTION_DELETED_BYTES_TOTAL).increment(freed);
            tracing::debug!(?log, freed, "retention deleted records");
            let key = |last| keys::batch(log.slot, log.partition(), last);
            shared.db.compact(&log.family, &key(0), &key(log.start()));
        }
    }
}
