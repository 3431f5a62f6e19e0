//! Reads of processors' state: stores, one key, many keys, scans, and what their code makes of it. All read what is
//! committed, and can wait until the processor has passed a record (`after=`).

pub(super) mod query;
mod shapes;
mod watch;

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use self::shapes::{
    BinaryKeyQuery, DeploymentPath, Entries, KeyPath, KeyQuery, Keys, ManyQuery, ScanQuery, StorePath,
};
pub(super) use self::watch::Watchers;
use super::App;
use super::answer::insert;
use super::codes::Code;
use super::consume::render;
use super::consume::{Answer, bounded, respond};
use super::error::Problem;
use super::extract::{Json, NoQuery, Path, Query};
use super::openapi::{Behind, Conflict, Missing, NotAcceptable, Unprocessable};
use super::page::{Page, read_token, token_of};
use super::position::{After, Wait};
use super::produce::Format;
use crate::model::limits::{SCAN_ENTRIES_MAX, STATE_KEY_MAX};
use crate::model::module::Digest;
use crate::model::{Offset, Partition, TopicName};
use crate::pipelines::{ScanPage, StateAt, StateScan, StoreView};

/// Keys of one multi-get.
const KEYS_MAX: usize = 100;
/// Entries of a page unless asked otherwise.
const ENTRIES_DEFAULT: usize = 100;
/// How long `after=` waits unless `wait=` says otherwise.
const AFTER_WAIT: Duration = Duration::from_secs(5);

static STATE_POSITION: HeaderName = HeaderName::from_static("x-state-position");

/// List stores
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/stores", tag = "state", params(DeploymentPath),
    responses((status = 200, description = "stores in name order", body = Page<StoreView>), Missing, Conflict),
)]
pub(super) async fn stores(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<Page<StoreView>>, Problem> {
    let items = app.pipelines.stores(&path.deployment).await?;
    Ok(axum::Json(Page { items, next_page_token: None }))
}

/// Read a key
///
/// The body is the value itself. `X-State-Position` says how far the processor had come. With `Accept: text/event-stream` the
/// key is watched: an event `value` with what it is now, and another with what it is after every committed change, each with
/// its position as the id. Changes that follow within 50 ms are told together, the last one always.
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/stores/{store}/keys/{key}", tag = "state", params(KeyPath, KeyQuery),
    responses(
        (status = 200, description = "the value", content(
            (serde_json::Value = "application/json"), (String = "text/plain"), (Vec<u8> = "application/octet-stream"),
            (String = "text/event-stream"))),
        (status = 304, description = "it still has the ETag of If-None-Match"),
        Missing, Conflict, NotAcceptable, Unprocessable, Behind,
    ),
)]
pub(super) async fn key(
    State(app): State<App>,
    Path(path): Path<KeyPath>,
    Query(query): Query<KeyQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = at(query.partition, query.after, query.wait);
    let key = Bytes::from(path.key);
    if watch::is_wanted(&headers) {
        return watch::watch(&app, &path.deployment, &path.store, key, query.format, at, &headers).await;
    }
    read_key(&app, &path.deployment, &path.store, key, query.format, at, &headers).await
}

/// Read a binary key
///
/// Like reading a key, for keys that are not UTF-8.
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/stores/{store}/keys", tag = "state", params(StorePath, BinaryKeyQuery),
    responses(
        (status = 200, description = "the value", content(
            (serde_json::Value = "application/json"), (String = "text/plain"), (Vec<u8> = "application/octet-stream"),
            (String = "text/event-stream"))),
        (status = 304, description = "it still has the ETag of If-None-Match"),
        Missing, Conflict, NotAcceptable, Unprocessable, Behind,
    ),
)]
pub(super) async fn binary_key(
    State(app): State<App>,
    Path(path): Path<StorePath>,
    Query(query): Query<BinaryKeyQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = at(query.partition, query.after, query.wait);
    let text = query.key_base64.as_deref().ok_or_else(|| {
        Problem::new(
            Code::InvalidQuery,
            "query parameter `key_base64` is missing; a text key goes into the path",
        )
    })?;
    let key = decode_key(text).ok_or_else(|| {
        Problem::new(Code::InvalidQuery, format!("query parameter `key_base64` is `{text}`: expected base64"))
    })?;
    if watch::is_wanted(&headers) {
        return watch::watch(&app, &path.deployment, &path.store, key, query.format, at, &headers).await;
    }
    read_key(&app, &path.deployment, &path.store, key, query.format, at, &headers).await
}

/// Read many keys
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/stores/{store}/get", tag = "state", params(StorePath, ManyQuery),
    request_body = Keys,
    responses((status = 200, description = "one entry per key, in order", body = Entries), Missing, Conflict, Unprocessable, Behind),
)]
pub(super) async fn many(
    State(app): State<App>,
    Path(path): Path<StorePath>,
    Query(query): Query<ManyQuery>,
    Json(body): Json<Keys>,
) -> Result<Response, Problem> {
    let count = body.keys.len() + body.keys_base64.len();
    if !(1..=KEYS_MAX).contains(&count) {
        let detail = format!("{count} keys, expected 1 to {KEYS_MAX}");
        return Err(Problem::new(Code::InvalidBody, detail.clone()).at("/keys", detail));
    }
    let mut keys: Vec<Bytes> = body.keys.into_iter().map(Bytes::from).collect();
    for (index, text) in body.keys_base64.iter().enumerate() {
        let key = decode_key(text).ok_or_else(|| {
            let pointer = format!("/keys_base64/{index}");
            Problem::new(Code::InvalidBody, format!("{pointer}: is not base64")).at(pointer, "is not base64")
        })?;
        keys.push(key);
    }
    for key in &keys {
        check_key(key)?;
    }
    let at = at(query.partition, query.after, query.wait);
    let read = app.pipelines.state_get(&path.deployment, &path.store, keys.clone(), at);
    let read = app.until_stopping(read).await.ok_or_else(stopping)??;
    let mut out = b"{\"items\":[".to_vec();
    for (index, (key, value)) in keys.iter().zip(&read.values).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(if value.is_some() { b"{\"found\":true" } else { b"{\"found\":false" });
        write_key(&mut out, key);
        if let Some(value) = value {
            render::value(&mut out, Some(value), query.format);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let mut response = respond(&app, out, Answer::Page)?;
    put_position(&mut response, &read.position);
    Ok(response)
}

/// Scan a store
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/stores/{store}/entries", tag = "state", params(StorePath, ScanQuery),
    responses((status = 200, description = "entries in key order", body = Entries), Missing, Conflict, Unprocessable, Behind),
)]
pub(super) async fn entries(
    State(app): State<App>,
    Path(path): Path<StorePath>,
    Query(query): Query<ScanQuery>,
) -> Result<Response, Problem> {
    let scan = StateScan {
        prefix: query.prefix.into(),
        from: query.from.map(Bytes::from),
        to: query.to.map(Bytes::from),
        reverse: query.reverse,
        limit: bounded("limit", query.limit, ENTRIES_DEFAULT, SCAN_ENTRIES_MAX)?,
        after: query.page_token.as_deref().map(read_token).transpose()?.map(Bytes::from),
    };
    let at = at(query.partition, query.after, query.wait);
    let page = app.pipelines.state_scan(&path.deployment, &path.store, scan, at);
    let page: ScanPage = app.until_stopping(page).await.ok_or_else(stopping)??;
    let mut out = b"{\"items\":[".to_vec();
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"partition\":{}", entry.partition).as_bytes());
        write_key(&mut out, &entry.key);
        render::value(&mut out, Some(&entry.value), query.format);
        out.push(b'}');
    }
    out.push(b']');
    if let Some(next) = &page.next {
        out.extend_from_slice(format!(",\"next_page_token\":\"{}\"", token_of(next)).as_bytes());
    }
    out.push(b'}');
    let mut response = respond(&app, out, Answer::Page)?;
    put_position(&mut response, &page.position);
    Ok(response)
}

fn at(partition: Option<Partition>, after: Option<After>, wait: Option<Wait>) -> StateAt {
    StateAt {
        partition,
        after: after.map(|After(topic, partition, offset)| (topic, partition, offset)),
        wait: wait.map_or(AFTER_WAIT, |w| w.0),
    }
}

/// What a read gets that still waits for a position when the server stops.
fn stopping() -> Problem {
    Problem::new(Code::Draining, "the server is stopping")
}

fn check_key(key: &[u8]) -> Result<(), Problem> {
    if (1..=STATE_KEY_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(Problem::new(
        Code::InvalidPath,
        format!("a state key of {} bytes, expected 1 to {STATE_KEY_MAX}", key.len()),
    ))
}

fn decode_key(text: &str) -> Option<Bytes> {
    // A `+` in a query reads as a space unless it was escaped; base64 has no spaces, so it can only have been one.
    let text = text.replace([' ', '-'], "+").replace('_', "/");
    let padded = format!(
        "{}{}",
        text.trim_end_matches('='),
        "===".get(..(4 - text.trim_end_matches('=').len() % 4) % 4)?
    );
    STANDARD.decode(padded).ok().map(Bytes::from)
}

async fn read_key(
    app: &App,
    deployment: &str,
    store: &str,
    key: Bytes,
    format: Option<Format>,
    at: StateAt,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    check_key(&key)?;
    let read = app.pipelines.state_get(deployment, store, vec![key.clone()], at);
    let mut read = app.until_stopping(read).await.ok_or_else(stopping)??;
    let Some(value) = read.values.pop().flatten() else {
        let shown = String::from_utf8_lossy(&key);
        return Err(Problem::new(
            Code::KeyNotFound,
            format!("store `{store}` of deployment `{deployment}` has no key `{shown}`"),
        ));
    };
    let tag = format!("\"{}\"", &Digest::of(&value).hex()[..16]);
    let (kind, body) = typed(value, format)?;
    let unchanged = headers.get_all(header::IF_NONE_MATCH).iter().any(|v| v.as_bytes() == tag.as_bytes());
    let share = app.budget.take(body.len())?;
    let mut response = Response::new(Body::new(super::body::Held::new(body, share)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if unchanged {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    insert(&mut response, header::ETAG, tag);
    put_position(&mut response, &read.position);
    Ok(response)
}

/// The value's media type and bytes. Without a format it is looked at; with one that it does not fit, refused.
fn typed(value: Bytes, format: Option<Format>) -> Result<(&'static str, Bytes), Problem> {
    let refuse = |what: &str| {
        let detail = format!("the value is not {what}; read it without format=, or with format=base64");
        Err(Problem::new(Code::NotAcceptable, detail))
    };
    let is_json = || serde_json::from_slice::<&RawValue>(&value).is_ok();
    let is_text = || std::str::from_utf8(&value).is_ok();
    Ok(match format {
        Some(Format::Base64) => ("text/plain; charset=utf-8", Bytes::from(STANDARD.encode(&value))),
        Some(Format::Json) if !is_json() => return refuse("JSON"),
        Some(Format::Text) if !is_text() => return refuse("UTF-8"),
        Some(Format::Json) => ("application/json", value),
        Some(Format::Text) => ("text/plain; charset=utf-8", value),
        None if is_json() => ("application/json", value),
        None if is_text() => ("text/plain; charset=utf-8", value),
        None => ("application/octet-stream", value),
    })
}

fn write_key(out: &mut Vec<u8>, key: &[u8]) {
    match std::str::from_utf8(key) {
        Ok(text) => {
            out.extend_from_slice(b",\"key\":");
            render::string(out, text);
        }
        Err(_) => render::base64_member(out, "key_base64", key),
    }
}

/// `topic:partition:offset` of every input read; the offset is that of the next record.
fn put_position(response: &mut Response, position: &[(TopicName, Partition, Offset)]) {
    insert(response, STATE_POSITION.clone(), position_text(position));
}

fn position_text(position: &[(TopicName, Partition, Offset)]) -> String {
    let mut text = String::new();
    for (topic, partition, offset) in position {
        let part = format!("{topic}:{partition}:{offset}");
        // A header is no place for a thousand partitions.
        if text.len() + part.len() > 4096 {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_either_base64_with_or_without_padding() {
        for text in ["+/8=", "-_8=", "-_8", " /8"] {
            assert_eq!(decode_key(text).as_deref(), Some(&[0xfb, 0xff][..]), "{text}");
        }
        assert_eq!(decode_key("?"), None);
    }

    #[test]
    fn a_value_says_what_it_is() {
        let typed = |bytes: &'static [u8], format| typed(Bytes::from_static(bytes), format).map(|t| t.0);
        assert_eq!(typed(b"{\"a\":1}", None).unwrap(), "application/json");
        assert_eq!(typed(b"hello", None).unwrap(), "text/plain; charset=utf-8");
        assert_eq!(typed(&[255], None).unwrap(), "application/octet-stream");
        assert_eq!(typed(b"hello", Some(Format::Json)).unwrap_err().code(), Code::NotAcceptable);
    }
}
