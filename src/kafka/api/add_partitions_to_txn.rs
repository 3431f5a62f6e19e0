//! `AddPartitionsToTxn` (24): partitions that a transaction will write to.
//!
//! Versions: 0-3; later ones are for brokers, which ask about many transactions at once.
//!
//! Behaviour: all or none. A partition that does not exist is told so, one of an internal topic or a view INVALID_TOPIC, the
//! others OPERATION_NOT_ATTEMPTED.
//!
//! What each version added: 2 PRODUCER_FENCED, before which it was INVALID_PRODUCER_EPOCH; 3 is flexible.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};
use crate::model::transaction::Producer;
use crate::model::{Partition, TopicId};

const FENCED_FROM: i16 = 2;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: AddPartitionsToTxnRequest,
) -> Result<AddPartitionsToTxnResponse, Close> {
    let topics = request.v3_and_below_topics;
    let found = |topic: &AddPartitionsToTxnTopic, partition: i32| find(door, &topic.name, partition);
    let wanted = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| found(topic, *p)));
    let outcome = match wanted.collect::<Option<Vec<_>>>() {
        Some(partitions) => {
            let producer =
                Producer { id: request.v3_and_below_producer_id, epoch: request.v3_and_below_producer_epoch };
            let id = &request.v3_and_below_transactional_id;
            let added = door.broker().add_partitions(id, producer, partitions).await;
            added.map_err(|error| ErrorCode::from(&error).fenced_since(FENCED_FROM, ctx.version))
        }
        None => Err(ErrorCode::OperationNotAttempted),
    };
    let code = |topic: &AddPartitionsToTxnTopic, partition: i32| match outcome {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::OperationNotAttempted)
            if door.broker().is_view(&topic.name) || is_internal(door, &topic.name) =>
        {
            ErrorCode::InvalidTopic
        }
        Err(ErrorCode::OperationNotAttempted) if find(door, &topic.name, partition).is_none() => {
            ErrorCode::UnknownTopicOrPartition
        }
        Err(code) => code,
    };
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|&partition_index| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code(topic, partition_index).code(),
            })
            .collect(),
    };
    Ok(AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: topics.iter().map(result).collect(),
        ..AddPartitionsToTxnResponse::default()
    })
}

/// Only the server writes to it, and a transaction ends with a marker.
fn is_internal(door: &Door, topic: &str) -> bool {
    door.broker().topic_named(topic).is_some_and(|topic| topic.name().is_internal())
}

fn find(door: &Door, topic: &str, partition: i32) -> Option<(TopicId, Partition)> {
    let topic = door.broker().topic_named(topic).filter(|topic| !topic.name().is_internal())?;
    let partition = Partition::try_from(partition).ok()?;
    topic.log(partition).map(|_| (topic.id(), partition))
}
