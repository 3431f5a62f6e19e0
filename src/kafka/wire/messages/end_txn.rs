//! `EndTxn` (26): commits or aborts (KIP-98).
//!
//! Versions: 2 knows `PRODUCER_FENCED`; 3 is flexible; 4 knows `TRANSACTION_ABORTABLE`; 5 gives the producer its next
//! epoch (KIP-890).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `committed` false: abort.
    request EndTxnRequest(EndTxn, EndTxnResponse, versions 0-5, flexible 3+) {
        transactional_id: Str [0+],
        producer_id: i64 [0+],
        producer_epoch: i16 [0+],
        committed: bool [0+],
    }

    /// Id and epoch for the next transaction, from version 5 on.
    response EndTxnResponse(EndTxn, versions 0-5, flexible 3+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        producer_id: i64 [5+, default -1],
        producer_epoch: i16 [5+, default -1],
    }
}
