//! `DescribeProducers` (61): the producers that a partition remembers (KIP-664).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// What `kafka-transactions find-hanging` asks.
    request DescribeProducersRequest(
        DescribeProducers, DescribeProducersResponse, versions 0-0, flexible 0+
    ) {
        topics: Vec<TopicRequest> [0+],
    }

    /// Partitions of one topic.
    struct TopicRequest {
        name: Str [0+],
        partition_indexes: Vec<i32> [0+],
    }

    /// One result per partition.
    response DescribeProducersResponse(DescribeProducers, versions 0-0, flexible 0+) {
        throttle_time_ms: i32 [0+],
        topics: Vec<TopicResponse> [0+],
    }

    /// Results of one topic.
    struct TopicResponse {
        name: Str [0+],
        partitions: Vec<PartitionResponse> [0+],
    }

    /// The producers of one partition.
    struct PartitionResponse {
        partition_index: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+, default None],
        active_producers: Vec<ProducerState> [0+],
    }

    /// A producer; `current_txn_start_offset` -1: no open transaction.
    struct ProducerState {
        producer_id: i64 [0+],
        producer_epoch: i32 [0+],
        last_sequence: i32 [0+, default -1],
        last_timestamp: i64 [0+, default -1],
        coordinator_epoch: i32 [0+],
        current_txn_start_offset: i64 [0+, default -1],
    }
}
