//! Kills the server with SIGKILL at random moments while producers and a counting processor work, and checks after each
//! restart that nothing acknowledged is lost, nothing is there twice, and the processors' totals are those of a fold: that
//! of one beside which a shadow run goes on, and that of one that is rewound meanwhile.
//!
//! ```text
//! crash --server PATH [--rounds 50] [--seed N] [--expect-failure]      kill -9 rounds
//! crash --server PATH --transactions [--rounds 50] [--seed N]          the same for transactions of Kafka clients
//! crash --server PATH --sources [--rounds 50] [--seed N] [--expect-failure]    while sources poll, and are rewound
//! crash --server PATH --upgrades [--rounds 50] [--seed N] [--expect-failure]   during upgrades, rollbacks and pauses
//! crash --server PATH --time [--rounds 50] [--seed N] [--expect-failure]       while windows, joins and timers are at work, by key as well
//! crash --server PATH --stages [--rounds 50] [--seed N] [--expect-failure]     while records change their key between stages
//! crash --server PATH --sync fsync|os                                  acknowledgements against fdatasync, under strace
//! ```
//! `--expect-failure` turns the verdict round: for a server that was built with its commit deliberately broken.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own: it tells what it found, and drives a real server in real time"
)]

mod check;
mod crew;
mod kafka;
mod producer;
mod server;
mod shadow;
mod sources;
mod stages;
mod sync_order;
mod time;
mod transactions;
mod upgrades;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use producer::Acked;
use server::Server;
use shadow::{Beside, Compared};

/// Partitions of the input and of the output.
const PARTITIONS: u32 = 3;

/// A small generator, so that a run can be repeated from its seed (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

struct Args {
    server: PathBuf,
    rounds: u32,
    seed: u64,
    expect_failure: bool,
    transactions: bool,
    sources: bool,
    upgrades: bool,
    time: bool,
    stages: bool,
    sync: Option<String>,
}

fn args() -> Result<Args> {
    let seed = std::process::id();
    let mut args = Args {
        server: PathBuf::new(),
        rounds: 50,
        seed: u64::from(seed) << 7 | 1,
        expect_failure: false,
        transactions: false,
        sources: false,
        upgrades: false,
        time: false,
        stages: false,
        sync: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--server" => args.server = value()?.into(),
            "--rounds" => args.rounds = value()?.parse()?,
            "--seed" => args.seed = value()?.parse()?,
            "--sync" => args.sync = Some(value()?),
            "--transactions" => args.transactions = true,
            "--sources" => args.sources = true,
            "--upgrades" => args.upgrades = true,
            "--time" => args.time = true,
            "--stages" => args.stages = true,
            "--expect-failure" => args.expect_failure = true,
            other => bail!("unknown argument {other}"),
        }
    }
    if !args.server.is_file() {
        bail!("--server must name the millstream binary");
    }
    Ok(args)
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = args()?;
    if let Some(durability) = &args.sync {
        return sync_order::run(&args.server, durability).await;
    }
    println!("{} rounds of kill -9, seed {}", args.rounds, args.seed);
    let outcome = if args.transactions {
        transactions::rounds(&args.server, args.rounds, Random(args.seed)).await
    } else if args.sources {
        sources::rounds(&args.server, args.rounds, Random(args.seed)).await
    } else if args.upgrades {
        upgrades::rounds(&args.server, args.rounds, Random(args.seed)).await
    } else if args.time {
        time::rounds(&args.server, args.rounds, Random(args.seed)).await
    } else if args.stages {
        stages::rounds(&args.server, args.rounds, Random(args.seed)).await
    } else {
        rounds(&args).await
    };
    match (outcome, args.expect_failure) {
        (Ok(()), false) => Ok(()),
        (Err(found), true) => {
            println!("the check found the broken commit, as it should: {found:#}");
            Ok(())
        }
        (Ok(()), true) => {
            bail!("the commit is broken and the check did not see it: the check is worth nothing")
        }
        (Err(found), false) => Err(found.context(format!("seed {}", args.seed))),
    }
}

async fn rounds(args: &Args) -> Result<()> {
    let mut random = Random(args.seed);
    let data = tempfile::tempdir()?;
    let mut server = Server::start(&args.server, data.path()).await?;
    prepare(&server).await?;
    let acked = Arc::new(Acked::default());
    let producers = producer::start(server.url(), &acked, 4);

    let (mut restarts, mut compared) = (Vec::new(), Compared::default());
    for round in 1..=args.rounds {
        let meddling = meddle(&server, round % 3 == 0, random.below(600));
        tokio::time::sleep(Duration::from_millis(150 + random.below(900))).await;
        compared.look(&server, "totals", Beside::Same).await.with_context(|| format!("round {round}"))?;
        server.kill()?;
        meddling.await??;
        producers.hold().await?;
        let started = std::time::Instant::now();
        server =
            Server::start(&args.server, data.path()).await.with_context(|| format!("restart {round}"))?;
        restarts.push(started.elapsed());
        producers.go_on(server.url());
        // The producers first get the answers to what was in flight, so that every record has one fate.
        producers.settle().await?;
        producers.hold().await?;
        let found = check::all(&server, &acked).await.with_context(|| format!("after restart {round}"))?;
        if round % 10 == 0 || round == args.rounds {
            println!("round {round}: {found}");
        }
        producers.go_on(server.url());
    }
    restarts.sort();
    println!("restart until ready: median {:?}, longest {:?}", restarts[restarts.len() / 2], restarts.last());
    println!("{}", compared.said(false)?);
    producers.stop().await;
    server.kill()?;
    Ok(())
}

/// A shadow run beside `totals`, which must not be seen in what it publishes, and now and then a rewind of `replay`, which
/// has to count everything again; the kill may come before, in the middle, or after.
fn meddle(server: &Server, rewind: bool, wait_ms: u64) -> tokio::task::JoinHandle<Result<()>> {
    let (http, url) = (server.http.clone(), server.url());
    tokio::spawn(async move {
        let post = async |path: &str, body: serde_json::Value| {
            // No answer: the server was killed.
            let Ok(answer) = http.post(format!("{url}{path}")).json(&body).send().await else {
                return Ok(());
            };
            let status = answer.status();
            anyhow::ensure!(
                status.is_success(),
                "{path}: {status} {}",
                answer.text().await.unwrap_or_default()
            );
            Ok(())
        };
        post("/v1/deployments/totals/shadow", serde_json::json!({ "duration": "1m" })).await?;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        if rewind {
            let to = serde_json::json!({ "to": "earliest", "state": "clear" });
            post("/v1/deployments/replay/rewind", to).await?;
        }
        Ok(())
    })
}

/// Topics, module, deployments.
async fn prepare(server: &Server) -> Result<()> {
    for topic in ["in", "out", "replay-out"] {
        server.post("/v1/topics", &serde_json::json!({ "name": topic, "partitions": PARTITIONS })).await?;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let wasm = format!("{root}/guest-examples/prebuilt/count-by-key.wasm");
    server.put_bytes("/v1/modules/count-by-key?version=1.0.0", std::fs::read(wasm)?).await?;
    for (name, output) in [("totals", "out"), ("replay", "replay-out")] {
        let spec = serde_json::json!({
            "name": name, "kind": "processor", "module": "count-by-key@1.0.0",
            "input": { "topics": ["in"] }, "output": { "default": output },
        });
        server.put(&format!("/v1/deployments/{name}"), &spec).await?;
    }
    Ok(())
}
