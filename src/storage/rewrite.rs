//! What compaction changes in a log with one commit. Offsets stay; a batch that is replaced keeps its place.

use std::ops::Range;
use std::sync::Arc;

use crate::model::Offset;
use crate::model::batch::{BatchHeader, RecordBatch};

use super::ledger::Segment;
use super::log::Log;

/// Batches of closed segments that go or are replaced. To be made and committed while the log's `upkeep` is held.
pub(super) struct Rewrite {
    pub(super) log: Arc<Log>,
    /// last offsets of the batches that go: runs in which no other batch ends
    pub(super) removed: Vec<Range<Offset>>,
    /// in place of those with the same last offsets
    pub(super) replaced: Vec<RecordBatch>,
    /// offsets of markers that go
    pub(super) markers: Vec<Offset>,
    /// each takes the place of the closed segments within its offsets
    pub(super) segments: Vec<Segment>,
    /// what changes lies before it
    pub(super) end: Offset,
    in_run: bool,
}

impl Rewrite {
    /// Of nothing yet.
    pub(super) fn new(log: &Arc<Log>, end: Offset) -> Self {
        Self {
            log: log.clone(),
            removed: Vec::new(),
            replaced: Vec::new(),
            markers: Vec::new(),
            segments: Vec::new(),
            end,
            in_run: false,
        }
    }

    /// The next batch stays.
    pub(super) fn keep(&mut self) {
        self.in_run = false;
    }

    /// The next batch goes.
    pub(super) fn remove(&mut self, header: &BatchHeader) {
        let next = header.next_offset();
        match self.removed.last_mut().filter(|_| self.in_run) {
            Some(run) => run.end = next,
            None => self.removed.push(next - 1..next),
        }
        self.in_run = true;
        if header.control {
            self.markers.push(header.base_offset);
        }
    }

    /// This one takes the place of the next batch.
    pub(super) fn replace(&mut self, batch: RecordBatch) {
        self.in_run = false;
        self.replaced.push(batch);
    }

    /// Bytes that it adds to a write, about.
    pub(super) fn bytes(&self) -> usize {
        // Keys of a range, of a marker, of a segment with its row.
        let rows = 32 * (self.removed.len() + self.markers.len()) + 80 * self.segments.len();
        rows + self.replaced.iter().map(|batch| batch.bytes().len()).sum::<usize>()
    }
}
