//! `AddPartitionsToTxn` (24): partitions that a transaction will write to (KIP-98).
//!
//! Versions: 2 knows `PRODUCER_FENCED`; 3 is flexible; 4 takes many transactions and is for brokers only (KIP-890), 5
//! knows `TRANSACTION_ABORTABLE`.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// The fields with `v3_and_below` are those that clients use.
    request AddPartitionsToTxnRequest(
        AddPartitionsToTxn, AddPartitionsToTxnResponse, versions 0-5, flexible 3+
    ) {
        transactions: Vec<AddPartitionsToTxnTransaction> [4+],
        v3_and_below_transactional_id: Str [0-3],
        v3_and_below_producer_id: i64 [0-3],
        v3_and_below_producer_epoch: i16 [0-3],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0-3],
    }

    /// One transaction, from version 4 on.
    struct AddPartitionsToTxnTransaction {
        transactional_id: Str [4+],
        producer_id: i64 [4+],
        producer_epoch: i16 [4+],
        verify_only: bool [4+],
        topics: Vec<AddPartitionsToTxnTopic> [4+],
    }

    /// Partitions of one topic.
    struct AddPartitionsToTxnTopic {
        name: Str [0+],
        partitions: Vec<i32> [0+],
    }

    /// One result per partition; if one fails, none is added.
    response AddPartitionsToTxnResponse(AddPartitionsToTxn, versions 0-5, flexible 3+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [4+],
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4+],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0-3],
    }

    /// Results of one transaction, from version 4 on.
    struct AddPartitionsToTxnResult {
        transactional_id: Str [4+],
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4+],
    }

    /// Results of one topic.
    struct AddPartitionsToTxnTopicResult {
        name: Str [0+],
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0+],
    }

    /// Whether a partition is part of the transaction.
    struct AddPartitionsToTxnPartitionResult {
        partition_index: i32 [0+],
        partition_error_code: i16 [0+],
    }
}
