//! How fresh a recommendation is: from the moment a click was meant to be sent until the list that has learnt from it was
//! read over HTTP. 1,000 clicks a second on a schedule that waits for nobody, every click synced before it is
//! acknowledged.
//!
//! ```text
//! cargo bench --bench freshness -- [keep=200] [keep=0] [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::json;
use support::client::{get, json_number, request};
use support::events::{Click, Clicks, lines};
use support::process::Spent;
use support::schedule::{Plan, Pool, on_one_thread, open_loop};
use support::server::{Server, prebuilt};
use support::{Args, histogram, number, quantile_ms, record, table};

const PER_SECOND: u32 = 1000;
const PARTITIONS: u32 = 4;

/// Latencies from the intended send time.
struct Latencies {
    acknowledged: Histogram<u64>,
    fresh: Histogram<u64>,
}

/// One run.
struct Measured {
    latencies: Latencies,
    server: Spent,
    load: Spent,
    syncs: f64,
    events: u64,
}

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for keep in ["200", "0"] {
        if !args.wants(&format!("keep={keep}")) {
            continue;
        }
        let measured = measure(keep, args).await?;
        rows.push(row(&format!("keep={keep}: acknowledged"), &measured.latencies.acknowledged, &measured));
        rows.push(row(&format!("keep={keep}: fresh list read"), &measured.latencies.fresh, &measured));
    }
    table(
        &format!("{} clicks/s, open loop, from the intended send time", number(f64::from(PER_SECOND))),
        &["", "events", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "server cores", "load cores", "fsyncs/s"],
        &rows,
    );
    Ok(())
}

async fn measure(keep: &str, args: &Args) -> Result<Measured> {
    let server = Server::start(&[]).await?;
    let mut clicks = Clicks::new(4);
    prepare(&server, keep, &mut clicks, args).await?;

    let events = u64::from(PER_SECOND) * args.pick(30, 4);
    let latencies = Rc::new(RefCell::new(Latencies { acknowledged: histogram(), fresh: histogram() }));
    let plan = Plan { per_second: PER_SECOND, count: events, connections: 32 };
    let syncs = server.syncs().await?;
    let (server_spent, load) = open_loop(&server, plan, |_, due, sends| {
        sends.begin(follow(server.addr(), sends.pool.clone(), clicks.next(), due, latencies.clone()));
    })
    .await?;
    let syncs = (server.syncs().await? - syncs) / server_spent.wall.as_secs_f64();
    let latencies =
        Rc::try_unwrap(latencies).map_err(|_| anyhow::anyhow!("a task is still open"))?.into_inner();
    Ok(Measured { latencies, server: server_spent, load, syncs, events })
}

/// Topics, module, deployment, and a past to recommend from.
async fn prepare(server: &Server, keep: &str, clicks: &mut Clicks, args: &Args) -> Result<()> {
    server.create_topic("clicks", PARTITIONS).await?;
    server.create_topic("recommendations", PARTITIONS).await?;
    server.push("item-cf", prebuilt("item-cf")?).await?;
    let spec = json!({
        "name": "item-cf", "kind": "processor", "module": "item-cf@1.0.0",
        "input": { "topics": ["clicks"] }, "output": { "default": "recommendations" },
        "params": { "keep": keep },
    });
    server.deploy(&spec).await?;
    let past = args.pick(50, 5);
    for _ in 0..past {
        server.produce_lines("clicks", lines(clicks, 1000)).await?;
    }
    let took = server.drained("item-cf", Duration::from_secs(600)).await?;
    eprintln!(
        "keep={keep}: {past},000 clicks of the past learnt, the last {:.1} s of it after their produce",
        took.as_secs_f64()
    );
    Ok(())
}

/// Sends a click and reads the list of its user as soon as it knows the click.
async fn follow(
    addr: SocketAddr,
    pool: Rc<Pool>,
    click: Click,
    due: Instant,
    latencies: Rc<RefCell<Latencies>>,
) -> Result<()> {
    let mut connection = pool.take(addr).await?;
    let produce = request("POST", "/v1/topics/clicks/records", "application/json", click.record().as_bytes());
    let answer = connection.exchange(&produce).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    let partition = json_number(answer.body, "partition").context("a partition")?;
    let offset = json_number(answer.body, "offset").context("an offset")?;
    record(&mut latencies.borrow_mut().acknowledged, due.elapsed());

    let path = format!(
        "/v1/deployments/item-cf/stores/recommendations/keys/user-{}?after=clicks:{partition}:{offset}&wait=30s",
        click.user
    );
    let answer = connection.exchange(&get(&path)).await?;
    if answer.status != 200 {
        bail!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    }
    record(&mut latencies.borrow_mut().fresh, due.elapsed());
    pool.put(connection);
    Ok(())
}

fn row(name: &str, latencies: &Histogram<u64>, measured: &Measured) -> Vec<String> {
    let ms = |quantile| number(quantile_ms(latencies, quantile));
    vec![
        name.to_owned(),
        number(measured.events as f64),
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        number(measured.server.cores()),
        number(measured.load.cores()),
        number(measured.syncs),
    ]
}
