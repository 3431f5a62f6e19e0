//! `SyncGroup` (14): the leader hands in everyone's assignment, and each member fetches its own.
//!
//! Versions: 1 adds the throttle time; 3 static members (KIP-345); 4 is flexible; 5 states type and name of the
//! protocol, to be checked (KIP-559).

use bytes::Bytes;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Assignments from the leader, none from the others.
    request SyncGroupRequest(SyncGroup, SyncGroupResponse, versions 0-5, flexible 4+) {
        group_id: Str [0+],
        generation_id: i32 [0+],
        member_id: Str [0+],
        group_instance_id: Option<Str> [3+, nullable 3+, default None],
        protocol_type: Option<Str> [5+, nullable 5+, default None],
        protocol_name: Option<Str> [5+, nullable 5+, default None],
        assignments: Vec<SyncGroupRequestAssignment> [0+],
    }

    /// What one member is assigned; opaque.
    struct SyncGroupRequestAssignment {
        member_id: Str [0+],
        assignment: Bytes [0+],
    }

    /// The assignment of the member that asked.
    response SyncGroupResponse(SyncGroup, versions 0-5, flexible 4+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [0+],
        protocol_type: Option<Str> [5+, nullable 5+, default None],
        protocol_name: Option<Str> [5+, nullable 5+, default None],
        assignment: Bytes [0+],
    }
}
