//! The pages for people: `GET /` with commands to try, and a page for every problem code.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::App;
use super::codes::Code;
use super::error::Problem;
use super::extract::{NoQuery, Path, Query};

#[derive(Debug, Deserialize)]
pub(super) struct ProblemPath {
    code: String,
}

/// Commands to copy, for the address that was asked; what stands in braces in them, and the transform, is the reader's.
const COMMANDS: &str = "\
# a topic with four partitions
curl -X PUT {url}/v1/topics/clicks -d '{\"partitions\": 4}'

# a record: its key decides the partition
curl {url}/v1/topics/clicks/records -d '{\"key\": \"user-42\", \"value\": {\"item\": 7, \"type\": \"click\"}}'

# a bare value, with the key taken from it
curl '{url}/v1/topics/clicks/events?key_path=/user' -d '{\"user\": \"user-42\", \"item\": 8}'

# read everything, then wait for more
curl {url}/v1/topics/clicks/records
curl -N '{url}/v1/topics/clicks/records?follow=true'

# read as a member of a group, which shares the partitions and remembers; then say what has been worked through
curl {url}/v1/groups/reco/pull -d '{\"topics\": [\"clicks\"], \"wait\": \"10s\"}'
curl {url}/v1/groups/reco/pull -d '{\"topics\": [\"clicks\"], \"member\": \"{member}\", \"commit\": \"previous\"}'
curl -N '{url}/v1/groups/reco/stream?topics=clicks&commit=on_deliver'
curl {url}/v1/groups/reco

# your code: upload a component, run it on every record that is produced
curl -T my-transform.wasm {url}/v1/modules/my-transform
curl -X PUT {url}/v1/deployments/clean-clicks \\
  -d '{\"kind\": \"inline\", \"module\": \"my-transform\", \"input\": {\"topics\": [\"clicks\"]}}'
curl {url}/v1/deployments/clean-clicks

# a processor's state
curl {url}/v1/deployments/{deployment}/stores
curl {url}/v1/deployments/{deployment}/stores/{store}/keys/{key}

# how it goes
curl '{url}/readyz?verbose'
curl {url}/metrics
curl {url}/openapi.json
";

/// The page of commands: HTML for browsers, text for everybody else.
pub(super) async fn home(
    State(_): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // The Host header was checked at the gate.
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("127.0.0.1:8080");
    let commands = COMMANDS.replace("{url}", &format!("http://{host}"));
    let version = env!("CARGO_PKG_VERSION");
    if !wants_html(&headers) {
        return Ok(format!("Millstream {version}\n\n{commands}").into_response());
    }
    let body = format!(
        "<h1>Millstream {version}</h1>\n<p>Event streams with the code that works on them. \
         <a href=\"/openapi.json\">openapi.json</a> describes every path. Commands to try:</p>\n<pre>{}</pre>",
        escape(&commands)
    );
    Ok(html("Millstream", &body))
}

/// What a problem code means and what to do about it.
pub(super) async fn problem(
    Path(path): Path<ProblemPath>,
    Query(NoQuery {}): Query<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = Code::find(&path.code.replace('-', "_")).ok_or_else(|| {
        Problem::new(Code::RouteNotFound, format!("there is no problem code `{}`", path.code))
    })?;
    let entry = code.entry();
    let again = if entry.retryable {
        "The same request may succeed later."
    } else {
        "The same request will fail again."
    };
    let kafka =
        entry.kafka.map(|(name, number)| format!("Kafka calls it {name} ({number}).")).unwrap_or_default();
    if !wants_html(&headers) {
        let text = format!(
            "{} ({})\n\n{}. {again} {kafka}\n\nWhat to do: {}.\n",
            entry.name, entry.status, entry.title, entry.cure
        );
        return Ok(text.into_response());
    }
    let body = format!(
        "<h1>{}</h1>\n<p><code>{}</code>, HTTP {}. {again} {kafka}</p>\n<p>What to do: {}.</p>",
        escape(entry.title),
        entry.name,
        entry.status,
        escape(entry.cure)
    );
    Ok(html(entry.title, &body))
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"))
}

fn html(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         pre{{background:#f4f4f4;padding:1rem;overflow:auto}}</style></head>\n<body>{body}</body></html>\n",
        escape(title)
    );
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
