//! Reading as a member, one request after the other: each is also the sign of life.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::member_shapes::{CommitBody, NextCommit, OffsetBody, PullAnswer, PullBody};
use super::shapes::{GroupPath, TopicPartitions};
use crate::broker::consumer::{Given, MemberOptions, Pull, Pulled, Start};
use crate::groups::GroupId;
use crate::http::App;
use crate::http::codes::Code;
use crate::http::consume::render::{self, Shape};
use crate::http::consume::{Answer, BYTES_DEFAULT, LIMIT_DEFAULT, respond};
use crate::http::error::Problem;
use crate::http::extract::{Json, NoQuery, Path, Query};
use crate::http::listener::Peer;
use crate::http::openapi::{Conflict, Missing, Unprocessable};
use crate::model::limits::{
    LOCAL_MEMBER_TOPICS_MAX, READ_BYTES_MAX, READ_RECORDS_MAX, SESSION_TIMEOUT_DEFAULT,
};
use crate::model::{Partition, TopicName};

/// As members over HTTP are called in lists of members.
const CLIENT_ID: &str = "http";

/// Pull records as a member of a group
///
/// The request makes a member, or renews one: there is nothing to create or delete. It commits first, then reads what the
/// member is assigned. Send `member` of the answer with the next request, and as `commit` either `next_commit` of the answer
/// or `"previous"`. 409 `rebalanced` says that nothing was committed.
#[utoipa::path(
    post, path = "/v1/groups/{group}/pull", tag = "groups", params(GroupPath), request_body = PullBody,
    responses((status = 200, description = "records", body = PullAnswer), Missing, Conflict, Unprocessable),
)]
pub(in crate::http) async fn pull(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(NoQuery {}): Query<NoQuery>,
    peer: Peer,
    Json(body): Json<PullBody>,
) -> Result<Response, Problem> {
    let shape = Shape { format: body.format, headers: body.headers.unwrap_or(true) };
    let session_timeout = body.session_timeout.map_or(SESSION_TIMEOUT_DEFAULT, |span| span.0);
    let records = within("/limit", body.limit, LIMIT_DEFAULT, READ_RECORDS_MAX)?;
    let bytes = within("/max_bytes", body.max_bytes, BYTES_DEFAULT, READ_BYTES_MAX)?;
    let options = options(&app, &body.topics, body.start.into(), session_timeout, peer)?;
    let pull = Pull {
        member: body.member.map(Arc::from),
        options,
        commit: body.commit.map(Into::into),
        records,
        bytes,
        wait: body.wait.0,
    };
    let group = GroupId::new(path.group);
    // Boxed: few requests are as large as this one.
    let pulling = Box::pin(app.broker.pull(&group, pull));
    let stopping = || Problem::new(Code::Draining, "the server is stopping");
    let pulled = app.until_stopping(pulling).await.ok_or_else(stopping)?;
    let pulled = pulled.map_err(|error| with_protocols(&app, &group, error.into()))?;
    respond(&app, write(&pulled, shape), Answer::Page)
}

/// Commit a group's offsets
///
/// For a member, what it is assigned; without `member`, for a group that has none. Answered when they are on disk.
#[utoipa::path(
    post, path = "/v1/groups/{group}/commit", tag = "groups", params(GroupPath), request_body = CommitBody,
    responses((status = 204, description = "committed"), Missing, Conflict, Unprocessable),
)]
pub(in crate::http) async fn commit(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(NoQuery {}): Query<NoQuery>,
    Json(body): Json<CommitBody>,
) -> Result<StatusCode, Problem> {
    let group = GroupId::new(path.group);
    let member = body.member.map(Arc::from);
    let offsets = body.offsets.into_iter().map(Into::into).collect();
    let committed = app.broker.commit(&group, member.as_ref(), offsets).await;
    committed.map_err(|error| with_protocols(&app, &group, error.into()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The problem; of two protocols that do not go together, it names both.
pub(super) fn with_protocols(app: &App, group: &GroupId, problem: Problem) -> Problem {
    if problem.code() != Code::GroupProtocol {
        return problem;
    }
    let Some(listed) = app.broker.groups().list().into_iter().find(|listed| listed.id == *group) else {
        return problem;
    };
    let (kind, protocol_type) = (listed.kind.name(), &listed.protocol_type);
    let detail = format!(
        "group `{group}` follows the protocol `{kind}` with the type `{protocol_type}`; members over HTTP follow `classic` \
         with the type `consumer`"
    );
    Problem::new(Code::GroupProtocol, detail).with("protocol", kind).with("protocol_type", &**protocol_type)
}

/// What a member says of itself, checked.
pub(super) fn options(
    app: &App,
    topics: &[impl AsRef<str>],
    start: Start,
    session_timeout: Duration,
    Peer(client_host): Peer,
) -> Result<MemberOptions, Problem> {
    if topics.is_empty() || topics.len() > LOCAL_MEMBER_TOPICS_MAX {
        let detail = format!("{} topics, expected 1 to {LOCAL_MEMBER_TOPICS_MAX}", topics.len());
        return Err(Problem::new(Code::InvalidBody, &*detail).at("/topics", &*detail));
    }
    let topic = |name: &_| -> Result<TopicName, Problem> {
        let name: &str = AsRef::as_ref(name);
        Ok(app.readable(name)?.name().clone())
    };
    let mut topics = topics.iter().map(topic).collect::<Result<Vec<_>, _>>()?;
    topics.sort();
    topics.dedup();
    Ok(MemberOptions { topics, start, session_timeout, client_id: CLIENT_ID.into(), client_host })
}

/// A number from 1 to a maximum, or its default.
fn within(pointer: &str, given: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match given {
        None => Ok(default),
        Some(n) if (1..=max).contains(&n) => Ok(n),
        Some(n) => {
            let detail = format!("{n}, expected 1 to {max}");
            Err(Problem::new(Code::InvalidBody, format!("{pointer}: {detail}")).at(pointer, detail))
        }
    }
}

fn write(pulled: &Pulled, shape: Shape) -> Vec<u8> {
    let size = pulled.records.iter().map(|given| given.record.size() + 128).sum::<usize>();
    let mut out = Vec::with_capacity(size + 512);
    // Writing plain structs to memory does not fail.
    out.extend_from_slice(b"{\"member\":");
    render::string(&mut out, &pulled.member);
    let _ = write!(out, ",\"assignment\":");
    let _ = serde_json::to_writer(&mut out, &assignment(&pulled.assignment));
    if pulled.is_rebalancing {
        out.extend_from_slice(b",\"rebalancing\":true");
    }
    out.extend_from_slice(b",\"records\":[");
    for (index, given) in pulled.records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        record(&mut out, given, shape);
    }
    let offset = |(topic, partition, offset): &(TopicName, Partition, _)| OffsetBody {
        topic: topic.to_string(),
        partition: *partition,
        offset: *offset,
        metadata: String::new(),
    };
    let next = NextCommit { offsets: pulled.next_commit.iter().map(offset).collect() };
    out.extend_from_slice(b"],\"next_commit\":");
    let _ = serde_json::to_writer(&mut out, &next);
    out.push(b'}');
    out
}

/// What a member reads, as it is shown.
pub(super) fn assignment(assignment: &[(TopicName, Vec<Partition>)]) -> Vec<TopicPartitions> {
    let topic = |(topic, partitions): &(TopicName, Vec<Partition>)| TopicPartitions {
        topic: topic.to_string(),
        partitions: partitions.clone(),
    };
    assignment.iter().map(topic).collect()
}

/// Appends a record as one JSON object, its topic first.
pub(super) fn record(out: &mut Vec<u8>, given: &Given, shape: Shape) {
    out.extend_from_slice(b"{\"topic\":");
    render::string(out, given.topic.as_str());
    let brace = out.len();
    render::record(out, given.partition, given.offset, &given.record, shape);
    out[brace] = b',';
}
