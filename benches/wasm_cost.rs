//! What Wasm costs in the full path, topic to topic: identity, filter, JSON map and keyed count as native Rust, as a packed
//! and as a list component, side by side in one run.
//!
//! ```text
//! cargo bench --bench wasm_cost -- [identity] [filter] [map] [count] [--quick]
//! ```
//!
//! The three share everything but the call: batches are read from a topic's log, unpacked into views, handed over in runs
//! of 256; outputs are encoded by the server's outbox; outputs, state and position are one commit, eight of which may be
//! under way, as in a task. The native work is the very source that the guests are compiled from
//! (`guest-examples/common/src/work.rs`), over the same task state. Topics are `durability = os`, so that the disk does not
//! hide the difference. Rounds alternate between the three; the tables give medians.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks of its own")]

mod support;
#[path = "../guest-examples/common/src/work.rs"]
#[allow(dead_code, unreachable_pub, reason = "the guests use the rest, and in their crate it is public")]
mod work;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use millstream::broker::outbox::Outbox;
use millstream::broker::{Broker, NewTopic, output};
use millstream::groups::{self, Groups};
use millstream::model::batch::{BatchBuilder, Codec, Payload};
use millstream::model::deployment::GuestLimits;
use millstream::model::topic::TopicConfig;
use millstream::model::{Offset, TopicName};
use millstream::runtime::clock::Clock;
use millstream::runtime::guests::GuestThreads;
use millstream::state::{Allowed, TaskId, TaskState, positions};
use millstream::storage::{Commit, Log, Options, Storage};
use millstream::wasm::{
    Component, Content, Engine, Input, InstanceConfig, LogLevel, LogSink, NodeLimits, Output, Processor,
    artifact, inspect,
};
use support::process::Meter;
use support::server::prebuilt;
use support::{Args, events::Random, median, number, table};
use work::Work;

// As in the server: allocations are a part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Records of one call and one commit: the server's default.
const RUN: usize = 256;
/// Commits under way: as in a task.
const UNDER_WAY: usize = 8;
/// Keys of the records.
const KEYS: u64 = 10_000;

/// Who does the work.
enum Worker {
    Native(Work, Box<TaskState>),
    Wasm(Box<Processor>),
}

/// One round.
struct Round {
    records_s: f64,
    cpu_ns: f64,
}

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

struct Bench {
    storage: Storage,
    broker: Broker,
    input: Arc<Log>,
    output: TopicName,
    packed: Component,
    list: Component,
    /// grows with every worker: each has a state of its own
    deployments: u32,
}

fn main() -> Result<()> {
    let args = Args::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
        let mut bench = Bench::prepare(dir.path(), args.pick(1_000_000, 20_000)).await?;
        let rounds = args.pick(5, 3);
        let mut rows = Vec::new();
        for (name, work) in Work::ALL {
            if args.wants(name) {
                rows.extend(bench.compare(name, work, rounds).await?);
            }
        }
        let header = ["work", "as", "records/s", "CPU ns/record", "CPU against native"];
        table("topic to topic, 100-byte JSON values, medians", &header, &rows);
        bench.storage.close();
        Ok(())
    })
}

impl Bench {
    async fn prepare(dir: &Path, records: u64) -> Result<Self> {
        let clock = Clock::system();
        let options =
            Options { dir: dir.join("data"), memory: 512 << 20, clock: clock.clone(), reader_threads: 2 };
        let storage = Storage::open(options)?;
        let guests = GuestThreads::start(1)?;
        let groups = Groups::open(storage.clone(), clock.clone(), groups::Options::default())?;
        let broker = Broker::open(storage.clone(), groups, guests.handle(), clock)?;
        // The threads are not used: the bench calls on its own.
        std::mem::forget(guests);
        let mut config = TopicConfig::default();
        for (name, value) in [("durability", "os"), ("retention.ms", "-1")] {
            config.set(name, value).map_err(|e| anyhow!("{e}"))?;
        }
        let name = |text: &str| TopicName::parse(text).map_err(|e| anyhow!("{e}"));
        for topic in ["in", "out"] {
            broker.create_topic(NewTopic::new(name(topic)?, 1, config.clone())).await?;
        }
        let input = broker.topic("in")?.log(0).context("a log")?.clone();
        fill(&storage, &input, records).await?;
        let engine = Engine::new(NodeLimits::default())?;
        let (packed, list) = (load(&engine, dir, "bench-packed")?, load(&engine, dir, "bench-list")?);
        Ok(Self { storage, broker, input, output: name("out")?, packed, list, deployments: 0 })
    }

    /// Rounds of all three in turn, and a row for each.
    async fn compare(&mut self, name: &str, work: Work, rounds: usize) -> Result<Vec<Vec<String>>> {
        const FORMS: [&str; 3] = ["native", "packed", "list"];
        let mut measured: [Vec<Round>; 3] = Default::default();
        // The first round of each warms up.
        for round in 0..=rounds {
            for (form, rounds) in FORMS.iter().zip(&mut measured) {
                let worker = self.worker(form, name, work).await?;
                let one = self.round(worker).await?;
                if round > 0 {
                    rounds.push(one);
                }
            }
        }
        let cpu = |rounds: &[Round]| median(rounds.iter().map(|r| r.cpu_ns));
        let native = cpu(&measured[0]);
        let row = |(form, rounds): (&&str, &Vec<Round>)| {
            let rate = median(rounds.iter().map(|r| r.records_s));
            let cpu = cpu(rounds);
            vec![name.into(), (*form).to_owned(), number(rate), number(cpu), format!("{:.2}", cpu / native)]
        };
        Ok(FORMS.iter().zip(&measured).map(row).collect())
    }

    async fn worker(&mut self, form: &str, name: &str, work: Work) -> Result<Worker> {
        self.deployments += 1;
        let allowed = Allowed { bytes: 1 << 30, keys: 1 << 30 };
        let state = TaskState::open(&self.storage, self.id(), allowed)?;
        let component = match form {
            "packed" => &self.packed,
            "list" => &self.list,
            _ => return Ok(Worker::Native(work, Box::new(state))),
        };
        let config = InstanceConfig {
            label: "bench/0".to_owned(),
            params: [("work".to_owned(), name.to_owned())].into(),
            inputs: vec!["in".to_owned()],
            outputs: Vec::new(),
            limits: GuestLimits::default(),
            log: Arc::new(Silent),
            place: None,
            http: None,
        };
        let processor = component.processor(config, state).await.map_err(|e| anyhow!("{e}"))?;
        Ok(Worker::Wasm(Box::new(processor)))
    }

    fn id(&self) -> TaskId {
        TaskId { deployment: self.deployments, generation: 0, task: 0 }
    }

    /// Takes the whole input through a worker.
    async fn round(&self, mut worker: Worker) -> Result<Round> {
        let meter = Meter::start(std::process::id())?;
        let begin = Instant::now();
        let (mut next, tail): (Offset, Offset) = (0, self.input.tail());
        let mut under_way = VecDeque::new();
        while next < tail {
            let batches = self.storage.read(&self.input, next, 1 << 20).await?;
            for batch in &batches {
                let payload = batch.payload(64 << 20)?;
                let inputs = inputs(&payload)?;
                for run in inputs.chunks(RUN) {
                    let commit = self.step(&mut worker, run).await?;
                    under_way.push_back(self.storage.submit(commit).await?);
                    if under_way.len() >= UNDER_WAY
                        && let Some(oldest) = under_way.pop_front()
                    {
                        oldest.receipt().await?;
                        worker.state().committed();
                    }
                }
                next = batch.header().next_offset();
            }
            ensure!(!batches.is_empty(), "the input ends at {next} instead of {tail}");
        }
        for pending in under_way {
            pending.receipt().await?;
        }
        let (spent, wall) = (meter.stop()?, begin.elapsed());
        Ok(Round {
            records_s: tail as f64 / wall.as_secs_f64(),
            cpu_ns: spent.cpu.as_nanos() as f64 / tail as f64,
        })
    }

    /// One call, and the commit that it comes to.
    async fn step(&self, worker: &mut Worker, run: &[Input<'_>]) -> Result<Commit> {
        let outputs = match worker {
            Worker::Native(work, state) => native(*work, state, run)?,
            Worker::Wasm(processor) => processor.process(run).await.map_err(|e| anyhow!("{e}"))?.outputs,
        };
        let mut outbox = Outbox::default();
        for output in &outputs {
            let source = output.source.map(|index| run[index as usize].record);
            outbox.push(&self.broker, &self.output, 0, &output::view(output, source.as_ref(), 0))?;
        }
        let mut commit = Commit::new();
        outbox.write_into(&mut commit);
        worker.state().write_ahead(&mut commit);
        let next = run.last().map_or(0, |input| input.offset + 1);
        positions::put(&mut commit, self.id(), self.input.topic_id(), 0, next);
        Ok(commit)
    }
}

impl Worker {
    fn state(&mut self) -> &mut TaskState {
        match self {
            Self::Native(_, state) => state,
            Self::Wasm(processor) => processor.state().expect("a processor has state"),
        }
    }
}

/// The work without a border to cross.
fn native(work: Work, state: &mut TaskState, run: &[Input<'_>]) -> Result<Vec<Output>> {
    let of = |index: usize| Output {
        source: u32::try_from(index).ok(),
        route: None,
        key: Content::Source,
        value: Content::Source,
        timestamp: None,
        headers: None,
    };
    let value = |input: &Input<'_>| input.record.value.unwrap_or_default().to_vec();
    let with = |index: usize, value: Vec<u8>| Output { value: Content::Bytes(value.into()), ..of(index) };
    let records = run.iter().enumerate();
    Ok(match work {
        Work::Identity => records.map(|(index, _)| of(index)).collect(),
        Work::Filter => records
            .filter(|(_, input)| work::passes(input.record.value.unwrap_or_default()))
            .map(|(index, _)| of(index))
            .collect(),
        Work::Map => {
            records.filter_map(|(index, input)| Some(with(index, work::map(&value(input))?))).collect()
        }
        Work::Count => {
            let keys: Vec<&[u8]> = run.iter().map(|input| input.record.key.unwrap_or_default()).collect();
            let mut failed = None;
            let (counts, rows) = work::count(&keys, |keys| {
                let mut get = |key: &&[u8]| {
                    state.get("counts", key).unwrap_or_else(|e| {
                        failed = Some(e);
                        None
                    })
                };
                keys.iter().map(|key| get(key).map(Vec::from)).collect()
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
            for (key, row) in rows {
                if let Some(row) = row {
                    state.put("counts", key, row.into())?;
                }
            }
            counts.iter().enumerate().map(|(index, n)| with(index, n.to_string().into_bytes())).collect()
        }
    })
}

fn inputs(payload: &Payload) -> Result<Vec<Input<'_>>> {
    let base = payload.header().base_offset;
    let input = |record: Result<_, _>| {
        let record: millstream::model::RecordView<'_> = record?;
        let offset = base + Offset::from(record.offset_delta);
        Ok(Input { topic: 0, partition: 0, offset, record })
    };
    payload.records().map(input).collect()
}

/// Records of about 100 bytes, one in two of them an error, in batches of a thousand.
async fn fill(storage: &Storage, log: &Arc<Log>, records: u64) -> Result<()> {
    let mut random = Random(41);
    for first in (0..records).step_by(1000) {
        let mut builder = BatchBuilder::new();
        for n in first..(first + 1000).min(records) {
            let level = if random.next().is_multiple_of(2) { "error" } else { "info" };
            let key = format!("key-{:05}", random.next() % KEYS);
            let value = format!(
                r#"{{"id":{n},"level":"{level}","user":"u{:06}","amount":{},"note":"what was said of it"}}"#,
                random.next() % 1_000_000,
                random.next() % 10_000
            );
            builder.push(1_700_000_000_000, Some(key.as_bytes()), Some(value.as_bytes()), []);
        }
        let mut commit = Commit::new();
        commit.append(log, builder.finish(Codec::None).context("a batch")?);
        storage.commit(commit).await?;
    }
    Ok(())
}

fn load(engine: &Engine, dir: &Path, name: &str) -> Result<Component> {
    let inspected = inspect(&prebuilt(name)?.into()).map_err(|e| anyhow!("{name}: {e}"))?;
    let (source, compiled) = (dir.join(name), dir.join(format!("{name}.cwasm")));
    std::fs::write(&source, &inspected.component)?;
    artifact::compile_file(&source, &compiled).map_err(|e| anyhow!("{name}: {e}"))?;
    engine.load(&compiled, inspected.kind).map_err(|e| anyhow!("{name}: {e}"))
}
