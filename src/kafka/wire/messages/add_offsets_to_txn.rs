//! `AddOffsetsToTxn` (25): a transaction will commit offsets of a group (KIP-98).
//!
//! Versions: 2 knows `PRODUCER_FENCED`; 3 is flexible; 4 knows `TRANSACTION_ABORTABLE` (KIP-890).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// To the coordinator of the transaction.
    request AddOffsetsToTxnRequest(AddOffsetsToTxn, AddOffsetsToTxnResponse, versions 0-4, flexible 3+) {
        transactional_id: Str [0+],
        producer_id: i64 [0+],
        producer_epoch: i16 [0+],
        group_id: Str [0+],
    }

    /// Whether the group is part of the transaction.
    response AddOffsetsToTxnResponse(AddOffsetsToTxn, versions 0-4, flexible 3+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
    }
}
