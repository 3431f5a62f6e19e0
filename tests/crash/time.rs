//! kill -9 while windows, joins, sessions and timers are at work: the Nexmark queries over one stream of events that come out
//! of order, in one stage each, and those that keep rows by key in two stages as well, over many partitions, whose events change
//! their key in between. Afterwards each query equals plain loops over the same events, so nothing is lost, nothing counts
//! twice, and no window is told twice as final; windows of the clock hold every bid once.

#[path = "../../guest-examples/nexmark/src/tests/oracle.rs"]
mod oracle;
#[path = "../it/nexmark/specs.rs"]
mod specs;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nexmark_generator::event::Event;
use serde_json::{Value, json};

use super::check::read_as;
use super::crew::{Crew, Hand};
use super::server::Server;
use super::{PARTITIONS, Random};

/// The query whose windows go by the server's clock.
const BY_CLOCK: &str = "q12";
/// Events of a second of their own time: a run is many windows long.
const PER_SECOND: usize = 50;
/// How far they may be out of order.
const OUT_OF_ORDER: u64 = 5_000;
/// Events of a request.
const REQUEST: usize = 20;
/// More than a run can produce in its time.
const EVENTS_PER_ROUND: usize = 2_000;
/// Topics with the events: in one partition, and spread over all.
const EVENTS: &str = "events";
const SPREAD: &str = "spread";
/// What is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn rounds(binary: &Path, rounds: u32, mut random: Random) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut server = Server::start(binary, data.path()).await?;
    prepare(&server).await?;
    let events = oracle::events(EVENTS_PER_ROUND * rounds as usize, PER_SECOND);
    let events: Arc<[Event]> = oracle::shuffled(events, OUT_OF_ORDER, random.next()).into();
    let sent = Arc::new(AtomicUsize::new(0));
    let mut producer = Crew::new(server.url());
    producer.add(|hand| produce(hand, events.clone(), sent.clone()));
    for round in 1..=rounds {
        tokio::time::sleep(Duration::from_millis(100 + random.below(700))).await;
        server.kill()?;
        producer.hold().await?;
        server = Server::start(binary, data.path()).await.with_context(|| format!("restart {round}"))?;
        producer.go_on(server.url());
        producer.settle().await?;
        if round % 10 == 0 || round == rounds {
            println!("round {round}: {} events", sent.load(SeqCst));
        }
    }
    producer.hold().await?;
    producer.stop().await;
    let events = &events[..sent.load(SeqCst)];
    let last = specs::record(&specs::last(events));
    server.post(&format!("/v1/topics/{EVENTS}/records"), &json!({ "records": [last] })).await?;
    let everywhere: Vec<_> = (0..PARTITIONS).map(|partition| at(partition, last.clone())).collect();
    server.post(&format!("/v1/topics/{SPREAD}/records"), &json!({ "records": everywhere })).await?;
    // Twice, and over one more kill: nothing comes late, and nothing comes again.
    for _ in 0..2 {
        check(&server, events).await?;
        server.kill()?;
        server = Server::start(binary, data.path()).await?;
    }
    println!(
        "{} events: {} queries in one stage and {} in two equal an independent computation, and {BY_CLOCK} counts every bid once",
        events.len(),
        oracle::ALL.len(),
        oracle::KEYED.len()
    );
    server.kill()
}

/// A deployment of a query.
struct Asked {
    query: &'static str,
    /// in two stages, over many partitions
    is_keyed: bool,
}

fn all() -> impl Iterator<Item = Asked> {
    let plain = oracle::ALL.into_iter().chain([BY_CLOCK]).map(|query| Asked { query, is_keyed: false });
    plain.chain(oracle::KEYED.into_iter().chain([BY_CLOCK]).map(|query| Asked { query, is_keyed: true }))
}

impl Asked {
    /// Of the deployment and of its output.
    fn name(&self) -> String {
        format!("{}{}", self.query, if self.is_keyed { "-keyed" } else { "" })
    }

    /// How many records each of its tasks reads: the events, and the last one.
    fn reads(&self, events: usize) -> Vec<usize> {
        let partitions = if self.is_keyed { PARTITIONS as usize } else { 1 };
        (0..partitions).map(|first| events.saturating_sub(first).div_ceil(partitions) + 1).collect()
    }
}

async fn prepare(server: &Server) -> Result<()> {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let wasm = format!("{root}/guest-examples/prebuilt/nexmark.wasm");
    server.put_bytes("/v1/modules/nexmark?version=1.0.0", std::fs::read(wasm)?).await?;
    server.put(&format!("/v1/topics/{EVENTS}"), &specs::topic(1)).await?;
    server.put(&format!("/v1/topics/{SPREAD}"), &specs::topic(PARTITIONS)).await?;
    for asked in all() {
        let name = asked.name();
        server.put(&format!("/v1/topics/{name}"), &specs::topic(1)).await?;
        let spec = match asked.is_keyed {
            true => specs::keyed(asked.query, SPREAD, &name),
            false => specs::deployment(asked.query, EVENTS, &name),
        };
        server.put(&format!("/v1/deployments/{name}"), &spec).await?;
    }
    Ok(())
}

fn at(partition: u32, mut record: Value) -> Value {
    record["partition"] = partition.into();
    record
}

/// Sends the events in their order, each request with its key until it is acknowledged.
async fn produce(mut hand: Hand, events: Arc<[Event]>, sent: Arc<AtomicUsize>) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a plain client");
    // One after the other to each partition, so that they are no more out of order there than in all.
    let mut partitions = (0..PARTITIONS).cycle();
    for (n, some) in events.chunks(REQUEST).enumerate() {
        let records: Vec<_> = some.iter().map(specs::record).collect();
        let spread: Vec<_> = records.iter().cloned().zip(&mut partitions).map(|(r, p)| at(p, r)).collect();
        let send = async |url: &str, topic: &str, records: &[Value]| {
            let request = http.post(format!("{url}/v1/topics/{topic}/records"));
            let request = request.header("idempotency-key", format!("{topic}-{n}"));
            let response = request.json(&json!({ "records": records })).send().await;
            response.is_ok_and(|response| response.status().is_success())
        };
        loop {
            let Some(url) = hand.go().await else { return };
            if send(&url, EVENTS, &records).await && send(&url, SPREAD, &spread).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        sent.fetch_add(some.len(), SeqCst);
        hand.finished();
        tokio::time::sleep(Duration::from_millis(n as u64 * 7919 % 40)).await;
    }
    hand.complain("the events were used up before the rounds were over".to_owned());
}

async fn check(server: &Server, events: &[Event]) -> Result<()> {
    let bids = events.iter().filter(|event| matches!(event, Event::Bid(_))).count() as u64;
    for asked in all() {
        let name = asked.name();
        has_read(server, &name, &asked.reads(events.len())).await?;
        match asked.query {
            BY_CLOCK => counts(server, &name, bids).await?,
            query => equals(server, &name, query, &oracle::expected(query, events)).await?,
        }
    }
    Ok(())
}

/// Every bid is in one window of the clock. The last of them take a while to end.
async fn counts(server: &Server, name: &str, bids: u64) -> Result<()> {
    let begin = std::time::Instant::now();
    loop {
        let counted = counted_by_clock(server, name).await?;
        if counted == bids {
            return Ok(());
        }
        ensure!(
            counted < bids && begin.elapsed() < PATIENCE,
            "{name} counts {counted} bids, there are {bids}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Timers fire behind the last record, in commits of their own, so the rows may take a moment.
async fn equals(server: &Server, name: &str, query: &str, expected: &[String]) -> Result<()> {
    let begin = std::time::Instant::now();
    loop {
        let actual = oracle::canonical(query, rows(server, name).await?);
        if actual == expected {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE || actual.len() > expected.len() {
            let [more, less] = [(&actual[..], expected), (expected, &actual[..])].map(|(some, others)| {
                let others: BTreeSet<_> = others.iter().collect();
                some.iter().filter(|row| !others.contains(row)).take(3).collect::<Vec<_>>()
            });
            let rows = (actual.len(), expected.len());
            bail!("{name}: {} rows instead of {}; wrong {more:#?}, missing {less:#?}", rows.0, rows.1);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Bids in the windows of the clock, no window of which may be told twice.
async fn counted_by_clock(server: &Server, name: &str) -> Result<u64> {
    let mut windows = BTreeSet::new();
    let mut counted = 0;
    for (_, row) in rows(server, name).await? {
        let row: Value = serde_json::from_str(&row)?;
        let window = (row["bidder"].to_string(), row["end_time"].to_string());
        ensure!(windows.insert(window.clone()), "{name}: the window {window:?} is told twice");
        counted += row["bid_count"].as_u64().with_context(|| format!("`bid_count` in {row}"))?;
    }
    Ok(counted)
}

/// Keys and values of an output, in the order of the log.
async fn rows(server: &Server, topic: &str) -> Result<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = read_as(server, topic, 0, "text").await?;
    Ok(records.iter().map(|record| (text(&record["key"]), text(&record["value"]))).collect())
}

/// Waits until each task has read so many records of its input.
async fn has_read(server: &Server, name: &str, records: &[usize]) -> Result<()> {
    let begin = std::time::Instant::now();
    loop {
        let view = server.get(&format!("/v1/deployments/{name}")).await?;
        ensure!(view["state"] != "failed", "{name} has failed: {view:#}");
        if (0..records.len()).all(|task| view["tasks"][task]["positions"][0]["offset"] == records[task]) {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "{name} has not read {records:?} records: {view:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
