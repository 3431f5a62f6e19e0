//! `DeleteRecords` (21): moves the beginning of a log.
//!
//! Versions: 0-2.
//!
//! Behaviour: the records before the offset go, −1 means all of them; the answer is where the log starts then. Partitions
//! do not wait for each other's success. Deviations: the timeout is ignored, a deletion is made to its end. Records of
//! open transactions, and what comes after them, stay: the log then starts before the offset that was asked for. The
//! server's own topics are INVALID_TOPIC_EXCEPTION, and topics that are only compacted POLICY_VIOLATION, as in Kafka.
//!
//! What each version added: 1 nothing in the fields; 2 is flexible.

use crate::broker::{OffsetSpec, TopicHandle};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use crate::model::Offset;

/// There is no offset to tell.
const UNKNOWN: i64 = -1;
/// Everything that is there.
const ALL: i64 = -1;

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, Close> {
    let mut response = DeleteRecordsResponse::default();
    for asked in request.topics {
        let topic = door.broker().topic_named(&asked.name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in &asked.partitions {
            let deleted = match &topic {
                Some(topic) => delete(door, topic, partition).await,
                None if door.broker().is_view(&asked.name) => Err(ErrorCode::InvalidTopic),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            };
            let low_watermark = deleted.map_or(UNKNOWN, |start| i64::try_from(start).unwrap_or(i64::MAX));
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code: deleted.err().unwrap_or(ErrorCode::None).code(),
            });
        }
        response.topics.push(DeleteRecordsTopicResult { name: asked.name, partitions });
    }
    Ok(response)
}

/// Where the log starts now.
async fn delete(
    door: &Door,
    topic: &TopicHandle,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let partition = u32::try_from(asked.partition_index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let before = match Offset::try_from(asked.offset) {
        Ok(offset) => OffsetSpec::Offset(offset),
        Err(_) if asked.offset == ALL => OffsetSpec::Latest,
        Err(_) => return Err(ErrorCode::OffsetOutOfRange),
    };
    let broker = door.broker();
    let plan = broker.plan_truncation(topic, partition, before).await.map_err(|e| ErrorCode::from(&e))?;
    let truncation = broker.truncate(topic, plan).await.map_err(|error| {
        tracing::warn!(error = crate::telemetry::chain(&error), "records could not be deleted");
        ErrorCode::from(&error)
    })?;
    Ok(truncation.before)
}
