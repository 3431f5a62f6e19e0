//! What must hold after every restart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::PARTITIONS;
use super::producer::Acked;
use super::server::Server;

/// Deployments that count the input by key; the second one is rewound while the server is killed.
const COUNTING: [&str; 2] = ["totals", "replay"];

/// Counts for the reader of the run.
pub(crate) struct Found {
    acked: usize,
    input: usize,
    output: usize,
    keys: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, input, output, keys } = self;
        write!(
            f,
            "{acked} acknowledged, {input} stored, {output} outputs, {keys} totals: all as they should be"
        )
    }
}

/// Every claim, over the whole topic each time.
pub(crate) async fn all(server: &Server, acked: &Acked) -> Result<Found> {
    let mut totals = BTreeMap::<String, (u64, u64)>::new();
    let (mut input, mut output) = (0, 0);
    let acked = acked.records.lock().await;
    let mut per_producer = BTreeMap::<(u64, u64), u64>::new();
    for partition in 0..PARTITIONS {
        let records = read(server, "in", partition).await?;
        input += records.len();
        for (i, record) in records.iter().enumerate() {
            let offset = record["offset"].as_u64().context("an offset")?;
            ensure!(offset == i as u64, "input {partition}: offset {offset} stands at place {i}");
            let value = &record["value"];
            let (producer, n) = (number(value, "producer")?, number(value, "n")?);
            if let Some(expected) = acked.get(&(u64::from(partition), offset)) {
                ensure!(
                    *expected == (producer, n),
                    "input {partition}/{offset} was acknowledged for {expected:?} and holds {:?}",
                    (producer, n)
                );
            }
            let last = per_producer.insert((producer, u64::from(partition)), n);
            ensure!(
                last.is_none_or(|l| l < n),
                "producer {producer}: {n} after {last:?} in partition {partition}"
            );
            let key = record["key"].as_str().context("a key")?.to_owned();
            let total = totals.entry(key).or_default();
            total.0 += 1;
            total.1 += number(value, "amount")?;
        }
        for ((_, offset), expected) in acked.range((u64::from(partition), 0)..(u64::from(partition) + 1, 0)) {
            ensure!(
                *offset < records.len() as u64,
                "acknowledged {expected:?} at {partition}/{offset} is lost"
            );
        }
        for deployment in COUNTING {
            caught_up(server, deployment, partition, records.len() as u64).await?;
        }
    }
    for partition in 0..PARTITIONS {
        output += outputs(server, partition).await?;
    }
    ensure!(output == input, "{input} inputs made {output} outputs");
    for (deployment, (key, (count, sum))) in COUNTING.iter().flat_map(|d| totals.iter().map(move |t| (d, t)))
    {
        let value = server.get(&format!("/v1/deployments/{deployment}/stores/totals/keys/{key}")).await?;
        ensure!(
            (number(&value, "count")?, number(&value, "sum")?) == (*count, *sum),
            "total of {key}: the state of {deployment} has {value}, the fold of the input {count} records with sum {sum}"
        );
    }
    Ok(Found { acked: acked.len(), input, output, keys: totals.len() })
}

/// Counts of a key must go 1, 2, 3, …
async fn outputs(server: &Server, partition: u32) -> Result<usize> {
    let records = read(server, "out", partition).await?;
    let mut counts = BTreeMap::<&str, u64>::new();
    for record in &records {
        let key = record["key"].as_str().context("a key")?;
        let count = number(&record["value"], "count")?;
        let last = counts.insert(key, count).unwrap_or(0);
        ensure!(count == last + 1, "outputs of {key}: count {count} follows {last}");
    }
    Ok(records.len())
}

/// A number of a JSON object, for sums perhaps written as 3.0.
fn number(value: &Value, name: &str) -> Result<u64> {
    let field = &value[name];
    field
        .as_u64()
        .or_else(|| field.as_f64().map(|f| f as u64))
        .with_context(|| format!("`{name}` in {value}"))
}

/// What readers of committed records see of a partition over HTTP.
pub(crate) async fn read(server: &Server, topic: &str, partition: u32) -> Result<Vec<Value>> {
    read_as(server, topic, partition, "json").await
}

/// The same, with the values in another format.
pub(crate) async fn read_as(
    server: &Server,
    topic: &str,
    partition: u32,
    format: &str,
) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut offset = 0;
    loop {
        let path = format!(
            "/v1/topics/{topic}/partitions/{partition}/records?offset={offset}&limit=10000&format={format}"
        );
        let mut page = server.get(&path).await?;
        let Value::Array(records) = page["records"].take() else { bail!("no records in {page}") };
        offset = page["next_offset"].as_u64().context("next_offset")?;
        if records.is_empty() {
            return Ok(all);
        }
        all.extend(records);
    }
}

/// Waits until the processor has passed the last record of the input.
async fn caught_up(server: &Server, deployment: &str, partition: u32, tail: u64) -> Result<()> {
    if tail == 0 {
        return Ok(());
    }
    for _ in 0..600 {
        let view = server.get(&format!("/v1/deployments/{deployment}")).await?;
        let positions = view["tasks"][partition as usize]["positions"].clone();
        if positions[0]["offset"].as_u64() == Some(tail) {
            return Ok(());
        }
        ensure!(view["state"] != "failed", "the processor failed: {view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{deployment} did not reach offset {tail} of partition {partition} within 30 s")
}
