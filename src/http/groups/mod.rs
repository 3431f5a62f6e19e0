//! Groups: list, describe with lag, reset, delete, and being a member: pull, stream, commit. Groups of Kafka's clients and of
//! clients over HTTP are the same.

mod member_shapes;
mod pull;
mod reset;
mod shapes;
mod stream;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;

use self::shapes::{
    GroupDetail, GroupPath, GroupSummary, ListQuery, MemberDetail, MemberPath, OffsetDetail, TopicPartitions,
};
use super::App;
use super::answer::rfc3339;
use super::codes::Code;
use super::error::Problem;
use super::extract::{NoQuery, Path, Query};
use super::openapi::{Conflict, Missing};
use super::page::{self, Page};
use crate::groups::client::{CONSUMER, Partitions, decode_assignment};
use crate::groups::machine::{Description, Leaving, MemberDescription, consumer};
use crate::groups::{
    Committed, Described, DescribedConsumers, FetchOffsets, GroupError, GroupId, GroupKind, Listed,
};
use crate::model::{Partition, TopicName};

pub(super) use self::pull::{__path_commit, __path_pull, commit, pull};
pub(super) use self::reset::{__path_reset, reset};
pub(super) use self::stream::{__path_stream, stream};

/// List groups
///
/// Those of Kafka's clients and those over HTTP alike, and the position of each processor as `deployment.{name}`.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups", params(ListQuery),
    responses((status = 200, description = "groups in name order", body = Page<GroupSummary>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<GroupSummary>>, Problem> {
    let mut groups = app.broker.groups().list();
    groups.retain(|group| group.id.as_str().starts_with(&query.prefix));
    let token = query.page_token.as_deref();
    let page = page::page(groups, query.limit, token, |g| g.id.as_str(), |g| summary(&app, g))?;
    Ok(axum::Json(page))
}

/// Describe a group
///
/// Its state, its members with what they are assigned, what is committed, and the lag behind that.
#[utoipa::path(
    get, path = "/v1/groups/{group}", tag = "groups", params(GroupPath),
    responses((status = 200, description = "the group", body = GroupDetail), Missing),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<GroupDetail>, Problem> {
    let id = GroupId::new(path.group);
    let (detail, members) = match app.broker.groups().describe(&id) {
        Err(GroupError::InconsistentProtocol) => {
            consumers(&app, &id, app.broker.groups().describe_consumers(&id)?)
        }
        described => classic(described?),
    };
    let offsets = offsets(&app, &id, &members)?;
    Ok(axum::Json(GroupDetail {
        members: members.into_iter().map(|(detail, _)| detail).collect(),
        total_lag: offsets.iter().filter_map(|at| at.lag).sum(),
        offsets,
        ..detail
    }))
}

/// Delete a group
///
/// With its committed offsets. It must have no members.
#[utoipa::path(
    delete, path = "/v1/groups/{group}", tag = "groups", params(GroupPath),
    responses((status = 204, description = "deleted with its offsets"), Missing, Conflict),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(path): Path<GroupPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<StatusCode, Problem> {
    for result in app.broker.groups().delete_groups(vec![GroupId::new(path.group)]).await {
        result?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a member from a group
///
/// Its partitions go to the others at once. It hears of it by its next request, and may join again.
#[utoipa::path(
    delete, path = "/v1/groups/{group}/members/{member}", tag = "groups", params(MemberPath),
    responses((status = 204, description = "it is no member any more"), Missing, Conflict),
)]
pub(super) async fn remove_member(
    State(app): State<App>,
    Path(path): Path<MemberPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<StatusCode, Problem> {
    let groups = app.broker.groups();
    let id = GroupId::new(path.group);
    groups.describe(&id)?;
    let leaving = Leaving { member_id: path.member.into(), instance_id: None };
    for result in groups.leave(&id, &[leaving])? {
        result.map_err(|error| match error {
            GroupError::UnknownMember { .. } => Problem::caused(Code::MemberNotFound, &error),
            error => error.into(),
        })?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn summary(app: &App, group: Listed) -> GroupSummary {
    let committed = committed(app, &group.id).unwrap_or_default();
    let lag = |(at, committed): (&(TopicName, Partition), &Committed)| lag(app, at, committed.offset);
    GroupSummary {
        total_lag: committed.iter().filter_map(lag).sum(),
        id: group.id.to_string(),
        kind: group.kind.name(),
        state: group.state,
        protocol_type: group.protocol_type.to_string(),
        members: group.members,
        deployment: group.deployment,
    }
}

type Members = Vec<(MemberDetail, Partitions)>;

/// A group of the classic protocol, without its offsets, and its members.
fn classic(described: Described) -> (GroupDetail, Members) {
    let Description { state, generation, protocol_type, protocol, members } = described.description;
    let detail = GroupDetail {
        id: described.id.to_string(),
        kind: GroupKind::Classic.name(),
        state: state.name(),
        protocol_type: protocol_type.to_string(),
        protocol: protocol.to_string(),
        generation,
        deployment: described.deployment,
        ..GroupDetail::default()
    };
    (detail, members.into_iter().map(member).collect())
}

/// A group of the consumer protocol, without its offsets, and its members.
fn consumers(app: &App, id: &GroupId, described: DescribedConsumers) -> (GroupDetail, Members) {
    let DescribedConsumers { state, assignor, group } = described;
    let detail = GroupDetail {
        id: id.to_string(),
        kind: GroupKind::Consumer.name(),
        state: state.name(),
        protocol_type: CONSUMER.to_owned(),
        protocol: assignor.name().to_owned(),
        generation: group.epoch,
        ..GroupDetail::default()
    };
    let member = |member: consumer::Member| {
        let topics = member.assigned.topics().filter_map(|(topic, partitions)| {
            let name = app.broker.readable_by_id(topic)?.name().as_str().into();
            Some((name, partitions.clone()))
        });
        let assigned: Partitions = topics.collect();
        let detail = MemberDetail {
            id: member.id.to_string(),
            instance_id: member.instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            assignment: by_topic(&assigned),
        };
        (detail, assigned)
    };
    (detail, group.members.into_iter().map(member).collect())
}

/// A member, and what it is assigned. Members that are no consumers may be assigned anything, which is not shown.
fn member(member: MemberDescription) -> (MemberDetail, Partitions) {
    let assigned = decode_assignment(&member.assignment).unwrap_or_default();
    let detail = MemberDetail {
        id: member.id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment: by_topic(&assigned),
    };
    (detail, assigned)
}

/// Partitions as they are shown.
fn by_topic(partitions: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(topic, list): (&std::sync::Arc<str>, &std::collections::BTreeSet<Partition>)| {
        TopicPartitions { topic: topic.to_string(), partitions: list.iter().copied().collect() }
    };
    partitions.iter().map(topic).collect()
}

/// What a group has committed.
fn committed(app: &App, group: &GroupId) -> Result<BTreeMap<(TopicName, Partition), Committed>, Problem> {
    let request = FetchOffsets { group: group.clone(), member: None, topics: None, require_stable: false };
    let mut all = BTreeMap::new();
    for topic in app.broker.groups().fetch_offsets(&request)? {
        let Ok(name) = TopicName::parse(&topic.topic) else { continue };
        for at in topic.partitions {
            if let (Ok(partition), Ok(Some(committed))) = (Partition::try_from(at.partition), at.committed) {
                all.insert((name.clone(), partition), committed);
            }
        }
    }
    Ok(all)
}

/// Records from an offset to the end; `None` when the partition is not there any more.
fn lag(app: &App, (topic, partition): &(TopicName, Partition), offset: i64) -> Option<u64> {
    let topic = app.broker.readable_named(topic.as_str())?;
    let log = topic.log(*partition)?;
    Some(log.tail().saturating_sub(u64::try_from(offset).unwrap_or(0).max(log.start())))
}

/// Every partition that has a committed offset or is assigned.
fn offsets(
    app: &App,
    group: &GroupId,
    members: &[(MemberDetail, Partitions)],
) -> Result<Vec<OffsetDetail>, Problem> {
    let mut all: BTreeMap<_, _> =
        committed(app, group)?.into_iter().map(|(at, committed)| (at, (Some(committed), None))).collect();
    for (detail, assigned) in members {
        for (topic, list) in assigned {
            let Ok(topic) = TopicName::parse(topic) else { continue };
            for partition in list {
                all.entry((topic.clone(), *partition)).or_default().1 = Some(detail.id.clone());
            }
        }
    }
    let show = |(at, (committed, member)): ((TopicName, Partition), (Option<Committed>, Option<String>))| {
        let topic = app.broker.readable_named(at.0.as_str());
        let log = topic.as_ref().and_then(|topic| topic.log(at.1));
        OffsetDetail {
            lag: committed.as_ref().and_then(|committed| lag(app, &at, committed.offset)),
            committed: committed.as_ref().map(|committed| committed.offset),
            committed_at: committed.as_ref().map(|committed| rfc3339(committed.committed_ms)),
            metadata: committed.map(|committed| committed.metadata.to_string()).unwrap_or_default(),
            log_start_offset: log.map(|log| log.start()),
            high_watermark: log.map(|log| log.tail()),
            topic: at.0.to_string(),
            partition: at.1,
            member,
        }
    };
    Ok(all.into_iter().map(show).collect())
}
