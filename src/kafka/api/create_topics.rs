//! `CreateTopics` (19).
//!
//! Versions: 2-7.
//!
//! Behaviour: topics are created one after the other, each with its own result, in the order of the request. Deviations:
//! the timeout is ignored, since a creation is made to its end and no other node has to hear of it. One node has one
//! replica: a replication factor above 1 is refused, unless `kafka.accept_replication_factor` has it recorded. Names that
//! begin with `__` are the server's.
//!
//! What each version added: 4 −1 as the default number of partitions and replicas; 5 settings, partitions and replicas in
//! the response, and is flexible; 6 quota errors, which there are none of; 7 the topic's id in the response.
//!
//! Facts: `ReplicationControlManager.createTopics`, `ControllerApis.createTopics`, KIP-195, KIP-464, KIP-525.

use std::collections::HashSet;

use crate::broker::{NewTopic, TopicError};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::{Refusal, duplicates};
use crate::kafka::replicas::assigned_replicas;
use crate::kafka::setting::{Layers, Setting};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse,
};
use crate::model::TopicName;
use crate::model::topic::TopicConfig;

/// The version from which the response describes the new topic.
const DESCRIBED_FROM: i16 = 5;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, Close> {
    let twice = duplicates(request.topics.iter().map(|t| t.name.as_str()));
    let layers = (ctx.version >= DESCRIBED_FROM).then(|| Layers::of(door));
    let mut answered = HashSet::new();
    let mut response = CreateTopicsResponse::default();
    for topic in &request.topics {
        if !answered.insert(topic.name.as_str()) {
            continue;
        }
        let created = if twice.contains(topic.name.as_str()) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once"))
        } else {
            create(door, topic, request.validate_only).await
        };
        response.topics.push(result(topic.name.clone(), created, layers.as_ref()));
    }
    Ok(response)
}

/// What was made, or would be.
struct Created {
    /// nil if nothing was made
    id: uuid::Uuid,
    partitions: u32,
    replicas: u16,
    config: TopicConfig,
}

async fn create(door: &Door, topic: &CreatableTopic, is_check: bool) -> Result<Created, Refusal> {
    let new = new_topic(door, topic)?;
    let (partitions, replicas) = (new.partitions, new.replication_factor);
    let (id, config) = if is_check {
        door.broker().check_new_topic(&new)?;
        (uuid::Uuid::nil(), new.config)
    } else {
        let handle = door.broker().create_topic(new).await?;
        (handle.id().0, handle.topic.config.clone())
    };
    Ok(Created { id, partitions, replicas, config })
}

/// The topic that is asked for, checked as far as that is possible without the catalog's lock.
fn new_topic(door: &Door, topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    let name = TopicName::parse(&topic.name).map_err(TopicError::from)?;
    if door.broker().topic_named(name.as_str()).is_some() {
        return Err(TopicError::Exists { name, difference: None }.into());
    }
    if let Some(other) = collision(door, &name) {
        let why =
            format!("topic `{name}` collides with topic `{other}`: `.` and `_` are the same in metrics");
        return Err(Refusal::new(ErrorCode::InvalidTopic, why));
    }
    let config = config(topic)?;
    let (partitions, replication_factor) = if topic.assignments.is_empty() {
        let replication_factor = replication_factor(door, topic.replication_factor)?;
        (partitions(door, topic.num_partitions)?, replication_factor)
    } else {
        assigned(door, topic)?
    };
    Ok(NewTopic { name, partitions, replication_factor, config })
}

/// Another topic whose name differs only in `.` and `_`.
fn collision(door: &Door, name: &TopicName) -> Option<TopicName> {
    let unified = |name: &str| name.replace('.', "_");
    let has_either = |name: &str| name.contains(['.', '_']);
    if !has_either(name.as_str()) {
        return None;
    }
    let wanted = unified(name.as_str());
    let mut others = door.broker().topics().into_iter();
    let found = others.find(|t| has_either(t.name().as_str()) && unified(t.name().as_str()) == wanted)?;
    Some(found.name().clone())
}

fn config(topic: &CreatableTopic) -> Result<TopicConfig, Refusal> {
    let mut config = TopicConfig::default();
    for entry in &topic.configs {
        let Some(value) = &entry.value else {
            let why = format!("config `{}` is null, expected a value", entry.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, why));
        };
        config.set(&entry.name, value).map_err(TopicError::from)?;
    }
    config.check().map_err(TopicError::from)?;
    Ok(config)
}

fn partitions(door: &Door, asked: i32) -> Result<u32, Refusal> {
    match u32::try_from(asked) {
        Ok(0) => {}
        Ok(asked) => return Ok(asked),
        Err(_) if asked == -1 => return Ok(door.options().num_partitions),
        Err(_) => {}
    }
    let why = format!("{asked} partitions asked for, expected 1 or more, or -1 for the default");
    Err(Refusal::new(ErrorCode::InvalidPartitions, why))
}

fn replication_factor(door: &Door, asked: i16) -> Result<u16, Refusal> {
    let asked = if asked == -1 { 1 } else { asked };
    let why = match u16::try_from(asked) {
        Ok(0) | Err(_) => {
            format!("replication factor {asked} asked for, expected 1 or more, or -1 for the default")
        }
        Ok(1) => return Ok(1),
        Ok(asked) if door.options().accept_replication_factor => return Ok(asked),
        Ok(asked) => format!(
            "replication factor {asked} asked for, but there is one node, which holds one copy; the setting \
             `kafka.accept_replication_factor` has the server record larger ones, and changes nothing else"
        ),
    };
    Err(Refusal::new(ErrorCode::InvalidReplicationFactor, why))
}

/// Partitions and replicas of a manual assignment.
fn assigned(door: &Door, topic: &CreatableTopic) -> Result<(u32, u16), Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let why = "with assignments, partitions and replication factor have to be -1";
        return Err(Refusal::new(ErrorCode::InvalidRequest, why));
    }
    let wrong = |why: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, why);
    let count = topic.assignments.len();
    let mut seen = vec![false; count];
    for CreatableReplicaAssignment { partition_index: index, .. } in &topic.assignments {
        let place = usize::try_from(*index).ok().and_then(|index| seen.get_mut(index));
        match place {
            Some(is_seen) if !*is_seen => *is_seen = true,
            Some(_) => return Err(wrong(format!("partition {index} is assigned twice"))),
            None => return Err(wrong(format!("partition {index} is assigned, expected 0 to {}", count - 1))),
        }
    }
    let lists = topic.assignments.iter().map(|a| a.broker_ids.as_slice());
    let replicas = assigned_replicas(door, lists)?;
    Ok((u32::try_from(count).unwrap_or(u32::MAX), replicas))
}

/// Settings stand in the response where there are layers to describe them by.
fn result(name: Str, created: Result<Created, Refusal>, layers: Option<&Layers>) -> CreatableTopicResult {
    let created = match created {
        Ok(created) => created,
        Err(refusal) => {
            let (error_code, error_message) = refusal.into_parts();
            return CreatableTopicResult { name, error_code, error_message, ..Default::default() };
        }
    };
    let describe = |s: Setting| CreatableTopicConfigs {
        name: s.name.into(),
        value: s.value.map(Str::from),
        read_only: s.is_read_only,
        config_source: s.source as i8,
        is_sensitive: false,
    };
    let configs = layers.map(|layers| layers.of_topic(&created.config).map(describe).collect());
    CreatableTopicResult {
        name,
        topic_id: created.id,
        num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(created.replicas).unwrap_or(i16::MAX),
        configs,
        ..Default::default()
    }
}
