//! `OffsetForLeaderEpoch` (23): where a leader epoch ends, by which clients find out that they have read what was lost.
//!
//! Versions: 2-4.
//!
//! Behaviour: the leader epoch is 0 for ever, and it ends where the log ends. Newer epochs are not known: -1, as in
//! Kafka.
//!
//! What each version added: 2 the epoch that the client knows (KIP-320); 3 the id of a replica; 4 is flexible.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

/// The leader epoch of everything.
const EPOCH: i32 = 0;

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Result<OffsetForLeaderEpochResponse, Close> {
    let topic = |topic: crate::kafka::wire::messages::offset_for_leader_epoch::OffsetForLeaderTopic| {
        let partitions = topic.partitions.iter().map(|asked| end(door, &topic.topic, asked)).collect();
        OffsetForLeaderTopicResult { topic: topic.topic, partitions }
    };
    Ok(OffsetForLeaderEpochResponse {
        topics: request.topics.into_iter().map(topic).collect(),
        ..OffsetForLeaderEpochResponse::default()
    })
}

fn end(door: &Door, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut result = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    let topic = door.broker().readable_named(topic);
    let partition = u32::try_from(asked.partition).ok();
    let log = topic.as_ref().zip(partition).and_then(|(topic, partition)| topic.log(partition));
    match log {
        None => result.error_code = ErrorCode::UnknownTopicOrPartition.code(),
        Some(_) if asked.current_leader_epoch > EPOCH => {
            result.error_code = ErrorCode::UnknownLeaderEpoch.code();
        }
        Some(log) if asked.leader_epoch == EPOCH => {
            result.leader_epoch = EPOCH;
            result.end_offset = i64::try_from(log.tail()).unwrap_or(i64::MAX);
        }
        Some(_) => {}
    }
    result
}
