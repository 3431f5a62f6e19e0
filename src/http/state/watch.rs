//! A key of a store, live: its value first, then every change that is committed.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{check_key, position_text, render, write_key};
use crate::http::App;
use crate::http::codes::Code;
use crate::http::consume::{self, Line, PING, Source, Wire, last_event_id};
use crate::http::error::Problem;
use crate::http::produce::Format;
use crate::model::limits::WATCHERS_MAX;
use crate::pipelines::{KeyWatch, StateAt};
use crate::runtime::clock::monotonic;

/// Between two reads of a watched key: a task commits up to some thousand times a second, and people and caches want the
/// newest value (a guess).
const BETWEEN_READS: Duration = Duration::from_millis(50);

/// Room for watchers of this server; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::http) struct Watchers(Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WATCHERS_MAX)))
    }
}

/// Does the request want to watch?
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = |range: &str| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    accept.split(',').any(|range| essence(range) == "text/event-stream")
}

/// Watches a key.
pub(super) async fn watch(
    app: &App,
    deployment: &str,
    store: &str,
    key: Bytes,
    format: Option<Format>,
    at: StateAt,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    check_key(&key)?;
    let permit = app.watchers.0.clone().try_acquire_owned().map_err(|_| {
        Problem::new(Code::Overloaded, format!("{WATCHERS_MAX} keys are being watched, which is the most"))
    })?;
    let seen = last_event_id(headers)?.map(str::to_owned);
    let begun = app.pipelines.watch_key(deployment, store, key.clone(), at);
    let watch = app.until_stopping(begun).await.ok_or_else(super::stopping)??;
    let format = format.unwrap_or_default();
    let source = KeySource { watch, key, format, seen, shown: None, is_due: true, _permit: permit };
    Ok(consume::stream(app, source, Wire::Events))
}

struct KeySource {
    watch: KeyWatch,
    key: Bytes,
    format: Format,
    /// where a client that comes back has been: what it has seen there is not told again
    seen: Option<String>,
    /// the value that was told last; `None`: none yet
    shown: Option<Option<Bytes>>,
    /// there may be something to read
    is_due: bool,
    _permit: OwnedSemaphorePermit,
}

impl Source for KeySource {
    const EVENT: &'static str = "value";

    async fn next(&mut self, _: &App) -> Result<Vec<Line>, Problem> {
        let started = monotonic();
        loop {
            if !self.is_due {
                let left = PING.saturating_sub(started.elapsed());
                if tokio::time::timeout(left, self.watch.changed()).await.is_err() {
                    return Ok(Vec::new());
                }
                self.is_due = true;
                // Commits that follow at once are told together.
                tokio::time::sleep(BETWEEN_READS).await;
            }
            let mut read = self.watch.read().await?;
            self.is_due = false;
            let value = read.values.pop().flatten();
            let position = position_text(&read.position);
            let is_seen = self.seen.take().is_some_and(|seen| seen == position);
            if is_seen || self.shown.as_ref() == Some(&value) {
                self.shown = Some(value);
                continue;
            }
            let line = self.line(value.as_ref(), position);
            self.shown = Some(value);
            return Ok(vec![line]);
        }
    }
}

impl KeySource {
    fn line(&self, value: Option<&Bytes>, position: String) -> Line {
        let found: &[u8] = if value.is_some() { b"{\"found\":true" } else { b"{\"found\":false" };
        let mut json = found.to_vec();
        write_key(&mut json, &self.key);
        if let Some(value) = value {
            render::value(&mut json, Some(value), self.format);
        }
        json.extend_from_slice(b",\"position\":");
        render::string(&mut json, &position);
        json.push(b'}');
        Line { json, id: Some(position), event: None }
    }
}
