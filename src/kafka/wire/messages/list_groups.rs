//! `ListGroups` (16): the groups of a coordinator.
//!
//! Versions: 1 adds the throttle time; 3 is flexible; 4 adds states and a filter for them (KIP-518); 5 types likewise
//! (KIP-848).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// An empty filter lets all through.
    request ListGroupsRequest(ListGroups, ListGroupsResponse, versions 0-5, flexible 3+) {
        states_filter: Vec<Str> [4+],
        types_filter: Vec<Str> [5+],
    }

    /// Groups of all kinds.
    response ListGroupsResponse(ListGroups, versions 0-5, flexible 3+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [0+],
        groups: Vec<ListedGroup> [0+],
    }

    /// A group in short.
    struct ListedGroup {
        group_id: Str [0+],
        protocol_type: Str [0+],
        group_state: Str [4+],
        group_type: Str [5+],
    }
}
