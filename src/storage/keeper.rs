//! The regular rounds beside writing and reading: look at the disk every second; write the log-end guard and publish
//! RocksDB's figures every few.

use std::time::Duration;

use crate::telemetry::metric_names as names;

use super::Shared;

const PAUSE: Duration = Duration::from_secs(1);
/// Rounds between two guards. What is lost without a report was written in that time (a guess).
const GUARD_ROUNDS: u32 = 5;

pub(super) fn run(shared: &Shared) {
    let mut round = 0u32;
    while !shared.stop.wait(PAUSE) {
        let disk = shared.disk.observe();
        metrics::gauge!(names::DISK_FREE_BYTES).set(disk.free as f64);
        metrics::gauge!(names::DISK_RESERVE_BYTES).set(disk.reserve as f64);

        round = round.wrapping_add(1);
        if round.is_multiple_of(GUARD_ROUNDS) {
            let mut last = shared.guard.last.lock();
            shared.write_guard(&mut last, None);
            drop(last);
            publish_figures(shared);
        }
    }
}

fn publish_figures(shared: &Shared) {
    let figures = shared.db.figures();
    metrics::counter!(names::ROCKSDB_STALL_SECONDS).absolute(figures.stall_micros / 1_000_000);
    metrics::counter!(names::ROCKSDB_BLOCK_CACHE_HITS).absolute(figures.cache_hits);
    metrics::counter!(names::ROCKSDB_BLOCK_CACHE_MISSES).absolute(figures.cache_misses);
    metrics::gauge!(names::ROCKSDB_BLOCK_CACHE_BYTES).set(figures.cache_bytes as f64);
    metrics::gauge!(names::ROCKSDB_MEMTABLE_BYTES).set(figures.memtable_bytes as f64);
    metrics::gauge!(names::ROCKSDB_PENDING_COMPACTION_BYTES).set(figures.pending_compaction_bytes as f64);
    metrics::gauge!(names::STATE_KEYS_ESTIMATE).set(figures.state_keys as f64);
    metrics::gauge!(names::STATE_BYTES).set(figures.state_bytes as f64);
}
