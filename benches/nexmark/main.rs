//! The Nexmark queries: events a second and core, events as JSON and in the binary form of `guest-examples/nexmark`.
//!
//! ```text
//! cargo bench --bench nexmark -- [direct] [topics] [q0 … q22] [json] [binary] [--quick]
//! ```
//!
//! * `direct`: events lie in memory in batches of 256, the component is called with them and with the timers that are due, and
//!   its state is committed to RocksDB in the background; there is no log and outputs are counted and dropped.
//! * `topics`: the server as it ships, topic to topic: events are read from the log, and outputs, state, timers and position are
//!   one commit, synced. Its CPU time is that of all of its threads, the compaction of state included.
//!
//! Events come from the crate `nexmark`, 10,000 for each second of event time, every one of its three kinds. Events a second
//! and core are events by CPU seconds; beside them stand Flink's published figures (thousand events/s per core, on other
//! hardware, with a source in the process: nexmark/nexmark).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks of its own")]

mod direct;
mod events;
#[path = "../support/mod.rs"]
mod support;
mod topics;

use anyhow::{Result, ensure};

use events::Format;
use support::{Args, number, table};

// As in the server: allocations are a part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Queries, and Flink's events/s per core in thousands where they are published.
const QUERIES: [(&str, Option<f64>); 20] = [
    ("q0", Some(155.0)),
    ("q1", Some(158.0)),
    ("q2", Some(175.0)),
    ("q3", Some(152.0)),
    ("q4", Some(34.0)),
    ("q5", Some(22.0)),
    ("q7", Some(12.0)),
    ("q8", Some(146.0)),
    ("q9", Some(14.0)),
    ("q11", Some(40.0)),
    ("q12", Some(76.0)),
    ("q14", None),
    ("q15", Some(72.0)),
    ("q16", Some(19.0)),
    ("q17", Some(117.0)),
    ("q18", Some(54.0)),
    ("q19", Some(44.0)),
    ("q20", Some(19.0)),
    ("q21", Some(98.0)),
    ("q22", Some(130.0)),
];

/// One run over all events.
struct Run {
    outputs: u64,
    cpu_seconds: f64,
    wall_seconds: f64,
}

/// What was asked for: names of one kind, or all of them.
fn wants(args: &Args, name: &str, among: &[&str]) -> bool {
    !among.iter().any(|other| args.names(other)) || args.names(name)
}

fn main() -> Result<()> {
    let args = Args::read();
    let count = args.pick(1_000_000, 20_000);
    let names = QUERIES.map(|(name, _)| name);
    let queries: Vec<_> = QUERIES.into_iter().filter(|(name, _)| wants(&args, name, &names)).collect();
    let formats = [Format::Json, Format::Binary];
    let formats: Vec<_> =
        formats.into_iter().filter(|format| wants(&args, format.name(), &["json", "binary"])).collect();
    ensure!(!queries.is_empty() && !formats.is_empty(), "nothing was asked for");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let sections = ["direct", "topics"];
        if wants(&args, "direct", &sections) {
            let mut rows = Vec::new();
            for format in &formats {
                let mut bench = direct::Bench::prepare(*format, count).await?;
                for (query, flink) in &queries {
                    rows.push(row(query, *format, count, &bench.run(query).await?, *flink));
                }
                bench.close();
            }
            print("in process, no log", &rows);
        }
        if wants(&args, "topics", &sections) {
            let mut rows = Vec::new();
            for format in &formats {
                let bench = topics::Bench::prepare(*format, count).await?;
                for (query, flink) in &queries {
                    rows.push(row(query, *format, count, &bench.run(query).await?, *flink));
                }
            }
            print("topic to topic, synced, exactly once", &rows);
        }
        Ok(())
    })
}

fn row(query: &str, format: Format, count: usize, run: &Run, flink: Option<f64>) -> Vec<String> {
    let per_core = count as f64 / run.cpu_seconds;
    eprintln!("{query} {}: {per_core:.0} events/s per core", format.name());
    let times = flink.map_or("–".to_owned(), |flink| format!("{:.1}", per_core / flink / 1000.0));
    vec![
        query.to_owned(),
        format.name().to_owned(),
        number(per_core),
        flink.map_or("–".to_owned(), |flink| number(flink * 1000.0)),
        times,
        number(run.cpu_seconds * 1e9 / count as f64),
        number(count as f64 / run.wall_seconds),
        number(run.outputs as f64),
    ]
}

fn print(title: &str, rows: &[Vec<String>]) {
    let header = [
        "query",
        "form",
        "events/s per core",
        "Flink",
        "times Flink",
        "CPU ns/event",
        "events/s, wall",
        "rows",
    ];
    table(title, &header, rows);
}
