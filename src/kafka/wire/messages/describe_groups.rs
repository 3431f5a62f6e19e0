//! `DescribeGroups` (15): classic groups and their members.
//!
//! Versions: 1 adds the throttle time; 3 authorized operations (KIP-430); 4 static members (KIP-345); 5 is flexible;
//! 6 says with `GROUP_ID_NOT_FOUND` that a group does not exist (KIP-1043).

use bytes::Bytes;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Groups by id.
    request DescribeGroupsRequest(DescribeGroups, DescribeGroupsResponse, versions 0-6, flexible 5+) {
        groups: Vec<Str> [0+],
        include_authorized_operations: bool [3+],
    }

    /// One result per group.
    response DescribeGroupsResponse(DescribeGroups, versions 0-6, flexible 5+) {
        throttle_time_ms: i32 [1+],
        groups: Vec<DescribedGroup> [0+],
    }

    /// `protocol_data` is the name of the chosen protocol. A dead group has no members.
    struct DescribedGroup {
        error_code: i16 [0+],
        error_message: Option<Str> [6+, nullable 6+, default None],
        group_id: Str [0+],
        group_state: Str [0+],
        protocol_type: Str [0+],
        protocol_data: Str [0+],
        members: Vec<DescribedGroupMember> [0+],
        authorized_operations: i32 [3+, default -2147483648],
    }

    /// Metadata and assignment are opaque, and there only in the state `Stable`.
    struct DescribedGroupMember {
        member_id: Str [0+],
        group_instance_id: Option<Str> [4+, nullable 4+, default None],
        client_id: Str [0+],
        client_host: Str [0+],
        member_metadata: Bytes [0+],
        member_assignment: Bytes [0+],
    }
}
