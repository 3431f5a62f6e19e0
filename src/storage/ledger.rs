//! The bookkeeping of one log as plain values: where it starts, where its next record goes, and the logical segments
//! that retention and the time lookup work on. No files correspond to segments; they are ranges of offsets.

use std::collections::VecDeque;

use crate::model::batch::BatchHeader;
use crate::model::limits::MIB;
use crate::model::topic::TopicConfig;
use crate::model::{Offset, TimestampMs};

use super::commit::Placed;
use super::transactions::Open;

/// A segment holds at most so many bytes: the unit in which retention deletes and the time lookup scans. 64 MiB are
/// read in less than 0.1 s from a cold disk (measured).
const SEGMENT_BYTES_MAX: u64 = 64 * MIB as u64;
const SEGMENT_BYTES_MIN: u64 = MIB as u64;
/// A segment takes appends for at most a day, so that retention by time works on logs with little traffic (a guess).
const SEGMENT_MS_MAX: u64 = 24 * 3_600_000;
const SEGMENT_MS_MIN: u64 = 1_000;
/// Retention keeps up to one segment too much: an eighth of what was asked for.
const SEGMENTS_PER_RETENTION: u64 = 8;

/// Offsets `base..next` with what is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) base: Offset,
    pub(super) next: Offset,
    pub(super) bytes: u64,
    /// the largest timestamp of its records
    pub(super) max_timestamp: TimestampMs,
    /// when its first batch was appended
    pub(super) opened_ms: TimestampMs,
    /// when its last batch was appended
    pub(super) appended_ms: TimestampMs,
}

/// Bounds and sums of a log: the row that every group of commits writes for every log it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// the first offset kept
    pub(super) start: Offset,
    /// bytes of all batches kept
    pub(super) bytes: u64,
    /// the segment that takes the appends; its `next` is the log's next offset
    pub(super) active: Segment,
}

/// A log's head, the segments before the active one, oldest first, without gaps, and its transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) head: Head,
    pub(super) closed: VecDeque<Segment>,
    pub(super) open: Open,
    /// the offset after the last marker of an aborted transaction; 0: there was none
    pub(super) aborted_end: Offset,
}

/// How long and how much a log keeps, and how large its segments are therefore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keep {
    ms: Option<u64>,
    bytes: Option<u64>,
    segment_ms: u64,
    segment_bytes: u64,
}

// === impl Segment ===

impl Segment {
    pub(super) fn empty(base: Offset) -> Self {
        Self { base, next: base, bytes: 0, max_timestamp: TimestampMs::MIN, opened_ms: 0, appended_ms: 0 }
    }

    /// Older than `ms`? A timestamp from the future counts as the time of the append, or one such record would keep
    /// the segment for ever.
    fn is_expired(&self, ms: u64, now_ms: TimestampMs) -> bool {
        let newest = self.max_timestamp.min(self.appended_ms);
        let oldest_kept = now_ms.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX));
        self.bytes > 0 && newest < oldest_kept
    }
}

// === impl Head ===

impl Head {
    pub(super) fn empty() -> Self {
        Self { start: 0, bytes: 0, active: Segment::empty(0) }
    }

    pub(super) fn next(&self) -> Offset {
        self.active.next
    }

    /// Kafka's offsets have 63 bits. A log beyond 62 takes nothing more, so that no single commit can run over.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next() >= 1 << 62
    }

    /// Takes a batch in at the next offset. The active segment is closed and given back if it is full or old.
    pub(super) fn append(
        &mut self,
        header: &BatchHeader,
        now_ms: TimestampMs,
        keep: &Keep,
    ) -> (Placed, Option<Segment>) {
        let base = self.next();
        let next = base + u64::from(header.last_offset_delta) + 1;
        let bytes = header.size as u64;

        let active = &self.active;
        let age_ms = now_ms.saturating_sub(active.opened_ms).unsigned_abs();
        let full = active.bytes + bytes > keep.segment_bytes || age_ms >= keep.segment_ms;
        let closed = (active.bytes > 0 && full).then_some(*active);
        if closed.is_some() {
            self.active = Segment::empty(base);
        }

        let active = &mut self.active;
        if active.bytes == 0 {
            active.opened_ms = now_ms;
        }
        active.next = next;
        active.bytes += bytes;
        active.max_timestamp = active.max_timestamp.max(header.max_timestamp);
        active.appended_ms = now_ms;
        self.bytes += bytes;
        (Placed { base, next }, closed)
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn empty() -> Self {
        Self { head: Head::empty(), closed: VecDeque::new(), open: Open::default(), aborted_end: 0 }
    }

    /// The last stable offset: the first one that belongs to an open transaction, else the next one.
    pub(super) fn stable(&self) -> Offset {
        self.open.stable(self.head.next())
    }

    /// See [`expired`].
    pub(super) fn expired(&self, keep: &Keep, now_ms: TimestampMs) -> (usize, bool) {
        expired(&self.head, &self.closed, self.stable(), keep, now_ms)
    }

    /// The segment that holds `offset`; the active one holds all from its base on.
    pub(super) fn segment_of(&self, offset: Offset) -> Segment {
        let at = self.closed.partition_point(|s| s.next <= offset);
        *self.closed.get(at).unwrap_or(&self.head.active)
    }

    /// The base of the first segment that holds a timestamp of `at` or later, as far as segments know.
    pub(super) fn find_time(&self, at: TimestampMs) -> Option<Offset> {
        let active = std::iter::once(&self.head.active);
        let found = self.closed.iter().chain(active).find(|s| s.bytes > 0 && s.max_timestamp >= at)?;
        Some(found.base.max(self.head.start))
    }
}

/// How many of the oldest segments retention deletes now, and whether the active one goes as well (only by age). Nothing
/// of an open transaction goes.
pub(super) fn expired(
    head: &Head,
    closed: &VecDeque<Segment>,
    stable: Offset,
    keep: &Keep,
    now_ms: TimestampMs,
) -> (usize, bool) {
    let is_old = |segment: &Segment| {
        segment.next <= stable && keep.ms.is_some_and(|ms| segment.is_expired(ms, now_ms))
    };
    let mut left = head.bytes;
    let mut count = 0;
    for segment in closed {
        let is_beyond = segment.next <= stable
            && keep.bytes.is_some_and(|most| left.saturating_sub(segment.bytes) >= most);
        if !is_old(segment) && !is_beyond {
            return (count, false);
        }
        left = left.saturating_sub(segment.bytes);
        count += 1;
    }
    (count, is_old(&head.active))
}

// === impl Keep ===

impl Keep {
    pub(super) fn of(config: &TopicConfig) -> Self {
        let (ms, bytes) = (config.retention_ms(), config.retention_bytes());
        let share = |whole: Option<u64>, least: u64, most: u64| {
            whole.map_or(most, |n| (n / SEGMENTS_PER_RETENTION).clamp(least, most))
        };
        Self {
            ms,
            bytes,
            segment_ms: share(ms, SEGMENT_MS_MIN, SEGMENT_MS_MAX),
            segment_bytes: share(bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::{BatchBuilder, Codec};

    fn header(timestamp: i64, payload: usize) -> BatchHeader {
        let mut builder = BatchBuilder::new();
        builder.push(timestamp, None, Some(&vec![0; payload]), []);
        *builder.finish(Codec::None).unwrap().header()
    }

    fn keep(entries: &[(&str, &str)]) -> Keep {
        Keep::of(&TopicConfig::parse(entries.iter().copied()).unwrap())
    }

    fn fill(keep: &Keep, appends: &[(i64, i64, usize)]) -> Ledger {
        let mut ledger = Ledger::empty();
        for (now, timestamp, payload) in appends {
            let (_, closed) = ledger.head.append(&header(*timestamp, *payload), *now, keep);
            ledger.closed.extend(closed);
        }
        ledger
    }

    #[test]
    fn a_full_segment_is_closed_and_the_next_begins_where_it_ends() {
        let keep = keep(&[("retention.bytes", "8388608"), ("retention.ms", "-1")]);
        let ledger = fill(&keep, &[(0, 0, 600_000), (1, 0, 600_000), (2, 0, 600_000)]);
        let bounds: Vec<_> = ledger.closed.iter().map(|s| (s.base, s.next)).collect();
        assert_eq!(bounds, [(0, 1), (1, 2)]);
        assert_eq!((ledger.head.active.base, ledger.head.next()), (2, 3));
    }

    #[test]
    fn size_retention_keeps_at_least_what_was_asked_for() {
        let keep = keep(&[("retention.bytes", "1500000"), ("retention.ms", "-1")]);
        let ledger = fill(&keep, &[(0, 0, 1_000_000), (0, 0, 1_000_000), (0, 0, 1_000_000)]);
        assert_eq!(ledger.expired(&keep, 10), (1, false));
    }

    #[test]
    fn time_retention_stops_at_the_first_segment_that_is_young_enough() {
        let keep = keep(&[("retention.ms", "8000")]);
        let ledger = fill(&keep, &[(1_000, 1_000, 10), (3_000, 3_000, 10), (5_000, 5_000, 10)]);
        assert_eq!(ledger.expired(&keep, 9_000), (0, false));
        assert_eq!(ledger.expired(&keep, 9_001), (1, false));
        assert_eq!(ledger.expired(&keep, 12_000), (2, false));
        assert_eq!(ledger.expired(&keep, 13_001), (2, true));
    }

    #[test]
    fn a_timestamp_from_the_future_does_not_keep_a_segment_for_ever() {
        let keep = keep(&[("retention.ms", "8000")]);
        let ledger = fill(&keep, &[(1_000, i64::MAX, 10)]);
        assert_eq!(ledger.expired(&keep, 9_001), (0, true));
    }

    #[test]
    fn an_empty_log_has_nothing_to_delete_and_no_times() {
        let ledger = Ledger::empty();
        assert_eq!(ledger.expired(&keep(&[("retention.ms", "0")]), i64::MAX), (0, false));
        assert_eq!(ledger.find_time(i64::MIN), None);
    }
}
