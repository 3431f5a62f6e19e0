//! `WriteTxnMarkers` (27): ends a transaction on partitions. For coordinators, and for the tool that aborts a hanging
//! one (KIP-664).
//!
//! Versions: 1 is the oldest still served, and flexible; 2 adds the version of transactions (KIP-1228).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Markers for many producers.
    request WriteTxnMarkersRequest(WriteTxnMarkers, WriteTxnMarkersResponse, versions 1-2, flexible 1+) {
        markers: Vec<WritableTxnMarker> [1+],
    }

    /// `transaction_result` false: abort.
    struct WritableTxnMarker {
        producer_id: i64 [1+],
        producer_epoch: i16 [1+],
        transaction_result: bool [1+],
        topics: Vec<WritableTxnMarkerTopic> [1+],
        coordinator_epoch: i32 [1+],
        transaction_version: i8 [2+],
    }

    /// Partitions of one topic.
    struct WritableTxnMarkerTopic {
        name: Str [1+],
        partition_indexes: Vec<i32> [1+],
    }

    /// One result per partition.
    response WriteTxnMarkersResponse(WriteTxnMarkers, versions 1-2, flexible 1+) {
        markers: Vec<WritableTxnMarkerResult> [1+],
    }

    /// Results of one producer.
    struct WritableTxnMarkerResult {
        producer_id: i64 [1+],
        topics: Vec<WritableTxnMarkerTopicResult> [1+],
    }

    /// Results of one topic.
    struct WritableTxnMarkerTopicResult {
        name: Str [1+],
        partitions: Vec<WritableTxnMarkerPartitionResult> [1+],
    }

    /// Whether the marker is written.
    struct WritableTxnMarkerPartitionResult {
        partition_index: i32 [1+],
        error_code: i16 [1+],
    }
}
