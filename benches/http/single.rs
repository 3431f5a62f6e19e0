//! One record in a JSON body per request, each synced before its answer, against the bare echo of the same bodies.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use crate::echo::Echo;
use crate::support::client::request;
use crate::support::events::Clicks;
use crate::support::load::{Load, Window};
use crate::support::process::{Meter, Spent};
use crate::support::server::Server;
use crate::support::{Args, median, number, quantile_ms, table};

const CONNECTIONS: [usize; 3] = [64, 256, 1024];

/// One window of load on one of the two.
struct Round {
    window: Window,
    spent: Spent,
    syncs: f64,
    /// cores that the load itself took
    load: f64,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let server = Server::start(&[]).await?;
        server.create_topic("clicks", 4).await?;
        let echo = Echo::start()?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..args.pick(5, 1) {
            bare.push(echo_round(&echo, connections, args).await?);
            ours.push(server_round(&server, connections, args).await?);
        }
        rows.push(row(&format!("{connections}: produce, fsync"), &ours, &bare));
        rows.push(row(&format!("{connections}: hyper echo"), &bare, &bare));
    }
    table(
        "Single-record JSON produce over HTTP, synced, against a hyper handler that echoes",
        &[
            "connections",
            "requests/s",
            "fsyncs/s",
            "p50 ms",
            "p99 ms",
            "server CPU µs/request",
            "CPU, times echo",
            "server cores",
            "load cores",
        ],
        &rows,
    );
    Ok(())
}

fn requests() -> Rc<[Vec<u8>]> {
    let mut clicks = Clicks::new(1);
    let one = |_| {
        request("POST", "/v1/topics/clicks/records", "application/json", clicks.next().record().as_bytes())
    };
    (0..512).map(one).collect()
}

async fn server_round(server: &Server, connections: usize, args: &Args) -> Result<Round> {
    let load = Load::start(server.addr(), connections, requests()).await?;
    load.window(args.pick(Duration::from_secs(1), Duration::from_millis(300))).await?;
    let syncs = server.syncs().await?;
    let (meter, own) = (Meter::start(server.pid())?, Meter::start(std::process::id())?);
    let window = load.window(args.pick(Duration::from_secs(4), Duration::from_secs(1))).await?;
    let (spent, own) = (meter.stop()?, own.stop()?);
    let syncs = (server.syncs().await? - syncs) / spent.wall.as_secs_f64();
    load.stop().await?;
    Ok(Round { window, spent, syncs, load: own.cores() })
}

async fn echo_round(echo: &Echo, connections: usize, args: &Args) -> Result<Round> {
    let load = Load::start(echo.addr, connections, requests()).await?;
    load.window(args.pick(Duration::from_secs(1), Duration::from_millis(300))).await?;
    let (meter, own) = (Meter::start(echo.pid())?, Meter::start(std::process::id())?);
    let window = load.window(args.pick(Duration::from_secs(2), Duration::from_secs(1))).await?;
    let (spent, own) = (meter.stop()?, own.stop()?);
    load.stop().await?;
    Ok(Round { window, spent, syncs: 0.0, load: own.cores() })
}

fn row(name: &str, rounds: &[Round], bare: &[Round]) -> Vec<String> {
    let of = |f: &dyn Fn(&Round) -> f64| median(rounds.iter().map(f));
    let cpu = |round: &Round| round.spent.micros_per(round.window.requests);
    let times = median(rounds.iter().zip(bare).map(|(round, bare)| cpu(round) / cpu(bare)));
    vec![
        name.to_owned(),
        number(of(&|r| r.spent.per_second(r.window.requests))),
        number(of(&|r| r.syncs)),
        number(of(&|r| quantile_ms(&r.window.latencies, 0.5))),
        number(of(&|r| quantile_ms(&r.window.latencies, 0.99))),
        number(of(&cpu)),
        number(times),
        number(of(&|r| r.spent.cores())),
        number(of(&|r| r.load)),
    ]
}
