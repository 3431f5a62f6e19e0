//! `ApiVersions` (18): the first request of every connection.
//!
//! Versions: 0-4.
//!
//! Behaviour: answers the table of `dispatch` and the features of `versions`, nothing else. A version that is not known is
//! answered in version 0 with UNSUPPORTED_VERSION and the whole table, upon which clients ask again (KIP-511). Names of
//! client software that break Kafka's rule are INVALID_REQUEST.
//!
//! What each version added: 1 throttle time; 2 throttling after the answer; 3 the client's software, features, and is
//! flexible (KIP-511, KIP-584); 4 features whose lowest level is 0 (KIP-1022), which older clients cannot read.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::versions;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

/// The level from which on features may begin at 0.
const ZERO_FEATURES_FROM: i16 = 4;

pub(in crate::kafka) async fn handle(
    _door: &Door,
    ctx: &RequestContext,
    request: ApiVersionsRequest,
) -> Result<ApiVersionsResponse, Close> {
    let names = [&request.client_software_name, &request.client_software_version];
    if ctx.version >= 3 && !names.into_iter().all(|name| is_software_name(name)) {
        let error_code = ErrorCode::InvalidRequest.code();
        return Ok(ApiVersionsResponse { error_code, ..ApiVersionsResponse::default() });
    }
    tracing::debug!(client = %ctx.client(), name = %names[0], version = %names[1], "a Kafka client introduced itself");
    let features = || versions::FEATURES.iter().filter(|f| f.first > 0 || ctx.version >= ZERO_FEATURES_FROM);
    Ok(ApiVersionsResponse {
        api_keys: api_keys(),
        supported_features: features()
            .map(|f| SupportedFeatureKey {
                name: Str::from_static(f.name),
                min_version: f.first,
                max_version: f.last,
            })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: versions::FEATURES
            .iter()
            .map(|f| FinalizedFeatureKey {
                name: Str::from_static(f.name),
                max_version_level: f.level,
                min_version_level: f.level,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    })
}

/// For a client that asked in a version that is not known; to be written in version 0.
pub(in crate::kafka) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: api_keys(),
        ..ApiVersionsResponse::default()
    }
}

fn api_keys() -> Vec<ApiVersion> {
    versions::advertised()
        .map(|(api, versions)| ApiVersion {
            api_key: api.key(),
            min_version: versions.first,
            max_version: versions.last,
        })
        .collect()
}

/// Kafka's rule: letters, digits, dots and hyphens, the first and the last a letter or a digit.
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|b| b.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_software_follow_kafkas_rule() {
        for good in ["librdkafka", "2.12.1", "apache-kafka-java", "a"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }

    #[test]
    fn who_asks_in_an_unknown_version_gets_the_whole_table() {
        let response = unsupported();
        assert_eq!(response.error_code, 35);
        let own = response.api_keys.iter().find(|api| api.api_key == 18).unwrap();
        assert_eq!((own.min_version, own.max_version), (0, 4));
    }
}
