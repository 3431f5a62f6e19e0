//! How long a query takes whose answer is computed next to the data: 1,000 a second on a schedule that waits for nobody,
//! from the moment each was meant to be sent, while 100 clicks a second arrive and change what is asked for. The code is
//! `session-knn`.
//!
//! ```text
//! cargo bench --bench query -- [--quick]
//! SERENADE_DATA=DIR cargo bench --bench query     # train.txt and test.txt of Serenade's example
//! ```
//!
//! Without the example the clicks are made up: sessions of 2 to 9 clicks on 18,000 items, the first of them in 4 % of all
//! clicks.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::json;
use support::client::{find, request};
use support::events::Random;
use support::process::Spent;
use support::schedule::{Plan, Pool, Sends, on_one_thread, open_loop};
use support::server::{Server, prebuilt};
use support::{Args, histogram, number, quantile_ms, record, table};

const QUERIES_PER_SECOND: u32 = 1000;
/// One click for so many queries.
const QUERIES_PER_CLICK: u64 = 10;
/// Of those that are made up.
const ITEMS: f64 = 18_000.0;

#[derive(Clone, Copy)]
struct Click {
    session: u64,
    item: u64,
    time: u64,
}

/// What is learnt before, and the sessions whose clicks arrive and are asked for.
struct Data {
    past: Vec<Click>,
    sessions: Vec<Vec<u64>>,
}

struct Latencies {
    queries: Histogram<u64>,
    clicks: Histogram<u64>,
}

fn main() -> Result<()> {
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    let data = match std::env::var_os("SERENADE_DATA") {
        Some(dir) => Data::read(&PathBuf::from(dir))?,
        None => Data::made_up(args.pick(100_000, 10_000)),
    };
    let server = Server::start(&[]).await?;
    prepare(&server, &data).await?;
    let latencies = Rc::new(RefCell::new(Latencies { queries: histogram(), clicks: histogram() }));
    // The code is compiled, its instances are made, the caches hold what is asked for.
    measure(&server, &data, u64::from(QUERIES_PER_SECOND) * args.pick(5, 1), &latencies).await?;
    *latencies.borrow_mut() = Latencies { queries: histogram(), clicks: histogram() };
    let queries = u64::from(QUERIES_PER_SECOND) * args.pick(60, 5);
    let (spent, load) = measure(&server, &data, queries, &latencies).await?;

    let latencies = latencies.borrow();
    let row = |name: &str, latencies: &Histogram<u64>| {
        let quantiles = [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| number(quantile_ms(latencies, quantile)));
        let (count, cores) = (number(latencies.len() as f64), [number(spent.cores()), number(load.cores())]);
        [vec![name.to_owned(), count], quantiles.to_vec(), cores.to_vec()].concat()
    };
    table(
        &format!(
            "{QUERIES_PER_SECOND} queries/s and {} clicks/s, open loop, from the intended send time; {} clicks learnt before",
            u64::from(QUERIES_PER_SECOND) / QUERIES_PER_CLICK,
            number(data.past.len() as f64)
        ),
        &["", "count", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "server cores", "load cores"],
        &[row("query answered", &latencies.queries), row("click acknowledged", &latencies.clicks)],
    );
    Ok(())
}

/// Topic, module, deployment, and what is learnt before.
async fn prepare(server: &Server, data: &Data) -> Result<()> {
    server.create_topic("clicks", 1).await?;
    server.push("session-knn", prebuilt("session-knn")?).await?;
    let spec = json!({
        "name": "knn", "kind": "processor", "module": "session-knn@1.0.0", "input": { "topics": ["clicks"] },
    });
    server.deploy(&spec).await?;
    let began = Instant::now();
    for clicks in data.past.chunks(1000) {
        let lines: String = clicks.iter().map(|click| click.record() + "\n").collect();
        server.produce_lines("clicks", lines.into_bytes()).await?;
    }
    server.drained("knn", Duration::from_secs(600)).await?;
    eprintln!("{} clicks learnt in {:.1} s", data.past.len(), began.elapsed().as_secs_f64());
    Ok(())
}

async fn measure(
    server: &Server,
    data: &Data,
    queries: u64,
    latencies: &Rc<RefCell<Latencies>>,
) -> Result<(Spent, Spent)> {
    let plan = Plan { per_second: QUERIES_PER_SECOND, count: queries, connections: 16 };
    let addr = server.addr();
    // Neither ends.
    let (mut clicks, mut prefixes) = (data.live(), data.prefixes());
    let tick = |index, due, sends: &mut Sends| {
        if index % QUERIES_PER_CLICK == 0
            && let Some(click) = clicks.next()
        {
            sends.begin(send(addr, sends.pool.clone(), click, due, latencies.clone()));
        }
        if let Some(items) = prefixes.next() {
            sends.begin(ask(addr, sends.pool.clone(), items, due, latencies.clone()));
        }
    };
    open_loop(server, plan, tick).await
}

async fn send(
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
    record(&mut latencies.borrow_mut().clicks, due.elapsed());
    pool.put(connection);
    Ok(())
}

async fn ask(
    addr: SocketAddr,
    pool: Rc<Pool>,
    items: Vec<u64>,
    due: Instant,
    latencies: Rc<RefCell<Latencies>>,
) -> Result<()> {
    let mut connection = pool.take(addr).await?;
    let query = json!({ "items": items }).to_string();
    let query = request("POST", "/v1/deployments/knn/query", "application/json", query.as_bytes());
    let answer = connection.exchange(&query).await?;
    if answer.status != 200 || find(answer.body, b"\"items\"").is_none() {
        bail!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    }
    record(&mut latencies.borrow_mut().queries, due.elapsed());
    pool.put(connection);
    Ok(())
}

// === impl Click ===

impl Click {
    /// The record of a JSON body or of an NDJSON line.
    fn record(&self) -> String {
        let Self { session, item, time } = self;
        format!(r#"{{"value":{{"session":{session},"item":{item},"time":{time}}}}}"#)
    }
}

// === impl Data ===

impl Data {
    fn read(dir: &std::path::Path) -> Result<Self> {
        let past = clicks_of(&dir.join("train.txt"))?;
        let mut by_session = std::collections::BTreeMap::<u64, Vec<u64>>::new();
        for click in clicks_of(&dir.join("test.txt"))? {
            by_session.entry(click.session).or_default().push(click.item);
        }
        Ok(Self { past, sessions: by_session.into_values().collect() })
    }

    fn made_up(clicks: usize) -> Self {
        let mut random = Random(11);
        let session = |random: &mut Random| -> Vec<u64> {
            let length = 2 + random.next() % 8;
            (0..length).map(|_| (random.unit().powi(3) * ITEMS) as u64).collect()
        };
        let mut past = Vec::with_capacity(clicks);
        while past.len() < clicks {
            let number = past.len() as u64;
            for item in session(&mut random) {
                past.push(Click {
                    session: number,
                    item,
                    time: 1_700_000_000_000 + past.len() as u64 * 1000,
                });
            }
        }
        Self { past, sessions: (0..10_000).map(|_| session(&mut random)).collect() }
    }

    /// The sessions' clicks again and again, each time of new sessions.
    fn live(&self) -> impl Iterator<Item = Click> {
        let first = self.past.iter().map(|click| click.session).max().unwrap_or(0) + 1;
        let time = self.past.iter().map(|click| click.time).max().unwrap_or(0);
        let clicks = (first..).zip(self.sessions.iter().cycle());
        let clicks = clicks.flat_map(|(session, items)| items.iter().map(move |item| (session, *item)));
        (1..).zip(clicks).map(move |(n, (session, item))| Click { session, item, time: time + n * 10 })
    }

    /// What the sessions have clicked before each of their clicks, again and again.
    fn prefixes(&self) -> impl Iterator<Item = Vec<u64>> {
        let prefixes = |items: &Vec<u64>| {
            let items = items.clone();
            (1..items.len()).map(move |n| items[..n].to_vec()).collect::<Vec<_>>()
        };
        self.sessions.iter().flat_map(prefixes).collect::<Vec<_>>().into_iter().cycle()
    }
}

/// Lines of session, item and seconds, in the order of time.
fn clicks_of(path: &std::path::Path) -> Result<Vec<Click>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let click = |line: &str| {
        let mut words = line.split_whitespace();
        let mut next = || words.next().context("a line with less than three columns");
        let (session, item) = (next()?.parse()?, next()?.parse()?);
        Ok(Click { session, item, time: (next()?.parse::<f64>()? * 1000.0) as u64 })
    };
    let mut clicks = text.lines().skip(1).map(click).collect::<Result<Vec<_>>>()?;
    clicks.sort_by_key(|click| click.time);
    Ok(clicks)
}
