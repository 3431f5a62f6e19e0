//! What kind of answer a reader asks for.

use axum::http::{HeaderMap, HeaderValue, header};

use super::follow::Wire;
use crate::http::codes::Code;
use crate::http::error::Problem;

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Answer {
    /// one page as JSON
    Page,
    /// one page as NDJSON
    Lines,
    /// a live stream
    Live(Wire),
    /// one page as a batch of CloudEvents; reads of records only
    CloudEvents,
}

/// As [`answer`], for reads of records, which can be CloudEvents as well.
pub(super) fn of_records(headers: &HeaderMap, follow: bool) -> Result<Answer, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split([',', ';']).next().unwrap_or_default().trim();
    if !follow && first.eq_ignore_ascii_case("application/cloudevents-batch+json") {
        return Ok(Answer::CloudEvents);
    }
    answer(headers, follow)
}

/// What kind of answer the `Accept` header and `follow` ask for.
pub(in crate::http) fn answer(headers: &HeaderMap, follow: bool) -> Result<Answer, Problem> {
    let accept = headers.get(header::ACCEPT).map_or(Ok("*/*"), HeaderValue::to_str);
    let accept =
        accept.map_err(|_| Problem::new(Code::InvalidHeader, "header `accept` is not ASCII text"))?;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        if parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0f32))) {
            continue;
        }
        match (kind.as_str(), follow) {
            ("text/event-stream", _) => return Ok(Answer::Live(Wire::Events)),
            ("application/x-ndjson" | "application/jsonl" | "application/ndjson", false) => {
                return Ok(Answer::Lines);
            }
            (
                "application/x-ndjson"
                | "application/jsonl"
                | "application/ndjson"
                | "*/*"
                | "application/*"
                | "",
                true,
            ) => {
                return Ok(Answer::Live(Wire::Lines));
            }
            ("application/json" | "*/*" | "application/*" | "", false) => return Ok(Answer::Page),
            _ => {}
        }
    }
    let wanted = if follow { "follow=true gives" } else { "this path gives" };
    Err(Problem::new(
        Code::NotAcceptable,
        format!(
            "Accept is `{accept}`, {wanted} {}application/x-ndjson or text/event-stream",
            if follow { "" } else { "application/json, " }
        ),
    ))
}
