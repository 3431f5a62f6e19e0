//! `ListOffsets` (2): the offset that a time, or a word such as *latest*, stands for.
//!
//! Versions: 1-11.
//!
//! Behaviour: a time means the first record, in the order of offsets, that is not older; a search looks into compressed
//! batches. With `isolation_level` 1 the last stable offset is the end. There are no tiers: the earliest local offset is
//! the earliest, and what is on the way to a tier is nowhere. The same partition twice is INVALID_REQUEST.
//!
//! What each version added: 2 isolation (KIP-98); 4 leader epochs (KIP-320); 6 is flexible; 7 the record with the largest
//! time (KIP-734); 8 the earliest local offset (KIP-405); 9 the latest tiered one (KIP-1005); 10 a time-out, which local
//! searches do not need (KIP-1075); 11 the earliest that waits for a tier (KIP-1023).

use std::collections::HashSet;

use super::fetch::isolation;
use crate::broker::{Isolation, OffsetFound, OffsetQuery};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

/// The leader epoch of everything.
const EPOCH: i32 = 0;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Close> {
    let isolation = isolation(request.isolation_level);
    let mut seen = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let found = if seen.insert((topic.name.clone(), asked.partition_index)) {
                find(door, ctx.version, &topic.name, asked, isolation).await
            } else {
                Err(ErrorCode::InvalidRequest)
            };
            partitions.push(response(asked.partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    Ok(ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

async fn find(
    door: &Door,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<OffsetFound>, ErrorCode> {
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let topic = door.broker().readable_named(topic).ok_or(unknown)?;
    let partition = u32::try_from(asked.partition_index).map_err(|_| unknown)?;
    topic.log(partition).ok_or(unknown)?;
    if asked.current_leader_epoch > EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch);
    }
    let Some(query) = query(asked.timestamp, version)? else { return Ok(None) };
    let found = door.broker().find_offset(&topic, partition, query, isolation).await;
    found.map_err(|error| ErrorCode::from(&error))
}

fn response(
    partition_index: i32,
    found: Result<Option<OffsetFound>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse { partition_index, ..Default::default() };
    match found {
        Ok(Some(OffsetFound { offset, timestamp })) => {
            response.offset = i64::try_from(offset).unwrap_or(i64::MAX);
            response.timestamp = timestamp.unwrap_or(-1);
            response.leader_epoch = EPOCH;
        }
        Ok(None) => {}
        Err(code) => response.error_code = code.code(),
    }
    response
}

/// What a time or a word means; `None`: something that does not exist here.
///
/// # Errors
/// `UnsupportedVersion` for a word that this version does not know.
fn query(timestamp: i64, version: i16) -> Result<Option<OffsetQuery>, ErrorCode> {
    let (query, from) = match timestamp {
        0.. => (Some(OffsetQuery::Since(timestamp)), 1),
        -1 => (Some(OffsetQuery::Latest), 1),
        -2 => (Some(OffsetQuery::Earliest), 1),
        -3 => (Some(OffsetQuery::MaxTimestamp), 7),
        -4 => (Some(OffsetQuery::Earliest), 8),
        -5 => (None, 9),
        -6 => (None, 11),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version >= from { Ok(query) } else { Err(ErrorCode::UnsupportedVersion) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_from_its_version_on() {
        let cases = [
            (-1, 1, Some(OffsetQuery::Latest)),
            (-2, 1, Some(OffsetQuery::Earliest)),
            (-3, 7, Some(OffsetQuery::MaxTimestamp)),
            (-4, 8, Some(OffsetQuery::Earliest)),
            (-5, 9, None),
            (-6, 11, None),
            (5, 1, Some(OffsetQuery::Since(5))),
        ];
        for (timestamp, from, wanted) in cases {
            assert_eq!(query(timestamp, from), Ok(wanted));
            assert_eq!(query(timestamp, from - 1), Err(ErrorCode::UnsupportedVersion));
        }
        assert_eq!(query(-7, 11), Err(ErrorCode::UnsupportedVersion));
    }
}
