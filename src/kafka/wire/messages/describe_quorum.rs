//! `DescribeQuorum` (55): the voters of the metadata log (KIP-595).
//!
//! Versions: 1 adds times (KIP-836); 2 messages, directory ids and nodes (KIP-853).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Only the topic `__cluster_metadata` has a quorum.
    request DescribeQuorumRequest(DescribeQuorum, DescribeQuorumResponse, versions 0-2, flexible 0+) {
        topics: Vec<TopicRequest> [0+],
    }

    /// Partitions of one topic.
    struct TopicRequest {
        topic_name: Str [0+],
        partitions: Vec<PartitionRequest> [0+],
    }

    /// A partition.
    struct PartitionRequest {
        partition_index: i32 [0+],
    }

    /// One result per partition.
    response DescribeQuorumResponse(DescribeQuorum, versions 0-2, flexible 0+) {
        error_code: i16 [0+],
        error_message: Option<Str> [2+, nullable 2+],
        topics: Vec<TopicData> [0+],
        nodes: Vec<Node> [2+],
    }

    /// Partitions of one topic.
    struct TopicData {
        topic_name: Str [0+],
        partitions: Vec<PartitionData> [0+],
    }

    /// A partition.
    struct PartitionData {
        partition_index: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [2+, nullable 2+],
        leader_id: i32 [0+],
        leader_epoch: i32 [0+],
        high_watermark: i64 [0+],
        current_voters: Vec<ReplicaState> [0+],
        observers: Vec<ReplicaState> [0+],
    }

    /// How far a voter or an observer is.
    struct ReplicaState {
        replica_id: i32 [0+],
        replica_directory_id: Uuid [2+],
        log_end_offset: i64 [0+],
        last_fetch_timestamp: i64 [1+, default -1],
        last_caught_up_timestamp: i64 [1+, default -1],
    }

    /// Where a voter listens.
    struct Node {
        node_id: i32 [2+],
        listeners: Vec<Listener> [2+],
    }

    /// A listener of a voter.
    struct Listener {
        name: Str [2+],
        host: Str [2+],
        port: u16 [2+],
    }
}
