//! `AddOffsetsToTxn` (25): a group whose offsets a transaction will commit.
//!
//! Versions: 0-4.
//!
//! What each version added: 2 PRODUCER_FENCED, before which it was INVALID_PRODUCER_EPOCH; 3 is flexible; 4
//! TRANSACTION_ABORTABLE (KIP-890).

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::model::transaction::Producer;

const FENCED_FROM: i16 = 2;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> Result<AddOffsetsToTxnResponse, Close> {
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let group = String::from(request.group_id);
    let added = door.broker().add_group(&request.transactional_id, producer, group).await;
    let code = added.err().map_or(ErrorCode::None, |error| ErrorCode::from(&error));
    Ok(AddOffsetsToTxnResponse {
        error_code: code.fenced_since(FENCED_FROM, ctx.version).code(),
        ..AddOffsetsToTxnResponse::default()
    })
}
