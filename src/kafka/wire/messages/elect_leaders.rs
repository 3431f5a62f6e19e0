//! `ElectLeaders` (43): elects leaders of partitions (KIP-460).
//!
//! Versions: 1 adds the type of election (0 preferred, 1 unclean) and an error for the whole response; 2 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `topic_partitions` null: all.
    request ElectLeadersRequest(ElectLeaders, ElectLeadersResponse, versions 0-2, flexible 2+) {
        election_type: i8 [1+],
        topic_partitions: Option<Vec<TopicPartitions>> [0+, nullable 0+],
        timeout_ms: i32 [0+, default 60000],
    }

    /// Partitions of one topic.
    struct TopicPartitions {
        topic: Str [0+],
        partitions: Vec<i32> [0+],
    }

    /// One result per partition.
    response ElectLeadersResponse(ElectLeaders, versions 0-2, flexible 2+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [1+],
        replica_election_results: Vec<ReplicaElectionResult> [0+],
    }

    /// Results of one topic.
    struct ReplicaElectionResult {
        topic: Str [0+],
        partition_result: Vec<PartitionResult> [0+],
    }

    /// Whether a leader was elected.
    struct PartitionResult {
        partition_id: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+],
    }
}
