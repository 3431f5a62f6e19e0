//! `InitProducerId` (22): a producer id and epoch, for idempotence or for transactions.
//!
//! Versions: 2 is flexible; 3 lets a producer go on with the id and epoch that it has (KIP-360); 4 knows the error
//! `PRODUCER_FENCED`; 5 `TRANSACTION_ABORTABLE` (KIP-890). 6 is for two-phase commit (KIP-939), unstable in Kafka
//! 4.1.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Without a transactional id the producer is only idempotent.
    request InitProducerIdRequest(InitProducerId, InitProducerIdResponse, versions 0-5, flexible 2+) {
        transactional_id: Option<Str> [0+, nullable 0+],
        transaction_timeout_ms: i32 [0+],
        producer_id: i64 [3+, default -1],
        producer_epoch: i16 [3+, default -1],
    }

    /// What the producer stamps on its batches.
    response InitProducerIdResponse(InitProducerId, versions 0-5, flexible 2+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        producer_id: i64 [0+, default -1],
        producer_epoch: i16 [0+],
    }
}
