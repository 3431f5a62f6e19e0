//! `DeleteRecords` (21): moves the log start offset (KIP-107).
//!
//! Versions: 2 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Each partition succeeds or fails by itself.
    request DeleteRecordsRequest(DeleteRecords, DeleteRecordsResponse, versions 0-2, flexible 2+) {
        topics: Vec<DeleteRecordsTopic> [0+],
        timeout_ms: i32 [0+],
    }

    /// Partitions of one topic.
    struct DeleteRecordsTopic {
        name: Str [0+],
        partitions: Vec<DeleteRecordsPartition> [0+],
    }

    /// The new log start offset; -1: the high watermark.
    struct DeleteRecordsPartition {
        partition_index: i32 [0+],
        offset: i64 [0+],
    }

    /// One result per partition.
    response DeleteRecordsResponse(DeleteRecords, versions 0-2, flexible 2+) {
        throttle_time_ms: i32 [0+],
        topics: Vec<DeleteRecordsTopicResult> [0+],
    }

    /// Results of one topic.
    struct DeleteRecordsTopicResult {
        name: Str [0+],
        partitions: Vec<DeleteRecordsPartitionResult> [0+],
    }

    /// The log start offset now.
    struct DeleteRecordsPartitionResult {
        partition_index: i32 [0+],
        low_watermark: i64 [0+],
        error_code: i16 [0+],
    }
}
