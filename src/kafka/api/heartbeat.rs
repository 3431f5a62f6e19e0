//! `Heartbeat` (12): a member is alive, and learns when the group rebalances.
//!
//! Versions: 0-4.
//!
//! Behaviour: as Kafka's. REBALANCE_IN_PROGRESS calls the member to join again, and counts as a sign of life.
//!
//! What each version added: 1 the throttle time; 3 static members (KIP-345); 4 is flexible.

use std::sync::Arc;

use crate::groups::GroupId;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Close> {
    let group = GroupId::new(request.group_id.as_str());
    let member_id = request.member_id.as_str().into();
    let instance_id: Option<Arc<str>> = request.group_instance_id.map(|id| id.as_str().into());
    let beat = door.groups().heartbeat(&group, &member_id, instance_id.as_ref(), request.generation_id);
    let error_code = beat.err().map_or(ErrorCode::None, |error| ErrorCode::from(&error));
    Ok(HeartbeatResponse { error_code: error_code.code(), ..HeartbeatResponse::default() })
}
