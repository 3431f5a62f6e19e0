//! `FindCoordinator` (10): the broker that coordinates a group or a transactional id.
//!
//! Versions: 0-6.
//!
//! Behaviour: this node, under the address through which the client came, or `kafka.advertised`. Other kinds of keys, also
//! those of share groups, are INVALID_REQUEST.
//!
//! What each version added: 1 the kind of key (0 group, 1 transaction) and the throttle time; 3 is flexible; 4 many keys at
//! once (KIP-699); 5 TRANSACTION_ABORTABLE as an answer (KIP-890); 6 share groups (KIP-932).

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

/// From here on many keys are asked for at once.
const MANY_FROM: i16 = 4;
/// Kinds of keys.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: FindCoordinatorRequest,
) -> Result<FindCoordinatorResponse, Close> {
    let is_known = matches!(request.key_type, GROUP | TRANSACTION);
    let endpoint = door.endpoint(ctx);
    let coordinator = |key: Str| {
        if is_known {
            let (host, port) = (endpoint.host.clone(), endpoint.port);
            let error_code = ErrorCode::None.code();
            Coordinator { key, node_id: NODE_ID, host, port, error_code, error_message: None }
        } else {
            let error_code = ErrorCode::InvalidRequest.code();
            let error_message =
                Some(Str::from_static("only groups (0) and transactions (1) have a coordinator"));
            Coordinator { key, node_id: -1, host: Str::default(), port: -1, error_code, error_message }
        }
    };
    if ctx.version >= MANY_FROM {
        let coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
        return Ok(FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() });
    }
    let found = coordinator(request.key);
    Ok(FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    })
}
