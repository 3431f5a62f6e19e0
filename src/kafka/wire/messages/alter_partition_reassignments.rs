//! `AlterPartitionReassignments` (45): partitions to be moved between brokers (KIP-455).
//!
//! Versions: 1 says whether the number of replicas may change (KIP-860).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// By topic.
    request AlterPartitionReassignmentsRequest(
        AlterPartitionReassignments, AlterPartitionReassignmentsResponse, versions 0-1, flexible 0+
    ) {
        timeout_ms: i32 [0+, default 60000],
        allow_replication_factor_change: bool [1+, default true],
        topics: Vec<ReassignableTopic> [0+],
    }

    /// Partitions of one topic.
    struct ReassignableTopic {
        name: Str [0+],
        partitions: Vec<ReassignablePartition> [0+],
    }

    /// `replicas` null: what is under way is called off.
    struct ReassignablePartition {
        partition_index: i32 [0+],
        replicas: Option<Vec<i32>> [0+, nullable 0+, default None],
    }

    /// One result per partition.
    response AlterPartitionReassignmentsResponse(
        AlterPartitionReassignments, versions 0-1, flexible 0+
    ) {
        throttle_time_ms: i32 [0+],
        allow_replication_factor_change: bool [1+, default true],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+],
        responses: Vec<ReassignableTopicResponse> [0+],
    }

    /// Results of one topic.
    struct ReassignableTopicResponse {
        name: Str [0+],
        partitions: Vec<ReassignablePartitionResponse> [0+],
    }

    /// Whether it moves there, or lies there.
    struct ReassignablePartitionResponse {
        partition_index: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+],
    }
}
