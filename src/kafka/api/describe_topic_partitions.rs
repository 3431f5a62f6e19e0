//! `DescribeTopicPartitions` (75): topics page by page.
//!
//! Versions: 0.
//!
//! Behaviour: topics in name order, from the cursor on, as many partitions as the request allows, at most 2,000; when
//! more are left the answer says where to go on. A cursor that is not among the topics asked for, or has a negative
//! partition, is INVALID_REQUEST for each of them. One node leads everything: one replica, in sync.
//!
//! What each version added: 0 is the first (KIP-966).

use std::collections::BTreeSet;

use crate::broker::TopicHandle;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::model::TopicName;

use super::metadata::TOPIC_OPERATIONS;

/// Partitions of one answer: `max.request.partition.size.limit`, Kafka's default.
const PARTITIONS_MAX: usize = 2_000;

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, Close> {
    let names: BTreeSet<Str> = if request.topics.is_empty() {
        door.broker().readables().iter().map(|t| Str::from(t.name().as_str())).collect()
    } else {
        request.topics.iter().map(|t| t.name.clone()).collect()
    };
    let is_lost =
        |c: &Cursor| c.partition_index < 0 || (!request.topics.is_empty() && !names.contains(&c.topic_name));
    if request.cursor.as_ref().is_some_and(is_lost) {
        let topics = names.into_iter().map(|name| refused(name, ErrorCode::InvalidRequest)).collect();
        return Ok(DescribeTopicPartitionsResponse { topics, ..Default::default() });
    }
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PARTITIONS_MAX);
    Ok(page(door, names, request.cursor.as_ref(), limit))
}

fn page(
    door: &Door,
    names: BTreeSet<Str>,
    cursor: Option<&Cursor>,
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut left = limit;
    let from = cursor.as_ref().map_or("", |c| c.topic_name.as_str());
    for name in names.into_iter().filter(|name| name.as_str() >= from) {
        let Some(topic) = door.broker().readable_named(&name) else {
            let code = match TopicName::parse(&name) {
                Ok(_) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopic,
            };
            response.topics.push(refused(name, code));
            continue;
        };
        let next = cursor.as_ref().filter(|c| c.topic_name == name).map_or(0, |c| c.partition_index);
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: next });
            break;
        }
        let count = i32::try_from(topic.topic.partitions).unwrap_or(i32::MAX);
        let end = count.min(next.saturating_add(i32::try_from(left).unwrap_or(i32::MAX)));
        response.topics.push(described(&topic, next..end));
        left -= usize::try_from(end - next).unwrap_or(0);
        if end < count {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: end });
            break;
        }
    }
    response
}

fn refused(name: Str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn described(topic: &TopicHandle, partitions: std::ops::Range<i32>) -> DescribeTopicPartitionsResponseTopic {
    let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
        partition_index,
        leader_id: NODE_ID,
        leader_epoch: 0,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..DescribeTopicPartitionsResponsePartition::default()
    };
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name().as_str().into()),
        topic_id: topic.id().0,
        is_internal: topic.name().is_internal(),
        partitions: partitions.map(partition).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}
