//! `ListTransactions` (66): the transactional ids of a coordinator (KIP-664).
//!
//! Versions: 1 adds the filter by duration (KIP-994); 2 the pattern for transactional ids (KIP-1152).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// An empty filter lets all through; a duration below zero likewise.
    request ListTransactionsRequest(ListTransactions, ListTransactionsResponse, versions 0-2, flexible 0+) {
        state_filters: Vec<Str> [0+],
        producer_id_filters: Vec<i64> [0+],
        duration_filter: i64 [1+, default -1],
        transactional_id_pattern: Option<Str> [2+, nullable 2+, default None],
    }

    /// States that are asked for and not known are named.
    response ListTransactionsResponse(ListTransactions, versions 0-2, flexible 0+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        unknown_state_filters: Vec<Str> [0+],
        transaction_states: Vec<TransactionState> [0+],
    }

    /// A transactional id in short.
    struct TransactionState {
        transactional_id: Str [0+],
        producer_id: i64 [0+],
        transaction_state: Str [0+],
    }
}
