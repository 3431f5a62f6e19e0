//! What a second stage costs, and what more partitions bring: `also-viewed` over the same views in one stage, which has one
//! partition for all, in two stages over one partition, and in two over four. Everything is stored before it is deployed; what
//! counts is the time until the last list is written.
//!
//! ```text
//! cargo bench --bench stages -- [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use support::events::Random;
use support::process::{Meter, Spent};
use support::schedule::on_one_thread;
use support::server::{Server, prebuilt};
use support::{Args, number, table};

/// Stages, and partitions.
const SHAPES: [(usize, u32); 3] = [(1, 1), (2, 1), (2, 4)];
/// Sessions that are under way at a time.
const SESSIONS: usize = 500;
const ITEMS: f64 = 18_000.0;
/// Views of a request.
const REQUEST: usize = 1_000;
/// Nothing here takes longer on a machine that works.
const MOST: Duration = Duration::from_secs(600);

/// One run.
struct Measured {
    spent: Spent,
    /// records that the first stage has handed to the second one
    between: f64,
    syncs: f64,
}

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let views: usize = args.pick(400_000, 20_000);
    let bodies = bodies(views);
    let mut rows = Vec::new();
    for (stages, partitions) in SHAPES {
        eprintln!("{stages} stages over {partitions} partitions …");
        let Measured { spent, between, syncs } = measure(stages, partitions, views, &bodies).await?;
        rows.push(vec![
            stages.to_string(),
            partitions.to_string(),
            number(views as f64),
            number(between),
            number(spent.per_second(views as u64)),
            number(spent.cores()),
            number(spent.per_second(views as u64) / spent.cores()),
            number(syncs),
        ]);
    }
    table(
        "also-viewed, views stored before",
        &[
            "stages",
            "partitions",
            "views",
            "handed over",
            "views/s",
            "server cores",
            "views/s and core",
            "fsyncs/s",
        ],
        &rows,
    );
    Ok(())
}

async fn measure(stages: usize, partitions: u32, views: usize, bodies: &[String]) -> Result<Measured> {
    let server = Server::start(&[]).await?;
    server.create_topic("views", partitions).await?;
    server.push("also-viewed", prebuilt("also-viewed")?).await?;
    for body in bodies {
        server.produce_lines("views", body.clone().into_bytes()).await?;
    }
    let mut spec = json!({
        "name": "viewed", "kind": "processor", "module": "also-viewed@1.0.0", "input": { "topics": ["views"] },
        "params": { "emit": "none" },
    });
    if stages > 1 {
        spec["internal"] = json!({ "pairs": {} });
    }
    let (meter, syncs) = (Meter::start(server.pid())?, server.syncs().await?);
    server.deploy(&spec).await?;
    let between = all_read(&server, views as f64).await?;
    let spent = meter.stop()?;
    let syncs = (server.syncs().await? - syncs) / spent.wall.as_secs_f64();
    Ok(Measured { spent, between, syncs })
}

/// Waits until both stages have read everything; how many records the second one had to.
async fn all_read(server: &Server, views: f64) -> Result<f64> {
    let begin = Instant::now();
    loop {
        let view = server.get("/v1/deployments/viewed").await?;
        ensure!(view["state"] != "failed", "the deployment failed: {view}");
        let read = view["totals"]["records_in"].as_f64().context("records_in")?;
        // What a stage hands over is in the commit that moves its position.
        if read >= views && view["totals"]["lag"] == 0 {
            return Ok(read - views);
        }
        ensure!(begin.elapsed() < MOST, "not done after {MOST:?}: {}", view["totals"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Views of sessions that are under way side by side, of 2 to 9 each, on items of very unequal popularity. The same ones each
/// time.
fn bodies(views: usize) -> Vec<String> {
    let mut random = Random(7);
    let mut begun = 0;
    // Name and what is left of each.
    let mut sessions = vec![(0_u64, 0_u64); SESSIONS];
    let mut bodies = vec![String::new(); views.div_ceil(REQUEST)];
    for n in 0..views {
        let at = random.next() as usize % SESSIONS;
        if sessions[at].1 == 0 {
            begun += 1;
            sessions[at] = (begun, 2 + random.next() % 8);
        }
        let (session, left) = &mut sessions[at];
        *left -= 1;
        let item = (random.unit().powi(3) * ITEMS) as u64 + 1;
        let line = format!(r#"{{"key":"{session}","value":{{"session":{session},"item":{item}}}}}"#);
        let _ = writeln!(bodies[n / REQUEST], "{line}");
    }
    bodies
}
