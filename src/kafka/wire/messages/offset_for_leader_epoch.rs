//! `OffsetForLeaderEpoch` (23): where the log of an epoch ends, so that a reader finds out whether its log diverges
//! (KIP-101, KIP-279).
//!
//! Versions: 2 is the oldest still served, with leader epochs to fence by (KIP-320); 3 adds the replica id; 4 is
//! flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `replica_id` -1: a consumer, -2: one that debugs.
    request OffsetForLeaderEpochRequest(
        OffsetForLeaderEpoch, OffsetForLeaderEpochResponse, versions 2-4, flexible 4+
    ) {
        replica_id: i32 [3+, default -2],
        topics: Vec<OffsetForLeaderTopic> [2+],
    }

    /// What is wanted of one topic.
    struct OffsetForLeaderTopic {
        topic: Str [2+],
        partitions: Vec<OffsetForLeaderPartition> [2+],
    }

    /// The epoch whose end is wanted.
    struct OffsetForLeaderPartition {
        partition: i32 [2+],
        current_leader_epoch: i32 [2+, default -1],
        leader_epoch: i32 [2+],
    }

    /// One result per partition.
    response OffsetForLeaderEpochResponse(OffsetForLeaderEpoch, versions 2-4, flexible 4+) {
        throttle_time_ms: i32 [2+],
        topics: Vec<OffsetForLeaderTopicResult> [2+],
    }

    /// Results of one topic.
    struct OffsetForLeaderTopicResult {
        topic: Str [2+],
        partitions: Vec<EpochEndOffset> [2+],
    }

    /// The largest epoch not above the one asked for, and its end; -1: not known.
    struct EpochEndOffset {
        error_code: i16 [2+],
        partition: i32 [2+],
        leader_epoch: i32 [2+, default -1],
        end_offset: i64 [2+, default -1],
    }
}
