//! Producing a stream of lines with an answer to each: the answers leave in the order of the lines while the body is still
//! arriving. Memory is bounded by two chunks and their answers; a client that takes no answers is read no further.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;

use super::lines::{Line, Lines};
use super::reply;
use super::stream::{BadLine, CHUNK_STEP, Room, index_of};
use crate::broker::{Broker, ProduceError, Produced, Records, TopicHandle};
use crate::http::App;
use crate::http::body::Pieces;
use crate::http::codes::Code;
use crate::http::consume::Instance;
use crate::http::error::Problem;
use crate::model::limits::LINE_BYTES_MAX;

/// Lines of a chunk: an answer to a line takes up to twenty times the bytes of the shortest line, so bytes alone are no
/// bound. 4096 lines of a hundred bytes are 400 KiB, beyond which larger commits gain little (a guess).
const CHUNK_LINES: usize = 4096;
/// Of a piece of the body so much is parsed at once, for the same reason.
const PARSED_AT_ONCE: usize = 4 << 10;
/// What a failed line counts beside what is said of it: a problem document without its detail has 300 to 500 bytes.
const PROBLEM_BYTES: usize = 512;

/// Lines on their way.
struct Chunk {
    records: Records,
    /// the line of each record
    numbers: Vec<u64>,
    /// lines that failed before they were records, in order
    bad: Vec<(u64, BadLine)>,
    /// what the answers to those take
    bad_bytes: usize,
}

/// What became of a chunk.
struct Answered {
    numbers: Vec<u64>,
    bad: Vec<(u64, BadLine)>,
    result: Result<Vec<Produced>, Refused>,
}

/// Why none of a chunk's records were stored.
#[derive(Clone)]
struct Refused {
    problem: Problem,
    /// it holds for the topic or the server, not only for this chunk: later lines would be stored behind a gap
    ends: bool,
}

/// Where a stream stands.
struct Acking<P> {
    app: App,
    topic: Arc<TopicHandle>,
    parse: P,
    pieces: Pieces,
    /// what has arrived and is not parsed yet
    arrived: Bytes,
    /// none once the body has ended
    lines: Option<Lines>,
    chunk: Chunk,
    room: Room,
    storing: Option<BoxFuture<'static, Answered>>,
    /// why nothing more is read; told when all before it is answered
    broken: Option<Problem>,
    /// why nothing more is stored
    refused: Option<Refused>,
    ended: bool,
    instance: Instance,
}

/// Answers each line of a body as it is stored; `parse` adds the record of a line to those before it. An error that ends
/// the stream is its last line, as `{"error": …}`.
pub(super) fn run<P>(app: &App, topic: Arc<TopicHandle>, pieces: Pieces, parse: P) -> Response
where
    P: Fn(&[u8], &mut Records) -> Result<(), BadLine> + Send + 'static,
{
    let instance = Instance::default();
    let acking = Acking {
        chunk: Chunk::new(app, &topic),
        app: app.clone(),
        topic,
        parse,
        pieces,
        arrived: Bytes::new(),
        lines: Some(Lines::default()),
        room: Room::default(),
        storing: None,
        broken: None,
        refused: None,
        ended: false,
        instance: instance.clone(),
    };
    let answers = unfold(acking, |mut acking| async move {
        let answers = acking.next().await?;
        Some((Ok::<_, Infallible>(answers), acking))
    });
    let mut response = Response::new(Body::from_stream(answers));
    response.extensions_mut().insert(instance);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold answers back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn store(broker: Broker, chunk: Chunk, refused: Option<Refused>) -> Answered {
    let Chunk { records, numbers, bad, .. } = chunk;
    let result = match refused {
        Some(refused) => Err(refused),
        None if records.is_empty() => Ok(Vec::new()),
        None => broker.produce_lines(records).await.map_err(|error| {
            let ends = index_of(&error).is_none() && !matches!(error, ProduceError::TransformFailed { .. });
            Refused { problem: error.into(), ends }
        }),
    };
    Answered { numbers, bad, result }
}

// === impl Acking ===

impl<P: Fn(&[u8], &mut Records) -> Result<(), BadLine>> Acking<P> {
    /// The next answers; `None` when there are no more.
    async fn next(&mut self) -> Option<Bytes> {
        let mut shutdown = self.app.shutdown.clone();
        loop {
            // Whatever has arrived already is parsed at once.
            while self.has_room() && self.reads() {
                if !self.arrived.is_empty() {
                    self.parse_some();
                    continue;
                }
                match self.pieces.next().now_or_never() {
                    None => break,
                    Some(piece) => self.take(piece),
                }
            }
            if self.storing.is_none() {
                if !self.chunk.is_empty() {
                    let full = std::mem::replace(&mut self.chunk, Chunk::new(&self.app, &self.topic));
                    // From here on admission counts its bytes.
                    self.room = Room::default();
                    self.storing = Some(store(self.app.broker.clone(), full, self.refused.clone()).boxed());
                    continue;
                }
                if !self.reads() {
                    return self.last();
                }
            }
            let reads = self.reads();
            let takes = reads && self.arrived.is_empty() && self.has_room();
            tokio::select! {
                // What is stored first makes room first; what has come before a stop is stored.
                biased;
                answered = async { self.storing.as_mut().expect("the branch runs only while storing").await },
                    if self.storing.is_some() =>
                {
                    self.storing = None;
                    return Some(self.answers(answered));
                }
                piece = self.pieces.next(), if takes => self.take(piece),
                () = shutdown.requested(), if reads => {
                    self.broken = Some(Problem::new(Code::Draining, "the server is stopping"));
                }
            }
        }
    }

    /// May more lines come?
    fn reads(&self) -> bool {
        self.lines.is_some() && self.broken.is_none() && !self.ended
    }

    fn has_room(&mut self) -> bool {
        self.chunk.lines() < CHUNK_LINES && self.room.is_there(self.chunk.bytes(), &self.app.budget)
    }

    /// A piece of the body, or its end.
    fn take(&mut self, piece: Result<Option<Bytes>, Problem>) {
        match piece {
            Ok(Some(piece)) => self.arrived = piece,
            Ok(None) => {
                if let Some(lines) = self.lines.take() {
                    let (chunk, parse) = (&mut self.chunk, &self.parse);
                    lines.finish(|number, line| chunk.add(number, &line, parse));
                }
            }
            Err(problem) => self.broken = Some(problem),
        }
    }

    fn parse_some(&mut self) {
        let part = self.arrived.split_to(self.arrived.len().min(PARSED_AT_ONCE));
        let (chunk, parse) = (&mut self.chunk, &self.parse);
        if let Some(lines) = &mut self.lines {
            lines.feed(&part, |number, line| chunk.add(number, &line, parse));
        }
    }

    /// The answers to a chunk in the order of its lines.
    fn answers(&mut self, answered: Answered) -> Bytes {
        let Answered { numbers, bad, result } = answered;
        let mut out = Vec::with_capacity(64 * numbers.len() + PROBLEM_BYTES * bad.len());
        let mut bad = bad.into_iter().peekable();
        let (produced, problem) = match result {
            Ok(produced) => (produced, None),
            Err(refused) => {
                if refused.ends {
                    self.broken = Some(refused.problem.clone());
                    self.refused = Some(refused.clone());
                }
                (Vec::new(), Some(refused.problem))
            }
        };
        for (index, &line) in numbers.iter().enumerate() {
            while let Some((line, bad)) = bad.next_if(|(number, _)| *number < line) {
                self.failed(&mut out, line, &bad.into());
            }
            match (produced.get(index), &problem) {
                (_, Some(problem)) => self.failed(&mut out, line, problem),
                (Some(produced), None) => match reply::rejection(produced) {
                    Some(problem) => self.failed(&mut out, line, &problem),
                    None => reply::ack(&mut out, line, produced),
                },
                (None, None) => {
                    self.failed(&mut out, line, &Problem::new(Code::Internal, "the line has no answer"));
                }
            }
        }
        for (line, bad) in bad {
            self.failed(&mut out, line, &bad.into());
        }
        out.into()
    }

    fn failed(&self, out: &mut Vec<u8>, line: u64, problem: &Problem) {
        reply::nack(out, line, problem, self.instance.id());
    }

    /// The line that says why the stream ended early, once.
    fn last(&mut self) -> Option<Bytes> {
        self.ended = true;
        let problem = self.broken.take()?;
        self.lines = None;
        problem.log(self.instance.id());
        let mut out = b"{\"error\":".to_vec();
        out.extend_from_slice(&problem.render(self.instance.id()));
        out.extend_from_slice(b"}\n");
        Some(out.into())
    }
}

// === impl Chunk ===

impl Chunk {
    fn new(app: &App, topic: &Arc<TopicHandle>) -> Self {
        let records = Records::new(topic.clone(), CHUNK_STEP, app.now_ms());
        Self { records, numbers: Vec::new(), bad: Vec::new(), bad_bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.bad.is_empty()
    }

    fn lines(&self) -> usize {
        self.numbers.len() + self.bad.len()
    }

    fn bytes(&self) -> usize {
        self.records.bytes() + self.bad_bytes
    }

    fn add(
        &mut self,
        number: u64,
        line: &Line<'_>,
        parse: &impl Fn(&[u8], &mut Records) -> Result<(), BadLine>,
    ) {
        let parsed = match line {
            Line::Text(text) => parse(text, &mut self.records),
            Line::TooLong => Err(BadLine::too_long(LINE_BYTES_MAX)),
        };
        match parsed {
            Ok(()) => self.numbers.push(number),
            Err(bad) => {
                let bad = bad.shortened();
                self.bad_bytes += PROBLEM_BYTES + bad.detail.len();
                self.bad.push((number, bad));
            }
        }
    }
}
