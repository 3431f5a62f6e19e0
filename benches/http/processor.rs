//! Processors from topic to topic: a backlog is there, the deployment is made, and the clock runs until nothing is left.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::support::events::{Clicks, lines};
use crate::support::process::{Meter, Spent};
use crate::support::server::{Server, prebuilt};
use crate::support::{Args, median, number, table};

const PARTITIONS: u32 = 4;
const MODULES: [&str; 3] = ["count-by-key", "word-count", "item-cf"];

pub(crate) async fn run(args: &Args) -> Result<()> {
    let server = Server::start(&[]).await?;
    server.create_topic("clicks", PARTITIONS).await?;
    let backlog = args.pick(100_000, 10_000);
    let mut clicks = Clicks::new(3);
    for _ in 0..backlog / 1000 {
        server.produce_lines("clicks", lines(&mut clicks, 1000)).await?;
    }
    let mut rows = Vec::new();
    for module in MODULES {
        let Ok(bytes) = prebuilt(module) else {
            println!("no prebuilt {module}, left out");
            continue;
        };
        server.push(module, bytes).await?;
        let mut rounds = Vec::new();
        for round in 0..args.pick(3, 1) {
            rounds.push(drain(&server, module, round).await?);
        }
        let outputs = rounds.last().map_or(0, |(_, outputs)| *outputs);
        rows.push(vec![
            module.to_owned(),
            number(median(rounds.iter().map(|(spent, _)| spent.per_second(backlog as u64)))),
            number(median(rounds.iter().map(|(spent, _)| spent.micros_per(backlog as u64)))),
            number(outputs as f64 / backlog as f64),
            number(median(rounds.iter().map(|(spent, _)| spent.cores()))),
        ]);
    }
    table(
        &format!(
            "Processors, topic to topic with state, {} records in {PARTITIONS} partitions",
            number(backlog as f64)
        ),
        &["module", "records/s", "CPU µs/record", "outputs per record", "server cores"],
        &rows,
    );
    Ok(())
}

async fn drain(server: &Server, module: &str, round: usize) -> Result<(Spent, u64)> {
    let name = format!("{module}-{round}");
    let spec = json!({
        "name": name, "kind": "processor", "module": format!("{module}@1.0.0"),
        "input": { "topics": ["clicks"] },
        "output": { "default": format!("{name}-out"), "create_topics": { "partitions": PARTITIONS } },
    });
    let meter = Meter::start(server.pid())?;
    server.deploy(&spec).await?;
    server.drained(&name, Duration::from_secs(300)).await?;
    let spent = meter.stop()?;
    let view = server.get(&format!("/v1/deployments/{name}")).await?;
    server.post(&format!("/v1/deployments/{name}/pause"), &json!({})).await?;
    Ok((spent, view["totals"]["records_out"].as_u64().unwrap_or(0)))
}
