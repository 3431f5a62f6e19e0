//! `DeleteGroups` (42): empty groups with their offsets (KIP-229).
//!
//! Versions: 2 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Groups by id.
    request DeleteGroupsRequest(DeleteGroups, DeleteGroupsResponse, versions 0-2, flexible 2+) {
        groups_names: Vec<Str> [0+],
    }

    /// One result per group.
    response DeleteGroupsResponse(DeleteGroups, versions 0-2, flexible 2+) {
        throttle_time_ms: i32 [0+],
        results: Vec<DeletableGroupResult> [0+],
    }

    /// Whether a group is deleted.
    struct DeletableGroupResult {
        group_id: Str [0+],
        error_code: i16 [0+],
    }
}
