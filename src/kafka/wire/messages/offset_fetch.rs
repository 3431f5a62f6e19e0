//! `OffsetFetch` (9): how far a group has read.
//!
//! Versions: 1 is the oldest still served; 2 takes null for all topics and returns an error of the group; 3 adds the
//! throttle time; 5 leader epochs (KIP-320); 6 is flexible; 7 waits for pending transactions (KIP-447); 8 asks for
//! many groups (KIP-709); 9 takes a member and its epoch (KIP-848); 10 names topics by id instead of by name
//! (KIP-848).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// One group up to version 7, `groups` from 8 on.
    request OffsetFetchRequest(OffsetFetch, OffsetFetchResponse, versions 1-10, flexible 6+) {
        group_id: Str [1-7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [1-7, nullable 2-7],
        groups: Vec<OffsetFetchRequestGroup> [8+],
        require_stable: bool [7+],
    }

    /// Partitions of one topic, up to version 7.
    struct OffsetFetchRequestTopic {
        name: Str [1-7],
        partition_indexes: Vec<i32> [1-7],
    }

    /// A group; `topics` null: all that it has offsets for.
    struct OffsetFetchRequestGroup {
        group_id: Str [8+],
        member_id: Option<Str> [9+, nullable 9+, default None],
        member_epoch: i32 [9+, default -1],
        topics: Option<Vec<OffsetFetchRequestTopics>> [8+, nullable 8+],
    }

    /// Partitions of one topic, from version 8 on.
    struct OffsetFetchRequestTopics {
        name: Str [8-9],
        topic_id: Uuid [10+],
        partition_indexes: Vec<i32> [8+],
    }

    /// One group in `topics` up to version 7, `groups` from 8 on.
    response OffsetFetchResponse(OffsetFetch, versions 1-10, flexible 6+) {
        throttle_time_ms: i32 [3+],
        topics: Vec<OffsetFetchResponseTopic> [1-7],
        error_code: i16 [2-7],
        groups: Vec<OffsetFetchResponseGroup> [8+],
    }

    /// Offsets of one topic, up to version 7.
    struct OffsetFetchResponseTopic {
        name: Str [1-7],
        partitions: Vec<OffsetFetchResponsePartition> [1-7],
    }

    /// A kept offset; -1: none.
    struct OffsetFetchResponsePartition {
        partition_index: i32 [1-7],
        committed_offset: i64 [1-7],
        committed_leader_epoch: i32 [5-7, default -1],
        metadata: Option<Str> [1-7, nullable 1-7],
        error_code: i16 [1-7],
    }

    /// Offsets of one group.
    struct OffsetFetchResponseGroup {
        group_id: Str [8+],
        topics: Vec<OffsetFetchResponseTopics> [8+],
        error_code: i16 [8+],
    }

    /// Offsets of one topic, from version 8 on.
    struct OffsetFetchResponseTopics {
        name: Str [8-9],
        topic_id: Uuid [10+],
        partitions: Vec<OffsetFetchResponsePartitions> [8+],
    }

    /// A kept offset; -1: none.
    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8+],
        committed_offset: i64 [8+],
        committed_leader_epoch: i32 [8+, default -1],
        metadata: Option<Str> [8+, nullable 8+],
        error_code: i16 [8+],
    }
}
