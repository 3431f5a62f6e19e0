//! Producing a stream of lines: parsed as they arrive, stored in chunks, one chunk at a time so that their order
//! holds, while the next one is being parsed. Memory is bounded by two chunks; a slow disk stops the reading of the
//! socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::lines::{Line, Lines};
use crate::broker::admission::RECORD_OVERHEAD;
use crate::broker::produce::ProduceRecord;
use crate::broker::{OnRejected, ProduceError, ProduceReply, ProduceRequest, RecordFate, TopicHandle};
use crate::http::App;
use crate::http::body::{Budget, Pieces, Share};
use crate::http::codes::Code;
use crate::http::error::{FieldError, Problem};
use crate::model::limits::LINE_BYTES_MAX;
use crate::model::{Offset, Partition};
use crate::runtime::clock::monotonic;

/// A chunk is stored when it has so many bytes, or when no more lines are there and none is being stored. 1 MiB gives
/// the disk large writes and keeps what is in memory small (a guess).
const CHUNK_BYTES: usize = 1 << 20;
/// What a chunk may have without asking the budget, and the steps in which it asks for more.
const CHUNK_STEP: usize = 64 << 10;
/// Failed lines named in the summary.
const FAILURES_MAX: usize = 100;
/// How long a chunk waits for others to leave room.
const ROOM_WAIT: Duration = Duration::from_secs(30);

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
#[derive(Default)]
struct Chunk {
    records: Vec<ProduceRecord>,
    /// the line of each record
    numbers: Vec<u64>,
    bytes: usize,
}

/// How large a chunk may grow: small without asking, larger while the budget has room. Too little room means smaller
/// chunks, never a refused stream.
struct Room {
    bytes: usize,
    shares: Vec<Share>,
}

type Storing = BoxFuture<'static, (Vec<u64>, Result<ProduceReply, Problem>)>;

/// Stores the lines of a body; `parse` makes a record of a line.
///
/// # Errors
/// When the body breaks or the server cannot go on. What was stored until then stays; the problem carries the summary.
pub(super) async fn run(
    app: &App,
    topic: Arc<TopicHandle>,
    mut pieces: Pieces,
    parse: impl Fn(&Bytes) -> Result<ProduceRecord, BadLine>,
) -> Result<Response, Problem> {
    let mut counts = Counts::default();
    let mut chunk = Chunk::default();
    let mut storing: Option<Storing> = None;
    let mut lines = Some(Lines::default());
    let mut room = Room { bytes: CHUNK_STEP, shares: Vec::new() };

    loop {
        // Whatever has arrived already is parsed at once.
        while lines.is_some() && room.is_there(&chunk, &app.budget) {
            match pieces.next().now_or_never() {
                None => break,
                Some(piece) => {
                    let piece = piece.map_err(|problem| counts.failed_with(problem))?;
                    take(piece, &mut lines, &mut chunk, &mut counts, &parse);
                }
            }
        }
        if storing.is_none() {
            if chunk.records.is_empty() && lines.is_none() {
                break;
            }
            if !chunk.records.is_empty() {
                storing = Some(store(app.clone(), topic.clone(), std::mem::take(&mut chunk)).boxed());
            }
        }
        tokio::select! {
            // What is stored first makes room first.
            biased;
            (numbers, result) = async { storing.as_mut().expect("the branch runs only while storing").await },
                if storing.is_some() =>
            {
                storing = None;
                let reply = result.map_err(|problem| counts.failed_with(problem))?;
                counts.stored(&numbers, reply);
            }
            piece = pieces.next(), if lines.is_some() && chunk.bytes < room.bytes => {
                let piece = piece.map_err(|problem| counts.failed_with(problem))?;
                take(piece, &mut lines, &mut chunk, &mut counts, &parse);
            }
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
    parse: &impl Fn(&Bytes) -> Result<ProduceRecord, BadLine>,
) {
    let mut line = |number, line| {
        counts.summary.lines += 1;
        let parsed = match line {
            Line::Text(text) => parse(&text),
            Line::TooLong => Err(BadLine {
                code: Code::RecordTooLarge,
                detail: format!("the line has more than {LINE_BYTES_MAX} bytes"),
            }),
        };
        match parsed {
            Ok(record) => {
                chunk.bytes += record.record.size() + RECORD_OVERHEAD;
                chunk.records.push(record);
                chunk.numbers.push(number);
            }
            Err(bad) => counts.bad(number, bad),
        }
    };
    match piece {
        Some(piece) => {
            if let Some(lines) = lines {
                lines.feed(piece, &mut line);
            }
        }
        None => {
            if let Some(lines) = lines.take() {
                lines.finish(&mut line);
            }
        }
    }
}

/// Waits until there is room under the admission bound, then stores the chunk.
async fn store(app: App, topic: Arc<TopicHandle>, chunk: Chunk) -> (Vec<u64>, Result<ProduceReply, Problem>) {
    let admission = app.broker.admission();
    let deadline = monotonic() + ROOM_WAIT;
    while admission.in_flight() + chunk.bytes > admission.limit() && monotonic() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let request = ProduceRequest {
        topic,
        records: chunk.records,
        idempotency: None,
        expected_offsets: Vec::new(),
        on_rejected: OnRejected::FailRecord,
    };
    let reply = app.broker.produce(request).await;
    let reply = reply.map_err(|error| {
        let line = index_of(&error).and_then(|index| chunk.numbers.get(index));
        let problem = Problem::from(error);
        match line {
            Some(line) => problem.with("line", *line),
            None => problem,
        }
    });
    (chunk.numbers, reply)
}

/// The record that an error names.
fn index_of(error: &ProduceError) -> Option<usize> {
    match error {
        ProduceError::UnknownPartition { index, .. } | ProduceError::RecordTooLarge { index, .. } => {
            Some(*index)
        }
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

// === impl Room ===

impl Room {
    fn is_there(&mut self, chunk: &Chunk, budget: &Budget) -> bool {
        if chunk.bytes >= self.bytes
            && self.bytes < CHUNK_BYTES
            && let Ok(share) = budget.take(CHUNK_STEP)
        {
            self.shares.push(share);
            self.bytes += CHUNK_STEP;
        }
        chunk.bytes < self.bytes
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
}

// === impl Counts ===

impl Counts {
    fn bad(&mut self, line: u64, bad: BadLine) {
        self.summary.failed += 1;
        if self.summary.errors.len() < FAILURES_MAX {
            self.summary.errors.push(LineError { line, code: bad.code.entry().name, detail: bad.detail });
        }
    }

    fn stored(&mut self, numbers: &[u64], reply: ProduceReply) {
        for (produced, number) in reply.results.into_iter().zip(numbers) {
            match produced.fate {
                RecordFate::Stored => {
                    let count = u64::from(produced.count);
                    self.summary.stored += count;
                    if let Some(offset) = produced.offset.filter(|_| count > 0) {
                        let (records, last) = self.partitions.entry(produced.partition).or_default();
                        *records += count;
                        *last = (*last).max(offset + count - 1);
                    }
                }
                RecordFate::Dropped => self.summary.dropped += 1,
                RecordFate::DeadLettered => self.summary.dead_lettered += 1,
                RecordFate::Rejected { deployment, reason } => {
                    let detail = format!("deployment `{deployment}`: {reason}");
                    self.bad(*number, BadLine { code: Code::RecordRejected, detail });
                }
            }
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
