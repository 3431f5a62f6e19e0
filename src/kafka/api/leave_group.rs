//! `LeaveGroup` (13): members leave at once instead of timing out.
//!
//! Versions: 0-5.
//!
//! Behaviour: as Kafka's. Static members are removed by their instance id alone, by themselves or by an operator. Reasons
//! are not looked at.
//!
//! What each version added: 1 the throttle time; 3 many members, static ones by instance id (KIP-345); 4 is flexible;
//! 5 reasons (KIP-800).

use crate::groups::machine::Leaving;
use crate::groups::{GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

/// From here on many members leave at once.
const MANY_FROM: i16 = 3;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    mut request: LeaveGroupRequest,
) -> Result<LeaveGroupResponse, Close> {
    if ctx.version < MANY_FROM {
        request.members = vec![MemberIdentity { member_id: request.member_id, ..MemberIdentity::default() }];
    }
    let leaving: Vec<_> = request.members.iter().map(leaving).collect();
    let code = |result: Result<(), GroupError>| result.err().map_or(0, |e| ErrorCode::from(&e).code());
    let codes: Vec<i16> = match door.groups().leave(&GroupId::new(request.group_id.as_str()), &leaving) {
        Ok(results) => results.into_iter().map(code).collect(),
        Err(error) => {
            let error_code = ErrorCode::from(&error).code();
            return Ok(LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() });
        }
    };
    if ctx.version < MANY_FROM {
        let error_code = codes.first().copied().unwrap_or_default();
        return Ok(LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() });
    }
    let members = request.members.into_iter().zip(codes);
    let member = |(who, error_code): (MemberIdentity, i16)| MemberResponse {
        member_id: who.member_id,
        group_instance_id: who.group_instance_id,
        error_code,
    };
    Ok(LeaveGroupResponse { members: members.map(member).collect(), ..LeaveGroupResponse::default() })
}

fn leaving(who: &MemberIdentity) -> Leaving {
    Leaving {
        member_id: who.member_id.as_str().into(),
        instance_id: who.group_instance_id.as_ref().map(|id| id.as_str().into()),
    }
}
