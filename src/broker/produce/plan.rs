//! What becomes of the records of a request: known before the commit but for the offsets, which the writer gives.

use super::records::{Encoded, Sent};
use super::{ProduceReply, Produced, RecordFate, Rejected, StoredIn, Tally};
use crate::model::batch::RecordBatch;
use crate::model::{Offset, Partition};
use crate::storage::{Commit, Log, Placed};
use std::sync::Arc;

/// The fates of all records of a request.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
}

/// A partition's part of the commit.
pub(super) struct Part {
    partition: Partition,
    sent: Vec<Sent>,
    batches: Vec<Appended>,
    /// one per record; empty: every record is stored once, in the order of `sent`
    judged: Vec<Judged>,
}

/// A batch in the commit.
struct Appended {
    /// index into the receipt
    slot: usize,
    records: u32,
}

/// What the transforms said of a record.
pub(super) struct Judged {
    pub(super) fate: RecordFate,
    /// the first record stored of it
    pub(super) first: Option<Place>,
    /// records stored of it
    pub(super) count: u32,
}

/// A record in the commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// index into the receipt
    pub(super) slot: usize,
    /// in that batch
    pub(super) position: u32,
}

// === impl Plan ===

impl Plan {
    /// The fate of each record, in the order of the request.
    pub(super) fn reply(&self, placed: &[Placed]) -> ProduceReply {
        let count = self.parts.iter().map(|part| part.sent.len()).sum();
        let mut results: Vec<Option<Produced>> = vec![None; count];
        for part in &self.parts {
            part.results(placed, |index, produced| {
                if let Some(result) = results.get_mut(index as usize) {
                    *result = Some(produced);
                }
            });
        }
        ProduceReply { results: results.into_iter().flatten().collect(), duplicate: false }
    }

    /// The sums.
    pub(super) fn tally(self, placed: &[Placed]) -> Tally {
        let mut tally = Tally::default();
        for part in self.parts {
            let records = part.batches.iter().map(|batch| u64::from(batch.records)).sum();
            let last = part.batches.last().and_then(|batch| placed.get(batch.slot));
            if let Some(last) = last {
                let (partition, last_offset) = (part.partition, last.next.saturating_sub(1));
                tally.stored.push(StoredIn { partition, records, last_offset });
            }
            for (judged, sent) in part.judged.into_iter().zip(&part.sent) {
                match judged.fate {
                    RecordFate::Stored => {}
                    RecordFate::Dropped => tally.dropped += 1,
                    RecordFate::DeadLettered => tally.dead_lettered += 1,
                    RecordFate::Rejected { deployment, reason } => {
                        tally.rejected.push(Rejected { index: sent.index as usize, deployment, reason });
                    }
                }
            }
        }
        tally
    }
}

// === impl Part ===

impl Part {
    /// Nothing appended and nothing judged yet.
    pub(super) fn new(partition: Partition, sent: Vec<Sent>) -> Self {
        Self { partition, sent, batches: Vec::new(), judged: Vec::new() }
    }

    /// Every record stored as it came.
    pub(super) fn whole(encoded: Encoded, log: &Arc<Log>, commit: &mut Commit) -> Self {
        let mut part = Self::new(encoded.partition, encoded.sent);
        for batch in encoded.batches {
            part.append(batch, log, commit);
        }
        part
    }

    /// Puts a batch into the commit; its index in the receipt.
    pub(super) fn append(&mut self, batch: RecordBatch, log: &Arc<Log>, commit: &mut Commit) -> usize {
        let records = batch.header().count;
        let slot = commit.append(log, batch);
        self.batches.push(Appended { slot, records });
        slot
    }

    /// The verdict on the next record.
    pub(super) fn judge(&mut self, judged: Judged) {
        self.judged.push(judged);
    }

    fn results(&self, placed: &[Placed], mut put: impl FnMut(u32, Produced)) {
        let base = |slot: usize| placed.get(slot).map(|placed| placed.base);
        let (partition, mut sent) = (self.partition, self.sent.iter());
        if self.judged.is_empty() {
            for batch in &self.batches {
                for (position, Sent { index, timestamp }) in (0..batch.records).zip(sent.by_ref()) {
                    let offset = base(batch.slot).map(|base| base + Offset::from(position));
                    let timestamp = *timestamp;
                    let fate = RecordFate::Stored;
                    put(*index, Produced { fate, partition, offset, count: 1, timestamp });
                }
            }
        }
        for (judged, Sent { index, timestamp }) in self.judged.iter().zip(&self.sent) {
            let first = judged.first.filter(|_| judged.count > 0);
            let offset = first.and_then(|at| Some(base(at.slot)? + Offset::from(at.position)));
            let (fate, count, timestamp) = (judged.fate.clone(), judged.count, *timestamp);
            put(*index, Produced { fate, partition, offset, count, timestamp });
        }
    }
}
