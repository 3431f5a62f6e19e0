//! `DescribeTopicPartitions` (75): topics in pages, with the replicas that may lead (KIP-966).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// No topics: all. `cursor` is that of the page before.
    request DescribeTopicPartitionsRequest(
        DescribeTopicPartitions, DescribeTopicPartitionsResponse, versions 0-0, flexible 0+
    ) {
        topics: Vec<TopicRequest> [0+],
        response_partition_limit: i32 [0+, default 2000],
        cursor: Option<Cursor> [0+, nullable 0+, default None],
    }

    /// A topic.
    struct TopicRequest {
        name: Str [0+],
    }

    /// The first partition of a page.
    struct Cursor {
        topic_name: Str [0+],
        partition_index: i32 [0+],
    }

    /// `next_cursor` null: no more pages.
    response DescribeTopicPartitionsResponse(DescribeTopicPartitions, versions 0-0, flexible 0+) {
        throttle_time_ms: i32 [0+],
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+],
        next_cursor: Option<Cursor> [0+, nullable 0+, default None],
    }

    /// A topic, perhaps with only some of its partitions.
    struct DescribeTopicPartitionsResponseTopic {
        error_code: i16 [0+],
        name: Option<Str> [0+, nullable 0+],
        topic_id: Uuid [0+],
        is_internal: bool [0+],
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+],
        topic_authorized_operations: i32 [0+, default -2147483648],
    }

    /// A partition.
    struct DescribeTopicPartitionsResponsePartition {
        error_code: i16 [0+],
        partition_index: i32 [0+],
        leader_id: i32 [0+],
        leader_epoch: i32 [0+, default -1],
        replica_nodes: Vec<i32> [0+],
        isr_nodes: Vec<i32> [0+],
        eligible_leader_replicas: Option<Vec<i32>> [0+, nullable 0+, default None],
        last_known_elr: Option<Vec<i32>> [0+, nullable 0+, default None],
        offline_replicas: Vec<i32> [0+],
    }
}
