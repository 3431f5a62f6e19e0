//! The bookkeeping of one log as plain values: where it starts, where its next record goes, and the logical segments
//! that retention and the time lookup work on. No files correspond to segments; they are ranges of offsets.

use std::collections::VecDeque;

use crate::model::batch::BatchHeader;
use crate::model::limits::{KIB, MIB};
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
/// The least that `segment.ms` and `segment.bytes` get, so that a log has not more rows of segments than records.
const ASKED_MS_MIN: u64 = 100;
const ASKED_BYTES_MIN: u64 = 4 * KIB as u64;
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

    /// Takes in the segment behind it.
    fn extend(&mut self, next: &Self) {
        self.next = next.next;
        self.bytes += next.bytes;
        self.max_timestamp = self.max_timestamp.max(next.max_timestamp);
        self.appended_ms = next.appended_ms;
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
    // Compaction has left nothing of it.
    let is_empty = |segment: &Segment| segment.bytes == 0 && keep.ms.or(keep.bytes).is_some();
    let mut left = head.bytes;
    let mut count = 0;
    for segment in closed {
        let is_beyond = segment.next <= stable
            && keep.bytes.is_some_and(|most| left.saturating_sub(segment.bytes) >= most);
        if !is_old(segment) && !is_beyond && !is_empty(segment) {
            return (count, false);
        }
        left = left.saturating_sub(segment.bytes);
        count += 1;
    }
    (count, is_old(&head.active))
}

/// Neighbours that end at or before `end` and that one segment has room for: each time the one that takes their place.
pub(super) fn merged(closed: &VecDeque<Segment>, end: Offset, keep: &Keep) -> Vec<Segment> {
    let mut merged: Vec<(Segment, usize)> = Vec::new();
    for segment in closed.iter().take_while(|s| s.next <= end) {
        match merged.last_mut() {
            Some((last, count)) if keep.takes_both(last, segment) => {
                last.extend(segment);
                *count += 1;
            }
            _ => merged.push((*segment, 1)),
        }
    }
    merged.into_iter().filter(|(_, count)| *count > 1).map(|(segment, _)| segment).collect()
}

// === impl Keep ===

impl Keep {
    pub(super) fn of(config: &TopicConfig) -> Self {
        let cleanup = config.cleanup();
        let ms = config.retention_ms().filter(|_| cleanup.delete);
        let bytes = config.retention_bytes().filter(|_| cleanup.delete);
        let share = |whole: Option<u64>, least: u64, most: u64| {
            whole.map_or(most, |n| (n / SEGMENTS_PER_RETENTION).clamp(least, most))
        };
        // What waits to be compacted waits in the active segment too.
        let lag_ms = config.compaction().lag_max_ms.filter(|_| cleanup.compact);
        let asked_ms = config.segment_ms().into_iter().chain(lag_ms).min();
        let asked_bytes = config.segment_bytes();
        Self {
            ms,
            bytes,
            segment_ms: share(ms, SEGMENT_MS_MIN, SEGMENT_MS_MAX)
                .min(asked_ms.map_or(u64::MAX, |ms| ms.max(ASKED_MS_MIN))),
            segment_bytes: share(bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
                .min(asked_bytes.map_or(u64::MAX, |bytes| bytes.max(ASKED_BYTES_MIN))),
        }
    }

    /// May two neighbours be one segment? Where records go by their age, it must not span more time than others do.
    fn takes_both(&self, first: &Segment, second: &Segment) -> bool {
        let span_ms = second.appended_ms.saturating_sub(first.opened_ms).unsigned_abs();
        first.bytes + second.bytes <= self.segment_bytes && (self.ms.is_none() || span_ms <= self.segment_ms)
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
    fn segments_are_as_large_and_as_old_as_asked_for() {
        let keep = keep(&[("segment.bytes", "1048576"), ("segment.ms", "2000"), ("retention.ms", "-1")]);
        let appends = [(0, 0, 600_000), (1, 0, 600_000), (2_000, 0, 10), (2_001, 0, 10)];
        let ledger = fill(&keep, &appends);
        let bounds: Vec<_> = ledger.closed.iter().map(|s| (s.base, s.next)).collect();
        assert_eq!(bounds, [(0, 1), (1, 3)], "by size, then by age");
    }

    #[test]
    fn a_policy_without_delete_has_no_retention() {
        let keep = keep(&[("cleanup.policy", "compact"), ("retention.ms", "8000"), ("retention.bytes", "1")]);
        let ledger = fill(&keep, &[(0, 0, 10), (90_000_000, 0, 10), (900_000_000, 0, 10)]);
        assert_eq!(ledger.closed.len(), 2);
        assert_eq!(ledger.expired(&keep, i64::MAX), (0, false));
    }

    #[test]
    fn small_neighbours_become_one_segment() {
        let keep =
            keep(&[("cleanup.policy", "compact"), ("segment.bytes", "1048576"), ("segment.ms", "1000")]);
        let appends: Vec<_> = [1, 300_000, 300_000, 300_000, 900_000, 2, 3, 4]
            .into_iter()
            .enumerate()
            .map(|(i, payload)| (2_000 * i as i64, i as i64, payload))
            .collect();
        let ledger = fill(&keep, &appends);
        let bounds = |end| {
            let merged = merged(&ledger.closed, end, &keep);
            merged.iter().map(|s| (s.base, s.next, s.max_timestamp)).collect::<Vec<_>>()
        };
        assert_eq!(bounds(3), [(0, 3, 2)]);
        assert_eq!(bounds(7), [(0, 4, 3), (4, 7, 6)]);
        assert_eq!(bounds(1), []);
    }

    #[test]
    fn segments_that_retention_looks_at_do_not_grow_old_together() {
        let policy = [("cleanup.policy", "compact,delete"), ("retention.ms", "80000")];
        let ledger = fill(&keep(&policy), &[(0, 0, 10), (10_000, 0, 10), (20_000, 0, 10), (40_000, 0, 10)]);
        let bounds: Vec<_> = ledger.closed.iter().map(|s| (s.base, s.next)).collect();
        assert_eq!(bounds, [(0, 1), (1, 2), (2, 3)]);
        let merged = merged(&ledger.closed, 3, &keep(&policy));
        assert_eq!(merged.iter().map(|s| (s.base, s.next)).collect::<Vec<_>>(), [(0, 2)]);
    }

    #[test]
    fn an_empty_log_has_nothing_to_delete_and_no_times() {
        let ledger = Ledger::empty();
        assert_eq!(ledger.expired(&keep(&[("retention.ms", "0")]), i64::MAX), (0, false));
        assert_eq!(ledger.find_time(i64::MIN), None);
    }
}
