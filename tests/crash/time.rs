//! kill -9 while windows, joins, sessions and timers are at work: the Nexmark queries over one stream of events that come out
//! of order. Afterwards each query equals plain loops over the same events, so nothing is lost, nothing counts twice, and no
//! window is told twice as final; windows of the clock hold every bid once.

#[path = "../../guest-examples/nexmark/tests/oracle.rs"]
#[expect(unreachable_pub, reason = "the guest's own tests use it as well")]
mod oracle;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nexmark_generator::event::{Event, Person};
use serde_json::{Value, json};

use super::Random;
use super::check::read_as;
use super::crew::{Crew, Hand};
use super::server::Server;

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
    let request = json!({ "records": [record(&last(events))?] });
    server.post("/v1/topics/events/records", &request).await?;
    // Twice, and over one more kill: nothing comes late, and nothing comes again.
    for _ in 0..2 {
        check(&server, events).await?;
        server.kill()?;
        server = Server::start(binary, data.path()).await?;
    }
    println!(
        "{} events: {} queries equal an independent computation, and {BY_CLOCK} counts every bid once",
        events.len(),
        oracle::ALL.len()
    );
    server.kill()
}

async fn prepare(server: &Server) -> Result<()> {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let wasm = format!("{root}/guest-examples/prebuilt/nexmark.wasm");
    server.put_bytes("/v1/modules/nexmark?version=1.0.0", std::fs::read(wasm)?).await?;
    for topic in ["events", BY_CLOCK].into_iter().chain(oracle::ALL) {
        // The events are of a day long past.
        let topic = json!({ "name": topic, "partitions": 1, "config": { "retention.ms": "-1" } });
        server.post("/v1/topics", &topic).await?;
    }
    for query in oracle::ALL.into_iter().chain([BY_CLOCK]) {
        let spec = json!({
            "kind": "processor", "module": "nexmark@1.0.0", "input": { "topics": ["events"] },
            "output": { "default": query }, "params": { "query": query }, "time": { "out_of_order": "5s" }
        });
        server.put(&format!("/v1/deployments/{query}"), &spec).await?;
    }
    Ok(())
}

fn record(event: &Event) -> Result<Value> {
    Ok(json!({ "value": serde_json::to_value(event)?, "timestamp": event.timestamp() }))
}

/// Somebody who comes long after the last event and does nothing: all windows before are over.
fn last(events: &[Event]) -> Event {
    let end = events.iter().map(Event::timestamp).max().unwrap_or(0) + 60_000;
    Event::Person(Person {
        id: 1,
        name: "Nobody".to_owned(),
        email_address: String::new(),
        credit_card: String::new(),
        city: String::new(),
        state: String::new(),
        date_time: end,
        extra: String::new(),
    })
}

/// Sends the events in their order, each request with its key until it is acknowledged.
async fn produce(mut hand: Hand, events: Arc<[Event]>, sent: Arc<AtomicUsize>) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a plain client");
    for (n, some) in events.chunks(REQUEST).enumerate() {
        let records = match some.iter().map(record).collect::<Result<Vec<_>>>() {
            Ok(records) => json!({ "records": records }),
            Err(error) => return hand.complain(format!("an event is no JSON: {error:#}")),
        };
        loop {
            let Some(url) = hand.go().await else { return };
            let url = format!("{url}/v1/topics/events/records");
            let request = http.post(url).header("idempotency-key", format!("time-{n}")).json(&records);
            if request.send().await.is_ok_and(|response| response.status().is_success()) {
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
    for query in oracle::ALL {
        let expected = oracle::expected(query, events);
        equals(server, query, events.len() + 1, &expected).await?;
    }
    let bids = events.iter().filter(|event| matches!(event, Event::Bid(_))).count() as u64;
    has_read(server, BY_CLOCK, events.len() + 1).await?;
    let begin = std::time::Instant::now();
    loop {
        let counted = counted_by_clock(server).await?;
        if counted == bids {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "{BY_CLOCK} counts {counted} bids, there are {bids}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Timers fire behind the last record, in commits of their own, so the rows may take a moment.
async fn equals(server: &Server, query: &str, read: usize, expected: &[String]) -> Result<()> {
    has_read(server, query, read).await?;
    let begin = std::time::Instant::now();
    loop {
        let actual = oracle::canonical(query, rows(server, query).await?);
        if actual == expected {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE || actual.len() > expected.len() {
            let [more, less] = [(&actual[..], expected), (expected, &actual[..])].map(|(some, others)| {
                let others: BTreeSet<_> = others.iter().collect();
                some.iter().filter(|row| !others.contains(row)).take(3).collect::<Vec<_>>()
            });
            let rows = (actual.len(), expected.len());
            bail!("{query}: {} rows instead of {}; wrong {more:#?}, missing {less:#?}", rows.0, rows.1);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Bids in the windows of the clock, no window of which may be told twice.
async fn counted_by_clock(server: &Server) -> Result<u64> {
    let mut windows = BTreeSet::new();
    let mut counted = 0;
    for (_, row) in rows(server, BY_CLOCK).await? {
        let row: Value = serde_json::from_str(&row)?;
        let window = (row["bidder"].to_string(), row["end_time"].to_string());
        ensure!(windows.insert(window.clone()), "{BY_CLOCK}: the window {window:?} is told twice");
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

async fn has_read(server: &Server, query: &str, records: usize) -> Result<()> {
    let begin = std::time::Instant::now();
    loop {
        let view = server.get(&format!("/v1/deployments/{query}")).await?;
        ensure!(view["state"] != "failed", "{query} has failed: {view:#}");
        if view["tasks"][0]["positions"][0]["offset"] == records {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "{query} has not read {records} records: {view:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
