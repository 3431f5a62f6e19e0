//! Workers that go on, stand still and report progress when they are told to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A worker that has got nothing done for so long after a restart will not any more.
const SETTLE_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq)]
struct Order {
    /// of the server, in whatever form the workers need it
    address: String,
    go: bool,
}

pub(crate) struct Crew {
    orders: watch::Sender<Order>,
    workers: Vec<Worker>,
    complaint: Arc<Mutex<Option<String>>>,
}

struct Worker {
    task: JoinHandle<()>,
    idle: Arc<AtomicBool>,
    finished: watch::Receiver<u64>,
}

/// What a worker has of its crew.
pub(crate) struct Hand {
    orders: watch::Receiver<Order>,
    idle: Arc<AtomicBool>,
    finished: watch::Sender<u64>,
    complaint: Arc<Mutex<Option<String>>>,
}

impl Crew {
    pub(crate) fn new(address: String) -> Self {
        let (orders, _) = watch::channel(Order { address, go: true });
        Self { orders, workers: Vec::new(), complaint: Arc::default() }
    }

    pub(crate) fn add<F: Future<Output = ()> + Send + 'static>(&mut self, work: impl FnOnce(Hand) -> F) {
        let idle = Arc::new(AtomicBool::new(false));
        let (progress, finished) = watch::channel(0);
        let hand = Hand {
            orders: self.orders.subscribe(),
            idle: idle.clone(),
            finished: progress,
            complaint: self.complaint.clone(),
        };
        self.workers.push(Worker { task: tokio::spawn(work(hand)), idle, finished });
    }

    /// Nothing new is begun; returns when every worker stands still.
    pub(crate) async fn hold(&self) -> Result<()> {
        self.orders.send_modify(|o| o.go = false);
        while !self.workers.iter().all(|w| w.idle.load(Ordering::SeqCst)) {
            self.check()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.check()
    }

    pub(crate) fn go_on(&self, address: String) {
        for worker in &self.workers {
            worker.idle.store(false, Ordering::SeqCst);
        }
        self.orders.send_modify(|o| *o = Order { address, go: true });
    }

    /// Waits until every worker has finished one thing more, so that nothing from before the kill is open.
    pub(crate) async fn settle(&self) -> Result<()> {
        for worker in &self.workers {
            let mut finished = worker.finished.clone();
            let before = *finished.borrow_and_update();
            let more = finished.wait_for(|n| *n > before);
            if !matches!(tokio::time::timeout(SETTLE_MAX, more).await, Ok(Ok(_))) {
                self.check()?;
                bail!("a worker got nothing done within {SETTLE_MAX:?} of a restart");
            }
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        match self.complaint.lock().expect("nobody panics with it").clone() {
            Some(complaint) => bail!(complaint),
            None => Ok(()),
        }
    }

    pub(crate) async fn stop(self) {
        for worker in self.workers {
            worker.task.abort();
            let _ = worker.task.await;
        }
    }
}

impl Hand {
    /// Waits until there is work to do; the server's address. `None`: the crew is gone.
    pub(crate) async fn go(&mut self) -> Option<String> {
        loop {
            let order = self.orders.borrow_and_update().clone();
            if order.go {
                return Some(order.address);
            }
            self.idle.store(true, Ordering::SeqCst);
            self.orders.changed().await.ok()?;
        }
    }

    /// Where the server is now, for what has been begun.
    pub(crate) fn address(&self) -> String {
        self.orders.borrow().address.clone()
    }

    pub(crate) fn finished(&self) {
        self.finished.send_modify(|n| *n += 1);
    }

    /// Something that must not be; the run ends with the first of them.
    pub(crate) fn complain(&self, what: String) {
        self.complaint.lock().expect("nobody panics with it").get_or_insert(what);
    }
}
