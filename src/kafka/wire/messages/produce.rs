//! `Produce` (0): record batches, one per partition, to be appended.
//!
//! Versions: 1 adds the throttle time; 2 the append time; 3 the transactional id, and wants format 2 of record
//! batches (KIP-98); 5 the log start offset; 7 allows zstd (KIP-110); 8 errors per record (KIP-467); 9 is flexible;
//! 10 may name the new leader (KIP-951); 11 knows the error `TRANSACTION_ABORTABLE`; 12 adds partitions to a
//! transaction by itself (KIP-890); 13 names topics by id (KIP-516).

use bytes::Bytes;
use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `acks` 0: no response, 1 or -1: when stored.
    request ProduceRequest(Produce, ProduceResponse, versions 0-13, flexible 9+) {
        transactional_id: Option<Str> [3+, nullable 3+, default None],
        acks: i16 [0+],
        timeout_ms: i32 [0+],
        topic_data: Vec<TopicProduceData> [0+],
    }

    /// Batches for one topic.
    struct TopicProduceData {
        name: Str [0-12],
        topic_id: Uuid [13+],
        partition_data: Vec<PartitionProduceData> [0+],
    }

    /// The batch for one partition, a slice of the frame.
    struct PartitionProduceData {
        index: i32 [0+],
        records: Option<Bytes> [0+, nullable 0+],
    }

    /// One result per partition, in the order of the request.
    response ProduceResponse(Produce, versions 0-13, flexible 9+) {
        responses: Vec<TopicProduceResponse> [0+],
        throttle_time_ms: i32 [1+],
        node_endpoints: Vec<NodeEndpoint> [10+, tag 0],
    }

    /// Results of one topic.
    struct TopicProduceResponse {
        name: Str [0-12],
        topic_id: Uuid [13+],
        partition_responses: Vec<PartitionProduceResponse> [0+],
    }

    /// Where the batch was placed, or why it was not. `log_append_time_ms` is -1 where the producer sets the time.
    struct PartitionProduceResponse {
        index: i32 [0+],
        error_code: i16 [0+],
        base_offset: i64 [0+],
        log_append_time_ms: i64 [2+, default -1],
        log_start_offset: i64 [5+, default -1],
        record_errors: Vec<BatchIndexAndErrorMessage> [8+],
        error_message: Option<Str> [8+, nullable 8+, default None],
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    /// A record that made its batch fail, by its index in the batch.
    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8+],
        batch_index_error_message: Option<Str> [8+, nullable 8+, default None],
    }

    /// The leader to go to; -1: not known.
    struct LeaderIdAndEpoch {
        leader_id: i32 [10+, default -1],
        leader_epoch: i32 [10+, default -1],
    }

    /// Where a new leader listens.
    struct NodeEndpoint {
        node_id: i32 [10+],
        host: Str [10+],
        port: i32 [10+],
        rack: Option<Str> [10+, nullable 10+, default None],
    }
}
