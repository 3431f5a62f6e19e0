//! `DescribeConfigs` (32): settings of topics, brokers and groups, with where each value comes from.
//!
//! Versions: 1 is the oldest still served, and has sources and synonyms (KIP-226); 3 adds types and documentation
//! (KIP-569); 4 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Resource types: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    request DescribeConfigsRequest(DescribeConfigs, DescribeConfigsResponse, versions 1-4, flexible 4+) {
        resources: Vec<DescribeConfigsResource> [1+],
        include_synonyms: bool [1+],
        include_documentation: bool [3+],
    }

    /// `configuration_keys` null: all.
    struct DescribeConfigsResource {
        resource_type: i8 [1+],
        resource_name: Str [1+],
        configuration_keys: Option<Vec<Str>> [1+, nullable 1+],
    }

    /// One result per resource.
    response DescribeConfigsResponse(DescribeConfigs, versions 1-4, flexible 4+) {
        throttle_time_ms: i32 [1+],
        results: Vec<DescribeConfigsResult> [1+],
    }

    /// The settings of one resource.
    struct DescribeConfigsResult {
        error_code: i16 [1+],
        error_message: Option<Str> [1+, nullable 1+],
        resource_type: i8 [1+],
        resource_name: Str [1+],
        configs: Vec<DescribeConfigsResourceResult> [1+],
    }

    /// A setting. Sources: 1 topic, 2 dynamic broker, 4 static broker, 5 default.
    struct DescribeConfigsResourceResult {
        name: Str [1+],
        value: Option<Str> [1+, nullable 1+],
        read_only: bool [1+],
        config_source: i8 [1+, default -1],
        is_sensitive: bool [1+],
        synonyms: Vec<DescribeConfigsSynonym> [1+],
        config_type: i8 [3+],
        documentation: Option<Str> [3+, nullable 3+],
    }

    /// Another setting that would give the value, in the order in which they count.
    struct DescribeConfigsSynonym {
        name: Str [1+],
        value: Option<Str> [1+, nullable 1+],
        source: i8 [1+],
    }
}
