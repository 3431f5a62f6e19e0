//! `ConsumerGroupHeartbeat` (68): the whole membership of the consumer protocol in one request (KIP-848).
//!
//! Versions: 0-1.
//!
//! Behaviour: as Kafka 4.2's. What changes something is answered when it is on disk. Regular expressions are those of the
//! `regex` crate, which follows RE2; topics of the server (`__…`) are subscribed to by name only. A group moves between the
//! protocols while it is empty: GROUP_ID_NOT_FOUND while members of the classic protocol are there
//! (`group.consumer.migration.policy=disabled`). A member that joins again under its id begins anew, also a static one.
//!
//! What each version added: 1 regular expressions, and ids of members made by clients (KIP-1082).

use std::sync::Arc;

use crate::groups::GroupId;
use crate::groups::machine::consumer::{Assignment, Assignor, Heartbeat, JOINS, LEAVES, LEAVES_FOR_A_WHILE};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::Refusal;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::consumer_group_heartbeat::{
    Assignment as WireAssignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    TopicPartitions,
};
use crate::model::TopicId;

/// From here on clients make their ids.
const OWN_IDS_FROM: i16 = 1;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Close> {
    let pace = door.broker().group_pace(&request.group_id);
    let heartbeat = match heartbeat(ctx, &request, pace.session_timeout_ms) {
        Ok(heartbeat) => heartbeat,
        Err(refusal) => return Ok(refused(refusal.code, refusal.message)),
    };
    let group = GroupId::new(request.group_id.as_str());
    let beat = match door.groups().consumer_heartbeat(&group, &heartbeat).await {
        Ok(beat) => beat,
        Err(error) => return Ok(refused(ErrorCode::from(&error), error.to_string())),
    };
    Ok(ConsumerGroupHeartbeatResponse {
        member_id: Some(Str::from(&*beat.member_id)),
        member_epoch: beat.epoch,
        heartbeat_interval_ms: if beat.epoch > 0 { pace.heartbeat_interval_ms } else { 0 },
        assignment: beat.assignment.as_ref().map(assignment),
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

fn refused(code: ErrorCode, message: String) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: Some(Str::from(message)),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// Reads a request in the words of groups.
fn heartbeat(
    ctx: &RequestContext,
    request: &ConsumerGroupHeartbeatRequest,
    session_timeout_ms: i64,
) -> Result<Heartbeat, Refusal> {
    check(ctx.version, request).map_err(|why| Refusal::new(ErrorCode::InvalidRequest, why))?;
    let text = |text: &Str| -> Arc<str> { text.as_str().into() };
    let owned = request.topic_partitions.as_deref().map(owned).transpose()?;
    Ok(Heartbeat {
        member_id: text(&request.member_id),
        epoch: request.member_epoch,
        instance_id: request.instance_id.as_ref().map(text),
        rack_id: request.rack_id.as_ref().map(text),
        client_id: ctx.client_id.as_ref().map_or_else(|| Arc::from(""), text),
        client_host: ctx.client_host().into(),
        session_timeout_ms,
        rebalance_timeout_ms: Some(i64::from(request.rebalance_timeout_ms)).filter(|ms| *ms >= 0),
        topics: request.subscribed_topic_names.as_ref().map(|names| names.iter().map(text).collect()),
        pattern: request.subscribed_topic_regex.as_ref().map(text),
        assignor: request.server_assignor.as_ref().map(assignor).transpose()?,
        owned,
    })
}

/// What a request must say, as Kafka has it.
fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), &'static str> {
    let is_empty = |text: &Option<Str>| text.as_ref().is_some_and(|text| text.is_empty());
    let rules = [
        (request.group_id.is_empty(), "the group id is empty"),
        (is_empty(&request.instance_id), "the instance id is empty"),
        (is_empty(&request.rack_id), "the rack id is empty"),
        (
            request.member_id.is_empty() && (version >= OWN_IDS_FROM || request.member_epoch != JOINS),
            "the member id is empty",
        ),
    ];
    let joining = [
        (request.rebalance_timeout_ms == -1, "who joins says its rebalance timeout"),
        (request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()), "who joins owns nothing"),
        (
            request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none(),
            "who joins subscribes to topics by name or by a regular expression",
        ),
    ];
    let broken =
        |rules: &[(bool, &'static str)]| rules.iter().find(|(is, _)| *is).map_or(Ok(()), |r| Err(r.1));
    broken(&rules)?;
    match request.member_epoch {
        JOINS => broken(&joining),
        LEAVES_FOR_A_WHILE if request.instance_id.is_none() => Err("only a static member leaves for a while"),
        epoch if epoch > 0 || [LEAVES, LEAVES_FOR_A_WHILE].contains(&epoch) => Ok(()),
        _ => Err("the member epoch is not allowed"),
    }
}

fn assignor(name: &Str) -> Result<Assignor, Refusal> {
    Assignor::find(name).ok_or_else(|| {
        let known = Assignor::ALL.map(Assignor::name).join(" and ");
        let why = format!("assignor `{}` is not there; {known} are", name.as_str());
        Refusal::new(ErrorCode::UnsupportedAssignor, why)
    })
}

fn owned(topics: &[TopicPartitions]) -> Result<Assignment, Refusal> {
    let all = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (TopicId(t.topic_id), *p)));
    let index = |(topic, partition): (TopicId, i32)| {
        let negative =
            |_| Refusal::new(ErrorCode::InvalidRequest, format!("partition {partition} is not there"));
        Ok((topic, u32::try_from(partition).map_err(negative)?))
    };
    all.map(index).collect()
}

fn assignment(assignment: &Assignment) -> WireAssignment {
    let topic = |(id, partitions): (TopicId, &std::collections::BTreeSet<u32>)| TopicPartitions {
        topic_id: id.0,
        partitions: partitions.iter().map(|p| p.cast_signed()).collect(),
    };
    WireAssignment { topic_partitions: assignment.topics().map(topic).collect() }
}
