//! `DescribeProducers` (61): the producers that a partition remembers (KIP-664).
//!
//! Versions: 0.
//!
//! Behaviour: the coordinator's epoch is 0 for ever.

use std::collections::HashSet;

use crate::broker::transactions::ProducerDetail;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicRequest,
    TopicResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: DescribeProducersRequest,
) -> Result<DescribeProducersResponse, Close> {
    // Each partition once, so that a small request has no large answer.
    let mut seen = HashSet::new();
    let topic = |topic: TopicRequest| {
        let asked = topic.partition_indexes.iter().filter(|p| seen.insert((topic.name.clone(), **p)));
        let partitions = asked.map(|p| described(door, &topic.name, *p)).collect();
        TopicResponse { name: topic.name, partitions }
    };
    Ok(DescribeProducersResponse {
        topics: request.topics.into_iter().map(topic).collect(),
        ..DescribeProducersResponse::default()
    })
}

fn described(door: &Door, topic: &str, partition_index: i32) -> PartitionResponse {
    let mut response = PartitionResponse { partition_index, ..PartitionResponse::default() };
    let refused = |mut response: PartitionResponse, message: String| {
        response.error_code = ErrorCode::UnknownTopicOrPartition.code();
        response.error_message = Some(Str::from(message));
        response
    };
    let Some(found) = door.broker().topic_named(topic) else {
        return refused(response, format!("topic `{topic}` does not exist"));
    };
    match door.broker().producers(&found, u32::try_from(partition_index).unwrap_or(u32::MAX)) {
        Ok(producers) => response.active_producers = producers.into_iter().map(state).collect(),
        Err(error) => return refused(response, error.to_string()),
    }
    response
}

fn state(detail: ProducerDetail) -> ProducerState {
    ProducerState {
        producer_id: detail.producer.id,
        producer_epoch: i32::from(detail.producer.epoch),
        last_sequence: detail.last_sequence,
        last_timestamp: detail.updated_ms,
        coordinator_epoch: 0,
        current_txn_start_offset: detail.open_since.and_then(|o| i64::try_from(o).ok()).unwrap_or(-1),
    }
}
