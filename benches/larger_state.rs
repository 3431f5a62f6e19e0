//! State larger than memory: counts of millions of long keys, with `memory` a fraction of the state and with all of it in
//! memory, side by side. Throughput while the state grows and while random keys of it are updated, memory, and restarts.
//!
//! ```text
//! cargo bench --bench larger_state -- [--quick]
//! ```
//!
//! The keys are random, so that compression does not make the state small. First every key comes once, in random order, then
//! updates hit keys at random: none is more frequent than another, the worst case for a cache.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks of its own")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use support::events::Random;
use support::filled::{Record, fill};
use support::process::{MemoryWatch, Meter, rss};
use support::server::{Server, prebuilt};
use support::{Args, mib, number, table};

/// Bytes of a key: with its count a row has about 140.
const KEY_BYTES: usize = 112;
/// Nothing here takes longer on a machine that works.
const MOST: Duration = Duration::from_secs(1_800);

/// Records: every key once, then updates.
#[derive(Clone, Copy)]
struct Load {
    keys: u64,
    updates: u64,
}

/// What was seen with one setting of `memory`.
struct Seen {
    memory: &'static str,
    phases: Vec<Vec<String>>,
    at_rest: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::read();
    let load =
        args.pick(Load { keys: 4_400_000, updates: 1_000_000 }, Load { keys: 40_000, updates: 10_000 });
    let memories = args.pick(["128MiB", "4GiB"], ["64MiB", "256MiB"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut phases, mut at_rest) = (Vec::new(), Vec::new());
        for memory in memories {
            let seen = measure(memory, load).await?;
            phases.extend(seen.phases);
            at_rest.push(seen.at_rest);
            eprintln!("memory={} done", seen.memory);
        }
        let header = ["memory", "records", "records/s", "CPU us/record", "peak RSS"];
        table("Counts of long keys", &header, &phases);
        let header =
            ["memory", "rows, bytes", "on disk", "ready after kill -9, ms", "all run, ms", "RSS then"];
        table("Restart", &header, &at_rest);
        Ok(())
    })
}

async fn measure(memory: &'static str, load: Load) -> Result<Seen> {
    let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    fill(dir.path(), "events", records(load)).await?;
    let flags = ["--memory", memory];
    let mut server = Server::start_in(dir.path(), &flags).await?;
    server.push("count-by-key", prebuilt("count-by-key")?).await?;
    // What comes out is not what is measured: little of it is kept.
    let config = json!({ "retention.bytes": "67108864", "segment.bytes": "16777216" });
    server.post("/v1/topics", &json!({ "name": "totals", "partitions": 1, "config": config })).await?;
    let mut phases = Vec::new();
    let spec = json!({
        "name": "counts", "kind": "processor", "module": "count-by-key@1.0.0", "input": { "topics": ["events"] },
        "output": { "default": "totals" }
    });
    server.deploy(&spec).await?;
    for (name, records, until) in
        [("first of each key", load.keys, load.keys), ("at random", load.updates, load.keys + load.updates)]
    {
        let (meter, watch) = (Meter::start(server.pid())?, MemoryWatch::start(server.pid()));
        until_read(&server, until).await?;
        let (spent, (peak, _)) = (meter.stop()?, watch.stop());
        phases.push(vec![
            memory.to_owned(),
            name.to_owned(),
            number(spent.per_second(records)),
            number(spent.micros_per(records)),
            mib(peak),
        ]);
    }
    let stores = server.get("/v1/deployments/counts/stores").await?;
    server.kill()?;
    let size = size_of(dir.path());
    let begin = Instant::now();
    let server = Server::start_in(dir.path(), &flags).await?;
    until_running(&server).await?;
    let running = begin.elapsed();
    let at_rest = vec![
        memory.to_owned(),
        stored(&stores),
        mib(size),
        number(server.ready_after.as_secs_f64() * 1e3),
        number(running.as_secs_f64() * 1e3),
        mib(rss(server.pid())),
    ];
    Ok(Seen { memory, phases, at_rest })
}

/// Every key once, in an order of its own, then some at random.
fn records(load: Load) -> impl Iterator<Item = Result<Record>> {
    let mut random = Random(77);
    let record = |number: u64| Ok((1_700_000_000_000, Some(key(number)), br#"{"amount":1}"#.to_vec()));
    let first = (0..load.keys).map(record);
    first.chain((0..load.updates).map(move |_| record(random.next() % load.keys)))
}

/// The key with this number, in random hexadecimal digits.
fn key(number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // The first numbers of near seeds are near.
    random.next();
    let mut key = Vec::with_capacity(KEY_BYTES);
    while key.len() < KEY_BYTES {
        key.extend_from_slice(format!("{:016x}", random.next()).as_bytes());
    }
    key
}

async fn until_read(server: &Server, records: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        let view = server.get("/v1/deployments/counts").await?;
        ensure!(view["state"] != "failed", "the deployment failed: {view}");
        if view["totals"]["records_in"].as_u64().is_some_and(|read| read >= records) {
            return Ok(());
        }
        ensure!(begin.elapsed() < MOST, "not there after {MOST:?}: {}", view["totals"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_running(server: &Server) -> Result<()> {
    let begin = Instant::now();
    while server.get("/v1/deployments/counts").await?["state"] != "running" {
        ensure!(begin.elapsed() < MOST, "it does not run");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Keys and bytes of the state, as the server counts them.
fn stored(stores: &serde_json::Value) -> String {
    let store = &stores["items"][0];
    let count = |name: &str| store[name].as_u64().unwrap_or_default();
    format!("{}, {}", number(count("keys") as f64), mib(count("bytes")))
}

/// Bytes of all files below a folder.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
