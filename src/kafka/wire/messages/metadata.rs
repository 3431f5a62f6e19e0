//! `Metadata` (3): brokers, topics, and who leads which partition.
//!
//! Versions: 1 adds rack, controller and internal topics, and null for all topics (in 0 an empty list means all); 2
//! the cluster id; 3 the throttle time; 4 says whether topics may be created; 5 offline replicas; 7 leader epochs
//! (KIP-320); 8 authorized operations (KIP-430), those of the cluster until 10; 9 is flexible; 10 topic ids
//! (KIP-516), which may be asked for from 12 on; 13 an error for the whole response (KIP-1102).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// What is wanted, and whether a missing topic may be created.
    request MetadataRequest(Metadata, MetadataResponse, versions 0-13, flexible 9+) {
        topics: Option<Vec<MetadataRequestTopic>> [0+, nullable 1+],
        allow_auto_topic_creation: bool [4+, default true],
        include_cluster_authorized_operations: bool [8-10],
        include_topic_authorized_operations: bool [8+],
    }

    /// A topic by name, or from version 12 by id with the name null.
    struct MetadataRequestTopic {
        topic_id: Uuid [10+],
        name: Option<Str> [0+, nullable 10+],
    }

    /// The cluster as this broker sees it.
    response MetadataResponse(Metadata, versions 0-13, flexible 9+) {
        throttle_time_ms: i32 [3+],
        brokers: Vec<MetadataResponseBroker> [0+],
        cluster_id: Option<Str> [2+, nullable 2+, default None],
        controller_id: i32 [1+, default -1],
        topics: Vec<MetadataResponseTopic> [0+],
        cluster_authorized_operations: i32 [8-10, default -2147483648],
        error_code: i16 [13+],
    }

    /// Where a broker listens.
    struct MetadataResponseBroker {
        node_id: i32 [0+],
        host: Str [0+],
        port: i32 [0+],
        rack: Option<Str> [1+, nullable 1+, default None],
    }

    /// A topic; the name is null when an unknown id was asked for.
    struct MetadataResponseTopic {
        error_code: i16 [0+],
        name: Option<Str> [0+, nullable 12+],
        topic_id: Uuid [10+],
        is_internal: bool [1+],
        partitions: Vec<MetadataResponsePartition> [0+],
        topic_authorized_operations: i32 [8+, default -2147483648],
    }

    /// A partition; `leader_id` -1: none.
    struct MetadataResponsePartition {
        error_code: i16 [0+],
        partition_index: i32 [0+],
        leader_id: i32 [0+],
        leader_epoch: i32 [7+, default -1],
        replica_nodes: Vec<i32> [0+],
        isr_nodes: Vec<i32> [0+],
        offline_replicas: Vec<i32> [5+],
    }
}
