//! `SyncGroup` (14): the leader hands in everyone's assignment, and each member fetches its own.
//!
//! Versions: 0-5.
//!
//! Behaviour: followers wait for the leader, the leader waits until the assignments are on disk. A sync of the same member
//! that still waits is answered with REBALANCE_IN_PROGRESS, where Kafka leaves it without an answer.
//!
//! What each version added: 1 the throttle time; 3 static members (KIP-345); 4 is flexible; 5 type and name of the
//! protocol, which are checked (KIP-559).

use bytes::Bytes;

use crate::groups::machine::SyncRequest;
use crate::groups::{GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: SyncGroupRequest,
) -> Result<SyncGroupResponse, Close> {
    let group = GroupId::new(request.group_id.as_str());
    let syncing = door.groups().sync(&group, sync(request));
    let synced = door.until_stopping(syncing).await.unwrap_or(Err(GroupError::Closed));
    Ok(match synced {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.map(|text| Str::from(&*text)),
            protocol_name: synced.protocol.map(|text| Str::from(&*text)),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(error) => {
            SyncGroupResponse { error_code: ErrorCode::from(&error).code(), ..SyncGroupResponse::default() }
        }
    })
}

/// What a member says. All of it is copied: it is kept for longer than the frame.
fn sync(request: SyncGroupRequest) -> SyncRequest {
    let text = |text: Str| text.as_str().into();
    let assignments = request.assignments.into_iter();
    SyncRequest {
        member_id: text(request.member_id),
        instance_id: request.group_instance_id.map(text),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(text),
        protocol: request.protocol_name.map(text),
        assignments: assignments
            .map(|a| (text(a.member_id), Bytes::copy_from_slice(&a.assignment)))
            .collect(),
    }
}
