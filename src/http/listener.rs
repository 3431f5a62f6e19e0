//! Connections: accepted up to a bound, served as HTTP/1.1 or HTTP/2 with prior knowledge, drained when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::gate::Gate;
use super::socket::Socket;
use crate::model::limits::{REQUEST_HEADER_BYTES_MAX, REQUEST_HEADER_TIMEOUT};
use crate::runtime::listener::{Accepted, Listener};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks;

/// What hyper reads of a head before it gives up by itself, without a problem document; the gate refuses long before.
const READ_BUFFER_MAX: usize = 4 * REQUEST_HEADER_BYTES_MAX;
/// Requests at once on one HTTP/2 connection (a guess; browsers open about a hundred).
const STREAMS_MAX: u32 = 128;
/// HTTP/2 pings find dead clients; HTTP/1.1 has the time-outs of heads, bodies and writes.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// When the server stops, the head of a connection's first request that is on its way may still come (a guess: longer than
/// what is sent already can take). A client that goes on saying nothing has no request to lose.
const HEAD_GRACE: Duration = Duration::from_millis(200);

/// Serves until the shutdown, then lets running requests end for at most `drain`.
pub(super) async fn run(
    listener: Listener,
    gate: Arc<Gate>,
    connections_max: usize,
    drain: Duration,
    mut shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            accepted = listener.accept(&room) => accepted,
        };
        let Some(Accepted { stream, place, .. }) = accepted else { continue };
        let connection = connection(stream, gate.clone(), graceful.watcher(), shutdown.clone());
        tasks::spawn("http connection", async move {
            connection.await;
            drop(place);
        });
    }
    // New connections are refused by the system from here on.
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(?drain, "some HTTP requests did not end in time and are cut off");
    }
}

/// Where a request came from, as an extension of it.
#[derive(Debug, Clone)]
pub(super) struct Peer(pub(super) Arc<str>);

impl Peer {
    /// As Kafka shows the hosts of members: `/127.0.0.1`.
    fn of(address: std::net::SocketAddr) -> Self {
        Self(format!("/{}", address.ip().to_canonical()).into())
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, gate: Arc<Gate>, watcher: Watcher, mut shutdown: Shutdown) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let opened = Arc::new(AtomicBool::new(false));
    let seen = opened.clone();
    let peer = stream.peer_addr().ok().map(Peer::of);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer.clone() {
            request.extensions_mut().insert(peer);
        }
        seen.store(true, Ordering::Relaxed);
        let gate = gate.clone();
        async move { Ok::<Response<Body>, Infallible>(gate.handle(request).await) }
    });
    let builder = builder();
    let serving =
        watcher.watch(builder.serve_connection(TokioIo::new(Socket::new(stream)), service).into_owned());

    // hyper times the heads of requests, but not the first bytes, by which HTTP/1.1 and HTTP/2 are told apart. And it drains
    // a connection whose first head is not whole until that has come.
    let head_may_come = async {
        tokio::select! {
            () = tokio::time::sleep(REQUEST_HEADER_TIMEOUT) => {}
            () = shutdown.requested() => tokio::time::sleep(HEAD_GRACE).await,
        }
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => return log(ended),
        () = head_may_come => {}
    }
    if opened.load(Ordering::Relaxed) {
        log(serving.await);
    }
}

fn builder() -> Builder<Tasks> {
    let mut builder = Builder::new(Tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEADER_TIMEOUT)
        .max_buf_size(READ_BUFFER_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(2 * REQUEST_HEADER_BYTES_MAX as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

/// How connections end is their clients' affair.
fn log(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error = crate::telemetry::chain(&*error), "an HTTP connection broke");
    }
}

/// hyper's tasks are named like all others.
#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        tasks::spawn("http stream", future);
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::runtime::shutdown;

    /// What is left of a connection until its end.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn half_a_head_holds_no_stop_and_a_request_under_way_is_answered() {
        let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (begins, ends) = (begun.clone(), may_end.clone());
        let slow = move || async move {
            begins.add_permits(1);
            ends.acquire().await.map(|_| "whole").unwrap_or_default()
        };
        let gate = Arc::new(Gate::new(Router::new().route("/", get(slow)), Vec::new()));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = listener.local_addr();
        let (stop, stopping) = shutdown::channel();

        let server = run(listener, gate, 10, Duration::from_secs(3600), stopping);
        let clients = async {
            let mut half = TcpStream::connect(addr).await.unwrap();
            half.write_all(b"GET / HT").await.unwrap();
            let mut whole = TcpStream::connect(addr).await.unwrap();
            whole.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            // The half came before it and has been read as well, or nearly so.
            let _begun = begun.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stop.fire();
            assert_eq!(rest(half).await, "");
            may_end.add_permits(1);
            assert!(rest(whole).await.ends_with("whole"));
        };
        let both = async { tokio::join!(server, clients) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("the stop waits for nobody");
    }
}
