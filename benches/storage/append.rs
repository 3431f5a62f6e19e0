//! Synced appends of 16 KiB batches: 16 producers with 5 batches in flight each, 8 partitions. The three take turns, so
//! that what else the machine does meets all of them alike.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use millstream::model::batch::RecordBatch;
use millstream::storage::{Commit, Log, Storage};

use crate::files::Files;
use crate::support::process::{Meter, Spent};
use crate::support::{Args, histogram, median, number, quantile_ms, record, table};
use crate::{BATCH_BYTES, PARTITIONS, batches, blocks, create_topic, open};

const PRODUCERS: usize = 16;
const IN_FLIGHT: usize = 5;

/// Who is measured.
#[derive(Clone)]
enum Rival {
    Storage(Storage, Vec<Arc<Log>>, Rc<Vec<RecordBatch>>),
    Files(Rc<Files>, Rc<Vec<Bytes>>),
}

struct Round {
    bytes: u64,
    spent: Spent,
    latencies: Histogram<u64>,
}

impl Round {
    fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.spent.wall.as_secs_f64()
    }
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let storage = open(&dir.path().join("storage"))?;
    let logs = create_topic(&storage, "appended").await?;
    let batches = Rc::new(batches(256));
    let blocks = Rc::new(blocks(&batches));
    let ours = Rival::Storage(storage.clone(), logs, batches);
    let length = args.pick(Duration::from_millis(2500), Duration::from_millis(600));

    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..args.pick(7, 2) {
        // Who begins changes from round to round.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let measured = match who {
                0 => measure(ours.clone(), length).await?,
                1 => with_files(dir.path(), 1, &blocks, length).await?,
                _ => with_files(dir.path(), PARTITIONS as usize, &blocks, length).await?,
            };
            rounds[who].push(measured);
            // The flushes of one must not fall into the turn of the next.
            tokio::time::sleep(args.pick(Duration::from_millis(1000), Duration::from_millis(200))).await;
        }
    }
    storage.close();
    print(&rounds);
    Ok(())
}

async fn with_files(dir: &Path, count: usize, blocks: &Rc<Vec<Bytes>>, length: Duration) -> Result<Round> {
    let files = Rc::new(Files::create(dir, count)?);
    let measured = measure(Rival::Files(files.clone(), blocks.clone()), length).await?;
    if let Ok(files) = Rc::try_unwrap(files).map_err(drop) {
        files.close()?;
    }
    for number in 0..count {
        std::fs::remove_file(dir.join(format!("log-{number}")))?;
    }
    Ok(measured)
}

async fn measure(rival: Rival, length: Duration) -> Result<Round> {
    let meter = Meter::start(std::process::id())?;
    let until = Instant::now() + length;
    let local = tokio::task::LocalSet::new();
    let producers: Vec<_> =
        (0..PRODUCERS).map(|number| local.spawn_local(produce(rival.clone(), number, until))).collect();
    let (mut bytes, mut latencies) = (0, histogram());
    local.await;
    for producer in producers {
        let (count, own) = producer.await??;
        bytes += count * BATCH_BYTES as u64;
        latencies.add(own)?;
    }
    Ok(Round { bytes, spent: meter.stop()?, latencies })
}

/// Keeps its batches in flight until the time is over; how many were acknowledged, and how fast.
async fn produce(rival: Rival, number: usize, until: Instant) -> Result<(u64, Histogram<u64>)> {
    let mut latencies = histogram();
    let mut open = VecDeque::new();
    let mut count = 0;
    for turn in number.. {
        let partition = turn % PARTITIONS as usize;
        if Instant::now() < until {
            open.push_back((Instant::now(), rival.append(partition, turn).await?));
        }
        if open.len() == IN_FLIGHT || Instant::now() >= until {
            let Some((sent, ticket)) = open.pop_front() else { break };
            ticket.wait().await?;
            record(&mut latencies, sent.elapsed());
            count += 1;
        }
    }
    Ok((count, latencies))
}

/// An append that is not acknowledged yet.
enum Ticket {
    Storage(millstream::storage::Pending),
    Files(tokio::sync::oneshot::Receiver<()>),
}

impl Ticket {
    async fn wait(self) -> Result<()> {
        match self {
            Self::Storage(pending) => {
                pending.receipt().await?;
            }
            Self::Files(synced) => synced.await?,
        }
        Ok(())
    }
}

impl Rival {
    async fn append(&self, partition: usize, turn: usize) -> Result<Ticket> {
        match self {
            Self::Storage(storage, logs, batches) => {
                let mut commit = Commit::new();
                commit.append(&logs[partition], batches[turn % batches.len()].clone());
                Ok(Ticket::Storage(storage.submit(commit).await?))
            }
            Self::Files(files, blocks) => {
                Ok(Ticket::Files(files.append(partition, blocks[turn % blocks.len()].clone())?))
            }
        }
    }
}

fn print(rounds: &[Vec<Round>; 3]) {
    let names = [
        "storage writer",
        "one shared log file, one fdatasync per group",
        "a file per partition, each fsynced",
    ];
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(rounds)
        .map(|(name, own)| {
            let ratio = median(rounds[0].iter().zip(own).map(|(storage, own)| storage.rate() / own.rate()));
            let ms = |q: f64| number(median(own.iter().map(|round| quantile_ms(&round.latencies, q))));
            let cpu = |round: &Round| round.spent.cpu.as_secs_f64() * 1e9 / round.bytes as f64;
            vec![
                (*name).to_owned(),
                number(median(own.iter().map(Round::rate))),
                ms(0.5),
                ms(0.99),
                number(median(own.iter().map(cpu))),
                number(ratio),
            ]
        })
        .collect();
    table(
        "Synced append of 16 KiB batches, 16 producers with 5 in flight, 8 partitions",
        &["", "MB/s", "p50 ms", "p99 ms", "CPU ms/MB", "storage's MB/s, times this"],
        &rows,
    );
}
