//! Producing over HTTP: envelopes (`/records`), bare values (`/events`), whole bodies and streams of lines.
//!
//! A JSON body is one request: checked whole, stored in one commit or not at all. An NDJSON body is a stream: its lines
//! are stored in chunks as they arrive, and a line that is wrong fails alone.

mod acks;
mod cloud_events;
mod envelope;
mod events;
mod lines;
mod producer;
mod reply;
mod stream;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use self::envelope::{Batch, ERRORS_MAX, Entry, Rules};
use self::stream::BadLine;
use super::App;
use super::body::{Media, Pieces, Whole, media_of, read_whole, unsupported_media};
use super::codes::Code;
use super::consume::{self, Answer};
use super::error::{FieldError, Problem};
use super::extract::{Path, Query, header_text};
use super::json_text::{self, NO_LIST};
use super::openapi::{Conflict, Missing, Precondition, Unprocessable};
use super::topics::topic_gone;
use crate::broker::{IdempotencyKey, ProduceReply, ProduceRequest, Records, TopicHandle};
use crate::model::limits::{BODY_BYTES_MAX, IDEMPOTENCY_KEY_MAX, REQUEST_RECORDS_MAX};
use crate::model::module::Digest;
use crate::model::{Offset, Partition};

pub(super) use self::cloud_events::is_json;
pub(super) use self::envelope::Format;
pub(super) use self::events::{__path_events, events};
pub(super) use self::producer::{__path_new_producer, new_producer};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TopicPath {
    /// the topic
    topic: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct PartitionPath {
    /// the topic
    topic: String,
    /// its partition, from 0
    partition: Partition,
}

/// When the answer comes.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
pub(super) enum Acks {
    /// when the records are as durable as the topic's `durability` says
    #[default]
    #[serde(rename = "all")]
    All,
    /// the same: there is one replica
    #[serde(rename = "1")]
    One,
    /// the same: an answer is given anyway
    #[serde(rename = "0")]
    None,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordsQuery {
    /// how `value` is read
    #[param(inline)]
    format: Format,
    /// accepted for Kafka's sake; `0`, `1` and `all` mean the same
    #[param(inline)]
    acks: Acks,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PartitionRecordsQuery {
    /// how `value` is read
    #[param(inline)]
    format: Format,
    /// accepted for Kafka's sake; `0`, `1` and `all` mean the same
    #[param(inline)]
    acks: Acks,
    /// store nothing unless the partition continues at this offset
    #[param(value_type = Option<u64>)]
    expected_offset: Option<Offset>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(super) struct IdempotencyHeader {
    /// 1 to 255 characters; a repetition with the same key and body within 24 hours stores nothing and gets the first
    /// answer. Not for NDJSON
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// A record to store. One of `value` and `value_base64` has to be there; `null` is a tombstone.
#[derive(Debug, ToSchema)]
#[schema(as = ProduceRecord)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document; `envelope` reads it")]
pub(super) struct RecordBody {
    /// raw text; decides the partition
    key: Option<String>,
    /// a binary key
    key_base64: Option<String>,
    /// with `format=json` any JSON, with `format=text` a string
    #[schema(schema_with = super::openapi::any_json, required = false)]
    value: serde_json::Value,
    /// a binary value
    value_base64: Option<String>,
    /// name → string, null, `{"base64": …}` or a list of these; or a list of `[name, value]` pairs
    #[schema(schema_with = super::openapi::headers_schema, required = false)]
    headers: serde_json::Value,
    /// milliseconds since 1970; the server's time when absent
    #[schema(minimum = 0, maximum = 253402300799999_i64)]
    timestamp: Option<i64>,
    /// instead of the key's partition
    partition: Option<Partition>,
}

/// Records to store in one commit.
#[derive(Debug, ToSchema)]
#[schema(as = ProduceRecords)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document; `envelope` reads it")]
pub(super) struct RecordsBody {
    /// at most 10000, stored together or not at all
    records: Vec<RecordBody>,
    /// partition → the offset at which it has to continue, or nothing is stored
    expected_offsets: Option<BTreeMap<String, u64>>,
}

/// One record or many.
#[derive(Debug, ToSchema)]
#[schema(as = ProduceBody)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document; `envelope` reads it")]
pub(super) enum ProduceBody {
    /// one
    One(RecordBody),
    /// many
    Many(RecordsBody),
}

/// Produce records
///
/// A JSON body is one record or `{"records": […]}`: checked whole, stored in one commit. An NDJSON body
/// (`application/x-ndjson`) has one record a line, stored in chunks as they arrive; the answer is one summary. With `Accept:
/// application/x-ndjson` every line is answered as it is stored, in order, while the body still arrives: a client has to take
/// the answers while it sends, or is read no further.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/records", tag = "produce",
    params(TopicPath, RecordsQuery, IdempotencyHeader, producer::ProducerHeaders),
    request_body(content((ProduceBody = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "stored, or dropped by a transform", content(
        (reply::ProduceAnswer = "application/json"), (reply::LineAck = "application/x-ndjson"))),
        Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn records(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(query): Query<RecordsQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let topic = writable(&app, &path.topic)?;
    produce(&app, topic, request, query.format, None, None).await
}

/// Produce records to one partition
#[utoipa::path(
    post, path = "/v1/topics/{topic}/partitions/{partition}/records", tag = "produce",
    params(PartitionPath, PartitionRecordsQuery, IdempotencyHeader, producer::ProducerHeaders),
    request_body(content((ProduceBody = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "stored, or dropped by a transform", content(
        (reply::ProduceAnswer = "application/json"), (reply::LineAck = "application/x-ndjson"))),
        Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn partition_records(
    State(app): State<App>,
    Path(path): Path<PartitionPath>,
    Query(query): Query<PartitionRecordsQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let topic = writable(&app, &path.topic)?;
    let partitions = topic.topic.partitions;
    if path.partition >= partitions {
        let detail = format!(
            "topic `{}` has partitions 0 to {}, not {}",
            topic.name(),
            partitions - 1,
            path.partition
        );
        return Err(Problem::new(Code::PartitionNotFound, detail));
    }
    produce(&app, topic, request, query.format, Some(path.partition), query.expected_offset).await
}

async fn produce(
    app: &App,
    topic: Arc<TopicHandle>,
    request: Request,
    format: Format,
    partition: Option<Partition>,
    expected_offset: Option<Offset>,
) -> Result<Response, Problem> {
    let rules = rules(&topic, format, partition);
    let (parts, body) = request.into_parts();
    match media_of(&parts.headers) {
        Media::Json | Media::Missing => {}
        Media::Ndjson => {
            refuse_key(&parts.headers)?;
            producer::refuse(&parts.headers)?;
            if expected_offset.is_some() {
                let detail = "expected_offset is for JSON bodies; an NDJSON body is many commits";
                return Err(Problem::new(Code::InvalidQuery, detail));
            }
            let parse = move |line: &[u8], records: &mut Records| envelope_line(line, &rules, records);
            return lines(app, topic, &parts.headers, body, parse).await;
        }
        _ => return Err(unsupported_media(&parts.headers, "application/json or application/x-ndjson")),
    }
    let Whole { bytes, share } = read_whole(body, BODY_BYTES_MAX, &app.budget).await?;
    let idempotency = idempotency_key(&parts.headers, &parts.uri, &[], &bytes)?;
    let numbered = producer::numbered(&parts.headers)?;
    let into = producer::records(numbered.as_ref(), topic, bytes.len(), app.now_ms());
    let (records, mut expected_offsets) = parse(&bytes, &rules, into)?;
    if let (Some(offset), Some(partition)) = (expected_offset, partition) {
        expected_offsets.push((partition, offset));
    }
    // The records have been copied into their batches, whose bytes admission counts.
    drop((bytes, share));
    if let Some(stamp) = numbered {
        if !expected_offsets.is_empty() {
            let detail = "Producer-Seq says what is expected; expected_offset is for requests without it";
            return Err(Problem::new(Code::InvalidHeader, detail));
        }
        return producer::store(app, records, stamp).await;
    }
    let reply = store(app, records, expected_offsets, idempotency).await?;
    Ok(reply::response(&reply))
}

/// Stores the lines of an NDJSON body; the answer is a summary, or one to each line if the client wants lines.
async fn lines<P>(
    app: &App,
    topic: Arc<TopicHandle>,
    headers: &HeaderMap,
    body: Body,
    parse: P,
) -> Result<Response, Problem>
where
    P: Fn(&[u8], &mut Records) -> Result<(), BadLine> + Send + 'static,
{
    if matches!(consume::answer(headers, false), Ok(Answer::Lines)) {
        return Ok(acks::run(app, topic, Pieces::new(body), parse));
    }
    // Boxed, as everything that few requests need: the future of the others stays small.
    Box::pin(stream::run(app, topic, Pieces::new(body), parse)).await
}

/// Stores a whole request in one commit.
async fn store(
    app: &App,
    records: Records,
    expected_offsets: Vec<(Partition, Offset)>,
    idempotency: Option<IdempotencyKey>,
) -> Result<ProduceReply, Problem> {
    let request = ProduceRequest { records, idempotency, expected_offsets };
    app.broker.produce(request).await.map_err(Problem::from)
}

fn rules(topic: &TopicHandle, format: Format, partition: Option<Partition>) -> Rules {
    Rules {
        format,
        partition,
        partitions: topic.topic.partitions,
        record_bytes_max: topic.topic.config.message_bytes_max(),
    }
}

/// The topic, if doors may write to it.
fn writable(app: &App, name: &str) -> Result<Arc<TopicHandle>, Problem> {
    let topic = app.topic(name)?;
    if topic.name().is_internal() {
        return Err(Problem::new(
            Code::TopicInternal,
            format!("topic `{name}` is written by the server alone"),
        ));
    }
    Ok(topic)
}

type Parsed = (Records, Vec<(Partition, Offset)>);

/// Reads a JSON body; every wrong place is named.
fn parse(body: &[u8], rules: &Rules, mut records: Records) -> Result<Parsed, Problem> {
    if json_text::is_list(body) {
        json_text::check(body).map_err(|detail| Problem::new(Code::MalformedJson, detail))?;
        let detail = format!("{NO_LIST}; a list of records belongs into {{\"records\": […]}}");
        return Err(Problem::new(Code::InvalidRecord, detail.clone()).at("", detail));
    }
    let batch = envelope::is_batch(body);
    let parsed = if batch {
        serde_json::from_slice::<Batch<'_>>(body).map(|b| (b.records, b.expected_offsets))
    } else {
        serde_json::from_slice::<Entry<'_>>(body).map(|entry| (vec![entry], BTreeMap::new()))
    };
    let (entries, expected) = parsed.map_err(|_| malformed(body, batch))?;
    if entries.len() > REQUEST_RECORDS_MAX {
        let detail =
            format!("more than {REQUEST_RECORDS_MAX} records, which is the most that a request takes");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    if let Some(partition) = expected.keys().find(|p| **p >= rules.partitions) {
        let detail = format!("partition {partition}, must be < {}", rules.partitions);
        return Err(invalid(vec![envelope::wrong("/expected_offsets", detail)]));
    }
    let mut errors = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.into_record(rules) {
            Ok(record) => records.push(&record)?,
            Err(error) if batch => {
                let pointer = format!("/records/{index}{}", error.pointer);
                errors.push(FieldError { pointer, ..error });
            }
            Err(error) => errors.push(error),
        }
        if errors.len() >= ERRORS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok((records, expected.into_iter().collect())) } else { Err(invalid(errors)) }
}

/// What is wrong with a body that did not parse.
fn malformed(body: &[u8], batch: bool) -> Problem {
    // A wrong type ends the parse before the rest was looked at: is it JSON at all?
    match json_text::check(body) {
        Err(detail) => Problem::new(Code::MalformedJson, detail),
        Ok(()) => invalid(envelope::diagnose(body, batch)),
    }
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [first] => format!(
            "{}: {}",
            if first.pointer.is_empty() { "the record" } else { &first.pointer },
            first.detail
        ),
        many => format!("{} places are wrong", many.len()),
    };
    Problem::new(Code::InvalidRecord, detail).errors(errors)
}

/// A line of an NDJSON body of envelopes.
fn envelope_line(line: &[u8], rules: &Rules, records: &mut Records) -> Result<(), BadLine> {
    // A line is looked over once; its strings need not be again.
    let entry = match std::str::from_utf8(line) {
        Ok(text) => serde_json::from_str::<Entry<'_>>(text),
        Err(_) => serde_json::from_slice::<Entry<'_>>(line),
    };
    let entry = entry.map_err(|_| {
        let problem = malformed(line, false);
        BadLine { code: problem.code(), detail: problem.detail().to_owned() }
    })?;
    let record = entry.into_record(rules).map_err(|e| BadLine::new(Code::InvalidRecord, &e))?;
    records.push(&record).map_err(BadLine::from)
}

/// The request's idempotency key with the digest of what it stands for; `beside` is what of it lies beside the body.
fn idempotency_key(
    headers: &HeaderMap,
    uri: &axum::http::Uri,
    beside: &[u8],
    body: &[u8],
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(key) = header_text(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX {
        let detail =
            format!("Idempotency-Key has {} characters, expected 1 to {IDEMPOTENCY_KEY_MAX}", key.len());
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    let mut digest = sha2::Sha256::new();
    digest.update(uri.path_and_query().map_or("", |p| p.as_str()));
    digest.update([0]);
    digest.update(beside);
    digest.update(body);
    Ok(Some(IdempotencyKey { key: key.to_owned(), body: Digest(digest.finalize().into()) }))
}

fn refuse_key(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(&IDEMPOTENCY_KEY) {
        let detail = "Idempotency-Key is for JSON bodies: an NDJSON body is many commits, and its lines cannot be remembered together";
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(())
}

impl App {
    /// The topic of this name, to do with it what one does with topics.
    ///
    /// # Errors
    /// `TopicNotFound`, `TopicIsView`.
    pub(super) fn topic(&self, name: &str) -> Result<Arc<TopicHandle>, Problem> {
        self.broker.topic(name).map_err(Problem::from)
    }

    /// The topic or view of this name.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub(super) fn readable(&self, name: &str) -> Result<Arc<TopicHandle>, Problem> {
        self.broker.readable(name).map_err(Problem::from)
    }

    /// The topic under this name if it is still the one that `handle` stands for, seen as through that one.
    pub(super) fn same_topic(&self, handle: &TopicHandle) -> Result<Arc<TopicHandle>, Problem> {
        let now = self.readable(handle.name().as_str())?;
        if now.id() != handle.id() {
            return Err(topic_gone(handle.name()));
        }
        match handle.view() {
            // What its reader has asked for by itself. A view with a name may have new code.
            Some(view) if now.view().is_none() => Ok(now.through(view.clone())),
            _ => Ok(now),
        }
    }
}
