//! Reads that do not give every record: pieces of the log go through a sieve, until enough was found, the end is reached,
//! or the budget is used up. What was looked at is behind the reader: a cursor moves also when nothing was found.

use std::time::Duration;

use super::filter::Filter;
use super::{Topic, cursor_error, without_wait};
use crate::broker::TopicHandle;
use crate::broker::read::{Cursor, ReadLimits};
use crate::http::App;
use crate::http::error::Problem;
use crate::model::limits::{KIB, SCAN_BYTES_MAX, SCAN_TIME_MAX};
use crate::model::{Offset, Partition, Record};
use crate::runtime::clock::monotonic;

/// What is read before the sieve is asked.
const PIECE_RECORDS: usize = 2_000;
const PIECE_BYTES: usize = 512 * KIB;

/// Records with their places.
pub(super) type Found = Vec<(Partition, Offset, Record)>;

/// What records go through before they are given.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    pub(super) filter: Filter,
}

/// Where a read stands.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// the next offset of a partition
    Partition(Partition, Offset),
    /// the next offset of every partition
    Topic(Cursor),
}

/// How far a read may go.
pub(super) struct Bounds<'a> {
    /// of what is given; `wait` is the time for the first record that is given
    pub(super) limits: ReadLimits,
    /// records that are looked at
    pub(super) scan: usize,
    /// nothing at or behind these offsets
    pub(super) ends: Option<&'a Cursor>,
}

/// What a read found.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) records: Found,
    /// records that were looked at
    pub(super) scanned: usize,
    /// with ends: nothing is left before them
    pub(super) complete: bool,
}

// === impl Sieve ===

impl Sieve {
    /// Does everything go through?
    pub(super) fn is_open(&self) -> bool {
        self.filter.is_open()
    }

    /// The records that are to be given, each with the place that it was read at.
    ///
    /// # Errors
    /// None yet: a filter takes or leaves every record.
    #[expect(clippy::unused_async, reason = "what records are put through may have to be waited for")]
    pub(super) async fn pass(&self, mut records: Found) -> Result<Found, Problem> {
        records.retain(|(_, _, record)| self.filter.takes(record));
        Ok(records)
    }
}

// === impl Place ===

impl Place {
    /// The next records, and where a reader stands behind them.
    pub(super) async fn read(
        &self,
        app: &App,
        topic: &TopicHandle,
        limits: ReadLimits,
    ) -> Result<(Found, Self), Problem> {
        match self {
            Self::Partition(partition, from) => {
                let page = app.broker.read(topic, *partition, *from, limits).await?;
                let found = page.records.into_iter().map(|(offset, record)| (*partition, offset, record));
                Ok((found.collect(), Self::Partition(*partition, page.next_offset)))
            }
            Self::Topic(cursor) => {
                let mut ahead = cursor.clone();
                let merged = app.broker.read_all(topic, &mut ahead, limits).await.map_err(cursor_error)?;
                Ok((merged.records, Self::Topic(ahead)))
            }
        }
    }

    /// Moves behind a record.
    pub(super) fn step_behind(&mut self, partition: Partition, offset: Offset) {
        match self {
            Self::Partition(_, next) => *next = offset + 1,
            Self::Topic(cursor) => {
                if let Some(next) = cursor.0.get_mut(partition as usize) {
                    *next = offset + 1;
                }
            }
        }
    }

    /// Partitions that were added since the cursor was made are read from their beginning.
    pub(super) fn widen(&mut self, topic: &TopicHandle) {
        if let Self::Topic(cursor) = self {
            let added = topic.logs().iter().skip(cursor.0.len());
            cursor.0.extend(added.map(|log| log.start()));
        }
    }

    fn is_done(&self, ends: &Cursor) -> bool {
        let Self::Topic(cursor) = self else { return false };
        cursor.0.len() >= ends.0.len() && ends.0.iter().zip(&cursor.0).all(|(end, at)| at >= end)
    }
}

fn is_before(ends: &Cursor, partition: Partition, offset: Offset) -> bool {
    ends.0.get(partition as usize).is_some_and(|end| offset < *end)
}

// === scanning ===

/// Reads on from a place through a sieve; the place moves behind what was looked at.
///
/// # Errors
/// As reads without a sieve, and those of the sieve.
pub(super) async fn page(
    app: &App,
    topic: &Topic,
    place: &mut Place,
    sieve: &Sieve,
    bounds: Bounds<'_>,
) -> Result<Page, Problem> {
    let Bounds { limits, scan, ends } = bounds;
    let started = monotonic();
    let wait = if ends.is_some() { Duration::ZERO } else { limits.wait };
    let (mut page, mut given_bytes, mut scanned_bytes) = (Page::default(), 0, 0);
    place.widen(topic);
    loop {
        if let Some(ends) = ends.filter(|ends| place.is_done(ends)) {
            *place = Place::Topic(ends.clone());
            page.complete = true;
            return Ok(page);
        }
        let piece = ReadLimits {
            records: PIECE_RECORDS.min(scan - page.scanned),
            bytes: PIECE_BYTES,
            // Only with nothing in hand there is something to wait for.
            wait: if page.records.is_empty() {
                wait.saturating_sub(started.elapsed())
            } else {
                Duration::ZERO
            },
            ..limits
        };
        let read = match app.until_stopping(place.read(app, topic, piece)).await {
            Some(read) => read?,
            None => place.read(app, topic, without_wait(piece)).await?,
        };
        let (mut found, behind) = read;
        let is_end = found.is_empty();
        if let Some(ends) = ends {
            found.retain(|(partition, offset, _)| is_before(ends, *partition, *offset));
        }
        let places: Vec<_> = found.iter().map(|(partition, offset, _)| (*partition, *offset)).collect();
        scanned_bytes += found.iter().map(|(_, _, record)| record.size()).sum::<usize>();

        for (partition, offset, record) in sieve.pass(found).await? {
            given_bytes += record.size();
            page.records.push((partition, offset, record));
            if page.records.len() >= limits.records || given_bytes >= limits.bytes {
                // Full: what of the piece lies behind the last record given is read again by the next request.
                for &at in &places {
                    page.scanned += 1;
                    place.step_behind(at.0, at.1);
                    if at == (partition, offset) {
                        break;
                    }
                }
                page.complete = ends.is_some_and(|ends| place.is_done(ends));
                return Ok(page);
            }
        }
        page.scanned += places.len();
        *place = behind;
        let spent = page.scanned >= scan || scanned_bytes >= SCAN_BYTES_MAX;
        let waited = wait.is_zero() || started.elapsed() >= wait;
        let ends_here = is_end && (waited || !page.records.is_empty() || app.shutdown.is_requested());
        let open_end = ends.is_none_or(|ends| !place.is_done(ends));
        if (spent || ends_here || started.elapsed() >= SCAN_TIME_MAX.max(wait)) && open_end {
            return Ok(page);
        }
        // A log that is all in memory would else keep its thread to itself.
        tokio::task::yield_now().await;
    }
}
