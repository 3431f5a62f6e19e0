//! Five misbehaving deployments beside a good one: what the good one gets before, meanwhile, and when each of the others
//! has come to its documented end; and what each says of itself.
//!
//! ```text
//! cargo bench --bench fairness -- [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::events::{Clicks, lines};
use support::process::{MemoryWatch, Meter};
use support::schedule::on_one_thread;
use support::server::{Server, prebuilt};
use support::{Args, mib, number, table};

const PARTITIONS: u32 = 4;

/// A deployment that goes wrong.
struct Bad {
    name: &'static str,
    module: &'static str,
    policy: &'static str,
    /// records that make it misbehave
    poison: usize,
}

/// Two of them stop at their first bad record; the others go on from one bad record to the next.
const BAD: [Bad; 5] = [
    Bad { name: "loops-and-stops", module: "endless-loop", policy: "stop", poison: 1 },
    Bad { name: "loops-on", module: "endless-loop", policy: "dead_letter", poison: 16 },
    Bad { name: "hogs-on", module: "memory-hog", policy: "dead_letter", poison: 40 },
    Bad { name: "traps-on", module: "trap", policy: "skip", poison: 200 },
    Bad { name: "overflows-and-stops", module: "oversized-output", policy: "stop", poison: 1 },
];

/// What the good one did in a phase.
struct Phase {
    name: &'static str,
    rate: f64,
    cpu_micros: f64,
    cores: f64,
    rss: u64,
}

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let server = Server::start(&[]).await?;
    prepare(&server, args).await?;
    let mut phases = Vec::new();
    phases.push(good(&server, "quiet", args).await?);

    for bad in &BAD {
        server.create_topic(&format!("{}-in", bad.name), 1).await?;
        server.deploy(&spec(bad)).await?;
        poison(&server, bad, args).await?;
    }
    phases.push(good(&server, "meanwhile", args).await?);
    let still_busy = BAD.len() - settled(&server).await?.len();

    let begin = Instant::now();
    let watch = MemoryWatch::start(server.pid());
    while settled(&server).await?.len() < BAD.len() {
        ensure!(begin.elapsed() < Duration::from_secs(300), "the bad ones do not come to their end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!(
        "\n{still_busy} of {} were still at it when the good one was done; {:.1} s later all had ended (peak RSS {})",
        BAD.len(),
        begin.elapsed().as_secs_f64(),
        mib(watch.stop().0)
    );
    phases.push(good(&server, "afterwards", args).await?);
    print(&server, &phases).await
}

async fn prepare(server: &Server, args: &Args) -> Result<()> {
    server.create_topic("clicks", PARTITIONS).await?;
    let mut clicks = Clicks::new(6);
    for _ in 0..args.pick(100, 10) {
        server.produce_lines("clicks", lines(&mut clicks, 1000)).await?;
    }
    server.push("count-by-key", prebuilt("count-by-key")?).await?;
    for module in ["endless-loop", "memory-hog", "trap", "oversized-output"] {
        server.push(module, prebuilt(module)?).await?;
    }
    Ok(())
}

/// A deployment of the good code over the whole backlog.
async fn good(server: &Server, phase: &'static str, args: &Args) -> Result<Phase> {
    let name = format!("good-{phase}");
    let watch = MemoryWatch::start(server.pid());
    let meter = Meter::start(server.pid())?;
    let spec = json!({
        "name": name, "kind": "processor", "module": "count-by-key@1.0.0", "input": { "topics": ["clicks"] },
        "output": { "default": format!("{name}-out"), "create_topics": { "partitions": PARTITIONS } },
    });
    server.deploy(&spec).await?;
    server.drained(&name, Duration::from_secs(300)).await?;
    let spent = meter.stop()?;
    let records = args.pick(100_000, 10_000);
    Ok(Phase {
        name: phase,
        rate: spent.per_second(records),
        cpu_micros: spent.micros_per(records),
        cores: spent.cores(),
        rss: watch.stop().0,
    })
}

fn spec(bad: &Bad) -> Value {
    json!({
        "name": bad.name, "kind": "processor", "module": format!("{}@1.0.0", bad.module),
        "input": { "topics": [format!("{}-in", bad.name)] },
        "output": { "default": format!("{}-out", bad.name), "create_topics": { "partitions": 1 } },
        "on_error": { "policy": bad.policy, "max_retries": 2, "backoff": "10ms" },
    })
}

/// Five good records, then the bad ones, each followed by a good one.
async fn poison(server: &Server, bad: &Bad, args: &Args) -> Result<()> {
    let count = bad.poison.div_ceil(args.pick(1, 8));
    let mut body = String::new();
    for number in 0..5 {
        body.push_str(&format!("{{\"key\":\"k\",\"value\":\"good {number}\"}}\n"));
    }
    for number in 0..count {
        body.push_str(&format!("{{\"key\":\"k\",\"value\":\"misbehave {number}\"}}\n"));
        body.push_str(&format!("{{\"key\":\"k\",\"value\":\"good again {number}\"}}\n"));
    }
    server.produce_lines(&format!("{}-in", bad.name), body.into_bytes()).await
}

/// Those that have come to the end their policy promises.
async fn settled(server: &Server) -> Result<Vec<&'static str>> {
    let mut ended = Vec::new();
    for bad in &BAD {
        let view = server.get(&format!("/v1/deployments/{}", bad.name)).await?;
        let has_ended = match bad.policy {
            "stop" => view["state"] == "failed",
            _ => view["totals"]["lag"] == 0 && view["totals"]["records_in"].as_u64() > Some(5),
        };
        if has_ended {
            ended.push(bad.name);
        }
    }
    Ok(ended)
}

async fn print(server: &Server, phases: &[Phase]) -> Result<()> {
    let quiet = phases.first().map_or(f64::NAN, |phase| phase.rate);
    let rows: Vec<Vec<String>> = phases
        .iter()
        .map(|phase| {
            vec![
                phase.name.to_owned(),
                number(phase.rate),
                number(phase.rate / quiet),
                number(phase.cores),
                number(phase.cpu_micros),
                mib(phase.rss),
            ]
        })
        .collect();
    table(
        "The good deployment (count-by-key) beside five bad ones",
        &["", "records/s", "of quiet", "server cores", "server CPU µs/record", "peak RSS"],
        &rows,
    );

    let mut rows = Vec::new();
    for bad in &BAD {
        let view = server.get(&format!("/v1/deployments/{}", bad.name)).await?;
        let (totals, error) = (&view["totals"], &view["last_error"]);
        let message: String = error["message"].as_str().unwrap_or("–").chars().take(90).collect();
        rows.push(vec![
            bad.name.to_owned(),
            bad.policy.to_owned(),
            view["state"].as_str().unwrap_or("?").to_owned(),
            format!("{} / {} / {}", totals["records_in"], totals["dead_letters"], totals["skipped"]),
            error["code"].as_str().unwrap_or("–").to_owned(),
            format!("{}:{}:{}", error["topic"].as_str().unwrap_or("?"), error["partition"], error["offset"]),
            message,
        ]);
    }
    table(
        "What each bad one says of itself",
        &["deployment", "policy", "state", "in / dead letters / skipped", "last error", "record", "reason"],
        &rows,
    );
    Ok(())
}
