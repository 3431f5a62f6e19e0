//! Truncation: deletes a topic's oldest records now.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes::{ChangeQuery, TopicPath};
use crate::broker::{OffsetSpec, TruncateError, Truncation};
use crate::http::App;
use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::http::extract::{Json, Path, Query};
use crate::http::openapi::{Conflict, Missing, OutOfRange, Unprocessable};
use crate::http::position::{OffsetText, Time};
use crate::http::refusals::storage_code;
use crate::model::{Offset, Partition};

/// What to delete: the records before `offset` or before `timestamp`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Truncate {
    /// only of this partition; without it, of all
    #[serde(default)]
    partition: Option<Partition>,
    /// a number (of one partition), `latest` for everything, or `-N` to keep the last N
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    offset: Option<OffsetText>,
    /// milliseconds, RFC 3339, or back from now (`-7d`)
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    timestamp: Option<Time>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Truncated {
    partitions: Vec<TruncatedPartition>,
}

/// What was deleted of a partition.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TruncatedPartition {
    partition: Partition,
    /// offsets that are gone
    deleted: u64,
    /// the oldest offset kept
    log_start_offset: Offset,
    /// the first offset that is not yet acknowledged
    high_watermark: Offset,
}

/// Delete the oldest records
///
/// What was read stays read: positions of deployments and groups do not move.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/truncate", tag = "topics", params(TopicPath, ChangeQuery), request_body = Truncate,
    responses(
        (status = 200, description = "what is gone, or would go", body = Truncated),
        Missing, Conflict, OutOfRange, Unprocessable,
    ),
)]
pub(in crate::http) async fn truncate(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(query): Query<ChangeQuery>,
    Json(body): Json<Truncate>,
) -> Result<axum::Json<Truncated>, Problem> {
    let topic = app.topic(&path.topic)?;
    let before = position(&app, &body, topic.topic.partitions)?;
    let partitions = body.partition.map_or(0..topic.topic.partitions, |one| one..one.saturating_add(1));
    // All of it is checked before any of it is done.
    let mut plans = Vec::new();
    for partition in partitions {
        plans.push(app.broker.plan_truncation(&topic, partition, before).await?);
    }
    let mut answer = Vec::with_capacity(plans.len());
    for plan in plans {
        let done = if query.dry_run { plan } else { app.broker.truncate(&topic, plan).await? };
        answer.push(describe(&done));
    }
    Ok(axum::Json(Truncated { partitions: answer }))
}

fn position(app: &App, body: &Truncate, partitions: u32) -> Result<OffsetSpec, Problem> {
    let invalid = |pointer: &str, detail: &str| Problem::new(Code::InvalidBody, detail).at(pointer, detail);
    match (body.offset, body.timestamp) {
        (Some(OffsetText(OffsetSpec::Offset(_))), None) if body.partition.is_none() && partitions > 1 => {
            Err(invalid("/partition", "an offset is one of a partition; say which"))
        }
        (Some(OffsetText(offset)), None) => Ok(offset),
        (None, Some(time)) => Ok(OffsetSpec::Timestamp(time.at(app.broker.clock().now_ms()))),
        _ => Err(invalid("/offset", "expected either offset or timestamp")),
    }
}

fn describe(done: &Truncation) -> TruncatedPartition {
    TruncatedPartition {
        partition: done.partition,
        deleted: done.before.saturating_sub(done.log_start),
        log_start_offset: done.before,
        high_watermark: done.high_watermark,
    }
}

impl From<TruncateError> for Problem {
    fn from(error: TruncateError) -> Self {
        let code = match error {
            TruncateError::Internal(_) => Code::TopicInternal,
            TruncateError::Compacted(_) => Code::TopicCompacted,
            TruncateError::Read(error) => return error.into(),
            TruncateError::Storage { ref source, .. } => storage_code(source),
        };
        Self::caused(code, &error)
    }
}
