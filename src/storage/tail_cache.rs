//! The newest batches of every log in memory, for readers that follow the tail. The batches are shared, not copied.
//!
//! A ring is always a whole suffix of its log up to the tail: an offset at or after its first batch is in it. The
//! writer alone puts batches in and takes them out; readers look under the lock of one ring, for as long as it takes to
//! clone a few handles.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::Offset;
use crate::model::batch::RecordBatch;
use crate::model::limits::MIB;

use super::log::Log;

/// One log holds at most so much, so that a busy one does not push out all others.
const LOG_BYTES_MAX: usize = 8 * MIB;
/// What a batch costs beside its bytes: handle, shared header, allocation (a guess).
const BATCH_OVERHEAD: usize = 192;

/// The newest batches of one log.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// with the number of each one's arrival in the cache
    batches: VecDeque<(u64, RecordBatch)>,
    bytes: usize,
}

/// The writer's side: what is in all rings together, oldest first.
#[derive(Debug)]
pub(super) struct TailCache {
    bytes_max: usize,
    bytes: usize,
    arrivals: u64,
    /// each non-empty ring under the arrival of its oldest batch
    oldest: BTreeMap<u64, Arc<Log>>,
}

fn cost(batch: &RecordBatch) -> usize {
    batch.bytes().len() + BATCH_OVERHEAD
}

// === impl Ring ===

impl Ring {
    /// The batches from the one that holds `from`, up to `bytes_max` bytes but at least one. `None`: not in memory.
    pub(super) fn read(&self, from: Offset, bytes_max: usize) -> Option<Vec<RecordBatch>> {
        let (_, first) = self.batches.front()?;
        if from < first.header().base_offset {
            return None;
        }
        let at = self.batches.partition_point(|(_, batch)| batch.header().next_offset() <= from);
        let mut bytes = 0;
        let mut found = Vec::new();
        for (_, batch) in self.batches.range(at..) {
            bytes += batch.bytes().len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(batch.clone());
        }
        Some(found)
    }

    fn pop(&mut self) -> usize {
        let Some((_, batch)) = self.batches.pop_front() else { return 0 };
        let freed = cost(&batch);
        self.bytes -= freed;
        if self.batches.is_empty() {
            // An idle log must not keep the room of a busy hour.
            self.batches = VecDeque::new();
        }
        freed
    }
}

// === impl TailCache ===

impl TailCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, arrivals: 0, oldest: BTreeMap::new() }
    }

    /// Bytes in all rings.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a log's next batches, in their order; what does not fit any more goes.
    pub(super) fn push(&mut self, log: &Arc<Log>, batches: impl Iterator<Item = RecordBatch>) {
        self.change(log, |cache, ring| {
            for batch in batches {
                let bytes = cost(&batch);
                cache.arrivals += 1;
                cache.bytes += bytes;
                ring.bytes += bytes;
                ring.batches.push_back((cache.arrivals, batch));
            }
            while ring.bytes > LOG_BYTES_MAX.min(cache.bytes_max) {
                cache.bytes -= ring.pop();
            }
        });
        while self.bytes > self.bytes_max {
            let Some((_, log)) = self.oldest.first_key_value() else { break };
            let log = log.clone();
            self.change(&log, |cache, ring| cache.bytes -= ring.pop());
        }
    }

    /// Forgets a log's batches that end at or before `start`.
    pub(super) fn trim(&mut self, log: &Arc<Log>, start: Offset) {
        self.change(log, |cache, ring| {
            while ring.batches.front().is_some_and(|(_, batch)| batch.header().next_offset() <= start) {
                cache.bytes -= ring.pop();
            }
        });
    }

    /// Changes a ring and keeps its place among the others.
    fn change(&mut self, log: &Arc<Log>, change: impl FnOnce(&mut Self, &mut Ring)) {
        let mut ring = log.ring.lock();
        let before = ring.batches.front().map(|(arrival, _)| *arrival);
        change(self, &mut ring);
        let after = ring.batches.front().map(|(arrival, _)| *arrival);
        drop(ring);
        if before != after {
            if let Some(before) = before {
                self.oldest.remove(&before);
            }
            if let Some(after) = after {
                self.oldest.insert(after, log.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::super::ledger::Ledger;
    use super::super::log::Settings;
    use super::*;
    use crate::model::TopicId;
    use crate::model::batch::{BatchBuilder, Codec, place};
    use crate::model::topic::TopicConfig;

    fn log(partition: u32) -> Arc<Log> {
        let settings = Settings::of(&TopicConfig::default());
        Arc::new(Log::new(TopicId(Uuid::nil()), partition, 1, settings, Ledger::empty()))
    }

    fn batch(base: Offset, payload: usize) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for _ in 0..2 {
            builder.push(0, None, Some(&vec![0; payload / 2]), []);
        }
        let mut bytes = builder.finish(Codec::None).unwrap().bytes().to_vec();
        place(&mut bytes, base).unwrap();
        RecordBatch::trusted(Bytes::from(bytes)).unwrap()
    }

    fn bases(log: &Log, from: Offset, bytes_max: usize) -> Option<Vec<Offset>> {
        let found = log.ring.lock().read(from, bytes_max)?;
        Some(found.iter().map(|b| b.header().base_offset).collect())
    }

    #[test]
    fn a_read_begins_with_the_batch_that_holds_the_offset() {
        let (mut cache, log) = (TailCache::new(MIB), log(0));
        cache.push(&log, [batch(4, 100), batch(6, 100), batch(8, 100)].into_iter());
        assert_eq!(bases(&log, 7, MIB), Some(vec![6, 8]));
        assert_eq!(bases(&log, 4, 0), Some(vec![4]));
        assert_eq!(bases(&log, 3, MIB), None, "before the ring");
        assert_eq!(bases(&log, 10, MIB), Some(vec![]), "at the tail");
    }

    #[test]
    fn the_oldest_batches_of_all_logs_go_first() {
        let (mut cache, a, b) = (TailCache::new(2_500), log(0), log(1));
        cache.push(&a, [batch(0, 500)].into_iter());
        cache.push(&b, [batch(0, 500)].into_iter());
        cache.push(&a, [batch(2, 500)].into_iter());
        cache.push(&b, [batch(2, 500)].into_iter());
        assert_eq!(bases(&a, 2, MIB), Some(vec![2]));
        assert_eq!(bases(&a, 0, MIB), None);
        assert_eq!(bases(&b, 0, MIB), Some(vec![0, 2]));
        assert!(cache.bytes() <= 2_500, "{}", cache.bytes());
    }

    #[test]
    fn a_batch_larger_than_the_cache_empties_its_ring() {
        let (mut cache, log) = (TailCache::new(1_000), log(0));
        cache.push(&log, [batch(0, 100)].into_iter());
        cache.push(&log, [batch(2, 5_000)].into_iter());
        assert_eq!(bases(&log, 2, MIB), None);
        assert_eq!((cache.bytes(), cache.oldest.len()), (0, 0));
    }

    #[test]
    fn trimming_forgets_what_lies_before_the_start() {
        let (mut cache, log) = (TailCache::new(MIB), log(0));
        cache.push(&log, [batch(0, 100), batch(2, 100)].into_iter());
        cache.trim(&log, 2);
        assert_eq!(bases(&log, 0, MIB), None);
        assert_eq!(bases(&log, 2, MIB), Some(vec![2]));
        cache.trim(&log, 4);
        assert_eq!(cache.bytes(), 0);
    }
}
