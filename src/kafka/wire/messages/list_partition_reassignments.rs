//! `ListPartitionReassignments` (46): partitions that are moving between brokers (KIP-455).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `topics` null: all.
    request ListPartitionReassignmentsRequest(
        ListPartitionReassignments, ListPartitionReassignmentsResponse, versions 0-0, flexible 0+
    ) {
        timeout_ms: i32 [0+, default 60000],
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0+, nullable 0+, default None],
    }

    /// Partitions of one topic.
    struct ListPartitionReassignmentsTopics {
        name: Str [0+],
        partition_indexes: Vec<i32> [0+],
    }

    /// Only those that are moving.
    response ListPartitionReassignmentsResponse(ListPartitionReassignments, versions 0-0, flexible 0+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+],
        topics: Vec<OngoingTopicReassignment> [0+],
    }

    /// Partitions of one topic.
    struct OngoingTopicReassignment {
        name: Str [0+],
        partitions: Vec<OngoingPartitionReassignment> [0+],
    }

    /// Where a partition is, comes and goes.
    struct OngoingPartitionReassignment {
        partition_index: i32 [0+],
        replicas: Vec<i32> [0+],
        adding_replicas: Vec<i32> [0+],
        removing_replicas: Vec<i32> [0+],
    }
}
