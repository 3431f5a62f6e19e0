//! A closed loop: so many connections, each sending its next request as soon as the last one is answered.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use tokio::task::JoinHandle;

use super::client::Connection;
use super::{histogram, record};

/// Running connections. Needs a `LocalSet`: all of it lives on one thread.
pub(crate) struct Load {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

struct Shared {
    stop: Cell<bool>,
    done: Cell<u64>,
    latencies: RefCell<Histogram<u64>>,
}

/// What was answered between two moments.
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    /// Opens the connections and lets them run. Each goes round the `requests`, from a place of its own.
    pub(crate) async fn start(addr: SocketAddr, connections: usize, requests: Rc<[Vec<u8>]>) -> Result<Self> {
        let shared = Rc::new(Shared {
            stop: Cell::new(false),
            done: Cell::new(0),
            latencies: RefCell::new(histogram()),
        });
        let mut tasks = Vec::with_capacity(connections);
        for first in 0..connections {
            let connection = Connection::open(addr).await?;
            tasks.push(tokio::task::spawn_local(run(connection, requests.clone(), first, shared.clone())));
        }
        Ok(Self { shared, tasks })
    }

    /// Waits so long and tells what was answered meanwhile.
    pub(crate) async fn window(&self, length: Duration) -> Result<Window> {
        self.shared.latencies.borrow_mut().reset();
        let before = self.shared.done.get();
        tokio::time::sleep(length).await;
        if self.tasks.iter().any(JoinHandle::is_finished) {
            bail!("a connection ended early; see the first error below");
        }
        let latencies = self.shared.latencies.borrow().clone();
        Ok(Window { requests: self.shared.done.get() - before, latencies })
    }

    /// Lets every connection finish its request.
    pub(crate) async fn stop(self) -> Result<()> {
        self.shared.stop.set(true);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

async fn run(
    mut connection: Connection,
    requests: Rc<[Vec<u8>]>,
    first: usize,
    shared: Rc<Shared>,
) -> Result<()> {
    for request in requests.iter().cycle().skip(first % requests.len()) {
        if shared.stop.get() {
            break;
        }
        let sent = Instant::now();
        let answer = connection.exchange(request).await?;
        if answer.status != 200 {
            let error = format!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
            eprintln!("{error}");
            bail!(error);
        }
        record(&mut shared.latencies.borrow_mut(), sent.elapsed());
        shared.done.set(shared.done.get() + 1);
    }
    Ok(())
}
