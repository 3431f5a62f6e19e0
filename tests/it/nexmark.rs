//! The Nexmark queries through the server: each comes to what plain loops over the same events make of them, in order, and
//! out of order with the server killed in between.

#[path = "../../guest-examples/nexmark/tests/oracle.rs"]
#[expect(unreachable_pub, reason = "the guest's own tests use it as well")]
mod oracle;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nexmark_generator::event::{Event, Person};
use serde_json::{Value, json};

use super::support::Server;

/// Events of a second: the whole of them are several windows long.
const PER_SECOND: usize = 100;
const EVENTS: usize = 5_000;
const OUT_OF_ORDER: u64 = 5_000;
/// Looks, of up to 10 s each, before a query counts as hanging on a slow machine.
const LOOKS: usize = 12;

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

/// A topic that keeps what it is told: the events are of a day long past.
async fn keep(server: &Server, topic: &str) -> Result<()> {
    let topic_of_all_time = json!({ "partitions": 1, "config": { "retention.ms": "-1" } });
    server.put(&format!("/v1/topics/{topic}"), &topic_of_all_time).await?.expect(201).map(drop)
}

async fn deploy(server: &Server, query: &str) -> Result<()> {
    keep(server, query).await?;
    let spec = json!({
        "kind": "processor", "module": "nexmark", "input": { "topics": ["events"] },
        "output": { "default": query }, "params": { "query": query }, "time": { "out_of_order": "5s" }
    });
    server.put(&format!("/v1/deployments/{query}"), &spec).await?.expect(201).map(drop)
}

async fn produce(server: &Server, events: &[Event]) -> Result<()> {
    let record =
        |event: &Event| Ok(json!({ "value": serde_json::to_value(event)?, "timestamp": event.timestamp() }));
    for some in events.chunks(1_000) {
        let records = some.iter().map(record).collect::<Result<Vec<Value>>>()?;
        server.post("/v1/topics/events/records", &json!({ "records": records })).await?.expect(200)?;
    }
    Ok(())
}

/// The rows of an output with their keys, in the order of the log.
async fn rows(server: &Server, topic: &str) -> Result<Vec<(String, String)>> {
    let mut rows = Vec::new();
    let mut offset = 0;
    loop {
        let path = format!("/v1/topics/{topic}/partitions/0/records?offset={offset}&limit=10000&format=text");
        let page = server.get(&path).await?.expect(200)?.json()?;
        let records = page["records"].as_array().context("records")?;
        let Some(last) = records.last() else { return Ok(rows) };
        offset = last["offset"].as_u64().context("an offset")? + 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.extend(records.iter().map(|record| (text(&record["key"]), text(&record["value"]))));
    }
}

/// Waits until a deployment has read all records.
async fn has_read(server: &Server, query: &str, records: usize) -> Result<()> {
    let path = format!("/v1/deployments/{query}");
    for _ in 0..LOOKS {
        let done = |d: &Value| d["tasks"][0]["positions"][0]["offset"] == records || d["state"] == "failed";
        if let Ok(view) = server.until(&path, done).await {
            ensure!(view["state"] != "failed", "{query} has failed: {view:#}");
            return Ok(());
        }
    }
    anyhow::bail!("{query} has not read all of {records} records: {:#}", server.get(&path).await?.json()?)
}

/// Compares every query with the oracle, and once more when all have been seen: nothing comes twice.
async fn compare(server: &Server, queries: &[&str], events: &[Event]) -> Result<()> {
    for query in queries {
        has_read(server, query, events.len() + 1).await?;
    }
    for round in 0..2 {
        for query in queries {
            let expected = oracle::expected(query, events);
            let mut actual = Vec::new();
            // Timers fire behind the last record, in commits of their own.
            for _ in 0..1_000 {
                actual = oracle::canonical(query, rows(server, query).await?);
                if actual.len() >= expected.len() && (round > 0 || actual == expected) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let [more, less] = [(&actual, &expected), (&expected, &actual)].map(|(some, others)| {
                let others: BTreeSet<_> = others.iter().collect();
                some.iter().filter(|row| !others.contains(row)).take(3).collect::<Vec<_>>()
            });
            ensure!(
                actual == expected,
                "{query}: {} rows instead of {}; wrong are {more:#?}, missing are {less:#?}",
                actual.len(),
                expected.len()
            );
        }
    }
    Ok(())
}

async fn serve() -> Result<Server> {
    let server = Server::start().await?;
    keep(&server, "events").await?;
    server.upload("nexmark").await?.expect(201)?;
    for query in oracle::ALL {
        deploy(&server, query).await?;
    }
    Ok(server)
}

#[tokio::test]
async fn every_query_equals_the_oracle() -> Result<()> {
    let server = serve().await?;
    let events = oracle::events(EVENTS, PER_SECOND);
    produce(&server, &events).await?;
    produce(&server, &[last(&events)]).await?;
    compare(&server, &oracle::ALL, &events).await
}

#[tokio::test]
async fn every_query_equals_the_oracle_out_of_order_and_over_kills() -> Result<()> {
    let mut server = serve().await?;
    let events = oracle::shuffled(oracle::events(EVENTS, PER_SECOND), OUT_OF_ORDER, 97);
    let middle = events.len() / 2;
    produce(&server, &events[..middle]).await?;
    // Those that come last have hardly begun by then, and the first ones are done.
    has_read(&server, "q0", middle).await?;
    server = server.restart().await?;
    produce(&server, &events[middle..]).await?;
    has_read(&server, "q5", events.len()).await?;
    server = server.restart().await?;
    produce(&server, &[last(&events)]).await?;
    compare(&server, &oracle::ALL, &events).await
}

#[tokio::test]
async fn windows_of_the_clock_count_every_bid_once_over_a_kill() -> Result<()> {
    let server = Server::start().await?;
    keep(&server, "events").await?;
    server.upload("nexmark").await?.expect(201)?;
    deploy(&server, "q12").await?;
    let events = oracle::events(2_000, PER_SECOND);
    produce(&server, &events).await?;
    has_read(&server, "q12", events.len()).await?;
    let server = server.restart().await?;

    let bids = events.iter().filter(|event| matches!(event, Event::Bid(_))).count() as u64;
    let mut counted = 0;
    for _ in 0..LOOKS * 100 {
        let rows = rows(&server, "q12").await?;
        let rows =
            rows.iter().map(|(_, row)| Ok(serde_json::from_str(row)?)).collect::<Result<Vec<Value>>>()?;
        let windows = rows.iter().map(|row| (row["bidder"].to_string(), row["end_time"].to_string()));
        assert_eq!(windows.collect::<BTreeSet<_>>().len(), rows.len(), "no window is told twice");
        counted = rows.iter().filter_map(|row| row["bid_count"].as_u64()).sum();
        if counted == bids {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{counted} bids are counted, there are {bids}")
}
