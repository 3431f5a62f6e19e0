//! Reading records without a group: pages, long polls, and live streams (SSE and NDJSON) of one partition or of all.

mod accept;
mod apply;
mod cloud_events;
mod cursor;
mod filter;
mod follow;
mod page;
pub(super) mod render;
mod scan;
mod shapes;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;

use self::apply::ParamQuery;
use self::filter::{Filter, HeaderQuery, Wanted};
use self::page::{events, scanned, write_records};
use self::render::Shape;
use self::scan::{Bounds, Place, Sieve};
use self::shapes::{
    IsolationLevel, PartitionPage, PartitionPath, PartitionQuery, TopicPage, TopicPath, TopicQuery,
};
use super::App;
use super::codes::Code;
use super::error::Problem;
use super::extract::{Path, ReadQuery, header_text};
use super::openapi::{Gone, Missing, NotAcceptable, OutOfRange};
use super::position::{OffsetText, Time, Until, Wait};
use crate::broker::TopicHandle;
use crate::broker::read::{Cursor, Merged, OffsetSpec, ReadLimits};
use crate::model::limits::{MIB, READ_BYTES_MAX, READ_RECORDS_MAX, SCAN_RECORDS_DEFAULT, SCAN_RECORDS_MAX};
use crate::model::{Offset, Partition, TimestampMs};

pub(super) use self::accept::{Answer, answer};
pub(super) use self::apply::PARAM_PREFIX;
pub(super) use self::filter::HEADER_PREFIX;
pub(super) use self::follow::{Instance, Line, Source, Wire, stream};
pub(super) use self::page::respond;
pub(super) use self::shapes::{LastEventIdHeader, RecordBody};

/// Records of a page unless asked otherwise.
pub(super) const LIMIT_DEFAULT: usize = 500;
/// Bytes of a page unless asked otherwise.
pub(super) const BYTES_DEFAULT: usize = MIB;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Read one partition
///
/// A page, or with `Accept: text/event-stream` (or `follow=true` for NDJSON) a live stream. With `key`, `header.NAME` or
/// `contains` only the records for which all of them hold: a page then tells how many it `scanned` and `matched`, may be empty
/// before the end, and goes on at `next_offset`; a stream's pings have the id to come back with. With `Accept:
/// application/cloudevents-batch+json` a page has the records that are CloudEvents; `X-Next-Offset` says where the next one
/// begins, `X-Records-Left-Out` how many records were no events.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/partitions/{partition}/records", tag = "consume",
    params(PartitionPath, PartitionQuery, HeaderQuery, ParamQuery, LastEventIdHeader),
    responses(
        (status = 200, description = "records", content(
            (PartitionPage = "application/json"), (String = "application/x-ndjson"), (String = "text/event-stream"),
            (Vec<Object> = "application/cloudevents-batch+json"))),
        Missing, NotAcceptable, Gone, OutOfRange,
    ),
)]
pub(super) async fn partition_records(
    State(app): State<App>,
    Path(path): Path<PartitionPath>,
    ReadQuery { fixed: query, named }: ReadQuery<PartitionQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = app.topic_through(&path.topic, query.apply.as_deref(), query.on_error, &named).await?;
    let answer = accept::of_records(&headers, query.follow)?;
    let limits = limits(query.limit, query.max_bytes, query.wait, query.isolation)?;
    let shape = Shape { format: query.format, headers: query.headers.unwrap_or(true) };
    let wanted = Wanted { key: query.key, key_base64: query.key_base64, contains: query.contains };
    let sieve = Sieve { filter: Filter::new(wanted, &named)? };
    let scan = scan_limit(query.scan_limit, &sieve)?;
    let at = match last_event_id(&headers)? {
        Some(id) => OffsetSpec::Offset(id.parse().map_err(|_| bad_event_id(id))?),
        None => begin(&app, query.offset, query.timestamp)?.unwrap_or(OffsetSpec::Earliest),
    };
    let from = app.broker.resolve_offset(&topic, path.partition, at).await?;
    if let Answer::Live(wire) = answer {
        let place = Place::Partition(path.partition, from);
        let source = follow::LiveSource::open(&app, topic, place, sieve, limits, shape).await?;
        return Ok(stream(&app, source, wire));
    }
    if !sieve.is_open() {
        let place = Place::Partition(path.partition, from);
        return scanned(&app, &topic, place, &sieve, Bounds { limits, scan, ends: None }, answer, shape)
            .await;
    }

    let read = |limits| app.broker.read(&topic, path.partition, from, limits);
    let page = match app.until_stopping(read(limits)).await {
        Some(page) => page?,
        None => read(without_wait(limits)).await?,
    };
    if answer == Answer::CloudEvents {
        let records = page.records.iter().map(|(_, record)| record);
        return events(&app, records, &Place::Partition(path.partition, page.next_offset), &topic);
    }
    let bytes = page.records.iter().map(|(_, r)| r.size() + 64).sum::<usize>();
    let mut out = Vec::with_capacity(bytes + 128);
    let records = page.records.iter().map(|(offset, record)| (path.partition, *offset, record));
    write_records(&mut out, answer, records, shape);
    if answer == Answer::Page {
        let (next, end, start) = (page.next_offset, page.high_watermark, page.log_start_offset);
        let counts = seen_through(&topic, page.scanned, page.skipped);
        let tail = format!(
            ",\"next_offset\":{next},\"high_watermark\":{end},\"log_start_offset\":{start}{counts}}}"
        );
        out.extend_from_slice(tail.as_bytes());
    }
    respond(&app, out, answer)
}

/// Read all partitions
///
/// The records of all partitions merged by timestamp: a page, or with `Accept: text/event-stream` (or `follow=true` for
/// NDJSON) a live stream. Filters are those of a partition.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/records", tag = "consume",
    params(TopicPath, TopicQuery, HeaderQuery, ParamQuery, LastEventIdHeader),
    responses(
        (status = 200, description = "records", content(
            (TopicPage = "application/json"), (String = "application/x-ndjson"), (String = "text/event-stream"),
            (Vec<Object> = "application/cloudevents-batch+json"))),
        Missing, NotAcceptable, Gone, OutOfRange,
    ),
)]
pub(super) async fn topic_records(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    ReadQuery { fixed: query, named }: ReadQuery<TopicQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = app.topic_through(&path.topic, query.apply.as_deref(), query.on_error, &named).await?;
    let answer = accept::of_records(&headers, query.follow)?;
    let limits = limits(query.limit, query.max_bytes, query.wait, query.isolation)?;
    let shape = Shape { format: query.format, headers: query.headers.unwrap_or(true) };
    let wanted = Wanted {
        key: query.key.clone(),
        key_base64: query.key_base64.clone(),
        contains: query.contains.clone(),
    };
    let sieve = Sieve { filter: Filter::new(wanted, &named)? };
    let scan = scan_limit(query.scan_limit, &sieve)?;
    let mut position = match last_event_id(&headers)? {
        Some(id) => decode_cursor(&topic, id)
            .map_err(|p| if p.code() == Code::InvalidCursor { bad_event_id(id) } else { p })?,
        None => first_cursor(&app, &topic, &query).await?,
    };
    let ends = match query.until {
        Some(Until::Time(time)) => {
            Some(resolve_all(&app, &topic, OffsetSpec::Timestamp(time.at(app.now_ms()))).await?)
        }
        Some(Until::Cursor(ref text)) => Some(decode_cursor(&topic, text)?),
        None => None,
    };
    if let Answer::Live(wire) = answer {
        if ends.is_some() {
            return Err(Problem::new(
                Code::InvalidQuery,
                "query parameter `until` ends a read; a live stream has no end",
            ));
        }
        let source =
            follow::LiveSource::open(&app, topic, Place::Topic(position), sieve, limits, shape).await?;
        return Ok(stream(&app, source, wire));
    }
    if !sieve.is_open() {
        let bounds = Bounds { limits, scan, ends: ends.as_ref() };
        return scanned(&app, &topic, Place::Topic(position), &sieve, bounds, answer, shape).await;
    }

    let (merged, complete) = read_until(&app, &topic, &mut position, ends.as_ref(), limits).await?;
    let records = &merged.records;
    if answer == Answer::CloudEvents {
        return events(&app, records.iter().map(|(_, _, record)| record), &Place::Topic(position), &topic);
    }
    let bytes = records.iter().map(|(_, _, r)| r.size() + 64).sum::<usize>();
    let mut out = Vec::with_capacity(bytes + 128);
    write_records(&mut out, answer, records.iter().map(|(p, o, r)| (*p, *o, r)), shape);
    if answer == Answer::Page {
        let next = cursor::encode(topic.id(), &position);
        let complete = complete.map(|c| format!(",\"complete\":{c}")).unwrap_or_default();
        let counts = seen_through(&topic, merged.scanned, merged.skipped);
        out.extend_from_slice(format!(",\"next_cursor\":\"{next}\"{complete}{counts}}}").as_bytes());
    }
    respond(&app, out, answer)
}

/// How many records a page looks at.
fn scan_limit(given: Option<usize>, sieve: &Sieve) -> Result<usize, Problem> {
    if given.is_some() && sieve.is_open() {
        return Err(Problem::new(
            Code::InvalidQuery,
            "query parameter `scan_limit` is for reads with a filter",
        ));
    }
    bounded("scan_limit", given, SCAN_RECORDS_DEFAULT, SCAN_RECORDS_MAX)
}

async fn first_cursor(app: &App, topic: &TopicHandle, query: &TopicQuery) -> Result<Cursor, Problem> {
    let begin = begin(app, query.offset, query.timestamp)?;
    match (&query.cursor, begin) {
        (Some(_), Some(_)) => Err(Problem::new(
            Code::InvalidQuery,
            "query parameter `cursor` excludes `offset` and `timestamp`",
        )),
        (Some(text), None) => decode_cursor(topic, text),
        (None, Some(OffsetSpec::Offset(_))) => {
            let detail =
                "query parameter `offset` as a number needs a partition: /partitions/{partition}/records";
            Err(Problem::new(Code::InvalidQuery, detail))
        }
        (None, begin) => resolve_all(app, topic, begin.unwrap_or(OffsetSpec::Earliest)).await,
    }
}

async fn resolve_all(app: &App, topic: &TopicHandle, at: OffsetSpec) -> Result<Cursor, Problem> {
    let mut offsets = Vec::with_capacity(topic.logs().len());
    for log in topic.logs() {
        offsets.push(app.broker.resolve_offset(topic, log.partition(), at).await?);
    }
    Ok(Cursor(offsets))
}

/// Reads a page of all partitions; with ends, only what lies before them, and whether that was all.
async fn read_until(
    app: &App,
    topic: &TopicHandle,
    position: &mut Cursor,
    ends: Option<&Cursor>,
    limits: ReadLimits,
) -> Result<(Merged, Option<bool>), Problem> {
    let Some(ends) = ends else {
        let mut ahead = position.clone();
        let records = match app.until_stopping(app.broker.read_all(topic, &mut ahead, limits)).await {
            Some(records) => records,
            None => {
                ahead.clone_from(position);
                app.broker.read_all(topic, &mut ahead, without_wait(limits)).await
            }
        };
        *position = ahead;
        return Ok((records.map_err(cursor_error)?, None));
    };
    let before = |partition: Partition, offset: Offset| {
        ends.0.get(partition as usize).is_some_and(|end| offset < *end)
    };
    let done = |at: &Cursor| ends.0.iter().zip(&at.0).all(|(end, at)| at >= end);
    // Nothing that is still to come lies before the end, so there is nothing to wait for.
    let limits = without_wait(limits);
    let mut counts = Merged::default();
    loop {
        if position.0.len() >= ends.0.len() && done(position) {
            return Ok((counts, Some(true)));
        }
        let mut merged = app.broker.read_all(topic, position, limits).await.map_err(cursor_error)?;
        let read = merged.records.len();
        merged.records.retain(|(partition, offset, _)| before(*partition, *offset));
        merged.scanned += counts.scanned;
        merged.skipped += counts.skipped;
        let complete = done(position);
        if complete {
            position.0.clone_from(&ends.0);
        }
        if !merged.records.is_empty() || complete || read == 0 {
            return Ok((merged, Some(complete)));
        }
        counts = Merged { records: Vec::new(), ..merged };
    }
}

/// What a page says beside its records when it is read through a transform.
fn seen_through(topic: &TopicHandle, scanned: u64, skipped: u64) -> String {
    if topic.view().is_some() {
        format!(",\"scanned\":{scanned},\"skipped\":{skipped}")
    } else {
        String::new()
    }
}

/// A cursor that points below a log start has expired; nothing else can be wrong with an offset this server gave.
fn cursor_error(error: crate::broker::ReadError) -> Problem {
    let problem = Problem::from(error);
    if problem.code() == Code::OffsetExpired {
        return Problem::new(Code::CursorExpired, problem.detail());
    }
    problem
}

fn decode_cursor(topic: &TopicHandle, text: &str) -> Result<Cursor, Problem> {
    let Some((id, cursor)) = cursor::decode(text) else {
        return Err(Problem::new(Code::InvalidCursor, format!("`{text}` is no cursor of this server")));
    };
    if id != topic.id() {
        let detail = format!("the cursor belongs to an earlier topic `{}`, which was deleted", topic.name());
        return Err(Problem::new(Code::CursorExpired, detail));
    }
    if cursor.0.len() > topic.logs().len() {
        return Err(Problem::new(Code::InvalidCursor, "the cursor has more partitions than the topic"));
    }
    Ok(cursor)
}

fn begin(
    app: &App,
    offset: Option<OffsetText>,
    timestamp: Option<Time>,
) -> Result<Option<OffsetSpec>, Problem> {
    match (offset, timestamp) {
        (Some(_), Some(_)) => Err(Problem::new(
            Code::InvalidQuery,
            "query parameters `offset` and `timestamp` exclude each other",
        )),
        (Some(OffsetText(at)), None) => Ok(Some(at)),
        (None, Some(time)) => Ok(Some(OffsetSpec::Timestamp(time.at(app.now_ms())))),
        (None, None) => Ok(None),
    }
}

fn limits(
    records: Option<usize>,
    bytes: Option<usize>,
    wait: Wait,
    isolation: IsolationLevel,
) -> Result<ReadLimits, Problem> {
    let records = bounded("limit", records, LIMIT_DEFAULT, READ_RECORDS_MAX)?;
    let bytes = bounded("max_bytes", bytes, BYTES_DEFAULT, READ_BYTES_MAX)?;
    Ok(ReadLimits { records, bytes, wait: wait.0, isolation: isolation.into() })
}

fn without_wait(limits: ReadLimits) -> ReadLimits {
    ReadLimits { wait: Duration::ZERO, ..limits }
}

/// A number from 1 to a maximum, or its default.
pub(super) fn bounded(
    name: &str,
    given: Option<usize>,
    default: usize,
    max: usize,
) -> Result<usize, Problem> {
    match given {
        None => Ok(default),
        Some(n) if (1..=max).contains(&n) => Ok(n),
        Some(n) => Err(Problem::new(
            Code::InvalidQuery,
            format!("query parameter `{name}` is `{n}`: expected 1 to {max}"),
        )),
    }
}

pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    Ok(header_text(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()))
}

pub(super) fn bad_event_id(id: &str) -> Problem {
    Problem::new(
        Code::InvalidHeader,
        format!("Last-Event-ID is `{id}`, which is no id of an event of this stream"),
    )
}

impl App {
    /// Wall time.
    pub(super) fn now_ms(&self) -> TimestampMs {
        self.broker.clock().now_ms()
    }
}

/// Reads of live streams wait no longer than this, so that pings go out and deleted topics are noticed.
pub(super) const PING: Duration = Duration::from_secs(15);

type Topic = Arc<TopicHandle>;
