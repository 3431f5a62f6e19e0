//! The server as it ships, from one topic to another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tempfile::TempDir;

use super::Run;
use super::events::{self, Format};
use super::support::filled::{Record, fill};
use super::support::process;
use super::support::server::{Server, prebuilt};

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
        fill(dir.path(), "events", records(format, count)).await?;
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
        let results = self.server.get("/v1/topics/results").await?;
        let outputs = results["records"].as_u64().with_context(|| format!("no count in {results}"))?;
        self.server.delete(&format!("/v1/deployments/{query}")).await?;
        self.server.delete("/v1/topics/results").await?;
        Ok(Run { outputs, cpu_seconds: cpu.as_secs_f64(), wall_seconds: wall.as_secs_f64() })
    }
}

/// The events as records of a log.
fn records(format: Format, count: usize) -> impl Iterator<Item = Result<Record>> {
    events::generate(count).map(move |event| {
        let mut value = Vec::new();
        format.write(&event, &mut value)?;
        Ok((event.timestamp().cast_signed(), None, value))
    })
}
