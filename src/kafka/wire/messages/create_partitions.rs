//! `CreatePartitions` (37): more partitions for a topic.
//!
//! Versions: 2 is flexible; 3 knows `THROTTLING_QUOTA_EXCEEDED` (KIP-599).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Each topic succeeds or fails by itself.
    request CreatePartitionsRequest(CreatePartitions, CreatePartitionsResponse, versions 0-3, flexible 2+) {
        topics: Vec<CreatePartitionsTopic> [0+],
        timeout_ms: i32 [0+],
        validate_only: bool [0+],
    }

    /// `count` is the new total.
    struct CreatePartitionsTopic {
        name: Str [0+],
        count: i32 [0+],
        assignments: Option<Vec<CreatePartitionsAssignment>> [0+, nullable 0+],
    }

    /// Who keeps one of the new partitions.
    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0+],
    }

    /// One result per topic.
    response CreatePartitionsResponse(CreatePartitions, versions 0-3, flexible 2+) {
        throttle_time_ms: i32 [0+],
        results: Vec<CreatePartitionsTopicResult> [0+],
    }

    /// Whether a topic has its new partitions.
    struct CreatePartitionsTopicResult {
        name: Str [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+, default None],
    }
}
