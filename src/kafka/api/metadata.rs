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
) -> Result<MetadataResponse, Close> {
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
        response.topics = door.broker().topics().iter().map(|t| described(t, operations)).collect();
        return Ok(response);
    };

    let by_id_only = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil() || topic.name.is_none();
    if ctx.version < IDS_FROM && asked.iter().any(by_id_only) {
        // Kafka refuses the whole request.
        response.topics = asked.iter().map(|topic| refused(topic, ErrorCode::InvalidRequest)).collect();
        return Ok(response);
    }
    // Before version 4 there was no choice.
    let creates = door.options().auto_create_topics && (ctx.version < 4 || request.allow_auto_topic_creation);
    // Described once however often it is named, so that a small request has no large answer.
    let mut seen = HashSet::with_capacity(asked.len());
    for topic in asked.iter().filter(|t| seen.insert((t.name.as_ref(), t.topic_id))) {
        let found = match &topic.name {
            Some(name) => named(door, name, creates).await,
            None => by_id(door, topic.topic_id),
        };
        response.topics.push(found.map_or_else(|code| refused(topic, code), |t| described(&t, operations)));
    }
    Ok(response)
}

/// What is told of them to those who ask.
pub(super) fn cluster_operations(is_asked: bool) -> i32 {
    if is_asked { CLUSTER_OPERATIONS } else { NOT_ASKED }
}

async fn named(door: &Door, name: &str, creates: bool) -> Result<Arc<TopicHandle>, ErrorCode> {
    if let Some(topic) = door.broker().topic_named(name) {
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
            door.broker().topic_named(name.as_str()).ok_or(ErrorCode::LeaderNotAvailable)
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
    door.broker().topic_by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId)
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
    let partition = |partition_index: i32| MetadataResponsePartition {
        partition_index,
        leader_id: NODE_ID,
        leader_epoch: 0,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        ..MetadataResponsePartition::default()
    };
    MetadataResponseTopic {
        name: Some(Str::from(topic.name().as_str())),
        topic_id: topic.id().0,
        is_internal: topic.name().is_internal(),
        partitions: (0..).take(topic.topic.partitions as usize).map(partition).collect(),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}
