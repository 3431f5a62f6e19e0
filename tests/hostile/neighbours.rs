//! Good deployments beside the hostile ones: an inline transform, a processor without state and one with. Each is asked
//! again and again; how long it takes is kept, and an answer that is wrong or late ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::server::Server;

/// What is asked of them, in the order of the columns.
pub(crate) const KINDS: [&str; 3] = ["inline", "processor", "stateful"];
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(5);

/// Deploys them.
pub(crate) async fn deploy(server: &Server, root: &str) -> Result<()> {
    for topic in ["n-inline", "n-plain", "n-keyed", "n-out"] {
        server.put(&format!("/v1/topics/{topic}"), &json!({ "partitions": 1 })).await?;
    }
    for guest in ["validate-json", "template", "count-by-key"] {
        let bytes = std::fs::read(format!("{root}/guest-examples/prebuilt/{guest}.wasm"))?;
        server.upload(guest, bytes).await?.1.get("name").with_context(|| format!("upload of {guest}"))?;
    }
    let spec = |kind: &str, module: &str, input: &str, output: Value| json!({ "kind": kind, "module": module, "input": { "topics": [input] }, "output": output });
    let specs = [
        ("n-inline", spec("inline", "validate-json", "n-inline", json!({}))),
        ("n-plain", spec("processor", "template", "n-plain", json!({ "default": "n-out" }))),
        ("n-keyed", spec("processor", "count-by-key", "n-keyed", json!({ "default": "n-out" }))),
    ];
    for (name, spec) in specs {
        server.put(&format!("/v1/deployments/{name}"), &spec).await?;
    }
    Ok(())
}

/// Their times since they were taken last.
#[derive(Default)]
struct Times([Vec<Duration>; 3]);

/// The p99 of each kind in milliseconds, over so many rounds.
pub(crate) struct P99 {
    ms: [f64; 3],
    rounds: usize,
}

impl P99 {
    /// Columns of the table, each with its ratio to the quiet one.
    pub(crate) fn beside(&self, quiet: &Self) -> String {
        let columns: Vec<_> =
            self.ratios(quiet).map(|(ms, ratio)| format!("{ms:>8.1} ({ratio:>4.1}x)")).collect();
        format!("{} {:>6}", columns.join(" "), self.rounds)
    }

    pub(crate) fn worst_ratio(&self, quiet: &Self) -> f64 {
        self.ratios(quiet).map(|(_, ratio)| ratio).fold(0.0, f64::max)
    }

    fn ratios(&self, quiet: &Self) -> impl Iterator<Item = (f64, f64)> {
        self.ms.into_iter().zip(quiet.ms).map(|(ms, quiet)| (ms, ms / quiet.max(0.001)))
    }
}

/// The rounds of questions.
pub(crate) struct Watch {
    times: Arc<Mutex<Times>>,
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Result<()>>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    pub(crate) fn start(server: Arc<Server>) -> Self {
        let (times, stop) = (Arc::<Mutex<Times>>::default(), Arc::<AtomicBool>::default());
        let (kept, stopped) = (times.clone(), stop.clone());
        let asking = tokio::spawn(async move {
            let mut round = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                round += 1;
                let began = Instant::now();
                inline(&server, round).await.with_context(|| format!("inline, round {round}"))?;
                let inline_took = began.elapsed();
                let began = Instant::now();
                processed(&server, "n-plain", round)
                    .await
                    .with_context(|| format!("processor, round {round}"))?;
                let plain_took = began.elapsed();
                let began = Instant::now();
                processed(&server, "n-keyed", round)
                    .await
                    .with_context(|| format!("stateful, round {round}"))?;
                let took = [inline_took, plain_took, began.elapsed()];
                for (kind, took) in kept.lock().0.iter_mut().zip(took) {
                    kind.push(took);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
        Self { times, stop, asking }
    }

    /// Since the last call.
    pub(crate) fn take(&self) -> P99 {
        let mut times = std::mem::take(&mut *self.times.lock()).0;
        let rounds = times[0].len();
        let ms = times.each_mut().map(|kind| {
            kind.sort();
            let at = (kind.len() * 99 / 100).min(kind.len().saturating_sub(1));
            kind.get(at).map_or(0.0, Duration::as_secs_f64) * 1e3
        });
        P99 { ms, rounds }
    }

    /// Ends the rounds.
    ///
    /// # Errors
    /// The first answer that was wrong.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await?
    }

    /// Has a round failed?
    pub(crate) fn has_ended(&self) -> bool {
        self.asking.is_finished()
    }
}

async fn inline(server: &Server, round: u64) -> Result<()> {
    let record = json!({ "records": [{ "value": { "round": round } }] });
    let (status, answer) = server.post("/v1/topics/n-inline/records", &record).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(())
}

/// Produces a record and waits until the processor has committed past it.
async fn processed(server: &Server, topic: &str, round: u64) -> Result<()> {
    let record = json!({ "records": [{ "key": "k", "value": { "amount": 1, "round": round } }] });
    let (status, answer) = server.post(&format!("/v1/topics/{topic}/records"), &record).await?;
    ensure!(status == 200, "{status}: {answer}");
    for _ in 0..10_000 {
        let (_, view) = server.get(&format!("/v1/deployments/{topic}")).await?;
        if view["totals"]["records_in"].as_u64() >= Some(round) {
            return Ok(());
        }
        ensure!(view["state"] != "failed", "{view:#}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    anyhow::bail!("record {round} was not processed")
}
