//! The component called with events that lie in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use millstream::model::Offset;
use millstream::model::batch::{BatchBuilder, Codec, Payload};
use millstream::model::deployment::GuestLimits;
use millstream::runtime::clock::Clock;
use millstream::state::{Allowed, TaskId, TaskState, TimerClock};
use millstream::storage::{Commit, Options, Pending, Storage};
use millstream::wasm::{
    Component, Engine, Input, InstanceConfig, LogLevel, LogSink, NodeLimits, Processor, artifact, inspect,
};

use super::Run;
use super::events::{self, Format};
use super::support::process::Meter;
use super::support::server::prebuilt;

/// Records of one call: the server's default.
const BATCH: usize = 256;
/// Timers of one call.
const DUE_MAX: usize = 256;
/// Commits under way: as in a task.
const UNDER_WAY: usize = 8;
/// How far events may be out of order.
const OUT_OF_ORDER_MS: i64 = 5_000;

/// The component, and the events in batches.
pub(super) struct Bench {
    storage: Storage,
    component: Component,
    format: Format,
    batches: Vec<Payload>,
    /// grows with every run: each has a state of its own
    deployments: u32,
    _dir: tempfile::TempDir,
}

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

impl Bench {
    pub(super) async fn prepare(format: Format, count: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
        let clock = Clock::system();
        let options = Options { dir: dir.path().join("data"), memory: 256 << 20, clock, reader_threads: 1 };
        let storage = Storage::open(options)?;
        let inspected = inspect(&prebuilt("nexmark")?.into()).map_err(|e| anyhow!("{e}"))?;
        let (source, compiled) = (dir.path().join("component"), dir.path().join("compiled"));
        std::fs::write(&source, &inspected.component)?;
        artifact::compile_file(&source, &compiled).map_err(|e| anyhow!("{e}"))?;
        let engine = Engine::new(NodeLimits::default())?;
        let component = engine.load(&compiled, inspected.kind).map_err(|e| anyhow!("{e}"))?;
        let batches = batches(format, count)?;
        Ok(Self { storage, component, format, batches, deployments: 0, _dir: dir })
    }

    /// Takes all events through a query.
    pub(super) async fn run(&mut self, query: &str) -> Result<Run> {
        self.deployments += 1;
        let id = TaskId { deployment: self.deployments, generation: 0, task: 0 };
        let state = TaskState::open(&self.storage, id, Allowed { bytes: 8 << 30, keys: 1 << 30 })?;
        let params = [("query", query), ("format", self.format.name())];
        let config = InstanceConfig {
            label: format!("{query}/0"),
            params: params.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            inputs: vec!["events".to_owned()],
            outputs: Vec::new(),
            limits: GuestLimits::default(),
            log: Arc::new(Silent),
            place: None,
            http: None,
        };
        let processor = self.component.processor(config, state).await.map_err(|e| anyhow!("{e}"))?;
        let mut task = Task { processor, under_way: VecDeque::new(), outputs: 0 };
        let meter = Meter::start(std::process::id())?;
        let begin = Instant::now();
        let mut latest = i64::MIN;
        for payload in &self.batches {
            let inputs = inputs(payload)?;
            latest = inputs.iter().map(|input| input.record.timestamp).fold(latest, i64::max);
            let answer = task.processor.process(&inputs).await.map_err(|e| anyhow!("{e}"))?;
            task.outputs += answer.outputs.len() as u64;
            task.commit(&self.storage).await?;
            task.fire(&self.storage, latest - OUT_OF_ORDER_MS).await?;
        }
        task.settle().await?;
        let (spent, wall) = (meter.stop()?, begin.elapsed());
        let (cpu_seconds, wall_seconds) = (spent.cpu.as_secs_f64(), wall.as_secs_f64());
        Ok(Run { outputs: task.outputs, cpu_seconds, wall_seconds })
    }

    pub(super) fn close(self) {
        self.storage.close();
    }
}

/// An instance and its commits.
struct Task {
    processor: Processor,
    under_way: VecDeque<Pending>,
    outputs: u64,
}

impl Task {
    fn state(&mut self) -> Result<&mut TaskState> {
        self.processor.state().context("a processor has state")
    }

    /// Calls the timers that are due.
    async fn fire(&mut self, storage: &Storage, watermark: i64) -> Result<()> {
        self.state()?.move_watermark(Some(watermark));
        loop {
            let due = self.state()?.take_due(TimerClock::EventTime, DUE_MAX)?;
            if due.is_empty() {
                return Ok(());
            }
            let answer = self.processor.on_timer(&due).await.map_err(|e| anyhow!("{e}"))?;
            self.outputs += answer.outputs.len() as u64;
            self.commit(storage).await?;
        }
    }

    async fn commit(&mut self, storage: &Storage) -> Result<()> {
        if !self.state()?.is_touched() {
            return Ok(());
        }
        let mut commit = Commit::new();
        self.state()?.write_ahead(&mut commit);
        self.under_way.push_back(storage.submit(commit).await?);
        while self.under_way.len() >= UNDER_WAY {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<()> {
        if let Some(oldest) = self.under_way.pop_front() {
            oldest.receipt().await?;
            self.state()?.committed();
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }
}

fn batches(format: Format, count: usize) -> Result<Vec<Payload>> {
    let mut batches = Vec::new();
    let mut events = events::generate(count);
    let mut value = Vec::new();
    loop {
        let mut builder = BatchBuilder::new();
        let mut is_empty = true;
        for event in events.by_ref().take(BATCH) {
            format.write(&event, &mut value)?;
            builder.push(event.timestamp().cast_signed(), None, Some(&value), []);
            is_empty = false;
        }
        if is_empty {
            return Ok(batches);
        }
        batches.push(builder.finish(Codec::None).context("a batch")?.payload(64 << 20)?);
    }
}

fn inputs(payload: &Payload) -> Result<Vec<Input<'_>>> {
    let input = |record: Result<_, _>| {
        let record: millstream::model::RecordView<'_> = record?;
        Ok(Input { topic: 0, partition: 0, offset: Offset::from(record.offset_delta), record })
    };
    payload.records().map(input).collect()
}
