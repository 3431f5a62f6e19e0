//! Transactions of Kafka clients under kill -9.
//!
//! Writers write to every partition of `events` and to the compacted topic `latest` in transactions, of which they commit
//! some and abort others; copiers move what is committed to `copies`, with their positions in the same transactions. Some
//! speak version 1 of transactions, some version 2. When the answer to a commit is lost, half of them insist until they
//! know, the others begin anew, which leaves open what became of it: all of it or nothing.

mod copier;
mod judge;
mod ledger;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::Random;
use super::crew::{Crew, Hand};
use super::kafka::{Failure, Session};
use super::server::Server;
use ledger::Ledger;

const EVENTS: &str = "events";
const COPIES: &str = "copies";
/// Compacted.
const LATEST: &str = "latest";
const PARTITIONS: i32 = 3;
/// Whose positions the copiers keep.
const GROUP: &str = "copiers";

/// Names of writers, and whether they speak version 2.
const WRITERS: [(&str, bool); 3] = [("old", false), ("new", true), ("newer", true)];
/// Likewise of copiers, with the partitions of each.
const COPIERS: [(&str, bool, &[i32]); 2] = [("slow", false, &[0]), ("quick", true, &[1, 2])];
/// The server compacts for the first time after so long; some rounds last until then.
const COMPACTION_AFTER: Duration = Duration::from_secs(5);
const LONG_ROUND_EVERY: u32 = 5;

pub(crate) async fn rounds(binary: &Path, rounds: u32, mut random: Random) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut server = Server::start(binary, data.path()).await?;
    let mut started = Instant::now();
    prepare(&server).await?;
    let ledger = Arc::<Ledger>::default();
    let mut crew = Crew::new(server.kafka());
    for (name, joins) in WRITERS {
        let (dice, ledger) = (Random(random.next() | 1), ledger.clone());
        crew.add(|hand| writer::work(name, joins, dice, ledger, hand));
    }
    for (name, joins, partitions) in COPIERS {
        let dice = Random(random.next() | 1);
        crew.add(|hand| copier::work(name, joins, partitions, dice, hand));
    }

    for round in 1..=rounds {
        let mut wait = Duration::from_millis(150 + random.below(900));
        if round % LONG_ROUND_EVERY == 0 {
            wait = (COMPACTION_AFTER + Duration::from_millis(random.below(500)))
                .saturating_sub(started.elapsed());
        }
        tokio::time::sleep(wait).await;
        server.kill()?;
        server = Server::start(binary, data.path()).await.with_context(|| format!("restart {round}"))?;
        started = Instant::now();
        crew.go_on(server.kafka());
        // Each first learns, or gives up, what became of its transaction, so that none is open.
        crew.settle().await.with_context(|| format!("after restart {round}"))?;
        crew.hold().await?;
        let found = judge::all(&server, &ledger).await.with_context(|| format!("after restart {round}"))?;
        if round % 10 == 0 || round == rounds {
            println!("round {round}: {found}");
        }
        crew.go_on(server.kafka());
    }
    crew.hold().await?;
    judge::would_notice(&server, &ledger, rounds >= 2 * LONG_ROUND_EVERY).await?;
    crew.stop().await;
    server.kill()
}

async fn prepare(server: &Server) -> Result<()> {
    for topic in [EVENTS, COPIES] {
        server.post("/v1/topics", &json!({ "name": topic, "partitions": PARTITIONS })).await?;
    }
    let config = json!({
        "cleanup.policy": "compact", "segment.bytes": 16_384, "min.cleanable.dirty.ratio": 0,
        "delete.retention.ms": 1_000,
    });
    server.post("/v1/topics", &json!({ "name": LATEST, "partitions": 1, "config": config })).await
}

/// A session on the server that there is now or will be.
async fn begin(hand: &Hand, name: &str, joins: bool) -> Result<Session, Failure> {
    loop {
        match Session::begin(&hand.address(), name, joins).await {
            Err(Failure::Lost) => tokio::time::sleep(Duration::from_millis(3)).await,
            begun => return begun,
        }
    }
}

/// Ends the transaction. `insists`: however often the answer is lost; else false says that it was.
async fn end(hand: &Hand, session: &mut Session, committed: bool, insists: bool) -> Result<bool, Failure> {
    loop {
        match session.end(committed).await {
            Err(Failure::Lost) if !insists => return Ok(false),
            Err(Failure::Lost) => {}
            ended => return ended.map(|()| true),
        }
        while session.reconnect(&hand.address()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}
