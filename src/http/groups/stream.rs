//! Reading as a member for as long as the connection stands: the connection is the member.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::member_shapes::{CommitMode, StreamQuery};
use super::pull::{assignment, options, record, with_protocols};
use super::shapes::GroupPath;
use crate::broker::consumer::Follower;
use crate::groups::GroupId;
use crate::http::App;
use crate::http::consume::render::Shape;
use crate::http::consume::{self, Answer, LIMIT_DEFAULT, Line, PING, Source, Wire};
use crate::http::error::Problem;
use crate::http::extract::{Path, Query};
use crate::http::listener::Peer;
use crate::http::openapi::{Conflict, Missing, NotAcceptable, Unprocessable};
use crate::model::limits::{KIB, SESSION_TIMEOUT_DEFAULT};

/// Bytes of records read at once.
const CHUNK_BYTES: usize = 64 * KIB;

/// Stream records as a member of a group
///
/// Server-Sent Events with `Accept: text/event-stream`, else NDJSON. The first event (`member`) gives the member's id, an
/// `assignment` follows each rebalance, and then come records. When the connection ends, the member leaves.
#[utoipa::path(
    get, path = "/v1/groups/{group}/stream", tag = "groups", params(GroupPath, StreamQuery),
    responses(
        (status = 200, description = "a live stream", content(
            (String = "text/event-stream"), (String = "application/x-ndjson"))),
        Missing, NotAcceptable, Conflict, Unprocessable,
    ),
)]
pub(in crate::http) async fn stream(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(query): Query<StreamQuery>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wire = match consume::answer(&headers, true)? {
        Answer::Live(wire) => wire,
        Answer::Page | Answer::Lines | Answer::CloudEvents => Wire::Lines,
    };
    let topics: Vec<&str> = query.topics.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
    let options = options(&app, &topics, query.start.into(), SESSION_TIMEOUT_DEFAULT, peer)?;
    let group = GroupId::new(path.group);
    let follower = app.broker.follow(&group, options, query.commit == CommitMode::OnDeliver).await;
    let follower = follower.map_err(|error| with_protocols(&app, &group, error.into()))?;
    let shape = Shape { format: query.format, headers: query.headers.unwrap_or(true) };
    let member = event("member", &json!({ "member": &**follower.member() }));
    let source = MemberSource { follower, shape, first: Some(member) };
    Ok(consume::stream(&app, source, wire))
}

struct MemberSource {
    follower: Follower,
    shape: Shape,
    /// told before anything is read
    first: Option<Line>,
}

impl Source for MemberSource {
    const EVENT: &'static str = "record";

    async fn next(&mut self, _: &App) -> Result<Vec<Line>, Problem> {
        if let Some(line) = self.first.take() {
            return Ok(vec![line]);
        }
        let followed = self.follower.next(LIMIT_DEFAULT, CHUNK_BYTES, PING).await?;
        let assigned =
            followed.assignment.map(|list| event("assignment", &json!({ "assignment": assignment(&list) })));
        let line = |given| {
            let mut json = Vec::new();
            record(&mut json, given, self.shape);
            Line { json, id: None, event: None }
        };
        Ok(assigned.into_iter().chain(followed.records.iter().map(line)).collect())
    }
}

fn event(name: &'static str, data: &serde_json::Value) -> Line {
    Line { json: data.to_string().into_bytes(), id: None, event: Some(name) }
}
