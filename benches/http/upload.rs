//! A 12 MB module is uploaded while producers work: their p99 beside a quiet minute's, and the memory of the server and
//! of the child that compiles.
//!
//! The module is made up: a packed transform with thousands of functions, no two alike, all of which the compiler has to
//! translate and optimise. It stands for the engines that interpreted languages bring along.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::support::client::request;
use crate::support::events::Clicks;
use crate::support::process::MemoryWatch;
use crate::support::schedule::{Pool, Schedule};
use crate::support::server::Server;
use crate::support::{Args, guests, histogram, mib, number, quantile_ms, record, table};

const PER_SECOND: u32 = 500;

/// Producers on a fixed schedule, until told to stop.
struct Producers {
    stop: Rc<Cell<bool>>,
    latencies: Rc<RefCell<Histogram<u64>>>,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let module = guests::heavy(args.pick(12_000_000, 1_000_000))?;
    let server = Server::start(&[]).await?;
    server.create_topic("clicks", 4).await?;
    let producers = Producers::start(&server);
    producers.fresh();
    tokio::time::sleep(args.pick(Duration::from_secs(10), Duration::from_secs(2))).await;
    let quiet = producers.fresh();
    let idle_peak = crate::support::process::rss(server.pid());

    let watch = MemoryWatch::start(server.pid());
    let begin = Instant::now();
    let size = module.len();
    server.push("heavy", module).await?;
    let took = begin.elapsed();
    let meanwhile = producers.fresh();
    let (own, child) = watch.stop();
    producers.stop.set(true);

    let row = |name: &str, h: &Histogram<u64>, own: u64, child: String| {
        let ms = |q| number(quantile_ms(h, q));
        vec![name.to_owned(), h.len().to_string(), ms(0.5), ms(0.99), ms(0.999), mib(own), child]
    };
    table(
        &format!(
            "Produce at {PER_SECOND}/s while a module of {:.1} MB is uploaded, which took {:.1} s",
            size as f64 / 1e6,
            took.as_secs_f64()
        ),
        &[
            "",
            "requests",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "peak RSS of the server",
            "peak RSS of the compiling child",
        ],
        &[row("quiet", &quiet, idle_peak, "–".to_owned()), row("meanwhile", &meanwhile, own, mib(child))],
    );
    Ok(())
}

impl Producers {
    fn start(server: &Server) -> Self {
        let producers = Self { stop: Rc::default(), latencies: Rc::new(RefCell::new(histogram())) };
        let (stop, latencies, addr) = (producers.stop.clone(), producers.latencies.clone(), server.addr());
        tokio::task::spawn_local(async move {
            let (pool, mut clicks) = (Rc::new(Pool::default()), Clicks::new(5));
            let mut schedule = Schedule::start(PER_SECOND, u64::from(PER_SECOND) * 600);
            while let Some((_, due)) = schedule.next().await
                && !stop.get()
            {
                let body = clicks.next().record();
                let (pool, latencies) = (pool.clone(), latencies.clone());
                tokio::task::spawn_local(async move {
                    let mut connection = pool.take(addr).await?;
                    let bytes =
                        request("POST", "/v1/topics/clicks/records", "application/json", body.as_bytes());
                    let status = connection.exchange(&bytes).await?.status;
                    anyhow::ensure!(status == 200, "status {status}");
                    record(&mut latencies.borrow_mut(), due.elapsed());
                    pool.put(connection);
                    Ok(())
                });
            }
        });
        producers
    }

    /// What was measured since the last call.
    fn fresh(&self) -> Histogram<u64> {
        std::mem::replace(&mut self.latencies.borrow_mut(), histogram())
    }
}
