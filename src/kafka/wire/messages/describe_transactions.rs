//! `DescribeTransactions` (65): transactional ids and what they are doing (KIP-664).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// By transactional id.
    request DescribeTransactionsRequest(
        DescribeTransactions, DescribeTransactionsResponse, versions 0-0, flexible 0+
    ) {
        transactional_ids: Vec<Str> [0+],
    }

    /// One result per transactional id.
    response DescribeTransactionsResponse(DescribeTransactions, versions 0-0, flexible 0+) {
        throttle_time_ms: i32 [0+],
        transaction_states: Vec<TransactionState> [0+],
    }

    /// States by name, such as `Ongoing` and `CompleteCommit`.
    struct TransactionState {
        error_code: i16 [0+],
        transactional_id: Str [0+],
        transaction_state: Str [0+],
        transaction_timeout_ms: i32 [0+],
        transaction_start_time_ms: i64 [0+],
        producer_id: i64 [0+],
        producer_epoch: i16 [0+],
        topics: Vec<TopicData> [0+],
    }

    /// Partitions of one topic in the transaction.
    struct TopicData {
        topic: Str [0+],
        partitions: Vec<i32> [0+],
    }
}
