//! `ListConfigResources` (74): the resources that have settings. It was `ListClientMetricsResources` in version 0.
//!
//! Versions: 1 lists all types, by type (KIP-1142).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Types as in [`describe_configs`](super::describe_configs); none: all.
    request ListConfigResourcesRequest(
        ListConfigResources, ListConfigResourcesResponse, versions 0-1, flexible 0+
    ) {
        resource_types: Vec<i8> [1+],
    }

    /// In version 0 client metrics only.
    response ListConfigResourcesResponse(ListConfigResources, versions 0-1, flexible 0+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        config_resources: Vec<ConfigResource> [0+],
    }

    /// A resource.
    struct ConfigResource {
        resource_name: Str [0+],
        resource_type: i8 [1+, default 16],
    }
}
