//! `OffsetCommit` (8): a group keeps how far it has read.
//!
//! Versions: 2 is the oldest still served; 3 adds the throttle time; 5 drops the retention time (KIP-211); 6 adds
//! leader epochs (KIP-320); 7 static members (KIP-345); 8 is flexible; 9 may carry a member epoch (KIP-848); 10 names
//! topics by id instead of by name (KIP-848).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Without a member and with generation -1 it is a commit from outside the group.
    request OffsetCommitRequest(OffsetCommit, OffsetCommitResponse, versions 2-10, flexible 8+) {
        group_id: Str [2+],
        generation_id_or_member_epoch: i32 [2+, default -1],
        member_id: Str [2+],
        group_instance_id: Option<Str> [7+, nullable 7+, default None],
        retention_time_ms: i64 [2-4, default -1],
        topics: Vec<OffsetCommitRequestTopic> [2+],
    }

    /// Offsets of one topic.
    struct OffsetCommitRequestTopic {
        name: Str [2-9],
        topic_id: Uuid [10+],
        partitions: Vec<OffsetCommitRequestPartition> [2+],
    }

    /// The next offset to read, with a text of the client's.
    struct OffsetCommitRequestPartition {
        partition_index: i32 [2+],
        committed_offset: i64 [2+],
        committed_leader_epoch: i32 [6+, default -1],
        committed_metadata: Option<Str> [2+, nullable 2+],
    }

    /// One result per partition.
    response OffsetCommitResponse(OffsetCommit, versions 2-10, flexible 8+) {
        throttle_time_ms: i32 [3+],
        topics: Vec<OffsetCommitResponseTopic> [2+],
    }

    /// Results of one topic.
    struct OffsetCommitResponseTopic {
        name: Str [2-9],
        topic_id: Uuid [10+],
        partitions: Vec<OffsetCommitResponsePartition> [2+],
    }

    /// Whether the offset is kept.
    struct OffsetCommitResponsePartition {
        partition_index: i32 [2+],
        error_code: i16 [2+],
    }
}
