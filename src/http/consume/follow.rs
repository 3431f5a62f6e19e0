//! Live streams: Server-Sent Events and NDJSON. A stream reads when its socket has room, so a slow client costs one
//! chunk of memory; it notices a deleted topic, added partitions and the server's stop.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;

use super::render::{self, Shape};
use super::scan::{Found, Place, Sieve};
use super::{PING, Topic, cursor};
use crate::broker::read::ReadLimits;
use crate::http::App;
use crate::http::error::Problem;
use crate::model::limits::KIB;
use crate::runtime::clock::monotonic;
use crate::runtime::shutdown::Shutdown;

/// Bytes of one chunk of a live stream.
const CHUNK_BYTES: usize = 64 * KIB;
/// Topics with more partitions than this get the id (a cursor of all partitions) with the last event of a chunk only.
const CURSOR_EACH_MAX: usize = 16;
/// What clients wait before they come back after a restart, in milliseconds.
const RETRY_MS: u32 = 1000;

/// The event that only says that the stream stands; NDJSON leaves it out.
const PING_EVENT: &str = "ping";

/// How a live stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Wire {
    /// `text/event-stream`
    Events,
    /// `application/x-ndjson`
    Lines,
}

/// One event: JSON without newlines, and the id to come back with.
pub(in crate::http) struct Line {
    pub(in crate::http) json: Vec<u8>,
    pub(in crate::http) id: Option<String>,
    /// its name, if it is not the source's
    pub(in crate::http) event: Option<&'static str>,
}

/// Where a live stream's events come from.
pub(in crate::http) trait Source: Send + 'static {
    /// The name of its events.
    const EVENT: &'static str;

    /// The next events; waits up to [`PING`] for them, and gives none when none came. Cancel safe.
    fn next(&mut self, app: &App) -> impl Future<Output = Result<Vec<Line>, Problem>> + Send;
}

struct Live<S> {
    app: App,
    source: S,
    wire: Wire,
    shutdown: Shutdown,
    opened: bool,
    ended: bool,
    instance: Instance,
}

/// The id of a stream's request, which is known only when its answer is on its way.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Instance(Arc<OnceLock<String>>);

/// The answer that never ends by itself.
pub(in crate::http) fn stream<S: Source>(app: &App, source: S, wire: Wire) -> Response {
    let shutdown = app.shutdown.clone();
    let instance = Instance::default();
    let named = instance.clone();
    let live = Live { app: app.clone(), source, wire, shutdown, opened: false, ended: false, instance };
    let chunks = unfold(live, |mut live| async move {
        let chunk = live.next().await?;
        Some((Ok::<_, Infallible>(chunk), live))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.extensions_mut().insert(named);
    let kind = match wire {
        Wire::Events => "text/event-stream",
        Wire::Lines => "application/x-ndjson",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Instance {
    /// Gives a stream that is the answer to this request the request's id.
    pub(in crate::http) fn tell(response: &mut Response, id: &str) {
        if let Some(Self(slot)) = response.extensions_mut().remove::<Self>() {
            let _ = slot.set(id.to_owned());
        }
    }

    /// The id, or nothing before it is known.
    pub(in crate::http) fn id(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}

impl<S: Source> Live<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.opened, true) && self.wire == Wire::Events {
            // The first byte goes out at once, so that clients see the stream open.
            return Some(Bytes::from_static(b": open\n\n"));
        }
        loop {
            let found = tokio::select! {
                // A stop wins over records, or a busy topic would never let go.
                biased;
                () = self.shutdown.requested() => {
                    self.ended = true;
                    return match self.wire {
                        Wire::Events => Some(Bytes::from(format!("retry: {RETRY_MS}\n: the server is stopping\n\n"))),
                        Wire::Lines => None,
                    };
                }
                found = self.source.next(&self.app) => found,
            };
            match (found, self.wire) {
                (Ok(lines), Wire::Lines) if lines.iter().all(|line| line.event == Some(PING_EVENT)) => {}
                (Ok(lines), Wire::Events) if lines.is_empty() => {
                    return Some(Bytes::from_static(b"event: ping\ndata: {}\n\n"));
                }
                (Ok(lines), wire) => return Some(write(&lines, S::EVENT, wire)),
                (Err(problem), Wire::Events) => {
                    self.ended = true;
                    let text = String::from_utf8(self.failed(&problem)).unwrap_or_default();
                    return Some(Bytes::from(format!("event: error\ndata: {text}\n\n")));
                }
                (Err(problem), Wire::Lines) => {
                    self.ended = true;
                    let mut text = b"{\"error\":".to_vec();
                    text.extend_from_slice(&self.failed(&problem));
                    text.extend_from_slice(b"}\n");
                    return Some(text.into());
                }
            }
        }
    }
}

impl<S> Live<S> {
    fn failed(&self, problem: &Problem) -> Vec<u8> {
        problem.log(self.instance.id());
        problem.render(self.instance.id())
    }
}

fn write(lines: &[Line], event: &str, wire: Wire) -> Bytes {
    let mut out = Vec::with_capacity(lines.iter().map(|l| l.json.len() + 64).sum());
    for line in lines {
        match wire {
            Wire::Lines => {
                out.extend_from_slice(&line.json);
                out.push(b'\n');
            }
            Wire::Events => {
                if let Some(id) = &line.id {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(id.as_bytes());
                    out.push(b'\n');
                }
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(line.event.unwrap_or(event).as_bytes());
                out.extend_from_slice(b"\ndata: ");
                out.extend_from_slice(&line.json);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
    out.into()
}

/// One partition or all of them, live. The id of an event is the place behind it: an offset, or a cursor.
pub(super) struct LiveSource {
    topic: Topic,
    place: Place,
    sieve: Sieve,
    limits: ReadLimits,
    shape: Shape,
    /// since the stream began
    scanned: u64,
    matched: u64,
}

impl LiveSource {
    /// Refuses at once what could not be read.
    pub(super) async fn open(
        app: &App,
        topic: Topic,
        mut place: Place,
        sieve: Sieve,
        limits: ReadLimits,
        shape: Shape,
    ) -> Result<Self, Problem> {
        let probe = ReadLimits { records: 0, bytes: 0, wait: Duration::ZERO, ..limits };
        place.read(app, &topic, probe).await?;
        place.widen(&topic);
        let limits = chunked(limits);
        Ok(Self { topic, place, sieve, limits, shape, scanned: 0, matched: 0 })
    }

    /// Where a client comes back that has seen all before this place.
    fn id(&self, place: &Place) -> String {
        match place {
            Place::Partition(_, next) => next.to_string(),
            Place::Topic(cursor) => cursor::encode(self.topic.id(), cursor),
        }
    }

    /// The events of the records that passed; the last one says that all that was read is done.
    fn lines(&mut self, passed: &Found, behind: Place) -> Vec<Line> {
        let each = self.topic.logs().len() <= CURSOR_EACH_MAX || matches!(behind, Place::Partition(..));
        let last = passed.len().saturating_sub(1);
        let mut lines = Vec::with_capacity(passed.len());
        for (index, (partition, offset, record)) in passed.iter().enumerate() {
            self.place.step_behind(*partition, *offset);
            let mut json = Vec::with_capacity(record.size() + 96);
            render::record(&mut json, *partition, *offset, record, self.shape);
            let id = match index == last {
                true => Some(self.id(&behind)),
                false => each.then(|| self.id(&self.place)),
            };
            lines.push(Line { json, id, event: None });
        }
        self.place = behind;
        lines
    }
}

impl Source for LiveSource {
    const EVENT: &'static str = "record";

    async fn next(&mut self, app: &App) -> Result<Vec<Line>, Problem> {
        let started = monotonic();
        let mut moved = false;
        loop {
            // A handle made after partitions were added reads these too, from their beginning.
            self.topic = app.same_topic(&self.topic)?;
            self.place.widen(&self.topic);
            let limits = ReadLimits { wait: PING.saturating_sub(started.elapsed()), ..self.limits };
            let (found, behind) = self.place.read(app, &self.topic, limits).await?;
            self.scanned += found.len() as u64;
            moved |= !found.is_empty();
            let passed = self.sieve.pass(found).await?;
            self.matched += passed.len() as u64;
            if !passed.is_empty() {
                return Ok(self.lines(&passed, behind));
            }
            self.place = behind;
            if started.elapsed() >= PING {
                break;
            }
            // A log that is all in memory would else keep its thread to itself.
            tokio::task::yield_now().await;
        }
        if !moved {
            return Ok(Vec::new());
        }
        // Records that were passed over are told with the place behind them, lest a client that comes back begins anew.
        let json = format!("{{\"scanned\":{},\"matched\":{}}}", self.scanned, self.matched).into_bytes();
        Ok(vec![Line { json, id: Some(self.id(&self.place)), event: Some(PING_EVENT) }])
    }
}

/// Live reads wait as long as a ping and hold one small chunk.
fn chunked(limits: ReadLimits) -> ReadLimits {
    ReadLimits { bytes: limits.bytes.min(CHUNK_BYTES), wait: PING, ..limits }
}
