//! `OffsetDelete` (47): offsets of single partitions of a group (KIP-496). It has one version, which is not flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Offsets of topics to which no member is subscribed.
    request OffsetDeleteRequest(OffsetDelete, OffsetDeleteResponse, versions 0-0) {
        group_id: Str [0+],
        topics: Vec<OffsetDeleteRequestTopic> [0+],
    }

    /// Partitions of one topic.
    struct OffsetDeleteRequestTopic {
        name: Str [0+],
        partitions: Vec<OffsetDeleteRequestPartition> [0+],
    }

    /// A partition.
    struct OffsetDeleteRequestPartition {
        partition_index: i32 [0+],
    }

    /// An error of the whole group, or one result per partition.
    response OffsetDeleteResponse(OffsetDelete, versions 0-0) {
        error_code: i16 [0+],
        throttle_time_ms: i32 [0+],
        topics: Vec<OffsetDeleteResponseTopic> [0+],
    }

    /// Results of one topic.
    struct OffsetDeleteResponseTopic {
        name: Str [0+],
        partitions: Vec<OffsetDeleteResponsePartition> [0+],
    }

    /// Whether the offset is deleted.
    struct OffsetDeleteResponsePartition {
        partition_index: i32 [0+],
        error_code: i16 [0+],
    }
}
