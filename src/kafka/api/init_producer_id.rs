//! `InitProducerId` (22): a producer id and an epoch, for idempotence or for transactions.
//!
//! Versions: 0-5.
//!
//! Behaviour: with a transactional id, older instances of the producer are fenced and their open transaction is aborted
//! before the answer leaves.
//!
//! What each version added: 2 is flexible; 3 a producer that goes on after an error (KIP-360); 4 PRODUCER_FENCED, before
//! which it was INVALID_PRODUCER_EPOCH; 5 TRANSACTION_ABORTABLE (KIP-890).

use crate::broker::transactions::Initialize;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::model::transaction::{NO_EPOCH, NO_PRODUCER, Producer};

const FENCED_FROM: i16 = 4;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Close> {
    let given = (request.producer_id != NO_PRODUCER, request.producer_epoch != NO_EPOCH);
    let asked = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let initialized = match given {
        (true, true) => initialize(door, request, Some(asked)).await,
        (false, false) => initialize(door, request, None).await,
        _ => Err(ErrorCode::InvalidRequest),
    };
    Ok(match initialized {
        Ok(Producer { id, epoch }) => {
            InitProducerIdResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
        }
        Err(code) => InitProducerIdResponse {
            error_code: code.fenced_since(FENCED_FROM, ctx.version).code(),
            producer_id: NO_PRODUCER,
            producer_epoch: NO_EPOCH,
            ..Default::default()
        },
    })
}

async fn initialize(
    door: &Door,
    request: InitProducerIdRequest,
    asked: Option<Producer>,
) -> Result<Producer, ErrorCode> {
    let transactional_id = request.transactional_id.map(String::from);
    let request = Initialize { transactional_id, timeout_ms: request.transaction_timeout_ms, asked };
    door.broker().init_producer(request).await.map_err(|error| ErrorCode::from(&error))
}
