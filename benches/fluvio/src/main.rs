//! Our engine and Fluvio's in one process on the same batches: the filter and the JSON map of `wasm_cost`, records/s of
//! each and their ratio. `make bench-fluvio` builds the guests and runs it.
//!
//! Each engine gets a batch as its server has it: Fluvio's the encoded records, ours the payload of a record batch, and
//! gives what its server goes on with: Fluvio's decoded records, ours checked outputs. One thread, 256 records a batch,
//! rounds in turn, medians. Both keep their own bounds: Fluvio's fuel, our epochs.
//!
//! ```text
//! bench-fluvio BENCH_PACKED.wasm FLUVIO_FILTER.wasm FLUVIO_MAP.wasm
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use fluvio_smartengine::{
    DEFAULT_SMARTENGINE_VERSION, SmartEngine, SmartModuleChainBuilder, SmartModuleChainInstance,
    SmartModuleConfig,
};
use fluvio_smartmodule::Record;
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;
use millstream::model::batch::{BatchBuilder, Codec, Payload};
use millstream::model::deployment::GuestLimits;
use millstream::runtime::clock::Clock;
use millstream::state::{Allowed, TaskId, TaskState};
use millstream::storage::{Options, Storage};
use millstream::wasm::{Engine, Input, InstanceConfig, LogLevel, LogSink, NodeLimits, Processor, artifact, inspect};

// As in the server: allocations are a part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BATCH: usize = 256;
const BATCHES: usize = 400;
const ROUNDS: usize = 9;

/// A batch in the form of each server.
struct Both {
    ours: Payload,
    theirs: Vec<u8>,
}

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [packed, filter, map] = &args[..] else {
        return Err(anyhow!("expected bench-packed.wasm, fluvio_filter.wasm and fluvio_map.wasm"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(packed, [("filter", filter), ("map", map)]))
}

async fn run(packed: &str, works: [(&str, &String); 2]) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let batches = (0..BATCHES).map(batch).collect::<Result<Vec<_>>>()?;
    println!("| work | Millstream records/s | Fluvio records/s | ratio |\n|---|---|---|---|");
    for (work, smart_module) in works {
        let mut ours = our_instance(dir.path(), packed, work).await?;
        let mut theirs = their_instance(smart_module)?;
        let mut measured = [Vec::new(), Vec::new()];
        // The first round of each warms up.
        for round in 0..=ROUNDS {
            let (left, passed) = ours_round(&mut ours, &batches).await?;
            let (right, same) = theirs_round(&mut theirs, &batches)?;
            ensure!(passed == same, "{work}: {passed} records came of ours, {same} of theirs");
            ensure!(passed > 0, "{work}: nothing came of it");
            if round > 0 {
                measured[0].push(left);
                measured[1].push(right);
            }
        }
        let [ours, theirs] = measured.map(rate);
        println!("| {work} | {ours:.0} | {theirs:.0} | {:.2} |", ours / theirs);
    }
    Ok(())
}

async fn ours_round(processor: &mut Processor, batches: &[Both]) -> Result<(Duration, usize)> {
    let begin = Instant::now();
    let mut passed = 0;
    for batch in batches {
        let mut inputs = Vec::with_capacity(BATCH);
        for (offset, record) in (0..).zip(batch.ours.records()) {
            inputs.push(Input { topic: 0, partition: 0, offset, record: record? });
        }
        let answer = processor.process(&inputs).await.map_err(|e| anyhow!("{e}"))?;
        passed += answer.outputs.len();
    }
    Ok((begin.elapsed(), passed))
}

fn theirs_round(chain: &mut SmartModuleChainInstance, batches: &[Both]) -> Result<(Duration, usize)> {
    let begin = Instant::now();
    let mut passed = 0;
    for batch in batches {
        let input = SmartModuleInput::new(batch.theirs.clone(), 0, 0);
        let output = chain.process(input)?;
        ensure!(output.error.is_none(), "Fluvio's guest failed: {:?}", output.error);
        passed += output.successes.len();
    }
    Ok((begin.elapsed(), passed))
}

/// Records/s of the median round.
fn rate(mut rounds: Vec<Duration>) -> f64 {
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    (BATCH * BATCHES) as f64 / median.as_secs_f64()
}

/// Values of about 100 bytes, one in two of them an error.
fn batch(number: usize) -> Result<Both> {
    let mut builder = BatchBuilder::new();
    let mut records = Vec::with_capacity(BATCH);
    for index in 0..BATCH {
        let n = number * BATCH + index;
        let level = if n.wrapping_mul(2_654_435_761) & 0x1000 == 0 { "error" } else { "info" };
        let (key, user, amount) = (format!("key-{:05}", n % 10_000), n % 999_983, n % 10_007);
        let value = format!(
            r#"{{"id":{n},"level":"{level}","user":"u{user:06}","amount":{amount},"note":"what was said of it"}}"#
        );
        builder.push(0, Some(key.as_bytes()), Some(value.as_bytes()), []);
        records.push(Record::new_key_value(key, value));
    }
    let ours = builder.finish(Codec::None).context("a batch")?.payload(1 << 20)?;
    let theirs = SmartModuleInput::try_from_records(records, DEFAULT_SMARTENGINE_VERSION)?.into_raw_bytes();
    Ok(Both { ours, theirs })
}

async fn our_instance(dir: &Path, packed: &str, work: &str) -> Result<Processor> {
    let dir = dir.join(work);
    std::fs::create_dir(&dir)?;
    let inspected = inspect(&std::fs::read(packed)?.into()).map_err(|e| anyhow!("{packed}: {e}"))?;
    let (source, compiled) = (dir.join("component"), dir.join("compiled"));
    std::fs::write(&source, &inspected.component)?;
    artifact::compile_file(&source, &compiled).map_err(|e| anyhow!("{packed}: {e}"))?;
    let component = Engine::new(NodeLimits::default())?.load(&compiled, inspected.kind).map_err(|e| anyhow!("{packed}: {e}"))?;
    let options =
        Options { dir: dir.join("data"), memory: 64 << 20, clock: Clock::system(), reader_threads: 1 };
    let storage = Storage::open(options)?;
    let id = TaskId { deployment: 1, generation: 0, task: 0 };
    let state = TaskState::open(&storage, id, Allowed { bytes: 1 << 20, keys: 1 << 20 })?;
    let config = InstanceConfig {
        label: "bench/0".to_owned(),
        params: [("work".to_owned(), work.to_owned())].into(),
        inputs: vec!["in".to_owned()],
        outputs: Vec::new(),
        limits: GuestLimits::default(),
        log: Arc::new(Silent),
        place: None,
        http: None,
    };
    component.processor(config, state).await.map_err(|e| anyhow!("{e}"))
}

fn their_instance(path: &str) -> Result<SmartModuleChainInstance> {
    let mut chain = SmartModuleChainBuilder::default();
    let config = SmartModuleConfig::builder().smartmodule_names(vec![path.to_owned()]).build()?;
    chain.add_smart_module(config, std::fs::read(path)?);
    chain.initialize(&SmartEngine::new())
}
