//! One connection: requests in, answers out in the order of the requests. Consecutive Produce requests are worked on at
//! once, begun in the order in which they came; every other request is alone, as Kafka does it. One task does all of
//! this; it reads only while it has room for what it reads.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::net::TcpStream;

use super::dispatch::{self, Kind};
use super::door::Door;
use super::frame::{FrameError, FrameReader, Incoming};
use super::outgoing::{Answer, Outgoing};
use crate::model::limits::KAFKA_PIPELINE_MAX;
use crate::runtime::shutdown::Shutdown;

/// A request at work. It ends by itself: once begun, a Produce is carried through also when its client has gone.
pub(super) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a request comes to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// this
    Answer(Answer),
    /// the client asked for no answer
    Silent,
    /// the connection ends: what the client sent cannot be answered
    Close(Close),
}

/// Why a request ends its connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Close(pub(super) String);

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// of the client
    pub(super) remote: SocketAddr,
    /// through which it came
    pub(super) local: SocketAddr,
}

/// Why the loop ends.
enum End {
    /// nothing left to do
    Done,
    /// said once, at the right level
    Broken(FrameError),
    /// by a request
    Closed(Close),
    /// the socket does not take bytes
    Unwritable(std::io::Error),
    /// the client has gone while it was waiting for news
    Abandoned,
}

struct Connection {
    stream: TcpStream,
    peer: Arc<Peer>,
    door: Door,
    reader: FrameReader,
    at_work: FuturesOrdered<Work>,
    /// the kind of what is at work
    kind: Kind,
    /// waits until nothing is at work
    next: Option<Incoming>,
    out: Outgoing,
    /// nothing more is read
    closing: bool,
}

/// Serves a connection until it ends or, after the shutdown, until what it began is answered.
pub(super) async fn serve(stream: TcpStream, peer: Peer, door: Door, shutdown: Shutdown) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        stream,
        peer: Arc::new(peer),
        door,
        reader: FrameReader::new(),
        at_work: FuturesOrdered::new(),
        kind: Kind::Alone,
        next: None,
        out: Outgoing::default(),
        closing: false,
    };
    let end = connection.run(shutdown).await;
    connection.finish(end).await;
}

/// What comes from the client.
enum Heard {
    Frame(Result<Option<Incoming>, FrameError>),
    Closed,
}

/// Reads the next request, or else only watches for the end of the connection. Cancel safe.
async fn hear(reader: &mut FrameReader, stream: &TcpStream, door: &Door, alone: bool, reads: bool) -> Heard {
    if reads {
        return Heard::Frame(reader.next(stream, door.requests(), alone).await);
    }
    reader.closed(stream).await;
    Heard::Closed
}

// === impl Connection ===

impl Connection {
    async fn run(&mut self, mut shutdown: Shutdown) -> End {
        let mut was_reading = true;
        loop {
            // Requests that lie in the buffer are answered without ever waiting: others have their turn in between.
            if self.at_work.is_empty() && self.kind != Kind::Pipelined && self.reader.has_whole() {
                tokio::task::yield_now().await;
            }
            if self.at_work.is_empty() {
                match self.next.take() {
                    Some(incoming) => self.begin(incoming),
                    None if self.closing && self.out.is_empty() => return End::Done,
                    None => {}
                }
            }
            let alone = self.at_work.is_empty();
            let reads = self.may_read();
            if reads && !was_reading {
                self.reader.resume();
            }
            was_reading = reads;
            let watches = self.kind == Kind::Waits && !alone && !self.closing;
            tokio::select! {
                // What is ready leaves first, and a stop is heard before the next request.
                biased;
                Some(outcome) = self.at_work.next(), if !alone => match outcome {
                    Outcome::Answer(answer) => self.out.push(answer),
                    Outcome::Silent => {}
                    Outcome::Close(cause) => return End::Closed(cause),
                },
                written = self.out.write(&self.stream), if !self.out.is_empty() => match written {
                    Ok(bytes) => {
                        self.door.meter().sent(bytes);
                        self.reader.restart_idle();
                    }
                    Err(error) => return End::Unwritable(error),
                },
                () = shutdown.requested(), if !self.closing => self.closing = true,
                heard = hear(&mut self.reader, &self.stream, &self.door, alone, reads), if reads || watches => {
                    match heard {
                        Heard::Frame(Ok(Some(incoming))) => self.arrived(incoming),
                        Heard::Frame(Ok(None)) => self.closing = true,
                        Heard::Frame(Err(error)) => return End::Broken(error),
                        Heard::Closed => return End::Abandoned,
                    }
                }
            }
        }
    }

    /// Whether there is room for another request beside those at work.
    fn may_read(&self) -> bool {
        let room = self.at_work.is_empty()
            || (self.kind == Kind::Pipelined && self.at_work.len() < KAFKA_PIPELINE_MAX);
        room && self.next.is_none() && !self.closing && !self.out.is_behind()
    }

    fn arrived(&mut self, incoming: Incoming) {
        self.door.meter().received(incoming.bytes.len());
        if self.at_work.is_empty() || dispatch::kind(&incoming) == Kind::Pipelined {
            self.begin(incoming);
        } else {
            self.next = Some(incoming);
        }
    }

    /// Begins a request. For a Produce this takes its places in line, so that records are stored in the order of
    /// arrival.
    fn begin(&mut self, incoming: Incoming) {
        self.kind = dispatch::kind(&incoming);
        self.at_work.push_back(dispatch::begin(&self.door, &self.peer, incoming));
    }

    /// Says why it ended, and lets what was begun come to its end, also when nobody will read the answers.
    async fn finish(mut self, end: End) {
        let client = self.peer.remote;
        match end {
            End::Done => {}
            End::Abandoned => return,
            End::Broken(FrameError::Io(error)) => {
                tracing::debug!(%client, %error, "a Kafka connection broke");
            }
            End::Broken(FrameError::Idle(bound)) => {
                tracing::debug!(%client, ?bound, "a Kafka connection was idle");
            }
            End::Broken(error) => {
                self.door.complaints().warn(client, format_args!("{error}; the connection is closed"));
                self.flush(true).await;
            }
            End::Closed(cause) => {
                self.door.complaints().warn(client, format_args!("{cause}; the connection is closed"));
                self.flush(false).await;
            }
            End::Unwritable(error) => tracing::debug!(%client, %error, "a Kafka connection broke"),
        }
        drop(self.stream);
        while self.at_work.next().await.is_some() {}
    }

    /// Writes the answers to what came before the end, or their clients would send again what is stored. What is at work
    /// is `answered` too, or came behind the end; others stand in line behind it, so it goes on beside the writing.
    async fn flush(&mut self, mut answered: bool) {
        loop {
            let works = !self.at_work.is_empty();
            if self.out.is_empty() && !(works && answered) {
                return;
            }
            tokio::select! {
                Some(outcome) = self.at_work.next(), if works => match outcome {
                    Outcome::Answer(answer) if answered => self.out.push(answer),
                    Outcome::Answer(_) | Outcome::Silent => {}
                    Outcome::Close(_) => answered = false,
                },
                written = self.out.write(&self.stream), if !self.out.is_empty() => match written {
                    Ok(bytes) => self.door.meter().sent(bytes),
                    Err(_) => return,
                },
            }
        }
    }
}
