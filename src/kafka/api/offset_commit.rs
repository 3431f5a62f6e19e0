//! `OffsetCommit` (8): a group keeps how far it has read.
//!
//! Versions: 2-10.
//!
//! Behaviour: answered when the offsets are on disk. Partitions that do not exist are UNKNOWN_TOPIC_OR_PARTITION each. A
//! commit with generation -1 and no member is from outside, and accepted while the group has no members; it makes the group
//! if it is not there. The metadata come back as sent; null becomes empty, as in Kafka.
//!
//! What each version added: 3 the throttle time; 5 dropped the retention time (KIP-211); 6 leader epochs (KIP-320);
//! 7 static members (KIP-345); 8 is flexible; 9 member epochs, and GROUP_ID_NOT_FOUND where ILLEGAL_GENERATION was said
//! before (KIP-848); 10 topics by id.

use std::sync::Arc;

use uuid::Uuid;

use crate::broker::TopicHandle;
use crate::groups::machine::OffsetCommitter;
use crate::groups::{CommitOffsets, GroupError, GroupId, NewOffset};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use crate::model::{TopicId, TopicName};

/// From here on a group that is not there, and a member's old epoch, are said to be.
const NOT_FOUND_FROM: i16 = 9;
/// From here on topics are named by their ids.
const IDS_FROM: i16 = 10;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: OffsetCommitRequest,
) -> Result<OffsetCommitResponse, Close> {
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = find_topic(door, ctx.version, &topic.name, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let error_code = match new_offset(found.as_ref(), &partition) {
                Ok(offset) => {
                    offsets.push(offset);
                    ErrorCode::None
                }
                Err(code) => code,
            };
            partitions.push(OffsetCommitResponsePartition { partition_index, error_code: error_code.code() });
        }
        topics.push(OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions });
    }
    if !offsets.is_empty() {
        let who = OffsetCommitter {
            member_id: request.member_id.as_str().into(),
            instance_id: request.group_instance_id.map(|id| id.as_str().into()),
            generation: request.generation_id_or_member_epoch,
        };
        let group = GroupId::new(request.group_id.as_str());
        let kept_ms = Some(request.retention_time_ms).filter(|ms| *ms >= 0);
        let count = offsets.len();
        let results = door.groups().commit_offsets(CommitOffsets { group, who, kept_ms, offsets }).await;
        note(&mut topics, &results.unwrap_or_else(|error| vec![Err(error); count]), ctx.version);
    }
    Ok(OffsetCommitResponse { topics, ..OffsetCommitResponse::default() })
}

/// The topic, if it is there.
fn find_topic(door: &Door, version: i16, name: &Str, id: Uuid) -> Result<Arc<TopicHandle>, ErrorCode> {
    if version >= IDS_FROM {
        return door.broker().readable_by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId);
    }
    door.broker().readable(name).map_err(|_| ErrorCode::UnknownTopicOrPartition)
}

fn new_offset(
    topic: Result<&Arc<TopicHandle>, &ErrorCode>,
    partition: &OffsetCommitRequestPartition,
) -> Result<NewOffset, ErrorCode> {
    let topic = topic.map_err(|code| *code)?;
    let index = u32::try_from(partition.partition_index).ok().filter(|index| topic.log(*index).is_some());
    let name: &TopicName = topic.name();
    Ok(NewOffset {
        topic: name.clone(),
        topic_id: topic.id(),
        partition: index.ok_or(ErrorCode::UnknownTopicOrPartition)?,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_ref().map_or("", Str::as_str).into(),
    })
}

/// Puts the groups' results into the places of the partitions that were handed to them, in their order.
fn note(topics: &mut [OffsetCommitResponseTopic], results: &[Result<(), GroupError>], version: i16) {
    let places = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (place, result) in places.filter(|p| p.error_code == ErrorCode::None.code()).zip(results) {
        if let Err(error) = result {
            place.error_code = match error {
                GroupError::NotFound { .. } | GroupError::StaleEpoch { .. } if version < NOT_FOUND_FROM => {
                    ErrorCode::IllegalGeneration.code()
                }
                error => ErrorCode::from(error).code(),
            };
        }
    }
}
