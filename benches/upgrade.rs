//! What producers notice of a change: single-record requests on a schedule that waits for nobody, quiet and while a
//! deployment on their topic is upgraded twenty times and rolled back twice: an inline transform, a processor, a view with
//! a reader. A change's window is from its request until a little after its answer.
//!
//! ```text
//! cargo bench --bench upgrade -- [inline] [processor] [view] [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use support::client::request;
use support::events::Clicks;
use support::guests::stamped;
use support::schedule::{Pool, Schedule, on_one_thread};
use support::server::{Server, prebuilt};
use support::{Args, histogram, median, number, quantile_ms, record, table};

const PER_SECOND: u32 = 1000;
const PARTITIONS: u32 = 4;
/// Upgrades and rollbacks of a round: every eleventh is a rollback.
const CHANGES: u32 = 22;
const ROLLBACK_EVERY: u32 = 11;
/// From one change to the next.
const SPACING: Duration = Duration::from_millis(300);
/// What a change leaves behind, such as first calls of new instances, belongs to its window.
const AFTERMATH: Duration = Duration::from_millis(100);

/// A kind of deployment that is changed: its name, the module, and the rest of its spec.
struct Kind {
    name: &'static str,
    module: &'static str,
    spec: fn() -> Value,
}

const KINDS: [Kind; 3] = [
    Kind { name: "inline", module: "stamp", spec: || json!({ "input": { "topics": ["in"] } }) },
    Kind {
        name: "processor",
        module: "stamp-counter",
        spec: || json!({ "input": { "topics": ["in"] }, "output": { "default": "out" } }),
    },
    Kind { name: "view", module: "stamp", spec: || json!({ "input": { "topics": ["in"] } }) },
];

/// Requests, by the time at which each was due.
type Samples = Vec<(Instant, Duration)>;

/// What one round has shown, milliseconds.
struct Round {
    quiet: f64,
    windows: f64,
    whole: f64,
    longest: f64,
    requests: usize,
    change: f64,
    change_longest: f64,
}

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for kind in KINDS.iter().filter(|kind| args.wants(kind.name)) {
        let data = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
        prepare(data.path(), kind).await?;
        let mut rounds = Vec::new();
        for _ in 0..args.pick(5, 1) {
            rounds.push(round(data.path(), kind, args).await?);
        }
        rows.push(row(kind, &rounds));
    }
    table(
        &format!(
            "Produce beside {} upgrades and 2 rollbacks of a deployment on the topic, {} requests/s, open loop",
            CHANGES - CHANGES / ROLLBACK_EVERY,
            number(f64::from(PER_SECOND))
        ),
        &[
            "changed",
            "quiet p99 ms",
            "p99 ms in windows",
            "of quiet",
            "longest ms",
            "requests in windows",
            "p99 ms of the whole phase",
            "a change takes ms",
            "longest",
        ],
        &rows,
    );
    Ok(())
}

fn row(kind: &Kind, rounds: &[Round]) -> Vec<String> {
    let middle = |of: fn(&Round) -> f64| number(median(rounds.iter().map(of)));
    vec![
        kind.name.to_owned(),
        middle(|r| r.quiet),
        middle(|r| r.windows),
        middle(|r| r.windows / r.quiet),
        middle(|r| r.longest),
        middle(|r| r.requests as f64),
        middle(|r| r.whole),
        middle(|r| r.change),
        middle(|r| r.change_longest),
    ]
}

/// Topics, a version for every change, and the deployment.
async fn prepare(data: &Path, kind: &Kind) -> Result<()> {
    let mut server = Server::start_in(data, &[]).await?;
    server.create_topic("in", PARTITIONS).await?;
    server.create_topic("out", PARTITIONS).await?;
    let bytes = prebuilt(kind.module)?;
    for n in 1..=CHANGES + 1 {
        server.push_version(kind.module, &format!("1.0.{n}"), stamped(&bytes, n)?).await?;
    }
    let mut spec = (kind.spec)();
    spec["name"] = json!("changed");
    spec["kind"] = json!(kind.name);
    spec["module"] = json!(format!("{}@1.0.1", kind.module));
    server.deploy(&spec).await?;
    server.stop().await
}

/// On a server that has just been started, so that no version is in memory yet.
async fn round(data: &Path, kind: &Kind, args: &Args) -> Result<Round> {
    let mut server = Server::start_in(data, &[]).await?;
    let reader = (kind.name == "view").then(|| tokio::task::spawn_local(read_on(server.addr())));
    load(&server, args.pick(1, 1)).await?;
    let quiet = load(&server, args.pick(8, 2)).await?;
    let changes = args.pick(CHANGES, ROLLBACK_EVERY);
    let seconds = (SPACING + AFTERMATH).as_secs_f64() * f64::from(changes) + 1.0;
    let (samples, windows) =
        tokio::try_join!(load(&server, seconds.ceil() as u64), change(&server, kind, changes))?;
    if let Some(reader) = reader {
        ensure!(!reader.is_finished(), "the view's reader has ended: {:?}", reader.await?);
        reader.abort();
    }
    if kind.name == "processor" {
        server.drained("changed", Duration::from_secs(60)).await?;
    }
    server.stop().await?;

    let within = |due: &Instant| windows.iter().any(|(from, to)| (*from..*to + AFTERMATH).contains(due));
    let inside: Samples = samples.iter().filter(|(due, _)| within(due)).copied().collect();
    ensure!(!inside.is_empty(), "no request fell into a change");
    let mut took: Vec<f64> = windows.iter().map(|(from, to)| (*to - *from).as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    Ok(Round {
        quiet: quantile(&quiet, 0.99),
        windows: quantile(&inside, 0.99),
        whole: quantile(&samples, 0.99),
        longest: quantile(&inside, 1.0),
        requests: inside.len(),
        change: median(took.iter().copied()),
        change_longest: took.last().copied().unwrap_or(f64::NAN),
    })
}

fn quantile(samples: &Samples, quantile: f64) -> f64 {
    let mut all = histogram();
    for (_, latency) in samples {
        record(&mut all, *latency);
    }
    quantile_ms(&all, quantile)
}

/// The changes one by one; from when to when each was under way.
async fn change(server: &Server, kind: &Kind, changes: u32) -> Result<Vec<(Instant, Instant)>> {
    let mut windows = Vec::new();
    for n in 1..=changes {
        tokio::time::sleep(SPACING).await;
        let (verb, body) = match n % ROLLBACK_EVERY {
            0 => ("rollback", json!({})),
            _ => ("upgrade", json!({ "module": format!("{}@1.0.{}", kind.module, n + 1) })),
        };
        let begin = Instant::now();
        let view = server.post(&format!("/v1/deployments/changed/{verb}"), &body).await?;
        windows.push((begin, Instant::now()));
        ensure!(view["state"] != "failed", "after {verb} {n}: {view}");
    }
    Ok(windows)
}

/// Clicks on a schedule.
async fn load(server: &Server, seconds: u64) -> Result<Samples> {
    let samples = Rc::new(RefCell::new(Samples::new()));
    let pool = Rc::new(Pool::default());
    for _ in 0..16 {
        pool.put(support::client::Connection::open(server.addr()).await?);
    }
    let mut clicks = Clicks::new(7);
    let mut schedule = Schedule::start(PER_SECOND, seconds * u64::from(PER_SECOND));
    let mut open = Vec::new();
    while let Some((_, due)) = schedule.next().await {
        let body = clicks.next().record();
        let (addr, pool, samples) = (server.addr(), pool.clone(), samples.clone());
        open.push(tokio::task::spawn_local(async move {
            let mut connection = pool.take(addr).await?;
            let produce = request("POST", "/v1/topics/in/records", "application/json", body.as_bytes());
            let answer = connection.exchange(&produce).await?;
            if answer.status != 200 {
                bail!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
            }
            samples.borrow_mut().push((due, due.elapsed()));
            pool.put(connection);
            anyhow::Ok(())
        }));
    }
    for task in open {
        task.await??;
    }
    Ok(samples.take())
}

/// Reads the view as it grows, until it is ended.
async fn read_on(addr: SocketAddr) -> Result<()> {
    let http = reqwest::Client::new();
    let mut offsets = [0u64; PARTITIONS as usize];
    loop {
        for (partition, offset) in offsets.iter_mut().enumerate() {
            let path = format!("/v1/topics/changed/partitions/{partition}/records");
            let url = format!("http://{addr}{path}?offset={offset}&limit=1000&format=text");
            let answer = http.get(url).send().await?.error_for_status()?;
            let page: Value = serde_json::from_str(&answer.text().await?)?;
            *offset = page["next_offset"].as_u64().context("next_offset")?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
