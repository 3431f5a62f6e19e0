//! `IncrementalAlterConfigs` (44): changes single settings of a resource (KIP-339).
//!
//! Versions: 1 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Each resource succeeds or fails by itself.
    request IncrementalAlterConfigsRequest(
        IncrementalAlterConfigs, IncrementalAlterConfigsResponse, versions 0-1, flexible 1+
    ) {
        resources: Vec<AlterConfigsResource> [0+],
        validate_only: bool [0+],
    }

    /// What is not in `configs` stays.
    struct AlterConfigsResource {
        resource_type: i8 [0+],
        resource_name: Str [0+],
        configs: Vec<AlterableConfig> [0+],
    }

    /// Operations: 0 set, 1 delete, 2 append, 3 subtract; the last two for lists.
    struct AlterableConfig {
        name: Str [0+],
        config_operation: i8 [0+],
        value: Option<Str> [0+, nullable 0+],
    }

    /// One result per resource.
    response IncrementalAlterConfigsResponse(IncrementalAlterConfigs, versions 0-1, flexible 1+) {
        throttle_time_ms: i32 [0+],
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }

    /// Whether a resource is changed.
    struct AlterConfigsResourceResponse {
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+],
        resource_type: i8 [0+],
        resource_name: Str [0+],
    }
}
