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
use std::sync::Arc;

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use crate::model::{Offset, TimestampMs};
use crate::storage::Log;

/// The leader epoch of everything.
const EPOCH: i32 = 0;
const READ_COMMITTED: i8 = 1;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Latest,
    Earliest,
    LargestTime,
    Nothing,
    Since(TimestampMs),
}

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Close> {
    let committed = request.isolation_level == READ_COMMITTED;
    let mut seen = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let found = if seen.insert((topic.name.clone(), asked.partition_index)) {
                find(door, ctx.version, &topic.name, asked, committed).await
            } else {
                Err(ErrorCode::InvalidRequest)
            };
            partitions.push(response(asked.partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    Ok(ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

/// Offset and, where there is one, time of what is looked for.
type Found = Option<(Offset, Option<TimestampMs>)>;

async fn find(
    door: &Door,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    committed: bool,
) -> Result<Found, ErrorCode> {
    let topic = door.broker().topic_named(topic);
    let partition = u32::try_from(asked.partition_index).ok();
    let log = topic.as_ref().zip(partition).and_then(|(topic, partition)| topic.log(partition));
    let log = log.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if asked.current_leader_epoch > EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch);
    }
    let wanted = Wanted::of(asked.timestamp, version).ok_or(ErrorCode::UnsupportedVersion)?;
    offset(door, log, wanted, committed).await
}

async fn offset(door: &Door, log: &Arc<Log>, wanted: Wanted, committed: bool) -> Result<Found, ErrorCode> {
    let ends = log.ends();
    let end = if committed { ends.stable } else { ends.tail };
    let storage = door.broker().storage();
    let record = match wanted {
        Wanted::Latest => return Ok(Some((end, None))),
        Wanted::Earliest => return Ok(Some((log.start(), None))),
        Wanted::Nothing => return Ok(None),
        Wanted::LargestTime => storage.max_timestamp(log, end).await,
        Wanted::Since(at) => storage.offset_for_time(log, at, end).await,
    };
    let record = record.map_err(|error| ErrorCode::from(&error))?;
    Ok(record.map(|(offset, timestamp)| (offset, Some(timestamp))))
}

fn response(partition_index: i32, found: Result<Found, ErrorCode>) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse { partition_index, ..Default::default() };
    match found {
        Ok(Some((offset, timestamp))) => {
            response.offset = i64::try_from(offset).unwrap_or(i64::MAX);
            response.timestamp = timestamp.unwrap_or(-1);
            response.leader_epoch = EPOCH;
        }
        Ok(None) => {}
        Err(code) => response.error_code = code.code(),
    }
    response
}

impl Wanted {
    /// `None`: this version does not know the word.
    fn of(timestamp: i64, version: i16) -> Option<Self> {
        let (wanted, from) = match timestamp {
            0.. => (Self::Since(timestamp), 1),
            -1 => (Self::Latest, 1),
            -2 => (Self::Earliest, 1),
            -3 => (Self::LargestTime, 7),
            -4 => (Self::Earliest, 8),
            -5 => (Self::Nothing, 9),
            -6 => (Self::Nothing, 11),
            _ => return None,
        };
        (version >= from).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_from_its_version_on() {
        let cases = [
            (-1, 1, Wanted::Latest),
            (-2, 1, Wanted::Earliest),
            (-3, 7, Wanted::LargestTime),
            (-4, 8, Wanted::Earliest),
            (-5, 9, Wanted::Nothing),
            (-6, 11, Wanted::Nothing),
            (5, 1, Wanted::Since(5)),
        ];
        for (timestamp, from, wanted) in cases {
            assert_eq!(Wanted::of(timestamp, from), Some(wanted));
            assert_eq!(Wanted::of(timestamp, from - 1), None);
        }
        assert_eq!(Wanted::of(-7, 11), None);
    }
}
