//! What handlers take: path, query and JSON body, each refused with a problem. axum's own extractors answer in plain
//! text, so none of them is used in a route.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use hyper::body::Body as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::App;
use super::body::{Media, media_of, read_whole, unsupported_media};
use super::codes::Code;
use super::consume::{HEADER_PREFIX, PARAM_PREFIX};
use super::error::Problem;
use super::json_text::{self, NO_LIST};
use super::listener::Peer;
use super::{query, yaml};
use crate::model::limits::DOCUMENT_BYTES_MAX;

/// Path parameters.
pub(super) struct Path<T>(pub(super) T);

/// Query parameters; unknown ones are refused.
pub(super) struct Query<T>(pub(super) T);

/// Query parameters of a read of records, of which some have names that the client makes, such as `header.source`.
pub(super) struct ReadQuery<T> {
    /// those with names of ours
    pub(super) fixed: T,
    /// the others, by their whole names
    pub(super) named: Vec<(String, String)>,
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

/// A JSON body that may be left out.
pub(super) struct OptionalJson<T>(pub(super) T);

/// A document that people write: an object in JSON or YAML.
pub(super) struct Document(pub(super) Map<String, Value>);

/// `Query<NoQuery>`: the path takes no query parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// What `If-Match` and `If-None-Match` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    /// `If-Match: "7"`
    pub(super) revision: Option<u64>,
    /// `If-Match: *`: it has to exist
    pub(super) present: bool,
    /// `If-None-Match: *`: it must not exist
    pub(super) absent: bool,
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(bad_path(rejection)),
        }
    }
}

fn bad_path(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Problem::new(Code::Internal, rejection.body_text());
    };
    let detail = match failed.into_kind() {
        ErrorKind::ParseErrorAtKey { key, value, expected_type } => {
            let expected =
                if expected_type.starts_with(['u', 'i']) { "a whole number" } else { expected_type };
            format!("`{value}` in the path is no {key}: expected {expected}")
        }
        ErrorKind::DeserializeError { key, value, message } => {
            format!("`{value}` in the path is no {key}: {message}")
        }
        ErrorKind::InvalidUtf8InPathParam { key } => format!("the {key} in the path is not UTF-8"),
        other => other.to_string(),
    };
    Problem::new(Code::InvalidPath, detail)
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        query::parse(parts.uri.query()).map(Self).map_err(|detail| Problem::new(Code::InvalidQuery, detail))
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for ReadQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        query::parse_with(parts.uri.query(), &[HEADER_PREFIX, PARAM_PREFIX])
            .map(|(fixed, named)| Self { fixed, named })
            .map_err(|detail| Problem::new(Code::InvalidQuery, detail))
    }
}

impl FromRequestParts<App> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        // A connection that has ended already has no address any more.
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self("".into())))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !matches!(media_of(&parts.headers), Media::Json | Media::Missing) {
            return Err(unsupported_media(&parts.headers, "application/json"));
        }
        let whole = read_whole(body, DOCUMENT_BYTES_MAX, &app.budget).await?;
        read_json(&whole.bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::from_request(request, app).await.map(|Json(body)| Self(body))
    }
}

impl FromRequest<App> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let media = media_of(&parts.headers);
        if !matches!(media, Media::Json | Media::Missing | Media::Yaml) {
            return Err(unsupported_media(&parts.headers, "application/json or application/yaml"));
        }
        let whole = read_whole(body, DOCUMENT_BYTES_MAX, &app.budget).await?;
        if media != Media::Yaml {
            return read_json(&whole.bytes).map(Self);
        }
        match yaml::parse(&whole.bytes).map_err(|detail| Problem::new(Code::MalformedYaml, detail))? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Problem::new(
                Code::InvalidBody,
                "the document is no object: expected `name: value` lines",
            )),
        }
    }
}

/// Reads an object in JSON.
///
/// # Errors
/// `MalformedJson`, or `InvalidBody` with the place that is wrong.
fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    // What a struct derives would take the elements of a list for its members.
    let (pointer, sentence) = if json_text::is_list(text) {
        (String::new(), NO_LIST.to_owned())
    } else {
        match serde_json::from_slice(text) {
            Ok(value) => return Ok(value),
            Err(error) => json_text::wrong_place(text, &error),
        }
    };
    // A parser gives up at the first value of a wrong type: the rest may be no JSON.
    json_text::check(text).map_err(|detail| Problem::new(Code::MalformedJson, detail))?;
    let detail = if pointer.is_empty() { sentence.clone() } else { format!("{pointer}: {sentence}") };
    Err(Problem::new(Code::InvalidBody, detail).at(pointer, sentence))
}

/// A header as text; `None` when it is absent.
///
/// # Errors
/// `InvalidHeader` when it is no ASCII text or stands twice.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Code::InvalidHeader, format!("header `{name}` stands twice")));
    }
    let text = value.to_str();
    text.map(Some)
        .map_err(|_| Problem::new(Code::InvalidHeader, format!("header `{name}` is not ASCII text")))
}

impl Conditions {
    /// For what is there and is to be changed or deleted.
    ///
    /// # Errors
    /// `PreconditionFailed` when it must not be there.
    pub(super) fn of_present(self) -> Result<Self, Problem> {
        if self.absent {
            return Err(Problem::new(Code::PreconditionFailed, "If-None-Match is *, and it exists"));
        }
        Ok(self)
    }
}

/// Reads `If-Match` and `If-None-Match`, which take `*` and, for the former, one ETag as this server gives it.
///
/// # Errors
/// `InvalidHeader`.
pub(super) fn conditions(headers: &HeaderMap) -> Result<Conditions, Problem> {
    let mut conditions = Conditions::default();
    match header_text(headers, &header::IF_MATCH)?.map(str::trim) {
        None => {}
        Some("*") => conditions.present = true,
        Some(tag) => {
            let number = tag.trim_start_matches("W/").trim_matches('"').parse();
            conditions.revision = Some(number.map_err(|_| {
                Problem::new(
                    Code::InvalidHeader,
                    format!("If-Match is `{tag}`, expected an ETag of this server such as \"3\""),
                )
            })?);
        }
    }
    match header_text(headers, &header::IF_NONE_MATCH)?.map(str::trim) {
        None => {}
        Some("*") => conditions.absent = true,
        Some(tag) => {
            let detail = format!("If-None-Match is `{tag}`, expected *");
            return Err(Problem::new(Code::InvalidHeader, detail));
        }
    }
    Ok(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::deployments::Rewind;
    use axum::http::HeaderValue;

    #[test]
    fn a_body_that_is_json_is_not_called_malformed_whatever_is_in_it() {
        let refused = |text: &str| read_json::<Rewind>(text.as_bytes()).unwrap_err();
        for (text, pointer) in [
            (r#"{"to": -1}"#, "/to"),
            (r#"{"to": {}}"#, "/to"),
            (r#"{"to": {"shift_by": -1, "timestamp": 1}}"#, "/to/timestamp"),
            (r#"{"to": {"offsets": {"tt": {"x": 0}}}}"#, "/to/offsets/tt/x"),
            (r#"{"to": {"timestamp": 1e30}}"#, "/to/timestamp"),
            (r#"{"state": 7, "to": "latest"}"#, "/state"),
            (r#"{"state": [], "to": "latest"}"#, "/state"),
            (r#"{"too": "latest"}"#, "/too"),
            ("{}", ""),
            (r#"["earliest"]"#, ""),
            ("7", ""),
        ] {
            let problem = refused(text);
            let rendered: Value = serde_json::from_slice(&problem.render("")).unwrap();
            assert_eq!(problem.code(), Code::InvalidBody, "{text}: {rendered}");
            assert_eq!(rendered["errors"][0]["pointer"], pointer, "{text}: {rendered}");
            assert!(problem.detail().starts_with(pointer), "{text}: {rendered}");
        }
        assert!(refused(r#"{"to": -1}"#).detail().contains("expected earliest, latest, {\"timestamp\": "));
        assert_eq!(refused(r#" ["earliest"]"#).detail(), NO_LIST);
        for text in ["", "{", r#"{"to": -1"#, r#"{"to": "latest"} x"#, "[1", "[1]]", "{\"to\": \"\u{7}\"}"] {
            assert_eq!(refused(text).code(), Code::MalformedJson, "{text}");
        }
        assert!(read_json::<Rewind>(br#" {"to": {"shift_by": -1}} "#).is_ok());
    }

    #[test]
    fn conditions_take_a_revision_or_a_star() {
        let mut headers = HeaderMap::new();
        assert_eq!(conditions(&headers).unwrap(), Conditions::default());
        headers.insert(header::IF_MATCH, HeaderValue::from_static("\"7\""));
        assert_eq!(conditions(&headers).unwrap().revision, Some(7));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(conditions(&headers).unwrap().absent);
        let refused = conditions(&headers).unwrap().of_present().unwrap_err();
        assert_eq!(refused.code(), Code::PreconditionFailed);
        headers.insert(header::IF_MATCH, HeaderValue::from_static("abc"));
        assert_eq!(conditions(&headers).unwrap_err().code(), Code::InvalidHeader);
    }
}
