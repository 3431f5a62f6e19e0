//! A hundred deployments on one server, each with a module of its own: seventy equal counters over one topic, twenty other
//! processors and ten inline transforms. What they take in memory and at the start, how evenly the equal ones come on
//! through a backlog, and what all of them and two idle ones notice of a hog that uses its CPU time up again and again.
//!
//! ```text
//! cargo bench --bench hundred -- [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use support::client::{Connection, get, json_number, request};
use support::events::{Clicks, lines};
use support::guests::distinct;
use support::process::{MemoryWatch, Meter, cpu, rss};
use support::schedule::{Pool, Schedule, on_one_thread};
use support::server::{Server, prebuilt};
use support::{Args, histogram, median, mib, number, quantile_ms, record, table};

const EQUAL: usize = 70;
/// What the others are, in turn.
const OTHERS: [&str; 4] = ["template", "word-count", "enrich", "redact-json"];
const OTHER: usize = 20;
const INLINE: usize = 10;
/// The first of the others is asked how long a record takes through it; it counts, so that a store can be asked.
const PROBED: &str = "other-00";
const PROBED_INLINE: &str = "inline-00";
const PROBES_PER_SECOND: u32 = 100;
const HOG_PARTITIONS: u32 = 4;
/// Nothing here takes longer on a machine that works.
const MOST: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let data = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let server = footprint(data.path(), args).await?;
    let mut phases = Vec::new();
    for (name, backlog, hog) in [
        ("idle", false, false),
        ("a hog", false, true),
        ("a backlog", true, false),
        ("a backlog and a hog", true, true),
    ] {
        eprintln!("{name} …");
        phases.push(phase(&server, name, backlog, hog, args).await?);
    }
    print(&phases);
    Ok(())
}

// === memory and start ===

/// Makes all of them; what they take at rest and when the server starts.
async fn footprint(data: &Path, args: &Args) -> Result<Server> {
    let mut rows = Vec::new();
    let mut server = Server::start_in(data, &[]).await?;
    create_topics(&server).await?;
    server.stop().await?;
    server = starts(server, data, args, "no deployment, all topics", 0, &mut rows).await?;

    let begin = Instant::now();
    let specs = specs();
    for spec in &specs {
        let name = spec["name"].as_str().context("a name")?;
        let module =
            spec["module"].as_str().and_then(|module| module.strip_prefix(name)).context("a module")?;
        let module = module.trim_start_matches('-').trim_end_matches("@1.0.0");
        // Equal bytes are compiled once.
        let bytes = if args.quick { prebuilt(module)? } else { distinct(prebuilt(module)?, name) };
        server.push(&format!("{name}-{module}"), bytes).await?;
    }
    let pushed = begin.elapsed();
    let begin = Instant::now();
    for spec in &specs {
        server.deploy(spec).await?;
    }
    let deployed = begin.elapsed();
    until_running(&server, specs.len()).await?;
    println!(
        "\n{} modules uploaded and compiled in {:.1} s, {0} deployments made in {:.1} s",
        specs.len(),
        pushed.as_secs_f64(),
        deployed.as_secs_f64()
    );
    rows.push(vec!["as they were made".into(), "–".into(), "–".into(), "–".into(), mib(rss(server.pid()))]);
    server.stop().await?;
    server = starts(server, data, args, "a hundred deployments", specs.len(), &mut rows).await?;

    // Each has done something: instances are there.
    feed(&server, &mut Clicks::new(3), 1).await?;
    for topic in (0..OTHER).map(other).chain((0..INLINE).map(inline)) {
        server.produce_lines(&topic, lines(&mut Clicks::new(4), 100)).await?;
    }
    caught_up(&server).await?;
    rows.push(vec![
        "… each with an instance".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        mib(rss(server.pid())),
    ]);
    table(
        "A hundred deployments: start and memory",
        &["", "ms until ready", "ms until all run", "CPU ms until then", "RSS"],
        &rows,
    );
    Ok(server)
}

/// Starts a stopped server several times; the last one stays.
async fn starts(
    mut server: Server,
    data: &Path,
    args: &Args,
    name: &str,
    deployments: usize,
    rows: &mut Vec<Vec<String>>,
) -> Result<Server> {
    let (mut ready, mut running, mut spent, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..args.pick(5, 2) {
        if round > 0 {
            server.stop().await?;
        }
        let begin = Instant::now();
        server = Server::start_in(data, &[]).await?;
        ready.push(server.ready_after.as_secs_f64() * 1e3);
        until_running(&server, deployments).await?;
        running.push(begin.elapsed().as_secs_f64() * 1e3);
        spent.push(cpu(server.pid())?.as_secs_f64() * 1e3);
        memory = rss(server.pid());
    }
    let middle = |values: Vec<f64>| number(median(values));
    rows.push(vec![name.to_owned(), middle(ready), middle(running), middle(spent), mib(memory)]);
    Ok(server)
}

async fn create_topics(server: &Server) -> Result<()> {
    server.create_topic("clicks", 1).await?;
    server.create_topic("hogged", HOG_PARTITIONS).await?;
    for topic in (0..OTHER).map(other).chain((0..INLINE).map(inline)) {
        server.create_topic(&topic, 1).await?;
    }
    for name in (0..EQUAL).map(equal).chain((0..OTHER).map(other)) {
        server.create_topic(&format!("{name}-out"), 1).await?;
    }
    Ok(())
}

fn equal(n: usize) -> String {
    format!("equal-{n:02}")
}

fn other(n: usize) -> String {
    format!("other-{n:02}")
}

fn inline(n: usize) -> String {
    format!("inline-{n:02}")
}

/// Processors read the topic of their name, or `clicks`; each has its own module, named after both.
fn specs() -> Vec<Value> {
    let processor = |name: String, module: &str, input: &str| {
        json!({
            "name": name, "kind": "processor", "module": format!("{name}-{module}@1.0.0"),
            "input": { "topics": [input] }, "output": { "default": format!("{name}-out") },
        })
    };
    let equals = (0..EQUAL).map(|n| processor(equal(n), "count-by-key", "clicks"));
    let others = (0..OTHER).map(|n| {
        let module = if other(n) == PROBED { "count-by-key" } else { OTHERS[n % OTHERS.len()] };
        processor(other(n), module, &other(n))
    });
    let inlines = (0..INLINE).map(|n| {
        let name = inline(n);
        let module = format!("{name}-validate-json@1.0.0");
        json!({ "name": name, "kind": "inline", "module": module, "input": { "topics": [name] } })
    });
    equals.chain(others).chain(inlines).collect()
}

/// All of them by name, none of them failed.
async fn deployments(server: &Server) -> Result<BTreeMap<String, Value>> {
    let mut page = server.get("/v1/deployments?limit=1000").await?;
    let Value::Array(views) = page["items"].take() else { anyhow::bail!("no list: {page}") };
    for view in &views {
        ensure!(view["state"] != "failed", "it failed: {view}");
    }
    Ok(views.into_iter().map(|view| (view["name"].as_str().unwrap_or_default().to_owned(), view)).collect())
}

async fn until_running(server: &Server, count: usize) -> Result<()> {
    let begin = Instant::now();
    loop {
        let all = deployments(server).await?;
        let running = all.values().filter(|view| view["state"] == "running").count();
        if running == count && all.len() == count {
            return Ok(());
        }
        ensure!(begin.elapsed() < MOST, "{running} of {count} run");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn caught_up(server: &Server) -> Result<()> {
    let begin = Instant::now();
    while deployments(server).await?.values().any(|view| view["totals"]["lag"] != 0) {
        ensure!(begin.elapsed() < MOST, "they do not come to the end of their topics");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// So many thousand clicks.
async fn feed(server: &Server, clicks: &mut Clicks, thousands: u64) -> Result<()> {
    for _ in 0..thousands {
        server.produce_lines("clicks", lines(clicks, 1000)).await?;
    }
    Ok(())
}

// === phases ===

/// What was seen while there was nothing, a backlog, a hog, or both.
struct Phase {
    name: &'static str,
    processed: Histogram<u64>,
    accepted: Histogram<u64>,
    cores: f64,
    rss: u64,
    race: Option<Race>,
}

/// How the equal ones came through a backlog.
struct Race {
    /// of all together
    rate: f64,
    /// progress of the slowest in parts of the fastest one's, when that has come to the end
    behind: f64,
    first_secs: f64,
    last_secs: f64,
}

async fn phase(server: &Server, name: &'static str, backlog: bool, hog: bool, args: &Args) -> Result<Phase> {
    if hog {
        release_hog(server).await?;
    }
    let stop = Rc::new(Cell::new(false));
    let probes = tokio::task::spawn_local(probe(server.addr(), stop.clone()));
    let (watch, meter) = (MemoryWatch::start(server.pid()), Meter::start(server.pid())?);
    let race = match backlog {
        true => Some(race(server, args.pick(20, 1)).await?),
        false => {
            tokio::time::sleep(Duration::from_secs(args.pick(15, 3))).await;
            None
        }
    };
    let cores = meter.stop()?.cores();
    stop.set(true);
    let (processed, accepted) = probes.await??;
    if hog {
        let view = server.get("/v1/deployments/hog").await?;
        ensure!(view["totals"]["lag"] != 0, "the hog has come to its end before the others: {view}");
        server.delete("/v1/deployments/hog").await?;
    }
    Ok(Phase { name, processed, accepted, cores, rss: watch.stop().0, race })
}

/// Every record of it takes the whole CPU time that a call may have; then comes the next.
async fn release_hog(server: &Server) -> Result<()> {
    if server.get("/v1/modules/endless-loop").await.is_err() {
        server.push("endless-loop", prebuilt("endless-loop")?).await?;
        let line = |n: u32| format!("{{\"key\":\"{n}\",\"value\":\"misbehave\"}}\n");
        for _ in 0..10 {
            server.produce_lines("hogged", (0..1000).map(line).collect::<String>().into_bytes()).await?;
        }
    }
    let spec = json!({
        "name": "hog", "kind": "processor", "module": "endless-loop@1.0.0", "input": { "topics": ["hogged"] },
        "on_error": { "policy": "skip", "max_retries": 0, "backoff": "1ms" },
    });
    server.deploy(&spec).await
}

/// A backlog comes at once; all equal ones go through it.
async fn race(server: &Server, thousands: u64) -> Result<Race> {
    let read = |all: &BTreeMap<String, Value>| -> Vec<u64> {
        let equals = all.iter().filter(|(name, _)| name.starts_with("equal-"));
        equals.map(|(_, view)| view["totals"]["records_in"].as_u64().unwrap_or(0)).collect()
    };
    let before = read(&deployments(server).await?);
    ensure!(before.len() == EQUAL, "{} of {EQUAL} equal ones are there", before.len());
    let begin = Instant::now();
    feed(server, &mut Clicks::new(8), thousands).await?;
    let (mut first, mut behind) = (None, f64::NAN);
    loop {
        let now = read(&deployments(server).await?);
        let done: Vec<u64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
        let (slowest, fastest) = (done.iter().min().copied(), done.iter().max().copied());
        let (slowest, fastest) = slowest.zip(fastest).context("equal ones")?;
        if fastest >= thousands * 1000 && first.is_none() {
            first = Some(begin.elapsed());
            behind = slowest as f64 / fastest as f64;
        }
        if slowest >= thousands * 1000 {
            let (last_secs, first) = (begin.elapsed().as_secs_f64(), first.unwrap_or_default());
            let rate = (EQUAL as u64 * thousands * 1000) as f64 / last_secs;
            return Ok(Race { rate, behind, first_secs: first.as_secs_f64(), last_secs });
        }
        ensure!(begin.elapsed() < MOST, "the slowest has done {slowest} of {thousands},000");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Records through an idle processor, until its answer can be read, and through an idle inline transform, on a schedule.
async fn probe(addr: SocketAddr, stop: Rc<Cell<bool>>) -> Result<(Histogram<u64>, Histogram<u64>)> {
    let (processed, accepted) = (Rc::new(RefCell::new(histogram())), Rc::new(RefCell::new(histogram())));
    let pool = Rc::new(Pool::default());
    let mut schedule = Schedule::start(PROBES_PER_SECOND, u64::from(PROBES_PER_SECOND) * MOST.as_secs());
    let mut clicks = Clicks::new(5);
    let mut open = Vec::new();
    while let Some((_, due)) = schedule.next().await
        && !stop.get()
    {
        let body = clicks.next().record();
        let (pool, processed, accepted) = (pool.clone(), processed.clone(), accepted.clone());
        open.push(tokio::task::spawn_local(async move {
            let mut connection = pool.take(addr).await?;
            let path = format!("/v1/topics/{PROBED_INLINE}/records");
            exchange(&mut connection, &request("POST", &path, "application/json", body.as_bytes())).await?;
            record(&mut accepted.borrow_mut(), due.elapsed());
            let path = format!("/v1/topics/{PROBED}/records");
            let produce = request("POST", &path, "application/json", br#"{"key":"k","value":{"amount":1}}"#);
            let begun = Instant::now();
            let answer = exchange(&mut connection, &produce).await?;
            let offset = json_number(&answer, "offset").context("an offset")?;
            let path =
                format!("/v1/deployments/{PROBED}/stores/totals/keys/k?after={PROBED}:0:{offset}&wait=30s");
            exchange(&mut connection, &get(&path)).await?;
            record(&mut processed.borrow_mut(), begun.elapsed());
            pool.put(connection);
            anyhow::Ok(())
        }));
    }
    for probe in open {
        probe.await??;
    }
    Ok((processed.replace(histogram()), accepted.replace(histogram())))
}

async fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Vec<u8>> {
    let answer = connection.exchange(request).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    Ok(answer.body.to_vec())
}

fn print(phases: &[Phase]) {
    let row = |phase: &Phase| {
        let ms = |times: &Histogram<u64>, quantile| number(quantile_ms(times, quantile));
        let raced = |of: fn(&Race) -> f64| number(phase.race.as_ref().map_or(f64::NAN, of));
        vec![
            phase.name.to_owned(),
            ms(&phase.accepted, 0.5),
            ms(&phase.accepted, 0.99),
            ms(&phase.processed, 0.5),
            ms(&phase.processed, 0.99),
            raced(|race| race.rate),
            raced(|race| race.behind),
            raced(|race| race.first_secs),
            raced(|race| race.last_secs),
            number(phase.cores),
            mib(phase.rss),
        ]
    };
    table(
        &format!("Beside a hundred deployments, {EQUAL} of which are equal"),
        &[
            "",
            "inline p50 ms",
            "p99",
            "processor p50 ms",
            "p99",
            "records/s of the equal ones",
            "slowest of fastest",
            "first done, s",
            "last",
            "server cores",
            "peak RSS",
        ],
        &phases.iter().map(row).collect::<Vec<_>>(),
    );
}
