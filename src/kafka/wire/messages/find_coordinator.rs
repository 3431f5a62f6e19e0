//! `FindCoordinator` (10): the broker that coordinates a group or a transactional id.
//!
//! Versions: 1 adds the kind of key (0 group, 1 transaction) and the throttle time; 3 is flexible; 4 asks for many
//! keys at once (KIP-699); 5 knows `TRANSACTION_ABORTABLE` (KIP-890); 6 share groups, kind 2 (KIP-932).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// One `key` up to version 3, `coordinator_keys` from 4 on.
    request FindCoordinatorRequest(FindCoordinator, FindCoordinatorResponse, versions 0-6, flexible 3+) {
        key: Str [0-3],
        key_type: i8 [1+],
        coordinator_keys: Vec<Str> [4+],
    }

    /// One coordinator in the fields of the response up to version 3, a list from 4 on.
    response FindCoordinatorResponse(FindCoordinator, versions 0-6, flexible 3+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [0-3],
        error_message: Option<Str> [1-3, nullable 1-3],
        node_id: i32 [0-3],
        host: Str [0-3],
        port: i32 [0-3],
        coordinators: Vec<Coordinator> [4+],
    }

    /// The coordinator of one key.
    struct Coordinator {
        key: Str [4+],
        node_id: i32 [4+],
        host: Str [4+],
        port: i32 [4+],
        error_code: i16 [4+],
        error_message: Option<Str> [4+, nullable 4+],
    }
}
