//! `CreateTopics` (19).
//!
//! Versions: 2 is the oldest still served; from 4 on -1 partitions or replicas means the default (KIP-464); 5 is
//! flexible and returns the configuration (KIP-525); 6 knows `THROTTLING_QUOTA_EXCEEDED` (KIP-599); 7 returns topic
//! ids (KIP-516).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Each topic succeeds or fails by itself.
    request CreateTopicsRequest(CreateTopics, CreateTopicsResponse, versions 2-7, flexible 5+) {
        topics: Vec<CreatableTopic> [2+],
        timeout_ms: i32 [2+, default 60000],
        validate_only: bool [2+],
    }

    /// With `assignments`, partitions and replicas are -1.
    struct CreatableTopic {
        name: Str [2+],
        num_partitions: i32 [2+],
        replication_factor: i16 [2+],
        assignments: Vec<CreatableReplicaAssignment> [2+],
        configs: Vec<CreatableTopicConfig> [2+],
    }

    /// Who keeps a partition.
    struct CreatableReplicaAssignment {
        partition_index: i32 [2+],
        broker_ids: Vec<i32> [2+],
    }

    /// A setting; null: the default.
    struct CreatableTopicConfig {
        name: Str [2+],
        value: Option<Str> [2+, nullable 2+],
    }

    /// One result per topic.
    response CreateTopicsResponse(CreateTopics, versions 2-7, flexible 5+) {
        throttle_time_ms: i32 [2+],
        topics: Vec<CreatableTopicResult> [2+],
    }

    /// What was created; `topic_config_error_code` says why `configs` is null.
    struct CreatableTopicResult {
        name: Str [2+],
        topic_id: Uuid [7+],
        error_code: i16 [2+],
        error_message: Option<Str> [2+, nullable 2+],
        topic_config_error_code: i16 [5+, tag 0],
        num_partitions: i32 [5+, default -1],
        replication_factor: i16 [5+, default -1],
        configs: Option<Vec<CreatableTopicConfigs>> [5+, nullable 5+],
    }

    /// A setting of the new topic, and where it comes from.
    struct CreatableTopicConfigs {
        name: Str [5+],
        value: Option<Str> [5+, nullable 5+],
        read_only: bool [5+],
        config_source: i8 [5+, default -1],
        is_sensitive: bool [5+],
    }
}
