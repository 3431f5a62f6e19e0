//! NDJSON bodies of 1,000 records, synced: against parsing and encoding alone, and with inline transforms that keep
//! everything against the same without.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::baseline;
use crate::support::client::request;
use crate::support::events::{Clicks, lines};
use crate::support::load::Load;
use crate::support::process::{Meter, Spent};
use crate::support::server::{Server, prebuilt};
use crate::support::{Args, guests, median, number, quantile_ms, table};

const RECORDS: u64 = 1000;
const PARTITIONS: u32 = 4;
/// Enough to keep parsing and syncing busy at once.
const CONNECTIONS: usize = 8;

/// Topics of one server: the same load, with nothing, or with one transform in its way.
const CASES: [(&str, &str); 3] =
    [("plain", "none"), ("kept", "keep-all, hand-written"), ("scanned", "redact-json, field absent")];

struct Round {
    records: u64,
    spent: Spent,
    p99_ms: f64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.spent.per_second(self.records)
    }

    fn cpu(&self) -> f64 {
        self.spent.micros_per(self.records)
    }
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut clicks = Clicks::new(2);
    let bodies: Vec<Vec<u8>> = (0..32).map(|_| lines(&mut clicks, RECORDS as usize)).collect();
    let server = prepared().await?;
    let (mut alone, mut rounds) = (Vec::new(), [const { Vec::new() }; CASES.len()]);
    for _ in 0..args.pick(5, 1) {
        let (records, spent) = baseline::run(
            &bodies,
            PARTITIONS,
            args.pick(Duration::from_secs(1), Duration::from_millis(300)),
        )?;
        alone.push(Round { records, spent, p99_ms: f64::NAN });
        for (case, (topic, _)) in CASES.iter().enumerate() {
            rounds[case].push(round(&server, topic, &bodies, args).await?);
        }
    }
    print_against_alone(&rounds[0], &alone, bodies[0].len());
    print_transforms(&rounds);
    Ok(())
}

async fn prepared() -> Result<Server> {
    let server = Server::start(&[]).await?;
    for (topic, _) in CASES {
        server.create_topic(topic, PARTITIONS).await?;
    }
    server.push("keep-all", guests::keep_all()?).await?;
    server.push("redact-json", prebuilt("redact-json")?).await?;
    let inline = |name: &str, topic: &str, fields: &str| {
        json!({
            "name": format!("{name}-inline"), "kind": "inline", "module": format!("{name}@1.0.0"),
            "input": { "topics": [topic] }, "params": { "fields": fields },
        })
    };
    server.deploy(&inline("keep-all", "kept", "-")).await?;
    server.deploy(&inline("redact-json", "scanned", "card_number")).await?;
    Ok(server)
}

async fn round(server: &Server, topic: &str, bodies: &[Vec<u8>], args: &Args) -> Result<Round> {
    let path = format!("/v1/topics/{topic}/records");
    let requests: Rc<[Vec<u8>]> =
        bodies.iter().map(|body| request("POST", &path, "application/x-ndjson", body)).collect();
    let load = Load::start(server.addr(), CONNECTIONS, requests).await?;
    load.window(Duration::from_millis(500)).await?;
    let meter = Meter::start(server.pid())?;
    let window = load.window(args.pick(Duration::from_secs(3), Duration::from_secs(1))).await?;
    let spent = meter.stop()?;
    load.stop().await?;
    Ok(Round { records: window.requests * RECORDS, spent, p99_ms: quantile_ms(&window.latencies, 0.99) })
}

fn print_against_alone(produced: &[Round], alone: &[Round], body_bytes: usize) {
    let row = |name: &str, rounds: &[Round]| {
        let ratio = |f: &dyn Fn(&Round, &Round) -> f64| {
            number(median(rounds.iter().zip(alone).map(|(a, b)| f(a, b))))
        };
        vec![
            name.to_owned(),
            number(median(rounds.iter().map(Round::rate))),
            number(median(rounds.iter().map(|r| r.rate() * body_bytes as f64 / RECORDS as f64 / 1e6))),
            number(median(rounds.iter().map(Round::cpu))),
            number(median(rounds.iter().map(|r| r.p99_ms))),
            ratio(&|a, b| a.rate() / b.rate()),
            ratio(&|a, b| b.cpu() / a.cpu()),
        ]
    };
    table(
        "NDJSON produce in batches of 1,000, synced, against parsing and encoding alone (one thread)",
        &[
            "",
            "records/s",
            "MB/s of lines",
            "CPU µs/record",
            "p99 ms",
            "records/s, of alone",
            "records per CPU second, of alone",
        ],
        &[row("produce over HTTP", produced), row("parse and encode alone", alone)],
    );
}

fn print_transforms(rounds: &[Vec<Round>]) {
    let rows: Vec<Vec<String>> = CASES
        .iter()
        .zip(rounds)
        .map(|((_, name), with)| {
            let ratio = |f: fn(&Round) -> f64| median(with.iter().zip(&rounds[0]).map(|(a, b)| f(a) / f(b)));
            vec![
                (*name).to_owned(),
                number(median(with.iter().map(Round::rate))),
                number(median(with.iter().map(Round::cpu))),
                format!("{:+.1} %", (ratio(Round::cpu) - 1.0) * 100.0),
                number(ratio(Round::rate)),
            ]
        })
        .collect();
    table(
        "The same with an inline transform that keeps every record",
        &["transform", "records/s", "CPU µs/record", "CPU against none", "records/s, of none"],
        &rows,
    );
}
