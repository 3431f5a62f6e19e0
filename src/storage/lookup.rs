//! Offsets by time. Segments say where to look, the headers of batches where to look closer; both take control batches for
//! batches, as Kafka does. Blocking; reads about one segment.

use std::ops::{ControlFlow, Range};

use crate::model::batch::{BatchHeader, RecordBatch};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::{Offset, RecordView, TimestampMs};

use super::db::Db;
use super::error::ReadError;
use super::ledger::Segment;
use super::log::Log;
use super::reader::{damaged, each_batch, parse};

/// A record by its place in the log and in time.
pub(super) type Found = (Offset, TimestampMs);

/// The first record, in offset order and before `end`, with a timestamp of `at` or later.
pub(super) fn first_since(
    db: &Db,
    log: &Log,
    at: TimestampMs,
    end: Offset,
) -> Result<Option<Found>, ReadError> {
    let end = end.min(log.tail());
    loop {
        let Some(from) = log.ledger.lock().find_time(at) else { return Ok(None) };
        let from = from.max(log.start());
        if from >= end {
            return Ok(None);
        }
        match first_since_in(db, log, at, from..end) {
            // Retention overtook the search; what it deleted is not looked for.
            Err(ReadError::OutOfRange { start, .. }) if start > from => {}
            found => return found,
        }
    }
}

fn first_since_in(
    db: &Db,
    log: &Log,
    at: TimestampMs,
    range: Range<Offset>,
) -> Result<Option<Found>, ReadError> {
    let mut found = None;
    let from = range.start;
    each_batch(db, log, range, |value| {
        // Most batches are passed over by their header alone.
        if read_header(log, value)?.max_timestamp >= at {
            let batch = parse(log, value)?;
            found = first_record(log, &batch, |offset, record| offset >= from && record.timestamp >= at)?;
        }
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// The first record before `end` with the largest timestamp of all before `end`.
pub(super) fn latest(db: &Db, log: &Log, end: Offset) -> Result<Option<Found>, ReadError> {
    let end = end.min(log.tail());
    loop {
        let start = log.start();
        match latest_in(db, log, start..end) {
            Err(ReadError::OutOfRange { .. }) if log.start() > start => {}
            found => return found,
        }
    }
}

fn latest_in(db: &Db, log: &Log, range: Range<Offset>) -> Result<Option<Found>, ReadError> {
    let mut segments: Vec<Segment> = {
        let ledger = log.ledger.lock();
        ledger.closed.iter().chain([&ledger.head.active]).copied().collect()
    };
    segments.retain(|s| s.bytes > 0 && s.base < range.end && s.next > range.start);
    segments.sort_by_key(|s| (std::cmp::Reverse(s.max_timestamp), s.base));

    // A segment's time is an upper bound: what gave it may lie outside of the range, or be gone.
    let mut best: Option<Found> = None;
    for segment in segments {
        let may_be_better = |(offset, timestamp)| {
            segment.max_timestamp > timestamp || (segment.max_timestamp == timestamp && segment.base < offset)
        };
        if !best.is_none_or(may_be_better) {
            break;
        }
        let within = segment.base.max(range.start)..segment.next.min(range.end);
        let found = latest_in_segment(db, log, within)?;
        let is_better = |(offset, timestamp): Found| {
            best.is_none_or(|(o, t)| timestamp > t || (timestamp == t && offset < o))
        };
        if let Some(found) = found.filter(|found| is_better(*found)) {
            best = Some(found);
        }
    }
    Ok(best)
}

/// By headers first: the batches with the largest timestamps, until one has a record that counts.
fn latest_in_segment(db: &Db, log: &Log, range: Range<Offset>) -> Result<Option<Found>, ReadError> {
    let mut found: Option<Found> = None;
    let from = range.start;
    each_batch(db, log, range, |value| {
        let header = read_header(log, value)?;
        if header.count > 0 && found.is_none_or(|(_, timestamp)| header.max_timestamp > timestamp) {
            let batch = parse(log, value)?;
            let mut latest: Option<Found> = None;
            each_record(log, &batch, |offset, record| {
                if offset >= from && latest.is_none_or(|(_, timestamp)| record.timestamp > timestamp) {
                    latest = Some((offset, record.timestamp));
                }
                ControlFlow::Continue(())
            })?;
            let newer = |(_, timestamp): &Found| found.is_none_or(|(_, t)| *timestamp > t);
            found = latest.filter(newer).or(found);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn read_header(log: &Log, value: &[u8]) -> Result<BatchHeader, ReadError> {
    BatchHeader::read(value).map_err(|e| damaged(log, &e))
}

fn first_record(
    log: &Log,
    batch: &RecordBatch,
    is_it: impl Fn(Offset, &RecordView<'_>) -> bool,
) -> Result<Option<Found>, ReadError> {
    let mut found = None;
    each_record(log, batch, |offset, record| {
        if is_it(offset, record) {
            found = Some((offset, record.timestamp));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn each_record(
    log: &Log,
    batch: &RecordBatch,
    mut visit: impl FnMut(Offset, &RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).map_err(|e| damaged(log, &e))?;
    for record in payload.records() {
        let record = record.map_err(|e| damaged(log, &e))?;
        if visit(batch.header().base_offset + Offset::from(record.offset_delta), &record).is_break() {
            break;
        }
    }
    Ok(())
}
