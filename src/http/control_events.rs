//! `GET /v1/events`: what happens to topics, modules, deployments and groups, as it happens.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, json};
use utoipa::ToSchema;

use super::App;
use super::answer::rfc3339;
use super::consume::{self, Answer, Line, PING, Source, Wire, bad_event_id, last_event_id};
use super::error::Problem;
use super::extract::{NoQuery, Query};
use super::openapi::NotAcceptable;
use crate::runtime::events::{self, Event, Heard, Listener};

/// Something that has happened; the name of the SSE event is its `event`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ControlEvent)]
pub(super) struct ControlEvent {
    /// such as `topic_created`, `deployment_failed`, `group_changed`; `missed`: the server had forgotten `events` of them
    event: String,
    /// of the topic, module, deployment or group
    name: String,
    /// RFC 3339
    at: String,
    /// texts that belong to it, by name: `revision`, `module`, `code`, `message`, `state`, …
    #[schema(value_type = Object)]
    details: Map<String, serde_json::Value>,
}

/// Stream what happens
///
/// Topics created, changed and deleted; modules pushed and deleted; deployments applied, upgraded, rolled back,
/// rewound, paused, resumed, failed, recovered and deleted; changes of groups. Server-Sent Events with `Accept:
/// text/event-stream`, else NDJSON. It begins with what happens next, or behind `Last-Event-ID`; the server keeps the
/// newest thousand events of its run, and tells with an event `missed` when some were forgotten.
#[utoipa::path(
    get, path = "/v1/events", tag = "operations", params(consume::LastEventIdHeader),
    responses(
        (status = 200, description = "a live stream", content(
            (ControlEvent = "text/event-stream"), (ControlEvent = "application/x-ndjson"))),
        NotAcceptable,
    ),
)]
pub(super) async fn events(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wire = match consume::answer(&headers, true)? {
        Answer::Live(wire) => wire,
        Answer::Page | Answer::Lines | Answer::CloudEvents => Wire::Lines,
    };
    let source = match last_event_id(&headers)? {
        Some(id) => {
            let (listener, is_foreign) = events::listen_behind(id).ok_or_else(|| bad_event_id(id))?;
            ControlSource { listener, is_foreign }
        }
        None => ControlSource { listener: events::listen(), is_foreign: false },
    };
    Ok(consume::stream(&app, source, wire))
}

struct ControlSource {
    listener: Listener,
    /// it resumes behind an event of an earlier run, of which nothing is known
    is_foreign: bool,
}

impl Source for ControlSource {
    const EVENT: &'static str = "event";

    async fn next(&mut self, _: &App) -> Result<Vec<Line>, Problem> {
        if std::mem::take(&mut self.is_foreign) {
            return Ok(vec![missed(None, self.listener.id())]);
        }
        let wait: Duration = PING;
        let Ok(Heard { events, missed: forgotten }) = tokio::time::timeout(wait, self.listener.next()).await
        else {
            return Ok(Vec::new());
        };
        let before = events.first().map(|event| events::id(event.number - 1)).filter(|_| forgotten > 0);
        let lines = events.iter().map(|event| line(event));
        Ok(before.map(|id| missed(Some(forgotten), id)).into_iter().chain(lines).collect())
    }
}

/// `events` is not known when they were those of an earlier run.
fn missed(events: Option<u64>, id: String) -> Line {
    let json = json!({ "event": "missed", "events": events }).to_string().into_bytes();
    Line { json, id: Some(id), event: Some("missed") }
}

fn line(event: &Event) -> Line {
    let details: Map<_, _> =
        event.details.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
    let json = json!({
        "event": event.what.as_str(), "name": event.name, "at": rfc3339(event.at_ms), "details": details,
    });
    Line {
        json: json.to_string().into_bytes(),
        id: Some(events::id(event.number)),
        event: Some(event.what.as_str()),
    }
}
