//! Problems: what every refused request is answered with (RFC 9457). Handlers return a [`Problem`]; the gate adds the
//! request id, writes the document, and logs those that are the server's own fault.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::codes::Code;

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What a handler says no with.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    effects_unknown: bool,
}

/// One place that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// JSON Pointer into the body
    #[schema(example = "/records/3/partition")]
    pub(super) pointer: String,
    /// what was found and what is expected
    pub(super) detail: String,
}

/// A problem document (RFC 9457). Some codes add members of their own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// path of a page about this kind of problem
    #[serde(rename = "type")]
    kind: String,
    /// the same for every occurrence
    title: &'static str,
    /// the HTTP status
    status: u16,
    /// what happened
    detail: &'a str,
    /// the request's id, as in `X-Request-Id`
    instance: &'a str,
    /// stable; what programs look at
    #[schema(schema_with = super::openapi::code_schema)]
    code: &'static str,
    /// Kafka's name for the same thing
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_error: Option<&'static str>,
    /// its number
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_error_code: Option<i16>,
    /// may the same request succeed later?
    retryable: bool,
    /// `none`: nothing changed; `unknown`: it may have
    side_effects: &'static str,
    /// places that are wrong
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// what to do
    hint: &'a str,
    #[serde(flatten)]
    #[schema(ignore)]
    members: &'a Map<String, Value>,
}

// === impl Problem ===

impl Problem {
    /// A problem; `detail` is a sentence about this occurrence.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            effects_unknown: false,
        }))
    }

    /// A problem whose detail is the error with its sources.
    pub(super) fn caused(code: Code, error: &dyn std::error::Error) -> Self {
        Self::new(code, crate::telemetry::chain(error))
    }

    /// Goes on with the sentence.
    pub(super) fn and(mut self, more: &str) -> Self {
        self.0.detail.push_str(more);
        self
    }

    /// Adds a place that is wrong.
    pub(super) fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds places that are wrong.
    pub(super) fn errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    /// Adds a member of this code's own.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// The change may or may not have happened.
    pub(super) fn effects_unknown(mut self) -> Self {
        self.0.effects_unknown = true;
        self
    }

    /// Its kind.
    pub(super) fn code(&self) -> Code {
        self.0.code
    }

    /// What happened.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The document as JSON.
    pub(super) fn render(&self, instance: &str) -> Vec<u8> {
        let entry = self.0.code.entry();
        let document = Document {
            kind: self.0.code.page(),
            title: entry.title,
            status: entry.status.as_u16(),
            detail: &self.0.detail,
            instance,
            code: entry.name,
            kafka_error: entry.kafka.map(|k| k.0),
            kafka_error_code: entry.kafka.map(|k| k.1),
            retryable: entry.retryable,
            side_effects: if self.0.effects_unknown { "unknown" } else { "none" },
            errors: &self.0.errors,
            hint: entry.cure,
            members: &self.0.members,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The answer of a handler that ends here. Its body is written by [`Problem::finish`], which knows the request id.
    fn unfinished(self) -> Response {
        let entry = self.0.code.entry();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = entry.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Every answer that asks for patience says how much; a second is a few commits.
        if entry.status == axum::http::StatusCode::SERVICE_UNAVAILABLE
            || self.0.code == Code::IdempotencyInFlight
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }

    /// Tells the operator of what is the server's fault.
    pub(super) fn log(&self, instance: &str) {
        if self.0.code.entry().status.is_server_error() {
            let (code, detail) = (self.0.code.entry().name, self.detail());
            match self.0.code {
                Code::Internal | Code::StorageFailed | Code::OutcomeUnknown => {
                    tracing::error!(request = instance, code, detail, "request failed");
                }
                _ => tracing::debug!(request = instance, code, detail, "request refused"),
            }
        }
    }

    /// Writes the body of a problem that a handler answered with; leaves other answers alone.
    pub(super) fn finish(response: &mut Response, instance: &str) {
        let Some(problem) = response.extensions_mut().remove::<Self>() else { return };
        problem.log(instance);
        // The router has counted the empty body.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(problem.render(instance));
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.unfinished()
    }
}
