//! `TxnOffsetCommit` (28): offsets that count when the transaction commits (KIP-98).
//!
//! Versions: 2 adds leader epochs (KIP-320); 3 is flexible and adds member and generation, to fence by (KIP-447); 4
//! knows `TRANSACTION_ABORTABLE`; 5 adds the group to the transaction by itself (KIP-890).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// To the coordinator of the group.
    request TxnOffsetCommitRequest(TxnOffsetCommit, TxnOffsetCommitResponse, versions 0-5, flexible 3+) {
        transactional_id: Str [0+],
        group_id: Str [0+],
        producer_id: i64 [0+],
        producer_epoch: i16 [0+],
        generation_id: i32 [3+, default -1],
        member_id: Str [3+],
        group_instance_id: Option<Str> [3+, nullable 3+, default None],
        topics: Vec<TxnOffsetCommitRequestTopic> [0+],
    }

    /// Offsets of one topic.
    struct TxnOffsetCommitRequestTopic {
        name: Str [0+],
        partitions: Vec<TxnOffsetCommitRequestPartition> [0+],
    }

    /// The next offset to read, with a text of the client's.
    struct TxnOffsetCommitRequestPartition {
        partition_index: i32 [0+],
        committed_offset: i64 [0+],
        committed_leader_epoch: i32 [2+, default -1],
        committed_metadata: Option<Str> [0+, nullable 0+],
    }

    /// One result per partition.
    response TxnOffsetCommitResponse(TxnOffsetCommit, versions 0-5, flexible 3+) {
        throttle_time_ms: i32 [0+],
        topics: Vec<TxnOffsetCommitResponseTopic> [0+],
    }

    /// Results of one topic.
    struct TxnOffsetCommitResponseTopic {
        name: Str [0+],
        partitions: Vec<TxnOffsetCommitResponsePartition> [0+],
    }

    /// Whether the offset is kept, pending.
    struct TxnOffsetCommitResponsePartition {
        partition_index: i32 [0+],
        error_code: i16 [0+],
    }
}
