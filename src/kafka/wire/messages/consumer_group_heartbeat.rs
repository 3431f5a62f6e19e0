//! `ConsumerGroupHeartbeat` (68): the whole of the consumer group protocol in one request: join, stay, take over an
//! assignment, leave (KIP-848).
//!
//! Versions: 1 adds subscription by regular expression, and member ids made by the client (KIP-1082).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Epoch 0 joins, -1 leaves, -2 leaves as a static member. Null: unchanged since the last heartbeat.
    request ConsumerGroupHeartbeatRequest(
        ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse, versions 0-1, flexible 0+
    ) {
        group_id: Str [0+],
        member_id: Str [0+],
        member_epoch: i32 [0+],
        instance_id: Option<Str> [0+, nullable 0+, default None],
        rack_id: Option<Str> [0+, nullable 0+, default None],
        rebalance_timeout_ms: i32 [0+, default -1],
        subscribed_topic_names: Option<Vec<Str>> [0+, nullable 0+, default None],
        subscribed_topic_regex: Option<Str> [1+, nullable 1+, default None],
        server_assignor: Option<Str> [0+, nullable 0+, default None],
        topic_partitions: Option<Vec<TopicPartitions>> [0+, nullable 0+, default None],
    }

    /// Partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0+],
        partitions: Vec<i32> [0+],
    }

    /// `assignment` null: unchanged.
    response ConsumerGroupHeartbeatResponse(ConsumerGroupHeartbeat, versions 0-1, flexible 0+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+, default None],
        member_id: Option<Str> [0+, nullable 0+, default None],
        member_epoch: i32 [0+],
        heartbeat_interval_ms: i32 [0+],
        assignment: Option<Assignment> [0+, nullable 0+, default None],
    }

    /// What the member owns from now on.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0+],
    }
}
