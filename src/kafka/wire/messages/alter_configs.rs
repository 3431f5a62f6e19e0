//! `AlterConfigs` (33): replaces all settings of a resource. Deprecated for
//! [`incremental_alter_configs`](super::incremental_alter_configs), and still what many clients send.
//!
//! Versions: 2 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Each resource succeeds or fails by itself.
    request AlterConfigsRequest(AlterConfigs, AlterConfigsResponse, versions 0-2, flexible 2+) {
        resources: Vec<AlterConfigsResource> [0+],
        validate_only: bool [0+],
    }

    /// What is not in `configs` goes back to its default.
    struct AlterConfigsResource {
        resource_type: i8 [0+],
        resource_name: Str [0+],
        configs: Vec<AlterableConfig> [0+],
    }

    /// A setting; null: the default.
    struct AlterableConfig {
        name: Str [0+],
        value: Option<Str> [0+, nullable 0+],
    }

    /// One result per resource.
    response AlterConfigsResponse(AlterConfigs, versions 0-2, flexible 2+) {
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
