//! The Nexmark queries through the server: each comes to what plain loops over the same events make of them, in order, and
//! out of order with the server killed in between. So do those that keep rows by key over many partitions, in two stages.

#[path = "../../guest-examples/nexmark/src/tests/oracle.rs"]
mod oracle;
mod specs;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nexmark_generator::event::Event;
use serde_json::{Value, json};

use super::support::Server;

/// Events of a second: the whole of them are several windows long.
const PER_SECOND: usize = 100;
const EVENTS: usize = 5_000;
const OUT_OF_ORDER: u64 = 5_000;
/// Looks, of up to 10 s each, before a query counts as hanging on a slow machine.
const LOOKS: usize = 12;

/// Queries in one stage, over `events`, or over `spread`, of more partitions, in two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stages {
    One,
    Two,
}

impl Stages {
    fn events(self) -> (&'static str, u32) {
        match self {
            Self::One => ("events", 1),
            Self::Two => ("spread", 3),
        }
    }
}

async fn put_topic(server: &Server, topic: &str, partitions: u32) -> Result<()> {
    server.put(&format!("/v1/topics/{topic}"), &specs::topic(partitions)).await?.expect(201).map(drop)
}

/// A server with the queries, each over the events and with an output of its name.
async fn serve(stages: Stages, queries: &[&str]) -> Result<Server> {
    let server = Server::start().await?;
    let (events, partitions) = stages.events();
    put_topic(&server, events, partitions).await?;
    server.upload("nexmark").await?.expect(201)?;
    for query in queries {
        put_topic(&server, query, 1).await?;
        let spec = match stages {
            Stages::One => specs::deployment(query, events, query),
            Stages::Two => specs::keyed(query, events, query),
        };
        server.put(&format!("/v1/deployments/{query}"), &spec).await?.expect(201)?;
    }
    Ok(server)
}

/// Stores events, one after the other to each partition, so that they are no more out of order there than in all.
async fn produce(server: &Server, stages: Stages, events: &[Event]) -> Result<()> {
    let (topic, partitions) = stages.events();
    let mut partitions = (0..partitions).cycle();
    let mut record = |event: &Event| {
        let mut record = specs::record(event);
        record["partition"] = partitions.next().into();
        record
    };
    for some in events.chunks(1_000) {
        let records: Vec<Value> = some.iter().map(&mut record).collect();
        let path = format!("/v1/topics/{topic}/records");
        server.post(&path, &json!({ "records": records })).await?.expect(200)?;
    }
    Ok(())
}

/// In every partition: all windows are over.
async fn end(server: &Server, stages: Stages, events: &[Event]) -> Result<()> {
    let (_, partitions) = stages.events();
    produce(server, stages, &vec![specs::last(events); partitions as usize]).await
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

/// Waits until a deployment has read so many records of its input, by its positions.
async fn has_read(server: &Server, query: &str, records: usize) -> Result<()> {
    let path = format!("/v1/deployments/{query}");
    let read = |d: &Value| -> u64 {
        let tasks = d["tasks"].as_array().into_iter().flatten();
        tasks.filter_map(|task| task["positions"][0]["offset"].as_u64()).sum()
    };
    for _ in 0..LOOKS {
        let done = |d: &Value| read(d) == records as u64 || d["state"] == "failed";
        if let Ok(view) = server.until(&path, done).await {
            ensure!(view["state"] != "failed", "{query} has failed: {view:#}");
            return Ok(());
        }
    }
    anyhow::bail!("{query} has not read all of {records} records: {:#}", server.get(&path).await?.json()?)
}

/// Compares every query with the oracle, and once more when all have been seen: nothing comes twice.
async fn compare(server: &Server, stages: Stages, queries: &[&str], events: &[Event]) -> Result<()> {
    let (_, partitions) = stages.events();
    for query in queries {
        has_read(server, query, events.len() + partitions as usize).await?;
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

#[tokio::test]
async fn every_query_equals_the_oracle() -> Result<()> {
    let server = serve(Stages::One, &oracle::ALL).await?;
    let events = oracle::events(EVENTS, PER_SECOND);
    produce(&server, Stages::One, &events).await?;
    end(&server, Stages::One, &events).await?;
    compare(&server, Stages::One, &oracle::ALL, &events).await
}

/// Events out of order, and two kills while the queries are at different places.
async fn over_kills(stages: Stages, queries: &[&str], seed: u64) -> Result<()> {
    let mut server = serve(stages, queries).await?;
    let events = oracle::shuffled(oracle::events(EVENTS, PER_SECOND), OUT_OF_ORDER, seed);
    let middle = events.len() / 2;
    produce(&server, stages, &events[..middle]).await?;
    // Those that come last have hardly begun by then, and the first ones are done.
    has_read(&server, queries[0], middle).await?;
    server = server.restart().await?;
    produce(&server, stages, &events[middle..]).await?;
    has_read(&server, queries[queries.len() / 3], events.len()).await?;
    server = server.restart().await?;
    end(&server, stages, &events).await?;
    compare(&server, stages, queries, &events).await
}

#[tokio::test]
async fn every_query_equals_the_oracle_out_of_order_and_over_kills() -> Result<()> {
    over_kills(Stages::One, &oracle::ALL, 97).await
}

#[tokio::test]
async fn queries_by_key_equal_the_oracle_over_many_partitions_and_over_kills() -> Result<()> {
    over_kills(Stages::Two, &oracle::KEYED, 101).await
}

#[tokio::test]
async fn windows_of_the_clock_count_every_bid_once_over_a_kill() -> Result<()> {
    let server = serve(Stages::One, &["q12"]).await?;
    let events = oracle::events(2_000, PER_SECOND);
    produce(&server, Stages::One, &events).await?;
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
