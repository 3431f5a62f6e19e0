//! `EndTxn` (26): commits or aborts a transaction.
//!
//! Versions: 0-5.
//!
//! Behaviour: markers, offsets and the transaction's row are one write, so the answer means that all of them are stored.
//!
//! What each version added: 2 PRODUCER_FENCED, before which it was INVALID_PRODUCER_EPOCH; 3 is flexible; 4
//! TRANSACTION_ABORTABLE; 5 the producer to go on with, one epoch later (KIP-890).

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::model::transaction::{Outcome, Producer};

const FENCED_FROM: i16 = 2;
const BUMPS_FROM: i16 = 5;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: EndTxnRequest,
) -> Result<EndTxnResponse, Close> {
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let bumps = ctx.version >= BUMPS_FROM;
    let ended = door.broker().end_transaction(&request.transactional_id, producer, outcome, bumps).await;
    Ok(match ended {
        Ok(Producer { id, epoch }) => {
            EndTxnResponse { producer_id: id, producer_epoch: epoch, ..EndTxnResponse::default() }
        }
        Err(error) => EndTxnResponse {
            error_code: ErrorCode::from(&error).fenced_since(FENCED_FROM, ctx.version).code(),
            ..EndTxnResponse::default()
        },
    })
}
