//! What becomes of one batch: it stays, goes, or is replaced by one with fewer records. Pure.
//!
//! A record stays if it has the newest value of its key. A tombstone stays as well, until its horizon: the first pass that
//! keeps one writes into its batch when it may go (Kafka's KIP-534). Records of aborted transactions go at once. A marker
//! goes when its horizon has passed, and gets one by the first pass that meets none of its transaction's records; so it
//! never goes before they do. A record without a key is of no use here and goes.

use std::collections::HashSet;

use crate::model::batch::{BatchError, RecordBatch};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::{Offset, RecordView, TimestampMs};

use super::offset_map::OffsetMap;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Remove,
    /// by this one, which has the same last offset
    Replace(RecordBatch),
}

pub(super) struct Filter<'a> {
    map: &'a OffsetMap,
    now_ms: TimestampMs,
    /// of a tombstone or marker that gets one now
    new_horizon_ms: TimestampMs,
    /// when the first of the tombstones and markers that were kept may go
    pub(super) horizon_ms: Option<TimestampMs>,
    /// producers with records of the transaction that their next marker ends
    with_records: HashSet<i64>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(map: &'a OffsetMap, now_ms: TimestampMs, tombstones_kept_ms: u64) -> Self {
        let kept_ms = i64::try_from(tombstones_kept_ms).unwrap_or(i64::MAX);
        Self {
            map,
            now_ms,
            new_horizon_ms: now_ms.saturating_add(kept_ms),
            horizon_ms: None,
            with_records: HashSet::new(),
        }
    }

    /// Takes all batches of a log from its start in their order. `is_last`: it ends what is cleaned, and stays even if it
    /// is empty, so that readers see how far they have come.
    pub(super) fn judge(
        &mut self,
        batch: &RecordBatch,
        is_aborted: bool,
        is_last: bool,
    ) -> Result<Verdict, BatchError> {
        let header = batch.header();
        if header.control {
            return self.judge_marker(batch, is_last);
        }
        if header.transactional && header.count > 0 {
            self.with_records.insert(header.producer_id);
        }
        if is_aborted || header.count == 0 {
            return remove(batch, is_last);
        }

        let may_forget = header.delete_horizon.is_some_and(|horizon| horizon <= self.now_ms);
        let (mut stays, mut has_tombstones) = (Vec::new(), false);
        for record in batch.payload(BATCH_UNCOMPRESSED_MAX)?.records() {
            let record = record?;
            let kept = self.is_newest(header.base_offset, &record) && (record.value.is_some() || !may_forget);
            has_tombstones |= kept && record.value.is_none();
            stays.push(kept);
        }
        if !stays.contains(&true) {
            return remove(batch, is_last);
        }
        let horizon = has_tombstones.then_some(header.delete_horizon.unwrap_or(self.new_horizon_ms));
        self.note_horizon(horizon);
        let is_new_horizon = has_tombstones && header.delete_horizon.is_none();
        if !is_new_horizon && !stays.contains(&false) {
            return Ok(Verdict::Keep);
        }
        let mut stays = stays.into_iter();
        let new_horizon = horizon.filter(|_| is_new_horizon);
        let replaced =
            batch.retain(BATCH_UNCOMPRESSED_MAX, new_horizon, |_| stays.next().unwrap_or_default())?;
        Ok(Verdict::Replace(replaced))
    }

    fn judge_marker(&mut self, batch: &RecordBatch, is_last: bool) -> Result<Verdict, BatchError> {
        let header = batch.header();
        if self.with_records.remove(&header.producer_id) {
            return Ok(Verdict::Keep);
        }
        if header.count == 0 {
            return remove(batch, is_last);
        }
        match header.delete_horizon {
            Some(horizon) if horizon <= self.now_ms => remove(batch, is_last),
            Some(horizon) => {
                self.note_horizon(Some(horizon));
                Ok(Verdict::Keep)
            }
            None => {
                self.note_horizon(Some(self.new_horizon_ms));
                let replaced = batch.retain(BATCH_UNCOMPRESSED_MAX, Some(self.new_horizon_ms), |_| true)?;
                Ok(Verdict::Replace(replaced))
            }
        }
    }

    fn is_newest(&self, base: Offset, record: &RecordView<'_>) -> bool {
        let offset = base + Offset::from(record.offset_delta);
        record.key.is_some_and(|key| !self.map.has_newer(key, offset))
    }

    fn note_horizon(&mut self, horizon: Option<TimestampMs>) {
        self.horizon_ms = self.horizon_ms.into_iter().chain(horizon).min();
    }
}

fn remove(batch: &RecordBatch, is_last: bool) -> Result<Verdict, BatchError> {
    if !is_last {
        return Ok(Verdict::Remove);
    }
    if batch.header().count == 0 {
        return Ok(Verdict::Keep);
    }
    Ok(Verdict::Replace(batch.retain(BATCH_UNCOMPRESSED_MAX, None, |_| false)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::control::{MarkerKind, marker};
    use crate::model::batch::{BatchBuilder, Codec, ProducerStamp};

    const NOW: TimestampMs = 50_000;
    const KEPT: u64 = 1_000;

    fn batch(producer: Option<i64>, records: &[(&str, Option<&str>)]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        if let Some(id) = producer {
            builder.producer(ProducerStamp { id, epoch: 0, base_sequence: 0, transactional: true });
        }
        for (key, value) in records {
            let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
            builder.push(7, key, value.map(str::as_bytes), []);
        }
        builder.finish(Codec::None).unwrap()
    }

    /// A map in which these keys have newer records than all batches here.
    fn newer(keys: &[&str]) -> OffsetMap {
        let mut map = OffsetMap::new(100);
        for key in keys {
            map.put(key.as_bytes(), 1_000);
        }
        map
    }

    fn judge(map: &OffsetMap, now_ms: TimestampMs, batch: &RecordBatch, is_last: bool) -> Verdict {
        Filter::new(map, now_ms, KEPT).judge(batch, false, is_last).unwrap()
    }

    fn replaced(verdict: Verdict) -> (Vec<(u32, String)>, RecordBatch) {
        let Verdict::Replace(batch) = verdict else { panic!("{verdict:?}") };
        let payload = batch.payload(1 << 20).unwrap();
        let record =
            |r: RecordView<'_>| (r.offset_delta, String::from_utf8_lossy(r.key.unwrap()).into_owned());
        (payload.records().map(|r| record(r.unwrap())).collect(), batch)
    }

    #[test]
    fn only_the_newest_record_of_a_key_stays_where_it_was() {
        let all = batch(None, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
        assert_eq!(judge(&newer(&[]), NOW, &all, false), Verdict::Keep);
        let (left, smaller) = replaced(judge(&newer(&["a", "c"]), NOW, &all, false));
        assert_eq!(left, [(1, "b".to_owned())]);
        assert_eq!(smaller.header().next_offset(), all.header().next_offset());
        assert_eq!(judge(&newer(&["a", "b", "c"]), NOW, &all, false), Verdict::Remove);
    }

    #[test]
    fn the_last_batch_stays_empty() {
        let last = batch(Some(3), &[("a", Some("1")), ("b", Some("2"))]);
        let (left, empty) = replaced(judge(&newer(&["a", "b"]), NOW, &last, true));
        assert_eq!(left, []);
        assert_eq!((empty.header().count, empty.header().next_offset()), (0, 2));
        assert_eq!(empty.header().producer_id, 3);
        assert_eq!(judge(&newer(&[]), NOW, &empty, true), Verdict::Keep);
        assert_eq!(judge(&newer(&[]), NOW, &empty, false), Verdict::Remove);
    }

    #[test]
    fn a_tombstone_goes_when_its_horizon_has_passed() {
        let map = newer(&["b"]);
        let first = batch(None, &[("a", None), ("b", Some("2")), ("c", Some("3"))]);
        let mut filter = Filter::new(&map, NOW, KEPT);
        let (left, marked) = replaced(filter.judge(&first, false, false).unwrap());
        assert_eq!(left, [(0, "a".to_owned()), (2, "c".to_owned())]);
        assert_eq!((marked.header().delete_horizon, filter.horizon_ms), (Some(51_000), Some(51_000)));

        let mut filter = Filter::new(&map, NOW + 999, KEPT);
        assert_eq!(filter.judge(&marked, false, false).unwrap(), Verdict::Keep);
        assert_eq!(filter.horizon_ms, Some(51_000), "it is not put off");

        let mut filter = Filter::new(&map, NOW + 1_000, KEPT);
        let (left, rest) = replaced(filter.judge(&marked, false, false).unwrap());
        assert_eq!(left, [(2, "c".to_owned())]);
        assert_eq!(filter.horizon_ms, None);
        let payload = rest.payload(1 << 20).unwrap();
        assert_eq!(payload.records().next().unwrap().unwrap().timestamp, 7, "times are not changed");
    }

    #[test]
    fn a_record_without_a_key_goes() {
        let mixed = batch(None, &[("", Some("1")), ("a", Some("2"))]);
        assert_eq!(replaced(judge(&newer(&[]), NOW, &mixed, false)).0, [(1, "a".to_owned())]);
    }

    #[test]
    fn a_marker_outlives_the_records_of_its_transaction() {
        let map = newer(&[]);
        let records = batch(Some(5), &[("a", Some("1"))]);
        let abort = marker(MarkerKind::Abort, 5, 0, 0, 7);
        let mut filter = Filter::new(&map, NOW, KEPT);
        assert_eq!(filter.judge(&records, true, false).unwrap(), Verdict::Remove);
        assert_eq!(
            filter.judge(&abort, false, false).unwrap(),
            Verdict::Keep,
            "its records go with this pass"
        );
        assert_eq!(filter.horizon_ms, None);

        let mut filter = Filter::new(&map, NOW, KEPT);
        let Verdict::Replace(marked) = filter.judge(&abort, false, false).unwrap() else { panic!() };
        assert_eq!((marked.header().delete_horizon, filter.horizon_ms), (Some(51_000), Some(51_000)));
        assert_eq!(MarkerKind::of(&marked), Ok(Some(MarkerKind::Abort)));

        assert_eq!(judge(&map, NOW + 999, &marked, false), Verdict::Keep);
        assert_eq!(judge(&map, NOW + 1_000, &marked, false), Verdict::Remove);
        let Verdict::Replace(empty) = judge(&map, NOW + 1_000, &marked, true) else { panic!() };
        assert_eq!((empty.header().control, empty.header().count), (true, 0));
        assert_eq!(judge(&map, NOW + 1_000, &empty, false), Verdict::Remove);
    }

    #[test]
    fn records_that_are_kept_keep_the_marker_of_their_producer_only() {
        let map = newer(&[]);
        let mut filter = Filter::new(&map, NOW, KEPT);
        let mut judge = |batch: &RecordBatch| filter.judge(batch, false, false).unwrap();
        let commit = |id| marker(MarkerKind::Commit, id, 0, 0, 7);
        assert_eq!(judge(&batch(Some(5), &[("a", Some("1"))])), Verdict::Keep);
        assert!(matches!(judge(&commit(6)), Verdict::Replace(_)));
        assert_eq!(judge(&commit(5)), Verdict::Keep);
        assert!(matches!(judge(&commit(5)), Verdict::Replace(_)), "a second one ends nothing");
    }
}
