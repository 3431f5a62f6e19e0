//! `JoinGroup` (11): enters a group and waits until its next generation is formed.
//!
//! Versions: 0-9.
//!
//! Behaviour: as Kafka's coordinator. The answer comes when all members have joined, at the latest after the longest of
//! their rebalance timeouts; the first rebalance of a group waits for more members (`groups::Options`). An earlier join of
//! the same member that still waits is answered with REBALANCE_IN_PROGRESS, where Kafka leaves it without an answer. More
//! groups or bytes than a node takes are POLICY_VIOLATION. The reason is not looked at.
//!
//! What each version added: 1 the rebalance timeout, which is the session timeout before; 2 the throttle time; 4 members
//! without an id are given one and come again (KIP-394); 5 static members (KIP-345); 6 is flexible; 7 the type of protocol
//! in the answer (KIP-559); 8 a reason (KIP-800); 9 a static leader that is back may skip the assignment (KIP-814).

use std::sync::Arc;

use bytes::Bytes;

use crate::groups::machine::{Join, JoinRefused, Joined, JoinedMember, Protocol};
use crate::groups::{GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};

/// From here on members without an id are given one and come again.
const KNOWN_ID_FROM: i16 = 4;
/// From here on the name of the protocol may be null.
const NULL_PROTOCOL_FROM: i16 = 7;
/// From here on a static leader may skip the assignment.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: JoinGroupRequest,
) -> Result<JoinGroupResponse, Close> {
    let group = GroupId::new(request.group_id.as_str());
    let member_id: Arc<str> = request.member_id.as_str().into();
    let joining = door.groups().join(&group, join(ctx, request));
    let stopping = || Err(JoinRefused { member_id, error: GroupError::Closed });
    let mut response = match door.until_stopping(joining).await.unwrap_or_else(stopping) {
        Ok(joined) => accepted(joined),
        Err(refused) => JoinGroupResponse {
            error_code: ErrorCode::from(&refused.error).code(),
            member_id: Str::from(&*refused.member_id),
            protocol_name: None,
            ..JoinGroupResponse::default()
        },
    };
    if ctx.version < NULL_PROTOCOL_FROM {
        response.protocol_name.get_or_insert_default();
    }
    Ok(response)
}

/// What a member says. All of it is copied: it is kept for longer than the frame.
fn join(ctx: &RequestContext, request: JoinGroupRequest) -> Join {
    let session_timeout_ms = i64::from(request.session_timeout_ms);
    let rebalance_timeout_ms = match request.rebalance_timeout_ms {
        ..0 => session_timeout_ms,
        given => i64::from(given),
    };
    let protocol = |name: &Str, metadata: &Bytes| Protocol {
        name: name.as_str().into(),
        metadata: Bytes::copy_from_slice(metadata),
    };
    Join {
        member_id: request.member_id.as_str().into(),
        instance_id: request.group_instance_id.map(|id| id.as_str().into()),
        client_id: ctx.client_id.as_ref().map_or("", Str::as_str).into(),
        client_host: ctx.client_host().into(),
        session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.as_str().into(),
        protocols: request.protocols.iter().map(|p| protocol(&p.name, &p.metadata)).collect(),
        needs_known_id: ctx.version >= KNOWN_ID_FROM,
        may_skip_assignment: ctx.version >= SKIP_ASSIGNMENT_FROM,
    }
}

fn accepted(joined: Joined) -> JoinGroupResponse {
    let text = |text: Arc<str>| Str::from(&*text);
    let member = |m: JoinedMember| JoinGroupResponseMember {
        member_id: text(m.member_id),
        group_instance_id: m.instance_id.map(text),
        metadata: m.metadata,
    };
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None.code(),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.map(text),
        protocol_name: joined.protocol.map(text),
        leader: text(joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: text(joined.member_id),
        members: joined.members.into_iter().map(member).collect(),
    }
}
