//! The server as it ships, from one topic to another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use millstream::broker::{Broker, NewTopic};
use millstream::groups::{self, Groups};
use millstream::model::TopicName;
use millstream::model::batch::{BatchBuilder, Codec};
use millstream::model::topic::TopicConfig;
use millstream::runtime::clock::Clock;
use millstream::runtime::tasks::GuestThreads;
use millstream::storage::{Commit, Options, Storage};
use serde_json::json;
use tempfile::TempDir;

use super::Run;
use super::events::{self, Format};
use super::support::process;
use super::support::server::{Server, prebuilt};

/// Events of a batch in the log.
const BATCH: usize = 1_000;
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// A server whose topic `events` is full.
pub(super) struct Bench {
    server: Server,
    format: Format,
    _dir: TempDir,
}

impl Bench {
    pub(super) async fn prepare(format: Format, count: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
        fill(&dir, format, count).await?;
        let server = Server::start_in(dir.path(), &["--memory", "1GiB"]).await?;
        server.push("nexmark", prebuilt("nexmark")?).await?;
        let bench = Self { server, format, _dir: dir };
        // Compiles the component, and reads the events into the system's cache.
        bench.run("q2").await?;
        Ok(bench)
    }

    /// Takes all events through a query.
    pub(super) async fn run(&self, query: &str) -> Result<Run> {
        let spec = json!({
            "name": query, "kind": "processor", "module": "nexmark@1.0.0", "input": { "topics": ["events"] },
            "output": { "default": "results" },
            "params": { "query": query, "format": self.format.name() }, "time": { "out_of_order": "5s" }
        });
        let results = json!({ "name": "results", "partitions": 1, "config": { "retention.ms": "-1" } });
        self.server.post("/v1/topics", &results).await?;
        let (cpu, begin) = (process::cpu(self.server.pid())?, Instant::now());
        self.server.deploy(&spec).await?;
        self.server.drained(query, DRAIN_MAX).await?;
        let wall = begin.elapsed();
        let cpu = process::cpu(self.server.pid())? - cpu;
        let end = self.server.get("/v1/topics/results").await?;
        let outputs =
            end["partitions"][0]["end_offset"].as_u64().with_context(|| format!("an end in {end}"))?;
        self.server.delete(&format!("/v1/deployments/{query}")).await?;
        self.server.delete("/v1/topics/results").await?;
        Ok(Run { outputs, cpu_seconds: cpu.as_secs_f64(), wall_seconds: wall.as_secs_f64() })
    }
}

/// Writes the events into the log before the server starts.
async fn fill(dir: &TempDir, format: Format, count: usize) -> Result<()> {
    let clock = Clock::system();
    let options =
        Options { dir: dir.path().join("data"), memory: 256 << 20, clock: clock.clone(), reader_threads: 1 };
    let storage = Storage::open(options)?;
    let guests = GuestThreads::start(1)?;
    let groups = Groups::open(storage.clone(), clock.clone(), groups::Options::default())?;
    let broker = Broker::open(storage.clone(), groups, guests.handle(), clock)?;
    let name = TopicName::parse("events").map_err(|e| anyhow!("{e}"))?;
    // The events are of a day long past.
    let mut config = TopicConfig::default();
    config.set("retention.ms", "-1").map_err(|e| anyhow!("{e}"))?;
    broker.create_topic(NewTopic::new(name, 1, config)).await?;
    let log = broker.topic("events")?.log(0).context("a log")?.clone();
    let mut events = events::generate(count).peekable();
    let mut value = Vec::new();
    while events.peek().is_some() {
        let mut builder = BatchBuilder::new();
        for event in events.by_ref().take(BATCH) {
            format.write(&event, &mut value)?;
            builder.push(event.timestamp().cast_signed(), None, Some(&value), []);
        }
        let mut commit = Commit::new();
        commit.append(&log, builder.finish(Codec::None).context("a batch")?);
        storage.commit(commit).await?;
    }
    drop(broker);
    storage.close();
    Ok(())
}
