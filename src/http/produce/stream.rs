//! Producing a stream of lines: parsed as they arrive, stored in chunks, one chunk at a time so that their order
//! holds, while the next one is being parsed. Memory is bounded by two chunks; a slow disk stops the reading of the
//! socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::lines::{Line, Lines};
use crate::broker::produce::Rejected;
use crate::broker::{Broker, ProduceError, Records, Tally, TopicHandle};
use crate::http::App;
use crate::http::body::{Budget, Pieces, Share};
use crate::http::codes::Code;
use crate::http::error::{FieldError, Problem};
use crate::model::limits::LINE_BYTES_MAX;
use crate::model::{Offset, Partition};

/// A chunk is stored when it has so many bytes, or when no more lines are there and none is being stored. 1 MiB gives
/// the disk large writes and keeps what is in memory small (a guess).
const CHUNK_BYTES: usize = 1 << 20;
/// What a chunk may have without asking the budget, and the steps in which it asks for more.
pub(super) const CHUNK_STEP: usize = 64 << 10;
/// A body that says beforehand that it has no more than this is stored in one chunk: its client has it all, so that
/// storing what has come so far would only mean one more commit.
const WHOLE_BYTES: u64 = 512 << 10;
/// Failed lines named in the summary.
const FAILURES_MAX: usize = 100;
/// Bytes of what is said about one: it may quote the line, which has up to 2 MiB, and is held as long as the stream lasts.
const DETAIL_BYTES_MAX: usize = 1 << 10;

/// Why a line failed.
#[derive(Debug, Clone)]
pub(super) struct BadLine {
    pub(super) code: Code,
    pub(super) detail: String,
}

/// What became of the lines of an NDJSON body.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = ProduceSummary)]
pub(super) struct Summary {
    /// lines with a record
    lines: u64,
    /// records that were stored
    stored: u64,
    /// records that a transform dropped
    dropped: u64,
    /// records that a transform rejected into its dead-letter topic
    dead_lettered: u64,
    /// lines that failed
    failed: u64,
    /// where the stored records went
    partitions: Vec<PartitionSummary>,
    /// the first hundred lines that failed
    errors: Vec<LineError>,
}

/// Records of the body in one partition.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProducePartitionSummary)]
pub(super) struct PartitionSummary {
    partition: Partition,
    /// records of the body in it
    records: u64,
    /// the offset of the last one
    last_offset: Offset,
}

/// A line that failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProduceLineError)]
pub(super) struct LineError {
    /// from 1, blank lines counted
    line: u64,
    /// a problem code
    code: &'static str,
    /// what is wrong with it
    detail: String,
}

/// What has been counted so far.
#[derive(Default)]
struct Counts {
    summary: Summary,
    partitions: BTreeMap<Partition, (u64, Offset)>,
}

/// Records on their way.
struct Chunk {
    records: Records,
    /// the line of each record
    numbers: Vec<u64>,
}

/// How large a chunk may grow: small without asking, larger while the budget has room. Too little room means smaller
/// chunks, never a refused stream.
pub(super) struct Room {
    bytes: usize,
    shares: Vec<Share>,
}

type Storing = BoxFuture<'static, (Vec<u64>, Result<Tally, ProduceError>)>;

/// Stores the lines of a body; `parse` adds the record of a line to those before it.
///
/// # Errors
/// When the body breaks or the server cannot go on. What was stored until then stays; the problem carries the summary.
pub(super) async fn run(
    app: &App,
    topic: Arc<TopicHandle>,
    mut pieces: Pieces,
    parse: impl Fn(&[u8], &mut Records) -> Result<(), BadLine>,
) -> Result<Response, Problem> {
    let mut counts = Counts::default();
    let expected = pieces.expected_bytes();
    let is_small = expected.is_some_and(|bytes| bytes <= WHOLE_BYTES);
    let room_for = expected.unwrap_or(0).clamp(CHUNK_STEP as u64, CHUNK_BYTES as u64) as usize;
    let mut chunk = Chunk::new(app, &topic, room_for);
    let mut storing: Option<Storing> = None;
    let mut lines = Some(Lines::default());
    let mut room = Room::default();

    loop {
        // Whatever has arrived already is parsed at once.
        while lines.is_some() && room.is_there(chunk.records.bytes(), &app.budget) {
            match pieces.next().now_or_never() {
                None => break,
                Some(Ok(piece)) => take(piece, &mut lines, &mut chunk, &mut counts, &parse),
                Some(Err(problem)) => return Err(broken(problem, storing, counts).await),
            }
        }
        let has_room = chunk.records.bytes() < room.bytes;
        if storing.is_none() {
            if chunk.records.is_empty() && lines.is_none() {
                break;
            }
            let more_comes = is_small && has_room && lines.is_some();
            if !chunk.records.is_empty() && !more_comes {
                let full = std::mem::replace(&mut chunk, Chunk::new(app, &topic, room_for));
                // From here on admission counts its bytes.
                room = Room::default();
                storing = Some(store(app.broker.clone(), full).boxed());
                continue;
            }
        }
        tokio::select! {
            // What is stored first makes room first.
            biased;
            (numbers, result) = async { storing.as_mut().expect("the branch runs only while storing").await },
                if storing.is_some() =>
            {
                storing = None;
                match result {
                    Ok(tally) => counts.stored(&numbers, tally),
                    Err(error) => return Err(counts.failed_with(with_line(error, &numbers))),
                }
            }
            piece = pieces.next(), if lines.is_some() && has_room => match piece {
                Ok(piece) => take(piece, &mut lines, &mut chunk, &mut counts, &parse),
                Err(problem) => return Err(broken(problem, storing, counts).await),
            },
        }
    }
    Ok(axum::Json(counts.finish()).into_response())
}

/// Parses the lines that a piece completes; the end of the body completes the last one.
fn take(
    piece: Option<Bytes>,
    lines: &mut Option<Lines>,
    chunk: &mut Chunk,
    counts: &mut Counts,
    parse: &impl Fn(&[u8], &mut Records) -> Result<(), BadLine>,
) {
    let line = |number, line: Line<'_>| {
        counts.summary.lines += 1;
        let parsed = match line {
            Line::Text(text) => parse(text, &mut chunk.records),
            Line::TooLong => Err(BadLine::too_long(LINE_BYTES_MAX)),
        };
        match parsed {
            Ok(()) => chunk.numbers.push(number),
            Err(bad) => counts.bad(number, bad),
        }
    };
    match piece {
        Some(piece) => {
            if let Some(lines) = lines {
                lines.feed(&piece, line);
            }
        }
        None => {
            if let Some(lines) = lines.take() {
                lines.finish(line);
            }
        }
    }
}

async fn store(broker: Broker, chunk: Chunk) -> (Vec<u64>, Result<Tally, ProduceError>) {
    (chunk.numbers, broker.produce_each(chunk.records).await)
}

/// The end of a stream whose body broke. What is being stored is waited for: it may not be taken back, and the summary
/// would not have it.
async fn broken(problem: Problem, storing: Option<Storing>, mut counts: Counts) -> Problem {
    if let Some(storing) = storing {
        match storing.await {
            (numbers, Ok(tally)) => counts.stored(&numbers, tally),
            (numbers, Err(error)) => return counts.failed_with(with_line(error, &numbers)),
        }
    }
    counts.failed_with(problem)
}

/// The problem, with the line that it is about where the error names a record.
fn with_line(error: ProduceError, numbers: &[u64]) -> Problem {
    let line = index_of(&error).and_then(|index| numbers.get(index)).copied();
    let problem = Problem::from(error);
    match line {
        Some(line) => problem.with("line", line),
        None => problem,
    }
}

/// The record that an error names.
pub(super) fn index_of(error: &ProduceError) -> Option<usize> {
    match error {
        ProduceError::UnknownPartition { index, .. }
        | ProduceError::RecordTooLarge { index, .. }
        | ProduceError::Timestamp { index, .. }
        | ProduceError::KeyMissing { index, .. } => Some(*index),
        ProduceError::TransformFailed { record, .. } => *record,
        ProduceError::Rejected { records, .. } => records.first().map(|r| r.index),
        ProduceError::Overloaded { .. }
        | ProduceError::RequestTooLarge { .. }
        | ProduceError::ExpectedOffset { .. }
        | ProduceError::IdempotencyInFlight
        | ProduceError::IdempotencyMismatch
        | ProduceError::IdempotencyFull { .. }
        | ProduceError::DiskFull { .. }
        | ProduceError::TopicGone(_)
        | ProduceError::Closed
        | ProduceError::Unknown(_) => None,
    }
}

// === impl Chunk ===

impl Chunk {
    fn new(app: &App, topic: &Arc<TopicHandle>, bytes: usize) -> Self {
        Self { records: Records::new(topic.clone(), bytes, app.now_ms()), numbers: Vec::new() }
    }
}

// === impl Room ===

impl Default for Room {
    fn default() -> Self {
        Self { bytes: CHUNK_STEP, shares: Vec::new() }
    }
}

impl Room {
    /// Has a chunk of so many bytes room for more? Takes the room from the budget.
    pub(super) fn is_there(&mut self, bytes: usize, budget: &Budget) -> bool {
        if bytes >= self.bytes
            && self.bytes < CHUNK_BYTES
            && let Ok(share) = budget.take(CHUNK_STEP)
        {
            self.shares.push(share);
            self.bytes += CHUNK_STEP;
        }
        bytes < self.bytes
    }
}

// === impl BadLine ===

impl BadLine {
    pub(super) fn new(code: Code, error: &FieldError) -> Self {
        let detail = if error.pointer.is_empty() {
            format!("the record {}", error.detail)
        } else {
            format!("{}: {}", error.pointer, error.detail)
        };
        Self { code, detail }
    }

    pub(super) fn too_long(limit: usize) -> Self {
        Self { code: Code::RecordTooLarge, detail: format!("the line has more than {limit} bytes") }
    }

    /// With what is said about it cut to what may be held.
    pub(super) fn shortened(mut self) -> Self {
        self.detail.truncate(self.detail.floor_char_boundary(DETAIL_BYTES_MAX));
        self.detail.shrink_to_fit();
        self
    }
}

impl From<BadLine> for Problem {
    fn from(bad: BadLine) -> Self {
        Self::new(bad.code, bad.detail)
    }
}

impl From<ProduceError> for BadLine {
    fn from(error: ProduceError) -> Self {
        let problem = Problem::from(error);
        Self { code: problem.code(), detail: problem.detail().to_owned() }
    }
}

// === impl Counts ===

impl Counts {
    fn bad(&mut self, line: u64, bad: BadLine) {
        self.summary.failed += 1;
        if self.summary.errors.len() < FAILURES_MAX {
            let BadLine { code, detail } = bad.shortened();
            self.summary.errors.push(LineError { line, code: code.entry().name, detail });
        }
    }

    fn stored(&mut self, numbers: &[u64], tally: Tally) {
        for part in tally.stored {
            self.summary.stored += part.records;
            let (records, last) = self.partitions.entry(part.partition).or_default();
            *records += part.records;
            *last = part.last_offset;
        }
        self.summary.dropped += tally.dropped;
        self.summary.dead_lettered += tally.dead_lettered;
        for Rejected { index, deployment, reason } in tally.rejected {
            let line = numbers.get(index).copied().unwrap_or_default();
            let detail = format!("deployment `{deployment}`: {reason}");
            self.bad(line, BadLine { code: Code::RecordRejected, detail });
        }
    }

    fn finish(mut self) -> Summary {
        let partition =
            |(partition, (records, last_offset))| PartitionSummary { partition, records, last_offset };
        self.summary.partitions = std::mem::take(&mut self.partitions).into_iter().map(partition).collect();
        self.summary
    }

    /// The problem that ended the stream, with what was done until then.
    fn failed_with(&mut self, problem: Problem) -> Problem {
        let summary = std::mem::take(self).finish();
        let changed = summary.stored + summary.dead_lettered > 0;
        let problem = problem.with("summary", serde_json::to_value(summary).unwrap_or_default());
        if changed { problem.effects_unknown() } else { problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_failed_line_does_not_quote_all_of_it() {
        let mut counts = Counts::default();
        counts.bad(1, BadLine { code: Code::InvalidRecord, detail: "é".repeat(DETAIL_BYTES_MAX) });
        let errors = counts.finish().errors;
        assert_eq!((errors.len(), errors[0].detail.len()), (1, DETAIL_BYTES_MAX));
    }
}
