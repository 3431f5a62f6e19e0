//! An open loop: send times are fixed before the first request, and latency counts from them. A server that stalls
//! delays what comes after in the figures as it would in life.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;

use super::client::Connection;

/// Ticks at fixed times. They come from a thread of their own, for tokio's timers are no finer than a millisecond.
pub(crate) struct Schedule {
    ticks: mpsc::Receiver<(u64, Instant)>,
}

impl Schedule {
    /// `count` ticks, `per_second` of them each second, from a moment after now.
    pub(crate) fn start(per_second: u32, count: u64) -> Self {
        // Room for all that can pile up while the other side is behind.
        let (sender, ticks) = mpsc::channel(1 << 16);
        std::thread::spawn(move || {
            let begin = Instant::now() + Duration::from_millis(50);
            for index in 0..count {
                let due = begin + Duration::from_nanos(index * 1_000_000_000 / u64::from(per_second));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if sender.blocking_send((index, due)).is_err() {
                    break;
                }
            }
        });
        Self { ticks }
    }

    /// The next tick and its time; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<(u64, Instant)> {
        self.ticks.recv().await
    }
}

/// The server closes a connection that says nothing for a minute; one that was just used is the likelier to be there.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Connections that wait for use, since when.
#[derive(Default)]
pub(crate) struct Pool(RefCell<Vec<(Instant, Connection)>>);

impl Pool {
    /// The connection that was used last, or a new one.
    pub(crate) async fn take(&self, addr: SocketAddr) -> Result<Connection> {
        let idle = self.0.borrow_mut().pop();
        match idle {
            Some((since, connection)) if since.elapsed() < IDLE_MAX => Ok(connection),
            _ => Connection::open(addr).await,
        }
    }

    pub(crate) fn put(&self, connection: Connection) {
        self.0.borrow_mut().push((Instant::now(), connection));
    }
}
