//! `Fetch` (1): record batches from given offsets on.
//!
//! Versions: 4-17.
//!
//! Behaviour: batches are sent whole and as they are stored, also the one that an offset lies in the middle of. The first
//! batch is sent however large it is, after it the bounds of the request hold (KIP-74), and 55 MiB for the whole. A fetch
//! that finds less than `min_bytes` waits for appends, for at most `max_wait_ms` and 60 s; an error ends the wait. The
//! leader epoch is 0 for ever, so only a client that knows a newer one is refused. Racks are not looked at: there is one
//! replica.
//!
//! What each version added: 4 batches in format 2, isolation, aborted transactions (KIP-98); 5 log starts; 7 sessions
//! (KIP-227); 9 leader epochs (KIP-320); 10 zstd (KIP-110); 11 racks (KIP-392); 12 is flexible, diverging epochs
//! (KIP-595); 13 topic ids (KIP-516); 14 tiers (KIP-405); 15 the state of replicas (KIP-903); 16 new leaders (KIP-951);
//! 17 directories of replicas (KIP-853).

mod gather;
mod session;

use std::time::Duration;

use crate::broker::Isolation;
use crate::kafka::connection::Close;
use crate::kafka::dispatch::Reply;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use crate::model::limits::{KAFKA_FETCH_BYTES_MAX, WAIT_MAX};
use crate::runtime::clock::monotonic;

use gather::{Bounds, Gathering};
use session::{Target, TopicKey};

pub(in crate::kafka) use session::Sessions;

const IDS_FROM: i16 = 13;
const ZSTD_FROM: i16 = 10;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: FetchRequest,
) -> Result<Reply<FetchResponse>, Close> {
    let by_id = ctx.version >= IDS_FROM;
    let (targets, mode) = match door.sessions().begin(&request, by_id, monotonic()) {
        Ok(begun) => begun,
        Err(code) => {
            return Ok(Reply::of(FetchResponse { error_code: code.code(), ..FetchResponse::default() }));
        }
    };
    let bounds = Bounds {
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(KAFKA_FETCH_BYTES_MAX),
        wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX),
        isolation: isolation(request.isolation_level),
        zstd: ctx.version >= ZSTD_FROM,
    };
    let mut gathering = Gathering::new(door, targets, bounds);
    gathering.run(door).await;
    let (mut results, share) = gathering.finish(door).await;
    let session_id = door.sessions().end(mode, by_id, &mut results, monotonic());
    let response = FetchResponse { session_id, responses: by_topic(results), ..FetchResponse::default() };
    Ok(Reply { response: Some(response), share })
}

/// As in Kafka's requests.
pub(super) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
}

/// Neighbours of one topic stand together.
fn by_topic(results: Vec<(Target, PartitionData)>) -> Vec<FetchableTopicResponse> {
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut last = None;
    for (target, data) in results {
        if last.as_ref() != Some(&target.topic) {
            responses.push(match &target.topic {
                TopicKey::Name(name) => {
                    FetchableTopicResponse { topic: Str::from(&**name), ..FetchableTopicResponse::default() }
                }
                TopicKey::Id(id) => {
                    FetchableTopicResponse { topic_id: *id, ..FetchableTopicResponse::default() }
                }
            });
            last = Some(target.topic);
        }
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(data);
        }
    }
    responses
}
