//! `/events`: the body is the value itself. Made for webhooks, shells and browsers.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::IntoParams;

use super::cloud_events;
use super::envelope::{Format, Rules, check_size, wrong};
use super::producer::{self, ProducerHeaders};
use super::stream::BadLine;
use super::{
    IdempotencyHeader, TopicPath, idempotency_key, invalid, lines, refuse_key, reply, rules, store, writable,
};
use crate::broker::TopicHandle;
use crate::broker::produce::{NewHeader, NewRecord, Records};
use crate::http::App;
use crate::http::body::{Media, Whole, media_of, read_whole, unsupported_media};
use crate::http::codes::Code;
use crate::http::error::{FieldError, Problem};
use crate::http::extract::{Path, Query};
use crate::http::json_text::{self, Pointer};
use crate::http::openapi::{Conflict, Missing, Unprocessable};
use crate::model::Partition;
use crate::model::limits::{BODY_BYTES_MAX, RECORD_HEADERS_MAX};

/// Request headers with this prefix become record headers.
const HEADER_PREFIX: &str = "x-record-header-";

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventsQuery {
    /// the key of every record
    key: Option<String>,
    /// JSON Pointer to the key in each value, such as `/user_id`; a string is taken raw, a number or boolean as its text
    #[param(example = "/user_id")]
    key_path: Option<String>,
    /// instead of the key's partition
    partition: Option<Partition>,
}

/// How values become records.
#[derive(Clone)]
pub(super) struct Shape {
    rules: Rules,
    key: Option<String>,
    key_path: Option<Pointer>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Produce bare values
///
/// The body is the value: JSON (stored compact), text, or bytes; NDJSON has one value a line. Request headers named
/// `X-Record-Header-…` become record headers. CloudEvents 1.0, one (`application/cloudevents+json`, or `ce-…` headers with the
/// data as the body) or a batch, are stored as Kafka's binding of them says: attributes as headers `ce_…`, `partitionkey` as the
/// key.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/events", tag = "produce",
    params(TopicPath, EventsQuery, IdempotencyHeader, ProducerHeaders),
    request_body(content(
        (serde_json::Value = "application/json"), (String = "application/x-ndjson"),
        (String = "text/plain"), (Vec<u8> = "application/octet-stream"),
        (Object = "application/cloudevents+json"), (Vec<Object> = "application/cloudevents-batch+json"),
    )),
    responses((status = 200, description = "stored, or dropped by a transform", content(
        (reply::ProduceAnswer = "application/json"), (reply::LineAck = "application/x-ndjson"))),
        Missing, Conflict, Unprocessable),
)]
pub(in crate::http) async fn events(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(query): Query<EventsQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let topic = writable(&app, &path.topic)?;
    let (parts, body) = request.into_parts();
    let media = media_of(&parts.headers);
    let shape = shape(&topic, query, &parts.headers)?;
    let is_event = cloud_events::mode(&parts.headers, media).is_some();
    if shape.key_path.is_some() && !is_event && !matches!(media, Media::Json | Media::Missing | Media::Ndjson)
    {
        return Err(Problem::new(
            Code::InvalidQuery,
            "query parameter `key_path` points into JSON; this body is not JSON",
        ));
    }
    if let Some(mode) = cloud_events::mode(&parts.headers, media) {
        if shape.key_path.is_some() {
            let detail =
                "query parameter `key_path` is for plain values; an event's key is its `partitionkey`";
            return Err(Problem::new(Code::InvalidQuery, detail));
        }
        // Boxed, as everything that few requests need.
        return Box::pin(cloud_events::produce(&app, topic, shape, mode, parts, body)).await;
    }
    if media == Media::Ndjson {
        refuse_key(&parts.headers)?;
        producer::refuse(&parts.headers)?;
        let line = move |line: &[u8], records: &mut Records| value_line(line, &shape, records);
        return lines(&app, topic, &parts.headers, body, line).await;
    }
    if !matches!(media, Media::Json | Media::Missing | Media::Text | Media::Bytes) {
        let taken =
            "application/json, application/x-ndjson, text/plain, application/octet-stream or CloudEvents";
        return Err(unsupported_media(&parts.headers, taken));
    }
    let Whole { bytes, share } = read_whole(body, BODY_BYTES_MAX, &app.budget).await?;
    let idempotency = idempotency_key(&parts.headers, &parts.uri, &[], &bytes)?;
    let numbered = producer::numbered(&parts.headers)?;
    let record = match media {
        Media::Json | Media::Missing => {
            let json: &RawValue = serde_json::from_slice(&bytes)
                .map_err(|e| Problem::new(Code::MalformedJson, e.to_string()))?;
            json_record(json, &shape)
        }
        Media::Text => match std::str::from_utf8(&bytes) {
            Ok(_) => shape.record(shape.key(), Some(Cow::Borrowed(&bytes))),
            Err(e) => Err(wrong("", format!("is text/plain, but not UTF-8: {e}"))),
        },
        _ => shape.record(shape.key(), Some(Cow::Borrowed(&bytes))),
    };
    let record = record.map_err(|error| invalid(vec![error]))?;
    let mut records = producer::records(numbered.as_ref(), topic, bytes.len(), app.now_ms());
    records.push(&record)?;
    drop(record);
    drop((bytes, share));
    if let Some(stamp) = numbered {
        return producer::store(&app, records, stamp).await;
    }
    let reply = store(&app, records, Vec::new(), idempotency).await?;
    Ok(reply::response(&reply))
}

fn shape(topic: &TopicHandle, query: EventsQuery, headers: &HeaderMap) -> Result<Shape, Problem> {
    let bad_query = |detail: String| Err(Problem::new(Code::InvalidQuery, detail));
    if query.key.is_some() && query.key_path.is_some() {
        return bad_query("query parameters `key` and `key_path` exclude each other".into());
    }
    let key_path = match query.key_path.as_deref().map(|text| (text, Pointer::parse(text))) {
        Some((text, None)) => {
            return bad_query(format!(
                "query parameter `key_path` is `{text}`: expected a JSON Pointer such as /user_id"
            ));
        }
        Some((_, pointer)) => pointer,
        None => None,
    };
    let partitions = topic.topic.partitions;
    if let Some(partition) = query.partition.filter(|p| *p >= partitions) {
        let detail =
            format!("topic `{}` has partitions 0 to {}, not {partition}", topic.name(), partitions - 1);
        return Err(Problem::new(Code::PartitionNotFound, detail));
    }
    let rules = rules(topic, Format::Json, query.partition);
    Ok(Shape { rules, key: query.key, key_path, headers: record_headers(headers)? })
}

fn record_headers(headers: &HeaderMap) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let named =
        headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix(HEADER_PREFIX)?, value)));
    let headers: Vec<_> = named.map(|(name, value)| (name.to_owned(), value.as_bytes().to_owned())).collect();
    if headers.len() > RECORD_HEADERS_MAX || headers.iter().any(|(name, _)| name.is_empty()) {
        let detail = format!("X-Record-Header-…: at most {RECORD_HEADERS_MAX}, each with a name");
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(headers)
}

/// A line that is a JSON value.
fn value_line(line: &[u8], shape: &Shape, records: &mut Records) -> Result<(), BadLine> {
    let json: &RawValue = serde_json::from_slice(line)
        .map_err(|e| BadLine { code: Code::MalformedJson, detail: e.to_string() })?;
    let record = json_record(json, shape).map_err(|error| BadLine::new(Code::InvalidRecord, &error))?;
    records.push(&record).map_err(BadLine::from)
}

fn json_record<'a>(json: &'a RawValue, shape: &'a Shape) -> Result<NewRecord<'a>, FieldError> {
    let key = match &shape.key_path {
        None => shape.key(),
        Some(pointer) => pointed_key(json, pointer)?,
    };
    let value = match json_text::compact(json.get()) {
        // As in an envelope: null is a tombstone.
        text if text == "null" => None,
        text => Some(json_text::bytes(text)),
    };
    shape.record(key, value)
}

fn pointed_key<'a>(json: &'a RawValue, pointer: &Pointer) -> Result<Option<Cow<'a, [u8]>>, FieldError> {
    let found = pointer.find(json).ok_or_else(|| wrong("", "has nothing where key_path points"))?.get();
    match found.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(found)
                .map_err(|e| wrong("", format!("has a key that is no text: {e}")))?;
            Ok(Some(Cow::Owned(text.into_bytes())))
        }
        Some(b'{' | b'[') => {
            Err(wrong("", "has an object or array where key_path points; keys are text, numbers or booleans"))
        }
        Some(b'n') => Ok(None),
        _ => Ok(Some(Cow::Borrowed(found.as_bytes()))),
    }
}

// === impl Shape ===

impl Shape {
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The headers that every record has.
    pub(super) fn record_headers(&self) -> impl Iterator<Item = NewHeader<'_>> {
        self.headers
            .iter()
            .map(|(name, value)| (Cow::Borrowed(name.as_str()), Some(Cow::Borrowed(value.as_slice()))))
    }

    pub(super) fn key(&self) -> Option<Cow<'_, [u8]>> {
        self.key.as_ref().map(|key| Cow::Borrowed(key.as_bytes()))
    }

    fn record<'a>(
        &'a self,
        key: Option<Cow<'a, [u8]>>,
        value: Option<Cow<'a, [u8]>>,
    ) -> Result<NewRecord<'a>, FieldError> {
        let headers = self.record_headers().collect();
        let (partition, timestamp) = (self.rules.partition, None);
        let record = NewRecord { partition, timestamp, key, value, headers };
        check_size(&record, &self.rules)?;
        Ok(record)
    }
}
