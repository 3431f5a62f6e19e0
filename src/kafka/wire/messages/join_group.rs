//! `JoinGroup` (11): enters a group and waits until its next generation is formed.
//!
//! Versions: 1 adds the rebalance timeout; 2 the throttle time; from 4 on a member without an id is given one and
//! asked to come again (KIP-394); 5 adds static members (KIP-345); 6 is flexible; 7 returns the type of protocol
//! (KIP-559); 8 takes a reason (KIP-800); 9 may spare a returning static leader the assignment (KIP-814).

use bytes::Bytes;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// A rebalance timeout of -1 means the session timeout.
    request JoinGroupRequest(JoinGroup, JoinGroupResponse, versions 0-9, flexible 6+) {
        group_id: Str [0+],
        session_timeout_ms: i32 [0+],
        rebalance_timeout_ms: i32 [1+, default -1],
        member_id: Str [0+],
        group_instance_id: Option<Str> [5+, nullable 5+, default None],
        protocol_type: Str [0+],
        protocols: Vec<JoinGroupRequestProtocol> [0+],
        reason: Option<Str> [8+, nullable 8+, default None],
    }

    /// A protocol that the member can follow; its metadata is opaque and handed on exactly.
    struct JoinGroupRequestProtocol {
        name: Str [0+],
        metadata: Bytes [0+],
    }

    /// Only the leader gets the members.
    response JoinGroupResponse(JoinGroup, versions 0-9, flexible 6+) {
        throttle_time_ms: i32 [2+],
        error_code: i16 [0+],
        generation_id: i32 [0+, default -1],
        protocol_type: Option<Str> [7+, nullable 7+, default None],
        protocol_name: Option<Str> [0+, nullable 7+],
        leader: Str [0+],
        skip_assignment: bool [9+],
        member_id: Str [0+],
        members: Vec<JoinGroupResponseMember> [0+],
    }

    /// A member with its metadata for the chosen protocol.
    struct JoinGroupResponseMember {
        member_id: Str [0+],
        group_instance_id: Option<Str> [5+, nullable 5+, default None],
        metadata: Bytes [0+],
    }
}
