//! `OffsetDelete` (47): offsets of single partitions of a group (KIP-496).
//!
//! Versions: 0.
//!
//! Behaviour: as Kafka's. Topics that members subscribe to are GROUP_SUBSCRIBED_TO_TOPIC, partitions that do not exist are
//! UNKNOWN_TOPIC_OR_PARTITION; what has no offset is deleted already.

use crate::groups::{GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::model::{Partition, TopicName};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, Close> {
    if request.group_id.is_empty() {
        return Ok(refused(&GroupError::EmptyId));
    }
    let mut asked = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = find(door, &topic.name, partition.partition_index);
            let error_code = match found {
                Some(_) => ErrorCode::None,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            asked.extend(found);
            let partition_index = partition.partition_index;
            partitions.push(OffsetDeleteResponsePartition { partition_index, error_code: error_code.code() });
        }
        topics.push(OffsetDeleteResponseTopic { name: topic.name, partitions });
    }
    let results = match door.groups().delete_offsets(GroupId::new(request.group_id.as_str()), asked).await {
        Ok(results) => results,
        Err(error) => return Ok(refused(&error)),
    };
    let places = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (place, result) in places.filter(|p| p.error_code == ErrorCode::None.code()).zip(results) {
        if let Err(error) = result {
            place.error_code = ErrorCode::from(&error).code();
        }
    }
    Ok(OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() })
}

fn refused(error: &GroupError) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code: ErrorCode::from(error).code(), ..OffsetDeleteResponse::default() }
}

fn find(door: &Door, name: &str, index: i32) -> Option<(TopicName, Partition)> {
    let topic = door.broker().readable(name).ok()?;
    let index = u32::try_from(index).ok().filter(|index| topic.log(*index).is_some())?;
    Some((topic.name().clone(), index))
}
