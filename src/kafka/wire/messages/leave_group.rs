//! `LeaveGroup` (13): members leave at once instead of timing out.
//!
//! Versions: 1 adds the throttle time; 3 takes many members, also static ones by instance id (KIP-345); 4 is
//! flexible; 5 takes reasons (KIP-800).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// One `member_id` up to version 2, `members` from 3 on.
    request LeaveGroupRequest(LeaveGroup, LeaveGroupResponse, versions 0-5, flexible 4+) {
        group_id: Str [0+],
        member_id: Str [0-2],
        members: Vec<MemberIdentity> [3+],
    }

    /// Who leaves; with an instance id the member id may be empty.
    struct MemberIdentity {
        member_id: Str [3+],
        group_instance_id: Option<Str> [3+, nullable 3+, default None],
        reason: Option<Str> [5+, nullable 5+, default None],
    }

    /// One result per member.
    response LeaveGroupResponse(LeaveGroup, versions 0-5, flexible 4+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [0+],
        members: Vec<MemberResponse> [3+],
    }

    /// Whether a member has left.
    struct MemberResponse {
        member_id: Str [3+],
        group_instance_id: Option<Str> [3+, nullable 3+],
        error_code: i16 [3+],
    }
}
