//! The answers to produce requests.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::stream::BadLine;
use crate::broker::{ProduceReply, Produced, RecordFate};
use crate::http::codes::Code;
use crate::http::error::{Document, Problem};
use crate::model::{Offset, Partition, TimestampMs};

/// What became of a record.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Stored,
    Dropped,
    DeadLettered,
    Rejected,
}

/// What became of a record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProducedRecord)]
pub(super) struct RecordAnswer {
    status: Status,
    /// where it went
    partition: Partition,
    /// of the first record stored of it
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
    /// records stored of it, when a transform made more or less than one
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// milliseconds since 1970
    timestamp: TimestampMs,
}

/// What became of a JSON body: `results`; of an NDJSON body: the summary.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub(super) enum ProduceAnswer {
    /// of a JSON body
    Whole(WholeAnswer),
    /// of a JSON body with Producer-Seq
    Numbered(super::producer::StampedAnswer),
    /// of an NDJSON body
    Lines(super::stream::Summary),
}

/// What became of a JSON body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProduceResults)]
pub(super) struct WholeAnswer {
    /// one per record, in order
    results: Vec<RecordAnswer>,
    /// the answer of an earlier request with the same Idempotency-Key
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LineStatus {
    Stored,
    Dropped,
    DeadLettered,
    /// by a transform
    Rejected,
    /// for another reason
    Failed,
}

/// The answer to a line of an NDJSON body, with `Accept: application/x-ndjson`. Where the stream ends early, its last line has
/// `error` alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProduceLineAck)]
pub(super) struct LineAck {
    /// from 1, blank lines counted
    line: u64,
    status: LineStatus,
    /// where it went
    partition: Option<Partition>,
    /// of the first record stored of it
    offset: Option<Offset>,
    /// records stored of it, when a transform made more or less than one
    count: Option<u32>,
    /// why it was `rejected` or `failed`
    error: Option<Document<'static>>,
}

impl LineStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Dropped => "dropped",
            Self::DeadLettered => "dead_lettered",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// Writes the answer to a line that did not fail.
pub(super) fn ack(out: &mut Vec<u8>, line: u64, produced: &Produced) {
    let status = match produced.fate {
        RecordFate::Stored => LineStatus::Stored,
        RecordFate::Dropped => LineStatus::Dropped,
        RecordFate::DeadLettered => LineStatus::DeadLettered,
        RecordFate::Rejected { .. } => LineStatus::Rejected,
    };
    // Writing to memory does not fail.
    let _ = write!(out, "{{\"line\":{line},\"partition\":{}", produced.partition);
    if let Some(offset) = produced.offset {
        let _ = write!(out, ",\"offset\":{offset}");
    }
    let _ = write!(out, ",\"status\":\"{}\"", status.as_str());
    if produced.count != 1 && matches!(produced.fate, RecordFate::Stored) {
        let _ = write!(out, ",\"count\":{}", produced.count);
    }
    out.extend_from_slice(b"}\n");
}

/// Writes the answer to a line of which nothing was stored.
pub(super) fn nack(out: &mut Vec<u8>, line: u64, problem: &Problem, instance: &str) {
    let status = match problem.code() {
        Code::RecordRejected => LineStatus::Rejected,
        _ => LineStatus::Failed,
    };
    let _ = write!(out, "{{\"line\":{line},\"status\":\"{}\",\"error\":", status.as_str());
    out.extend_from_slice(&problem.render(instance));
    out.extend_from_slice(b"}\n");
}

/// The problem of a record that a transform rejected.
pub(super) fn rejection(produced: &Produced) -> Option<Problem> {
    match &produced.fate {
        RecordFate::Rejected { deployment, reason } => {
            let detail = format!("deployment `{deployment}`: {reason}");
            Some(BadLine { code: Code::RecordRejected, detail }.shortened().into())
        }
        RecordFate::Stored | RecordFate::Dropped | RecordFate::DeadLettered => None,
    }
}

/// The answer to a JSON body.
pub(super) fn response(reply: &ProduceReply) -> Response {
    let record = |produced: &Produced| RecordAnswer {
        status: match &produced.fate {
            RecordFate::Stored => Status::Stored,
            RecordFate::Dropped => Status::Dropped,
            RecordFate::DeadLettered => Status::DeadLettered,
            RecordFate::Rejected { .. } => Status::Rejected,
        },
        partition: produced.partition,
        offset: produced.offset,
        count: Some(produced.count)
            .filter(|count| matches!(produced.fate, RecordFate::Stored) && *count != 1),
        timestamp: produced.timestamp,
    };
    let answer =
        WholeAnswer { results: reply.results.iter().map(record).collect(), duplicate: reply.duplicate };
    let mut text = Vec::with_capacity(32 + 96 * answer.results.len());
    // Plain structs of numbers: writing them to memory does not fail.
    let _ = serde_json::to_writer(&mut text, &answer);
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
