//! The rules of idempotent producers: which batch of a producer comes next in a partition, which one is a repetition,
//! and which one must be refused. Pure; the broker keeps one [`Window`] a producer and partition.
//!
//! Source of the rules: Kafka's `ProducerAppendInfo` and `ProducerStateEntry`. A row on disk, big endian:
//!
//! ```text
//! 0 u8 format = 1   1 i16 epoch   3 i64 time of the last batch   11 u8 count, at most 5
//! then for each batch, oldest first:
//! 0 i32 first sequence   4 i32 last sequence   8 i64 base offset, -1: nothing stored   16 i64 append time, -1: none
//! ```

use std::collections::VecDeque;

use super::batch::BatchHeader;
use super::{Offset, TimestampMs};

/// Batches remembered a producer and partition: as many as a client may have in flight (Kafka's number).
pub const WINDOW: usize = 5;

const FORMAT: u8 = 1;
const HEAD_LEN: usize = 12;
const BATCH_LEN: usize = 24;

/// What an idempotent producer writes on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// who
    pub producer_id: i64,
    /// its generation
    pub epoch: i16,
    /// sequence of the first record
    pub first: i32,
    /// sequence of the last record; less than `first` when the numbers began again at 0 in between
    pub last: i32,
}

/// Sequences of one batch and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<T> {
    /// sequence of the first record
    pub first: i32,
    /// sequence of the last record
    pub last: i32,
    /// what became of it
    pub outcome: T,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// of its first record; `None` when transforms left nothing of it
    pub base: Option<Offset>,
    /// the time of the append where the topic stamps records with it
    pub append_time: Option<TimestampMs>,
}

/// The last batches of a producer in a partition, oldest first. It may be empty: the epoch is known, no batch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window<T> {
    epoch: i16,
    ranges: VecDeque<Range<T>>,
}

/// A window as it is stored, with the time of its last batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// epoch and batches
    pub window: Window<Stored>,
    /// when the last of them was appended
    pub updated_ms: TimestampMs,
}

/// What a batch that is not refused is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<T> {
    /// the next one
    Next,
    /// one of the last batches once more; what became of it
    Duplicate(T),
}

/// Why a batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A batch is missing, or came twice too late.
    #[error("producer {producer_id} sent sequence {found}, expected {expected}")]
    OutOfOrder {
        /// whose
        producer_id: i64,
        /// as sent
        found: i32,
        /// the next one
        expected: i32,
    },
    /// A newer instance of the producer has written.
    #[error("producer {producer_id} sent epoch {found}, epoch {current} is in force")]
    Fenced {
        /// whose
        producer_id: i64,
        /// as sent
        found: i16,
        /// in force
        current: i16,
    },
}

/// A row that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("producer row of {length} bytes with format {format:?}, expected format {FORMAT}")]
pub struct RowError {
    /// its bytes
    pub length: usize,
    /// the first of them
    pub format: Option<u8>,
}

/// The sequence of the record that lies `records` after the one with `sequence`: after 2^31-1 comes 0.
pub fn advance(sequence: i32, records: u32) -> i32 {
    let sum = i64::from(sequence) + i64::from(records);
    (sum % (1 << 31)) as i32
}

// === impl Stamp ===

impl Stamp {
    /// The stamp of a batch that an idempotent producer made.
    pub fn of(header: &BatchHeader) -> Option<Self> {
        (header.producer_id >= 0 && header.base_sequence >= 0).then(|| Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            first: header.base_sequence,
            last: advance(header.base_sequence, header.last_offset_delta),
        })
    }
}

// === impl Window ===

impl<T: Clone> Window<T> {
    /// No batch yet.
    pub fn new(epoch: i16) -> Self {
        Self { epoch, ranges: VecDeque::new() }
    }

    /// The epoch in force.
    pub fn epoch(&self) -> i16 {
        self.epoch
    }

    /// The last batches, oldest first.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = &Range<T>> + Clone {
        self.ranges.iter()
    }

    /// Sequence of the last record, -1 when there is none.
    pub fn last_sequence(&self) -> i32 {
        self.ranges.back().map_or(-1, |range| range.last)
    }

    /// What a batch is to a producer whose window is `known`; `None`: nothing is known of it. Then any first sequence is
    /// fine, because its batches may have gone with retention, unless `from_zero` says that it must be new.
    ///
    /// # Errors
    /// See [`SequenceError`].
    pub fn check(known: Option<&Self>, stamp: &Stamp, from_zero: bool) -> Result<Verdict<T>, SequenceError> {
        let out_of_order = |expected| SequenceError::OutOfOrder {
            producer_id: stamp.producer_id,
            found: stamp.first,
            expected,
        };
        let Some(window) = known else {
            return if from_zero && stamp.first != 0 { Err(out_of_order(0)) } else { Ok(Verdict::Next) };
        };
        if stamp.epoch < window.epoch {
            let (producer_id, found) = (stamp.producer_id, stamp.epoch);
            return Err(SequenceError::Fenced { producer_id, found, current: window.epoch });
        }
        if stamp.epoch == window.epoch {
            let same = |range: &&Range<T>| (range.first, range.last) == (stamp.first, stamp.last);
            if let Some(range) = window.ranges.iter().find(same) {
                return Ok(Verdict::Duplicate(range.outcome.clone()));
            }
        }
        let expected = match window.ranges.back() {
            Some(last) if stamp.epoch == window.epoch => advance(last.last, 1),
            _ => 0,
        };
        if stamp.first == expected { Ok(Verdict::Next) } else { Err(out_of_order(expected)) }
    }

    /// The window after a batch that was judged [`Verdict::Next`].
    pub fn with(known: Option<&Self>, stamp: &Stamp, outcome: T) -> Self {
        let mut ranges = match known {
            Some(window) if window.epoch == stamp.epoch => window.ranges.clone(),
            _ => VecDeque::with_capacity(WINDOW),
        };
        if ranges.len() == WINDOW {
            ranges.pop_front();
        }
        ranges.push_back(Range { first: stamp.first, last: stamp.last, outcome });
        Self { epoch: stamp.epoch, ranges }
    }

    /// The same window with other outcomes; batches without one are left out.
    pub fn resolve<U>(&self, outcome: impl Fn(&T) -> Option<U>) -> Window<U> {
        let resolved = |range: &Range<T>| {
            Some(Range { first: range.first, last: range.last, outcome: outcome(&range.outcome)? })
        };
        Window { epoch: self.epoch, ranges: self.ranges.iter().filter_map(resolved).collect() }
    }
}

// === impl Row ===

impl Row {
    /// As laid out above.
    pub fn encode(&self) -> Vec<u8> {
        let ranges = &self.window.ranges;
        let mut row = Vec::with_capacity(HEAD_LEN + ranges.len() * BATCH_LEN);
        row.push(FORMAT);
        row.extend_from_slice(&self.window.epoch.to_be_bytes());
        row.extend_from_slice(&self.updated_ms.to_be_bytes());
        row.push(ranges.len() as u8);
        for range in ranges {
            let base = range.outcome.base.and_then(|base| i64::try_from(base).ok()).unwrap_or(-1);
            row.extend_from_slice(&range.first.to_be_bytes());
            row.extend_from_slice(&range.last.to_be_bytes());
            row.extend_from_slice(&base.to_be_bytes());
            row.extend_from_slice(&range.outcome.append_time.unwrap_or(-1).to_be_bytes());
        }
        row
    }

    /// Reads what [`Row::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        Self::read(row).ok_or(RowError { length: row.len(), format: row.first().copied() })
    }

    fn read(row: &[u8]) -> Option<Self> {
        let (head, batches) = row.split_first_chunk::<HEAD_LEN>()?;
        let count = usize::from(head[11]);
        if head[0] != FORMAT || count > WINDOW || batches.len() != count * BATCH_LEN {
            return None;
        }
        let range = |batch: &[u8]| {
            let base = i64::from_be_bytes(batch[8..16].try_into().ok()?);
            let append_time = i64::from_be_bytes(batch[16..24].try_into().ok()?);
            Some(Range {
                first: i32::from_be_bytes(batch[..4].try_into().ok()?),
                last: i32::from_be_bytes(batch[4..8].try_into().ok()?),
                outcome: Stored {
                    base: Offset::try_from(base).ok(),
                    append_time: (append_time >= 0).then_some(append_time),
                },
            })
        };
        Some(Self {
            window: Window {
                epoch: i16::from_be_bytes([head[1], head[2]]),
                ranges: batches.chunks_exact(BATCH_LEN).map(range).collect::<Option<_>>()?,
            },
            updated_ms: i64::from_be_bytes(head[3..11].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests;
