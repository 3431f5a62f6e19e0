//! An open loop: send times are fixed before the first request, and latency counts from them. A server that stalls
//! delays what comes after in the figures as it would in life.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};

use super::client::Connection;
use super::process::{Meter, Spent};
use super::server::Server;

/// A whole bench on one thread: the load must leave the cores to the server.
pub(crate) fn on_one_thread(bench: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, bench)
}

/// How often and how many times something is sent, over how many connections at first.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) per_second: u32,
    pub(crate) count: u64,
    pub(crate) connections: usize,
}

/// What is under way.
pub(crate) struct Sends {
    pub(crate) pool: Rc<Pool>,
    open: Vec<JoinHandle<Result<()>>>,
}

impl Sends {
    pub(crate) fn begin(&mut self, send: impl Future<Output = Result<()>> + 'static) {
        self.open.push(tokio::task::spawn_local(send));
    }
}

/// Calls `tick` with the number and the time of each send, to begin what is to be sent, and waits for all of it. What the server
/// and this process have spent.
pub(crate) async fn open_loop(
    server: &Server,
    plan: Plan,
    mut tick: impl FnMut(u64, Instant, &mut Sends),
) -> Result<(Spent, Spent)> {
    let mut sends = Sends { pool: Rc::default(), open: Vec::new() };
    for _ in 0..plan.connections {
        sends.pool.put(Connection::open(server.addr()).await?);
    }
    let (meter, own) = (Meter::start(server.pid())?, Meter::start(std::process::id())?);
    let mut schedule = Schedule::start(plan.per_second, plan.count);
    while let Some((index, due)) = schedule.next().await {
        tick(index, due, &mut sends);
    }
    for send in sends.open {
        send.await??;
    }
    Ok((meter.stop()?, own.stop()?))
}

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
