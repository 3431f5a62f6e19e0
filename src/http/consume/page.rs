//! Pages of records as bodies, in each of their formats.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::render::{self, Shape};
use super::scan::{self, Bounds, Place, Sieve};
use super::{Answer, Topic, cloud_events, cursor};
use crate::broker::TopicHandle;
use crate::http::App;
use crate::http::answer::insert;
use crate::http::body::Held;
use crate::http::error::Problem;
use crate::model::{Offset, Partition, Record};

static NEXT_OFFSET: HeaderName = HeaderName::from_static("x-next-offset");
static NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");
static LEFT_OUT: HeaderName = HeaderName::from_static("x-records-left-out");

/// A page of what passes a sieve.
pub(super) async fn scanned(
    app: &App,
    topic: &Topic,
    mut place: Place,
    sieve: &Sieve,
    bounds: Bounds<'_>,
    answer: Answer,
    shape: Shape,
) -> Result<Response, Problem> {
    let has_end = bounds.ends.is_some();
    let page = scan::page(app, topic, &mut place, sieve, bounds).await?;
    if answer == Answer::CloudEvents {
        return events(app, page.records.iter().map(|(_, _, record)| record), &place, topic);
    }
    let mut out = Vec::with_capacity(128 + page.records.iter().map(|(_, _, r)| r.size() + 64).sum::<usize>());
    write_records(&mut out, answer, page.records.iter().map(|(p, o, r)| (*p, *o, r)), shape);
    if answer == Answer::Page {
        let tail = match &place {
            Place::Partition(partition, next) => {
                let (end, start) = topic.log(*partition).map_or((*next, 0), |log| (log.tail(), log.start()));
                format!(",\"next_offset\":{next},\"high_watermark\":{end},\"log_start_offset\":{start}")
            }
            Place::Topic(cursor) => {
                let complete =
                    if has_end { format!(",\"complete\":{}", page.complete) } else { String::new() };
                format!(",\"next_cursor\":\"{}\"{complete}", cursor::encode(topic.id(), cursor))
            }
        };
        let counts = format!(",\"scanned\":{},\"matched\":{}}}", page.scanned, page.records.len());
        out.extend_from_slice((tail + &counts).as_bytes());
    }
    respond(app, out, answer)
}

/// A page as a batch of CloudEvents; where the next one begins is told in a header, for the body has no room for it.
pub(super) fn events<'r>(
    app: &App,
    records: impl Iterator<Item = &'r Record>,
    place: &Place,
    topic: &TopicHandle,
) -> Result<Response, Problem> {
    let (mut out, mut left_out) = (b"[".to_vec(), 0);
    for record in records {
        let start = out.len();
        if start > 1 {
            out.push(b',');
        }
        if !cloud_events::write(&mut out, record) {
            out.truncate(start);
            left_out += 1;
        }
    }
    out.push(b']');
    let mut response = respond(app, out, Answer::CloudEvents)?;
    let (name, next) = match place {
        Place::Partition(_, offset) => (NEXT_OFFSET.clone(), offset.to_string()),
        Place::Topic(cursor) => (NEXT_CURSOR.clone(), cursor::encode(topic.id(), cursor)),
    };
    insert(&mut response, name, next);
    insert(&mut response, LEFT_OUT.clone(), left_out.to_string());
    Ok(response)
}

/// Appends the records of a page; one in JSON is left open for what comes behind them.
pub(super) fn write_records<'r>(
    out: &mut Vec<u8>,
    answer: Answer,
    records: impl Iterator<Item = (Partition, Offset, &'r Record)>,
    shape: Shape,
) {
    if answer == Answer::Page {
        out.extend_from_slice(b"{\"records\":[");
    }
    for (index, (partition, offset, record)) in records.enumerate() {
        if answer == Answer::Page && index > 0 {
            out.push(b',');
        }
        render::record(out, partition, offset, record, shape);
        if answer != Answer::Page {
            out.push(b'\n');
        }
    }
    if answer == Answer::Page {
        out.push(b']');
    }
}

/// A page in memory, counted in the budget until it is sent.
pub(in crate::http) fn respond(app: &App, out: Vec<u8>, answer: Answer) -> Result<Response, Problem> {
    let share = app.budget.take(out.len())?;
    let mut response = Response::new(Body::new(Held::new(out.into(), share)));
    let kind = match answer {
        Answer::Page => "application/json",
        Answer::CloudEvents => "application/cloudevents-batch+json",
        Answer::Lines | Answer::Live(_) => "application/x-ndjson",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
