//! `Metadata` (3): brokers, topics, partitions and who leads them.
//!
//! Versions: 0-13.
//!
//! Behaviour: there is one broker, which is the controller and leads everything with epoch 0, for ever; a recorded
//! replication factor above 1 does not show here. The address is the one through which the client came, or
//! `kafka.advertised`. A topic that is asked for by name is created when both the request and `kafka.auto_create_topics`
//! allow it, and is there in the answer (Kafka answers LEADER_NOT_AVAILABLE first). All operations are authorised: there
//! are no users.
//!
//! What each version added: 1 null for all topics, controller, racks, internal topics; 2 the cluster id; 4 the choice
//! about creation; 5 offline replicas; 7 leader epochs; 8-10 authorised operations of the cluster, 8 of topics; 9 is
//! flexible; 10 topic ids, 12 asking by them; 13 an error for the whole.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::broker::{NewTopic, TopicError, TopicHandle};
use crate::kafka::connection::Close;
use crate::kafka::dispatch::Reply;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use crate::model::topic::TopicConfig;
use crate::model::{TopicId, TopicName};

/// What a client may do with a topic: read, write, create, delete, alter, describe, describe and alter configs.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// With the cluster: create, alter, describe, act for it, describe and alter configs, write idempotently.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
/// Nobody asked.
const NOT_ASKED: i32 = i32::MIN;
/// From here on topics may be asked for by id.
const IDS_FROM: i16 = 12;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: MetadataRequest,
) -> Result<Reply<MetadataResponse>, Close> {
    let operations = if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { NOT_ASKED };
    let endpoint = door.endpoint(ctx);
    let mut response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: NODE_ID,
            host: endpoint.host,
            port: endpoint.port,
            rack: None,
        }],
        cluster_id: Some(door.cluster_id().clone()),
        controller_id: NODE_ID,
        cluster_authorized_operations: cluster_operations(request.include_cluster_authorized_operations),
        ..MetadataResponse::default()
    };
    let asked = match request.topics {
        None => None,
        Some(topics) if topics.is_empty() && ctx.version == 0 => None,
        Some(topics) => Some(topics),
    };
    let Some(asked) = asked else {
        let topics = door.broker().readables();
        let share = door.room(topics.iter().map(|t| size(t)).sum()).await?;
        response.topics = topics.iter().map(|t| described(t, operations)).collect();
        return Ok(Reply { response: Some(response), share });
    };

    let by_id_only = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil() || topic.name.is_none();
    if ctx.version < IDS_FROM && asked.iter().any(by_id_only) {
        // Kafka refuses the whole request.
        response.topics = asked.iter().map(|topic| refused(topic, ErrorCode::InvalidRequest)).collect();
        return Ok(Reply::of(response));
    }
    // Before version 4 there was no choice.
    let creates = door.options().auto_create_topics && (ctx.version < 4 || request.allow_auto_topic_creation);
    // Described once however often it is named, so that a small request has no large answer.
    let mut seen = HashSet::with_capacity(asked.len());
    let mut found = Vec::with_capacity(asked.len());
    for topic in asked.iter().filter(|t| seen.insert((t.name.as_ref(), t.topic_id))) {
        found.push(match &topic.name {
            Some(name) => (topic, named(door, name, creates).await),
            None => (topic, by_id(door, topic.topic_id)),
        });
    }
    let share = door.room(found.iter().filter_map(|(_, t)| t.as_ref().ok()).map(|t| size(t)).sum()).await?;
    let answered = |(topic, found): (&MetadataRequestTopic, Result<Arc<TopicHandle>, ErrorCode>)| match found
    {
        Ok(found) => described(&found, operations),
        Err(code) => refused(topic, code),
    };
    response.topics = found.into_iter().map(answered).collect();
    Ok(Reply { response: Some(response), share })
}

fn size(topic: &TopicHandle) -> usize {
    size_of(topic.name().as_str().len(), topic.topic.partitions)
}

/// The most that a topic takes in an answer, in any version.
fn size_of(name: usize, partitions: u32) -> usize {
    name + 64 + 36 * partitions as usize
}

/// What is told of them to those who ask.
pub(super) fn cluster_operations(is_asked: bool) -> i32 {
    if is_asked { CLUSTER_OPERATIONS } else { NOT_ASKED }
}

async fn named(door: &Door, name: &str, creates: bool) -> Result<Arc<TopicHandle>, ErrorCode> {
    if let Some(topic) = door.broker().readable_named(name) {
        return Ok(topic);
    }
    let name = TopicName::parse(name).map_err(|_| ErrorCode::InvalidTopic)?;
    if !creates {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let new = NewTopic::new(name, door.options().num_partitions, TopicConfig::default());
    match door.broker().create_topic(new).await {
        Ok(topic) => Ok(topic),
        // By another client, just now.
        Err(TopicError::Exists { name, .. }) => {
            door.broker().readable_named(name.as_str()).ok_or(ErrorCode::LeaderNotAvailable)
        }
        Err(error) => {
            tracing::debug!(
                error = crate::telemetry::chain(&error),
                "a topic could not be created for a Kafka client"
            );
            Err(ErrorCode::from(&error))
        }
    }
}

fn by_id(door: &Door, id: Uuid) -> Result<Arc<TopicHandle>, ErrorCode> {
    door.broker().readable_by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId)
}

fn refused(asked: &MetadataRequestTopic, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.code(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        ..MetadataResponseTopic::default()
    }
}

fn described(topic: &TopicHandle, operations: i32) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(Str::from(topic.name().as_str())),
        topic_id: topic.id().0,
        is_internal: topic.name().is_internal(),
        partitions: led(topic.topic.partitions),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

/// So many partitions.
fn led(partitions: u32) -> Vec<MetadataResponsePartition> {
    let partition = |partition_index: i32| MetadataResponsePartition {
        partition_index,
        leader_id: NODE_ID,
        leader_epoch: 0,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        ..MetadataResponsePartition::default()
    };
    (0..).take(partitions as usize).map(partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::encode_response;

    #[test]
    fn the_room_that_is_taken_is_what_an_answer_needs_and_little_more() {
        for (length, partitions) in [(1, 0), (1, 1), (249, 1), (20, 1000)] {
            let topic = || MetadataResponseTopic {
                name: Some(Str::from("x".repeat(length))),
                partitions: led(partitions),
                ..MetadataResponseTopic::default()
            };
            let encoded = |version, topics| {
                let response = MetadataResponse { topics, ..MetadataResponse::default() };
                encode_response(1, version, &response).unwrap().len()
            };
            for version in 0..=13 {
                let own = encoded(version, vec![topic()]) - encoded(version, vec![]);
                let room = size_of(length, partitions);
                assert!((own..=2 * own + 64).contains(&room), "version {version}: {room} for {own}");
            }
        }
    }
}
