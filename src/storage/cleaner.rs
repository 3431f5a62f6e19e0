//! Compaction of logs (`cleanup.policy=compact`): of every key the newest record stays, at its offset. On a thread of its
//! own, log by log, in passes.
//!
//! A pass reads the keys of the dirty part into a map of bounded size, as far as that goes. Then it goes through the log
//! from its start, in pieces of a few megabytes: it reads a piece and commits what goes and what is replaced, in one
//! write. Whatever pieces were committed when a crash comes, the log is right, because nothing goes before something
//! newer is there. Appends go on meanwhile; they concern the active segment, which is never cleaned.
//!
//! Producers' state is in rows of its own and not in their last batches, so these need not be kept for it, as Kafka
//! keeps them. Facts of Kafka: `Cleaner`, `CleanedTransactionMetadata`, KIP-534.

mod filter;
mod offset_map;
mod plan;

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::batch::{BatchError, BatchHeader, RecordBatch};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, MIB};
use crate::model::topic::{Compaction, Durability};
use crate::model::{Offset, TimestampMs};
use crate::telemetry::metric_names as names;

use super::commit::Commit;
use super::error::{CommitError, ReadError};
use super::ledger::{self, Segment};
use super::log::Log;
use super::rewrite::Rewrite;
use super::{Shared, keys, reader, tables, transactions};

pub(in crate::storage) use plan::Cleaned;

use filter::{Filter, Verdict};
use offset_map::{ENTRY_BYTES, OffsetMap};
use plan::Plan;

/// Between two rounds (a guess; Kafka waits 15 s). A round in which nothing is dirty looks at segments only. Tests make
/// rounds of their own.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 3_600 } else { 5 });
/// A pass reads and commits so many bytes at a time, so that it never holds up the writer for long.
const PIECE_BYTES: usize = 2 * MIB;
/// The map of keys gets a thirty-second part of the memory, and at least so much (a guess).
const MEMORY_PART: u64 = 32;
const MAP_BYTES_MIN: u64 = 4 * MIB as u64;

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// the storage closes, or the topic is compacted no more
    #[error("it was told to stop")]
    Asked,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// One pass over a log.
struct Pass<'a> {
    shared: &'a Shared,
    log: &'a Arc<Log>,
    compaction: Compaction,
    now_ms: TimestampMs,
    /// bytes that it has freed
    freed: u64,
}

/// How many keys the map of a storage with so much memory may hold.
pub(super) fn entries_max(memory: u64) -> usize {
    usize::try_from((memory / MEMORY_PART).max(MAP_BYTES_MIN) / ENTRY_BYTES).unwrap_or(usize::MAX)
}

pub(super) fn run(shared: &Shared) {
    while !shared.stop.wait(PAUSE) {
        round(shared, entries_max(shared.memory));
    }
}

/// One round over all topics: each log is cleaned until there is nothing to do.
pub(super) fn round(shared: &Shared, entries_max: usize) {
    let logs: Vec<Arc<Log>> = {
        let table = shared.table.read();
        let all = table.values().flat_map(|entry| &entry.logs);
        all.filter(|log| log.settings().compaction.is_some()).cloned().collect()
    };
    for log in logs {
        let done = clean(shared, &log, entries_max);
        match done {
            Ok(()) | Err(Stopped::Asked | Stopped::Commit(CommitError::Closed)) => {}
            Err(
                Stopped::Read(ReadError::TopicGone { .. }) | Stopped::Commit(CommitError::TopicGone { .. }),
            ) => {}
            // Records were deleted under it; the next round sees what is left.
            Err(Stopped::Read(ReadError::OutOfRange { .. })) => {}
            Err(error) => {
                // It would fail again and again.
                log.is_uncleanable.store(true, Ordering::Relaxed);
                tracing::warn!(?log, %error, "a log cannot be compacted until the next start");
            }
        }
    }
}

fn clean(shared: &Shared, log: &Arc<Log>, entries_max: usize) -> Result<(), Stopped> {
    while !log.is_uncleanable.load(Ordering::Relaxed) {
        let Some(compaction) = log.settings().compaction else { break };
        let now_ms = shared.clock.now_ms();
        let plan = {
            let ledger = log.ledger.lock();
            plan::plan(&ledger, &log.cleaned.lock(), &compaction, now_ms)
        };
        let Some(plan) = plan else { break };
        Pass { shared, log, compaction, now_ms, freed: 0 }.run(plan, entries_max)?;
    }
    Ok(())
}

// === impl Pass ===

impl Pass<'_> {
    fn run(mut self, plan: Plan, entries_max: usize) -> Result<(), Stopped> {
        let started = self.log.start();
        let (map, end) = self.read_keys(plan, entries_max)?;
        let mut filter = Filter::new(&map, self.now_ms, self.compaction.tombstones_kept_ms);
        self.filter(&mut filter, end)?;
        self.finish(Cleaned { dirty_from: end, horizon_ms: filter.horizon_ms })?;

        let (log, freed, keys) = (self.log, self.freed, map.len());
        tracing::debug!(?log, end, keys, freed, "compacted");
        metrics::counter!(names::COMPACTION_DELETED_BYTES_TOTAL).increment(freed);
        if freed > 0 {
            let key = |last| keys::batch(log.slot, log.partition(), last);
            self.shared.db.collect_blobs(&log.family, true);
            self.shared.db.compact(&log.family, &key(started), &key(end));
        }
        Ok(())
    }

    /// The newest offsets of the keys in the dirty part, and where the part ends that they are of.
    fn read_keys(&self, plan: Plan, entries_max: usize) -> Result<(OffsetMap, Offset), Stopped> {
        let mut map = OffsetMap::new(entries_max);
        let mut at = plan.dirty_from;
        while at < plan.end {
            self.check()?;
            let batches = self.read(at..plan.end)?;
            let Some(last) = batches.last() else { break };
            let aborted = self.aborted(at..last.header().next_offset())?;
            for batch in &batches {
                let header = batch.header();
                if !header.control && !aborted.covers(header) {
                    if !map.takes(header.count as usize) {
                        return Ok((map, at));
                    }
                    put_keys(&mut map, batch).map_err(|e| reader::damaged(self.log, &e))?;
                }
                at = header.next_offset();
            }
        }
        Ok((map, plan.end))
    }

    /// Goes through the log up to `end`.
    fn filter(&mut self, filter: &mut Filter<'_>, end: Offset) -> Result<(), Stopped> {
        let mut at = 0;
        loop {
            self.check()?;
            let log = self.log;
            // Nobody deletes records while a piece is being replaced.
            let _one = log.upkeep.lock();
            at = at.max(log.start());
            if at >= end {
                return Ok(());
            }
            let segment = log.ledger.lock().segment_of(at);
            at = self.filter_piece(filter, segment, at..segment.next.min(end), end)?;
        }
    }

    /// A piece of one closed segment, as large as it may be; where it ends.
    fn filter_piece(
        &mut self,
        filter: &mut Filter<'_>,
        segment: Segment,
        range: Range<Offset>,
        end: Offset,
    ) -> Result<Offset, Stopped> {
        let batches = self.read(range.clone())?;
        let Some(last) = batches.last() else { return Ok(range.end) };
        let piece = range.start..last.header().next_offset();
        let aborted = self.aborted(piece.clone())?;

        let mut rewrite = Rewrite::new(self.log, piece.end);
        let (mut removed, mut added) = (0, 0);
        for batch in &batches {
            let header = batch.header();
            let is_last = header.next_offset() == end;
            let verdict = filter.judge(batch, aborted.covers(header), is_last);
            match verdict.map_err(|e| reader::damaged(self.log, &e))? {
                Verdict::Keep => {
                    rewrite.keep();
                    continue;
                }
                Verdict::Remove => rewrite.remove(header),
                Verdict::Replace(new) => {
                    added += new.bytes().len() as u64;
                    rewrite.replace(new);
                }
            }
            removed += header.size as u64;
        }
        if removed > 0 {
            let bytes = (segment.bytes + added).saturating_sub(removed);
            rewrite.segments.push(Segment { bytes, ..segment });
            let mut commit = Commit::new();
            commit.rewrite(rewrite);
            // A pass that is lost in a crash is done again; its end is synced.
            commit.durability(Durability::Os);
            self.shared.commit_now(commit)?;
            self.freed += removed.saturating_sub(added);
        }
        Ok(piece.end)
    }

    /// Notes how far the log is cleaned, and makes one segment of several small ones.
    fn finish(&self, cleaned: Cleaned) -> Result<(), Stopped> {
        let log = self.log;
        let _one = log.upkeep.lock();
        let mut rewrite = Rewrite::new(log, 0);
        rewrite.segments = {
            let ledger = log.ledger.lock();
            ledger::merged(&ledger.closed, cleaned.dirty_from, &log.settings().keep)
        };
        let mut commit = Commit::new();
        commit.rewrite(rewrite);
        tables::cleaned::put(&mut commit, log, &cleaned);
        self.shared.commit_now(commit)?;
        *log.cleaned.lock() = cleaned;
        Ok(())
    }

    fn check(&self) -> Result<(), Stopped> {
        let goes_on = !self.shared.stop.is_set() && self.log.settings().compaction.is_some();
        if goes_on { Ok(()) } else { Err(Stopped::Asked) }
    }

    /// The batches of the range, as many as a piece takes, at least one if there is one.
    fn read(&self, range: Range<Offset>) -> Result<Vec<RecordBatch>, ReadError> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        reader::each_batch(&self.shared.db, self.log, range, |value| {
            bytes += value.len();
            if bytes > PIECE_BYTES && !batches.is_empty() {
                return Ok(ControlFlow::Break(()));
            }
            batches.push(reader::parse(self.log, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(batches)
    }

    fn aborted(&self, range: Range<Offset>) -> Result<Aborted, ReadError> {
        let mut of = HashMap::<i64, Vec<Range<Offset>>>::new();
        if self.log.has_aborted_since(range.start) {
            for txn in transactions::aborted(&self.shared.db, self.log, range.start, range.end)? {
                of.entry(txn.producer_id).or_default().push(txn.first_offset..txn.last_offset);
            }
        }
        Ok(Aborted(of))
    }
}

/// Where the producers' aborted transactions lie.
struct Aborted(HashMap<i64, Vec<Range<Offset>>>);

impl Aborted {
    fn covers(&self, header: &BatchHeader) -> bool {
        let of_producer = self.0.get(&header.producer_id).filter(|_| header.transactional);
        of_producer.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&header.base_offset)))
    }
}

fn put_keys(map: &mut OffsetMap, batch: &RecordBatch) -> Result<(), BatchError> {
    let base = batch.header().base_offset;
    for record in batch.payload(BATCH_UNCOMPRESSED_MAX)?.records() {
        let record = record?;
        if let Some(key) = record.key {
            map.put(key, base + Offset::from(record.offset_delta));
        }
    }
    Ok(())
}
