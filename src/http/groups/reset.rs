//! Resetting a group's offsets: where it goes on.

use axum::extract::State;

use super::shapes::{GroupPath, Reset, ResetAnswer, ResetPartition, ResetQuery, ResetTo};
use super::{committed, lag};
use crate::broker::{OffsetSpec, ReadError, TopicHandle};
use crate::groups::{GroupError, GroupId, NewOffset};
use crate::http::App;
use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::http::extract::{Json, Path, Query};
use crate::http::openapi::{Conflict, Missing, OutOfRange, Unprocessable};
use crate::model::{Offset, Partition, TopicName};

/// A partition and where it is to go on.
struct Plan {
    topic: std::sync::Arc<TopicHandle>,
    partition: Partition,
    before: Option<i64>,
    offset: Offset,
}

/// Reset a group's offsets
///
/// A group with members refuses, unless `force=true`: then they go first, and hear of it by their next request. A group that
/// is not there is made if a topic is named.
#[utoipa::path(
    patch, path = "/v1/groups/{group}/offsets", tag = "groups", params(GroupPath, ResetQuery), request_body = Reset,
    responses(
        (status = 200, description = "where it goes on, or would go on", body = ResetAnswer),
        Missing, Conflict, OutOfRange, Unprocessable,
    ),
)]
pub(in crate::http) async fn reset(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(query): Query<ResetQuery>,
    Json(body): Json<Reset>,
) -> Result<axum::Json<ResetAnswer>, Problem> {
    if body.topic.is_none() && body.partitions.is_some() {
        return Err(invalid("/partitions", "partitions are those of a topic; say which"));
    }
    let group = GroupId::new(path.group);
    let groups = app.broker.groups();
    let deployment = match groups.describe(&group) {
        Ok(described) => described.deployment,
        Err(_) => None,
    };
    if let Some(deployment) = deployment {
        return Err(GroupError::ReadOnly { group, deployment }.into());
    }
    match groups.members(&group) {
        Ok(members) => {
            if members > 0 && !query.force {
                return Err(GroupError::NotEmpty { members }.into());
            }
        }
        Err(GroupError::NotFound { .. }) if body.topic.is_some() => {}
        Err(error) => return Err(error.into()),
    }
    // All of it is checked before any of it is done.
    let plans = plan(&app, &group, &body).await?;
    if !query.dry_run {
        let offsets = plans.iter().map(new_offset).collect();
        for result in groups.reset_offsets(group.clone(), offsets, query.force).await? {
            result?;
        }
    }
    let show = |plan: Plan| {
        let topic = plan.topic.name();
        let offset = i64::try_from(plan.offset).unwrap_or(i64::MAX);
        ResetPartition {
            lag: lag(&app, &(topic.clone(), plan.partition), offset).unwrap_or(0),
            topic: topic.to_string(),
            partition: plan.partition,
            before: plan.before,
            offset: plan.offset,
        }
    };
    let partitions = plans.into_iter().map(show).collect();
    Ok(axum::Json(ResetAnswer { group: group.to_string(), dry_run: query.dry_run, partitions }))
}

async fn plan(app: &App, group: &GroupId, body: &Reset) -> Result<Vec<Plan>, Problem> {
    let committed = committed(app, group)?;
    let mut scope: Vec<(TopicName, Partition)> = Vec::new();
    match (&body.topic, &body.partitions) {
        (None, _) => scope.extend(committed.keys().cloned()),
        (Some(name), partitions) => {
            let topic = app.readable(name)?;
            let list = partitions.clone().unwrap_or_else(|| (0..topic.topic.partitions).collect());
            scope.extend(list.into_iter().map(|partition| (topic.name().clone(), partition)));
        }
    }
    scope.sort();
    scope.dedup();

    let mut plans = Vec::with_capacity(scope.len());
    for (name, partition) in scope {
        let topic = app.readable(name.as_str())?;
        let before = committed.get(&(name, partition)).map(|committed| committed.offset);
        let offset = target(app, &topic, partition, body.to, before).await?;
        plans.push(Plan { topic, partition, before, offset });
    }
    Ok(plans)
}

async fn target(
    app: &App,
    topic: &TopicHandle,
    partition: Partition,
    to: ResetTo,
    before: Option<i64>,
) -> Result<Offset, Problem> {
    let at = match to {
        ResetTo::Earliest => OffsetSpec::Earliest,
        ResetTo::Latest => OffsetSpec::Latest,
        ResetTo::Offset(offset) => OffsetSpec::Offset(offset),
        ResetTo::Timestamp(time) => OffsetSpec::Timestamp(time.at(app.now_ms())),
        ResetTo::ShiftBy(records) => {
            let Some(before) = before else {
                let detail = format!(
                    "nothing is committed of partition {partition} of topic `{}`, so there is nothing to shift",
                    topic.name()
                );
                return Err(invalid("/to/shift_by", &detail));
            };
            OffsetSpec::Offset(u64::try_from(before.saturating_add(records)).unwrap_or(0))
        }
    };
    let offset = app.broker.resolve_offset(topic, partition, at).await?;
    let Some(log) = topic.log(partition) else { return Ok(offset) };
    let (start, tail) = (log.start(), log.tail());
    match to {
        ResetTo::ShiftBy(_) => Ok(offset.clamp(start, tail)),
        _ if (start..=tail).contains(&offset) => Ok(offset),
        _ => {
            let topic = topic.name().clone();
            Err(ReadError::OutOfRange { topic, partition, asked: offset, start, tail }.into())
        }
    }
}

fn new_offset(plan: &Plan) -> NewOffset {
    NewOffset {
        topic: plan.topic.name().clone(),
        topic_id: plan.topic.id(),
        partition: plan.partition,
        offset: i64::try_from(plan.offset).unwrap_or(i64::MAX),
        leader_epoch: -1,
        metadata: "".into(),
    }
}

fn invalid(pointer: &str, detail: &str) -> Problem {
    Problem::new(Code::InvalidBody, detail).at(pointer, detail)
}
