//! `OffsetFetch` (9): how far a group has read.
//!
//! Versions: 1-10.
//!
//! Behaviour: answered from memory. What is not committed is offset -1 without an error, also for topics and groups that do
//! not exist. With `require_stable`, partitions that a transaction is about to change are UNSTABLE_OFFSET_COMMIT.
//!
//! What each version added: 2 null for all topics, and an error of the group; 3 the throttle time; 5 leader epochs
//! (KIP-320); 6 is flexible; 7 `require_stable` (KIP-447); 8 many groups (KIP-709); 9 a member and its epoch (KIP-848);
//! 10 topics by id.

use std::sync::Arc;

use uuid::Uuid;

use crate::groups::{FetchOffsets, FetchedOffset, FetchedTopic, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::model::TopicId;

/// From here on many groups are asked for at once.
const MANY_FROM: i16 = 8;
/// From here on topics are named by their ids.
const IDS_FROM: i16 = 10;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Close> {
    let require_stable = request.require_stable;
    if ctx.version >= MANY_FROM {
        let groups = request.groups.into_iter();
        let groups = groups.map(|group| fetch(door, ctx.version, group, require_stable)).collect();
        return Ok(OffsetFetchResponse { groups, ..OffsetFetchResponse::default() });
    }
    let topics = request.topics.map(|topics| {
        let topic = |t: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
            name: t.name,
            partition_indexes: t.partition_indexes,
            ..Default::default()
        };
        topics.into_iter().map(topic).collect()
    });
    let group = OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() };
    let fetched = fetch(door, ctx.version, group, require_stable);
    Ok(OffsetFetchResponse {
        topics: fetched.topics.into_iter().map(old_topic).collect(),
        error_code: fetched.error_code,
        ..OffsetFetchResponse::default()
    })
}

fn fetch(
    door: &Door,
    version: i16,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = version >= IDS_FROM;
    let mut unknown = Vec::new();
    let topics = group.topics.map(|topics| {
        let mut known = Vec::with_capacity(topics.len());
        for topic in topics {
            match name_of(door, by_id, &topic) {
                Some(name) => known.push((name, topic.partition_indexes)),
                None => unknown.push(unknown_topic(&topic)),
            }
        }
        known
    });
    let member = group.member_id.map(|id| (Arc::from(id.as_str()), group.member_epoch));
    let request =
        FetchOffsets { group: GroupId::new(group.group_id.as_str()), member, topics, require_stable };
    match door.groups().fetch_offsets(&request) {
        Ok(fetched) => {
            let known = fetched.into_iter().filter_map(|topic| answer(door, by_id, topic));
            OffsetFetchResponseGroup {
                group_id: group.group_id,
                topics: known.chain(unknown).collect(),
                error_code: ErrorCode::None.code(),
            }
        }
        Err(error) => OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: Vec::new(),
            error_code: ErrorCode::from(&error).code(),
        },
    }
}

/// The name under which offsets of the topic are kept; `None`: no topic has the id.
fn name_of(door: &Door, by_id: bool, topic: &OffsetFetchRequestTopics) -> Option<Arc<str>> {
    if !by_id {
        return Some(topic.name.as_str().into());
    }
    let found = door.broker().readable_by_id(TopicId(topic.topic_id))?;
    Some(found.name().as_str().into())
}

fn unknown_topic(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        error_code: ErrorCode::UnknownTopicId.code(),
        ..nothing()
    };
    OffsetFetchResponseTopics {
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

/// `None`: the topic has gone since its offsets were committed, and the client asks by ids.
fn answer(door: &Door, by_id: bool, topic: FetchedTopic) -> Option<OffsetFetchResponseTopics> {
    let topic_id = if by_id { door.broker().readable(&topic.topic).ok()?.id().0 } else { Uuid::nil() };
    let partitions = topic.partitions.into_iter().map(partition).collect();
    Some(OffsetFetchResponseTopics { name: Str::from(&*topic.topic), topic_id, partitions })
}

fn partition(fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    let partition_index = fetched.partition;
    match fetched.committed {
        Ok(Some(committed)) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(Str::from(&*committed.metadata)),
            error_code: ErrorCode::None.code(),
        },
        Ok(None) => OffsetFetchResponsePartitions { partition_index, ..nothing() },
        Err(error) => OffsetFetchResponsePartitions {
            partition_index,
            error_code: ErrorCode::from(&error).code(),
            ..nothing()
        },
    }
}

fn nothing() -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: 0,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Str::default()),
        error_code: ErrorCode::None.code(),
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |p: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}
