//! Reading a log through a view, in looks of bounded size, within what one answer may cost.

use std::sync::Arc;
use std::time::Duration;

use super::View;
use super::passage::{Blocked, Job};
use crate::broker::read::{damaged, unreadable};
use crate::broker::{Broker, Isolation, ReadError, TopicHandle};
use crate::model::batch::RecordBatch;
use crate::model::batch::control::passed_over;
use crate::model::limits::{KIB, PARTITIONS_MAX, VIEW_SCAN_BYTES_MAX};
use crate::model::{Offset, TimestampMs};
use crate::runtime::clock::monotonic;
use crate::storage::Log;
use crate::wasm::Fault;

/// Bytes of one look, as stored: enough for a call of the code to cost nothing, little enough for a reader that wants few
/// records (a guess).
const LOOK_BYTES: usize = 256 * KIB;

/// An answer takes no longer to be found, but for the look that is under way (a guess: clients wait 500 ms for a fetch).
const SCAN_TIME_MAX: Duration = Duration::from_millis(500);

/// What finding one answer may still cost. A reader whose records are all dropped gets an answer too, and goes on behind
/// what was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    bytes_left: usize,
    time_left: Duration,
}

/// What a view shows of a part of a log.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// in offset order, with gaps where records are left out
    pub(crate) batches: Vec<RecordBatch>,
    /// where the next read begins
    pub(crate) next: Offset,
    /// records handed to the code
    pub(crate) scanned: u64,
    /// records left out for trouble
    pub(crate) skipped: u64,
    /// the trouble of the record at `next`, at which the read stops
    pub(crate) failed: Option<ReadError>,
}

// === impl Scan ===

impl Scan {
    /// For one of so many reads that make one answer.
    pub fn one_of(reads: usize) -> Self {
        let reads = reads.clamp(1, PARTITIONS_MAX as usize);
        Self { bytes_left: VIEW_SCAN_BYTES_MAX / reads, time_left: SCAN_TIME_MAX / reads as u32 }
    }

    fn spend(&mut self, bytes: usize, time: Duration) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.time_left = self.time_left.saturating_sub(time);
    }

    /// What was found has no room: nothing more is looked for.
    pub(crate) fn end(&mut self) {
        self.bytes_left = 0;
    }

    /// Nothing more may be looked at.
    pub fn is_over(&self) -> bool {
        self.bytes_left == 0 || self.time_left.is_zero()
    }
}

/// What one look asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// the first offset
    pub(crate) from: Offset,
    /// bytes of batches, one batch at least
    pub(crate) room: usize,
    /// what the reader may see of the topic
    pub(crate) isolation: Isolation,
}

// === impl Seen ===

impl Seen {
    /// Adds a marker when offsets at the end show nothing, so that Kafka's clients go on behind them.
    pub(crate) fn with_marker(mut self, from: Offset) -> Self {
        let last = self.batches.last().map(RecordBatch::header);
        let end = last.map_or(from, |header| header.next_offset().max(from));
        if end < self.next {
            let timestamp: TimestampMs = last.map_or(-1, |header| header.max_timestamp);
            self.batches.push(passed_over(end, self.next, timestamp));
        }
        self
    }
}

// === impl Broker ===

impl Broker {
    /// What the topic's view shows from an offset on: one look, which stops when there are `room` bytes to show. Never
    /// empty-handed: `next` moves, or `failed` says why not, or there is nothing that the reader may see.
    ///
    /// # Errors
    /// `ViewClosed` when the code cannot run at all, `OutOfRange`, `Storage`.
    pub(crate) async fn look(
        &self,
        topic: &TopicHandle,
        view: &Arc<View>,
        log: &Arc<Log>,
        look: Look,
        scan: &mut Scan,
    ) -> Result<Seen, ReadError> {
        let Look { from, room, isolation } = look;
        let bytes = LOOK_BYTES.min(scan.bytes_left).max(1);
        let visible = self.visible(log, from, bytes, isolation).await;
        let visible = visible.map_err(|error| unreadable(topic, log, error))?;
        if visible.batches.is_empty() {
            return Ok(Seen { next: visible.next, ..Seen::default() });
        }
        let job = Job {
            partition: log.partition(),
            from,
            batches: visible.batches,
            next: visible.next,
            room,
            now_ms: self.clock().now_ms(),
        };
        let began = monotonic();
        let looked = self.guests().spawn("view", view.clone().look(job)).await;
        // What fails has taken time too.
        let bytes = looked.as_ref().ok().and_then(|done| done.as_ref().ok()).map_or(0, |d| d.scanned_bytes);
        scan.spend(bytes.max(1), began.elapsed());
        let done = match looked {
            Ok(Ok(done)) => done,
            Ok(Err(Blocked::Batch(error))) => return Err(damaged(topic, log, &error)),
            Ok(Err(Blocked::Fault(source))) => return Err(closed(view, source)),
            Err(error) => {
                return Err(closed(view, Fault::Instance(format!("its task ended: {error}"))));
            }
        };
        let failed = done.trouble.map(|source| ReadError::View {
            view: view.of.called.clone(),
            module: view.of.module.clone(),
            topic: view.of.source.clone(),
            partition: log.partition(),
            offset: done.next,
            source: Box::new(source),
        });
        let (batches, next) = (done.batches, done.next);
        Ok(Seen { batches, next, scanned: done.scanned, skipped: done.skipped, failed })
    }
}

fn closed(view: &View, source: Fault) -> ReadError {
    ReadError::ViewClosed { view: view.of.called.clone(), module: view.of.module.clone(), source }
}
