//! Markers: their bytes, and what is none.

use super::*;
use crate::model::batch::control::{marker, passed_over};

#[test]
fn a_marker_has_kafkas_bytes() {
    let batch = marker(MarkerKind::Commit, 77, 5, 9, 1_000);
    let header = batch.header();
    assert!(header.control && header.transactional);
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 5, -1));
    assert_eq!((header.count, header.last_offset_delta, header.max_timestamp), (1, 0, 1_000));
    // Length, attributes, deltas; key of 4 bytes; value of 6 bytes; no headers.
    assert_eq!(batch.bytes()[HEADER_LEN..], [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 9, 0]);
    let theirs = &oracle_reads(&batch)[0];
    assert!(theirs.control && theirs.transactional);
    assert_eq!(theirs.key.as_deref(), Some(&[0, 0, 0, 1][..]));
}

#[test]
fn markers_are_told_apart() {
    for kind in [MarkerKind::Abort, MarkerKind::Commit] {
        let stored = RecordBatch::parse(marker(kind, 1, 0, 0, 0).bytes().clone()).unwrap();
        assert_eq!(MarkerKind::of(&stored), Ok(Some(kind)));
    }
    assert_eq!(MarkerKind::of(&one()), Ok(None));
}

#[test]
fn a_marker_that_was_cleaned_away_says_nothing() {
    let empty = marker(MarkerKind::Abort, 1, 0, 0, 0).retain(1000, None, |_| false).unwrap();
    assert!(empty.header().control);
    assert_eq!(MarkerKind::of(&empty), Ok(None));
}

#[test]
fn another_control_record_is_no_marker() {
    let mut builder = BatchBuilder::new();
    builder.control();
    builder.push(0, Some(&[0, 0, 0, 2]), Some(b""), []);
    let batch = builder.finish(Codec::None).unwrap();
    let error = BatchError::Malformed("a control record that is no transaction marker");
    assert_eq!(MarkerKind::of(&batch), Err(error));
}

#[test]
fn what_is_passed_over_is_told_by_a_marker_of_nobody_at_its_last_offset() {
    for (from, next, first) in [(5, 6, 5), (5, 900, 5), (0, 1 << 40, (1 << 40) - i32::MAX as u64)] {
        let batch = RecordBatch::parse(passed_over(from, next, 7).bytes().clone()).unwrap();
        let header = batch.header();
        assert_eq!((header.base_offset, header.next_offset(), header.count), (first, next, 1));
        assert!(header.control && !header.transactional);
        assert_eq!(header.producer(), None);
        assert_eq!(MarkerKind::of(&batch), Ok(Some(MarkerKind::Commit)));
        assert_eq!(oracle_reads(&batch)[0].offset, i64::try_from(next).unwrap() - 1);
    }
}
