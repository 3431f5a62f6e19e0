//! Producers that never give up a request: the same idempotency key until it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// What the server has acknowledged: (partition, offset) → (producer, number of the record).
#[derive(Default)]
pub(crate) struct Acked {
    pub(crate) records: Mutex<BTreeMap<(u64, u64), (u64, u64)>>,
    /// two acknowledgements that contradict each other
    pub(crate) contradiction: Mutex<Option<String>>,
}

#[derive(Clone, PartialEq)]
struct Order {
    url: String,
    go: bool,
}

pub(crate) struct Producers {
    orders: watch::Sender<Order>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    idle: Vec<Arc<AtomicBool>>,
    settled: Vec<watch::Receiver<u64>>,
}

impl Producers {
    pub(crate) fn start(url: String, acked: &Arc<Acked>, count: u64) -> Self {
        let (orders, _) = watch::channel(Order { url, go: true });
        let stop = Arc::new(AtomicBool::new(false));
        let mut producers =
            Self { stop: stop.clone(), tasks: Vec::new(), idle: Vec::new(), settled: Vec::new(), orders };
        for id in 0..count {
            let idle = Arc::new(AtomicBool::new(false));
            let (done, settled) = watch::channel(0);
            let orders = producers.orders.subscribe();
            let work = work(id, orders, acked.clone(), stop.clone(), idle.clone(), done);
            producers.tasks.push(tokio::spawn(work));
            producers.idle.push(idle);
            producers.settled.push(settled);
        }
        producers
    }

    /// No new attempts; returns when every producer stands still, an unanswered request perhaps in its hand.
    pub(crate) async fn hold(&self) {
        self.orders.send_modify(|o| o.go = false);
        while !self.idle.iter().all(|i| i.load(Ordering::SeqCst)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn go_on(&self, url: String) {
        for idle in &self.idle {
            idle.store(false, Ordering::SeqCst);
        }
        self.orders.send_modify(|o| *o = Order { url, go: true });
    }

    /// Waits until every producer has got one more answer, so that nothing from before the kill is open.
    pub(crate) async fn settle(&self) -> Result<()> {
        for settled in &self.settled {
            let mut settled = settled.clone();
            let before = *settled.borrow_and_update();
            let more = settled.wait_for(|n| *n > before);
            if tokio::time::timeout(Duration::from_secs(30), more).await.is_err() {
                bail!("a producer got no acknowledgement within 30 s of a restart");
            }
        }
        Ok(())
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.orders.send_modify(|o| o.go = true);
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

async fn work(
    id: u64,
    mut orders: watch::Receiver<Order>,
    acked: Arc<Acked>,
    stop: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    done: watch::Sender<u64>,
) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a plain client");
    let (mut request, mut first) = (0u64, 0u64);
    while !stop.load(Ordering::SeqCst) {
        let count = 1 + (request * 7 + id) % 20;
        let body = json!({ "records": (first..first + count).map(|n| json!({
            "key": format!("k{}", (n * 31 + id) % 50), "value": { "amount": n % 100, "producer": id, "n": n },
        })).collect::<Vec<_>>() });
        let key = format!("crash-{id}-{request}");
        loop {
            while !orders.borrow().go {
                idle.store(true, Ordering::SeqCst);
                if orders.changed().await.is_err() {
                    return;
                }
            }
            let url = format!("{}/v1/topics/in/records", orders.borrow().url);
            let sent = http.post(url).header("idempotency-key", &key).json(&body).send().await;
            let Ok(response) = sent else {
                tokio::time::sleep(Duration::from_millis(3)).await;
                continue;
            };
            if !response.status().is_success() {
                tokio::time::sleep(Duration::from_millis(3)).await;
                continue;
            }
            let Ok(answer) = response.json::<Value>().await else { continue };
            note(&acked, id, first, &answer).await;
            break;
        }
        request += 1;
        first += count;
        done.send_modify(|n| *n += 1);
    }
}

async fn note(acked: &Acked, id: u64, first: u64, answer: &Value) {
    let mut records = acked.records.lock().await;
    for (n, result) in answer["results"].as_array().into_iter().flatten().enumerate() {
        let place =
            (result["partition"].as_u64().unwrap_or(u64::MAX), result["offset"].as_u64().unwrap_or(u64::MAX));
        let record = (id, first + n as u64);
        if let Some(other) = records.insert(place, record)
            && other != record
        {
            let text = format!("{place:?} was acknowledged for {other:?} and for {record:?}");
            *acked.contradiction.lock().await = Some(text);
        }
    }
}
