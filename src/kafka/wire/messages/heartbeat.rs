//! `Heartbeat` (12): a member is alive, and learns when the group rebalances.
//!
//! Versions: 1 adds the throttle time; 3 static members (KIP-345); 4 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// From a member in a generation.
    request HeartbeatRequest(Heartbeat, HeartbeatResponse, versions 0-4, flexible 4+) {
        group_id: Str [0+],
        generation_id: i32 [0+],
        member_id: Str [0+],
        group_instance_id: Option<Str> [3+, nullable 3+, default None],
    }

    /// `REBALANCE_IN_PROGRESS` calls the member to join again.
    response HeartbeatResponse(Heartbeat, versions 0-4, flexible 4+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [0+],
    }
}
