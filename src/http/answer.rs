//! What answers have in common: ETags, headers, times.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// An answer with its revision as ETag.
pub(super) fn with_etag(revision: u64, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    insert(&mut response, header::ETAG, format!("\"{revision}\""));
    response
}

/// Sets a header whose value this server made.
pub(super) fn insert(response: &mut Response, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A time as resources show it.
pub(super) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|t| format!("{t:.3}")).unwrap_or_default()
}
