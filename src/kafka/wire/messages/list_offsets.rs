//! `ListOffsets` (2): the offset that a timestamp, or a word such as *latest*, stands for.
//!
//! Timestamps below zero are words: -1 latest, -2 earliest, -3 of the largest timestamp (7, KIP-734), -4 earliest
//! local (8, KIP-405), -5 latest tiered (9, KIP-1005), -6 earliest not yet tiered (11, KIP-1023).
//!
//! Versions: 2 adds the isolation level (KIP-98) and the throttle time; 4 leader epochs (KIP-320); 6 is flexible; 10
//! a timeout for remote storage (KIP-1075). 11 has the fields of 10.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `replica_id` -1: a consumer.
    request ListOffsetsRequest(ListOffsets, ListOffsetsResponse, versions 1-11, flexible 6+) {
        replica_id: i32 [1+],
        isolation_level: i8 [2+],
        topics: Vec<ListOffsetsTopic> [1+],
        timeout_ms: i32 [10+],
    }

    /// What is wanted of one topic.
    struct ListOffsetsTopic {
        name: Str [1+],
        partitions: Vec<ListOffsetsPartition> [1+],
    }

    /// A timestamp in milliseconds, or a word.
    struct ListOffsetsPartition {
        partition_index: i32 [1+],
        current_leader_epoch: i32 [4+, default -1],
        timestamp: i64 [1+],
    }

    /// One result per partition asked for.
    response ListOffsetsResponse(ListOffsets, versions 1-11, flexible 6+) {
        throttle_time_ms: i32 [2+],
        topics: Vec<ListOffsetsTopicResponse> [1+],
    }

    /// Results of one topic.
    struct ListOffsetsTopicResponse {
        name: Str [1+],
        partitions: Vec<ListOffsetsPartitionResponse> [1+],
    }

    /// The first record at or after the timestamp; -1 in both: there is none.
    struct ListOffsetsPartitionResponse {
        partition_index: i32 [1+],
        error_code: i16 [1+],
        timestamp: i64 [1+, default -1],
        offset: i64 [1+, default -1],
        leader_epoch: i32 [4+, default -1],
    }
}
