//! Which part of a log is to be cleaned, and whether now. Pure.
//!
//! ```text
//!   start        dirty_from             end         active segment
//!     |   clean     |       dirty        |  too young  |   or open transactions
//! ```
//!
//! In the clean part every key has one record. What is cleaned is whole segments that are closed, stable, and older than
//! `min.compaction.lag.ms`.

use crate::model::topic::Compaction;
use crate::model::{Offset, TimestampMs};

use super::super::ledger::{Ledger, Segment};

/// How far a log is cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::storage) struct Cleaned {
    /// the first offset that is not
    pub(in crate::storage) dirty_from: Offset,
    /// when the first of the tombstones and markers kept may go; `None`: there are none
    pub(in crate::storage) horizon_ms: Option<TimestampMs>,
}

/// What is to be cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// the keys from here to the end are looked at
    pub(super) dirty_from: Offset,
    /// records before it are kept or removed
    pub(super) end: Offset,
}

/// `None`: nothing now.
pub(super) fn plan(
    ledger: &Ledger,
    cleaned: &Cleaned,
    compaction: &Compaction,
    now_ms: TimestampMs,
) -> Option<Plan> {
    let stable = ledger.stable();
    let lag_ms = i64::try_from(compaction.lag_min_ms).unwrap_or(i64::MAX);
    let oldest_left_alone = now_ms.saturating_sub(lag_ms);
    let is_old = |s: &&Segment| lag_ms == 0 || s.max_timestamp.min(s.appended_ms) < oldest_left_alone;
    let cleanable = || ledger.closed.iter().take_while(|s| s.next <= stable).take_while(is_old);

    let dirty_from = cleaned.dirty_from.max(ledger.head.start);
    let end = cleanable().last().map_or(dirty_from, |s| s.next.max(dirty_from));
    let mut dirty = cleanable().filter(|s| s.next > dirty_from);
    let oldest_dirty_ms = dirty.clone().map(|s| s.opened_ms).next();
    let dirty_bytes: u64 = dirty.by_ref().map(|s| s.bytes).sum();
    let clean_bytes: u64 = cleanable().filter(|s| s.next <= dirty_from).map(|s| s.bytes).sum();

    let ratio = dirty_bytes as f64 / (dirty_bytes + clean_bytes).max(1) as f64;
    let is_overdue = oldest_dirty_ms.zip(compaction.lag_max_ms).is_some_and(|(opened_ms, most)| {
        now_ms.saturating_sub(opened_ms) > i64::try_from(most).unwrap_or(i64::MAX)
    });
    let is_dirty = dirty_bytes > 0 && (ratio > compaction.dirty_ratio_min || is_overdue);
    let may_forget = cleaned.horizon_ms.is_some_and(|horizon| horizon <= now_ms);
    if is_dirty {
        return Some(Plan { dirty_from, end });
    }
    // No new record makes an old one go, but time does.
    (may_forget && dirty_from > ledger.head.start).then_some(Plan { dirty_from, end: dirty_from })
}

#[cfg(test)]
mod tests {
    use super::super::super::ledger::Head;
    use super::*;

    const COMPACTION: Compaction =
        Compaction { dirty_ratio_min: 0.5, lag_min_ms: 0, lag_max_ms: None, tombstones_kept_ms: 1_000 };

    /// Segments of ten offsets and 100 bytes each, a second apart, and an active one.
    fn ledger(closed: u64) -> Ledger {
        let segment = |n: u64| {
            let at = 1_000 * n as i64;
            Segment {
                base: 10 * n,
                next: 10 * n + 10,
                bytes: 100,
                max_timestamp: at,
                opened_ms: at,
                appended_ms: at,
            }
        };
        let head = Head { start: 0, bytes: 100 * (closed + 1), active: segment(closed) };
        Ledger { head, closed: (0..closed).map(segment).collect(), ..Ledger::empty() }
    }

    fn cleaned(dirty_from: Offset) -> Cleaned {
        Cleaned { dirty_from, horizon_ms: None }
    }

    #[test]
    fn closed_segments_are_cleaned_when_enough_is_dirty() {
        let plan = |closed, dirty_from| plan(&ledger(closed), &cleaned(dirty_from), &COMPACTION, 99_000);
        assert_eq!(plan(0, 0), None, "the active segment is left alone");
        assert_eq!(plan(2, 0), Some(Plan { dirty_from: 0, end: 20 }));
        assert_eq!(plan(4, 20), None, "half of it is not more than half");
        assert_eq!(plan(5, 20), Some(Plan { dirty_from: 20, end: 50 }));
        assert_eq!(plan(5, 50), None);
    }

    #[test]
    fn a_ratio_of_zero_cleans_whatever_is_dirty() {
        let compaction = Compaction { dirty_ratio_min: 0.0, ..COMPACTION };
        assert_eq!(plan(&ledger(5), &cleaned(50), &compaction, 99_000), None);
        let expected = Some(Plan { dirty_from: 40, end: 50 });
        assert_eq!(plan(&ledger(5), &cleaned(40), &compaction, 99_000), expected);
    }

    #[test]
    fn young_segments_are_left_alone() {
        let compaction = Compaction { lag_min_ms: 5_000, ..COMPACTION };
        let plan = |now_ms| plan(&ledger(5), &cleaned(0), &compaction, now_ms);
        assert_eq!(plan(5_000), None);
        assert_eq!(plan(7_500), Some(Plan { dirty_from: 0, end: 30 }));
    }

    #[test]
    fn what_waits_too_long_is_cleaned_whatever_the_ratio() {
        let compaction = Compaction { lag_max_ms: Some(10_000), ..COMPACTION };
        let plan = |now_ms| plan(&ledger(5), &cleaned(40), &compaction, now_ms);
        assert_eq!(plan(14_000), None);
        assert_eq!(plan(14_001), Some(Plan { dirty_from: 40, end: 50 }));
    }

    #[test]
    fn nothing_behind_the_last_stable_offset_is_cleaned() {
        let mut ledger = ledger(5);
        ledger.open.begin(1, 35);
        let found = plan(&ledger, &cleaned(0), &COMPACTION, 99_000);
        assert_eq!(found, Some(Plan { dirty_from: 0, end: 30 }));
    }

    #[test]
    fn a_horizon_that_has_passed_is_a_reason_of_its_own() {
        let cleaned = Cleaned { dirty_from: 50, horizon_ms: Some(70_000) };
        let plan = |now_ms| plan(&ledger(5), &cleaned, &COMPACTION, now_ms);
        assert_eq!(plan(69_999), None);
        assert_eq!(plan(70_000), Some(Plan { dirty_from: 50, end: 50 }));
    }

    #[test]
    fn what_retention_has_deleted_is_not_dirty() {
        let mut ledger = ledger(5);
        ledger.closed.drain(..3);
        ledger.head.start = 30;
        let found = plan(&ledger, &cleaned(10), &COMPACTION, 99_000);
        assert_eq!(found, Some(Plan { dirty_from: 30, end: 50 }));
    }
}
