//! `ApiVersions` (18): which APIs and versions the broker serves, and which cluster features are final.
//!
//! Versions: 1 adds the throttle time; 3 is flexible and adds the client's software (KIP-511) and features (KIP-584);
//! 4 may list a supported feature whose lowest version is 0 (KAFKA-17011).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// The first request on every connection.
    request ApiVersionsRequest(ApiVersions, ApiVersionsResponse, versions 0-4, flexible 3+) {
        client_software_name: Str [3+],
        client_software_version: Str [3+],
    }

    /// Its header is never flexible.
    response ApiVersionsResponse(ApiVersions, versions 0-4, flexible 3+) {
        error_code: i16 [0+],
        api_keys: Vec<ApiVersion> [0+],
        throttle_time_ms: i32 [1+],
        supported_features: Vec<SupportedFeatureKey> [3+, tag 0],
        finalized_features_epoch: i64 [3+, tag 1, default -1],
        finalized_features: Vec<FinalizedFeatureKey> [3+, tag 2],
        zk_migration_ready: bool [3+, tag 3],
    }

    /// An API with the versions that are served, both ends included.
    struct ApiVersion {
        api_key: i16 [0+],
        min_version: i16 [0+],
        max_version: i16 [0+],
    }

    /// A feature that this broker could have.
    struct SupportedFeatureKey {
        name: Str [3+],
        min_version: i16 [3+],
        max_version: i16 [3+],
    }

    /// A feature that the cluster has.
    struct FinalizedFeatureKey {
        name: Str [3+],
        max_version_level: i16 [3+],
        min_version_level: i16 [3+],
    }
}
