//! kill -9 while records change their key: the two-stage `also-viewed` learns by session and keeps by item, with an internal topic
//! between. A feeder produces views until it is killed with the server, and now and then the deployment is rewound with its state
//! cleared. What lies in the input afterwards is what counts: plain loops over it say the weight of every pair of items.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::task::JoinHandle;

use super::check::read;
use super::server::Server;
use super::{PARTITIONS, Random};

const ITEMS: u64 = 18;
const SESSIONS: u64 = 12;
/// Of a request.
const VIEWS: u64 = 10;
/// The deployment is rewound in every so many rounds.
const REWIND_EVERY: u32 = 4;
/// Items that teach about one that comes after them.
const STEPS_MAX: usize = 20;
/// Four digits of a weight are shown; one meeting more or less is at least 1/400.
const ROUNDED: f64 = 0.000_2;
/// What is not counted so long after a restart will not be any more.
const SETTLE_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn rounds(binary: &Path, rounds: u32, mut random: Random) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut server = Server::start(binary, data.path()).await?;
    prepare(&server).await?;
    let fed = Arc::new(AtomicU64::new(0));
    for round in 1..=rounds {
        let feeder = feed(&server, fed.clone());
        let rewound = round.is_multiple_of(REWIND_EVERY).then(|| rewind(&server, random.below(400)));
        tokio::time::sleep(Duration::from_millis(50 + random.below(500))).await;
        server.kill()?;
        feeder.await?;
        if let Some(rewound) = rewound {
            rewound.await??;
        }
        server = Server::start(binary, data.path()).await.with_context(|| format!("restart {round}"))?;
        let started = Instant::now();
        let found = loop {
            match check(&server).await.with_context(|| format!("after restart {round}"))? {
                Ok(views) => break views,
                Err(missing) if started.elapsed() > SETTLE_MAX => bail!("after restart {round}: {missing}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        if round % 10 == 0 || round == rounds {
            println!("round {round}: {found} views, every pair of theirs counted once");
        }
    }
    server.kill()
}

async fn prepare(server: &Server) -> Result<()> {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let wasm = std::fs::read(format!("{root}/guest-examples/prebuilt/also-viewed.wasm"))?;
    server.put_bytes("/v1/modules/also-viewed?version=1.0.0", wasm).await?;
    server.post("/v1/topics", &json!({ "name": "views", "partitions": PARTITIONS })).await?;
    let spec = json!({
        "kind": "processor", "module": "also-viewed", "input": { "topics": ["views"] },
        "internal": { "pairs": { "max_lag": 200 } }, "params": { "keep": 0, "emit": "none" },
        "limits": { "batch": { "records": 7 } },
    });
    server.put("/v1/deployments/viewed", &spec).await
}

/// Produces until there is no answer.
fn feed(server: &Server, fed: Arc<AtomicU64>) -> JoinHandle<()> {
    let (http, url) = (server.http.clone(), server.url());
    tokio::spawn(async move {
        loop {
            let first = fed.fetch_add(VIEWS, Relaxed);
            let view = |n: u64| {
                let session = n * 7 % SESSIONS;
                let value = json!({ "session": session, "item": 1 + n * n * 31 % 97 % ITEMS });
                json!({ "key": session.to_string(), "value": value })
            };
            let body = json!({ "records": (first..first + VIEWS).map(view).collect::<Vec<_>>() });
            let answer = http.post(format!("{url}/v1/topics/views/records")).json(&body).send().await;
            if !answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
    })
}

/// Has everything counted again, from no state; the kill may come before, in the middle, or after.
fn rewind(server: &Server, wait_ms: u64) -> JoinHandle<Result<()>> {
    let request = server.http.post(format!("{}/v1/deployments/viewed/rewind", server.url()));
    let request = request.json(&json!({ "to": "earliest", "state": "clear" }));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        // No answer: the server was killed.
        let Ok(answer) = request.send().await else { return Ok(()) };
        let status = answer.status();
        ensure!(status.is_success(), "{status} {}", answer.text().await.unwrap_or_default());
        Ok(())
    })
}

/// Every pair against plain loops over the input, to which nothing is added meanwhile. How many views there are, or what
/// is not counted yet.
///
/// # Errors
/// What no waiting makes right: something counts twice, or the deployment has failed.
async fn check(server: &Server) -> Result<Result<usize, String>> {
    let view = server.get("/v1/deployments/viewed").await?;
    ensure!(view["state"] != "failed", "it has failed: {view}");
    let (count, weights) = fold(server).await?;
    let mut missing = None;
    for (item, expected) in weights {
        let path = format!("/v1/deployments/viewed/stores/also_viewed/keys/{item}");
        let list = match server.get(&path).await {
            Ok(list) => list,
            // It has no list yet, or its task is not open.
            Err(error) => {
                missing.get_or_insert(format!("item {item}: {error:#}"));
                continue;
            }
        };
        let mut weighed = BTreeMap::new();
        for follower in list["items"].as_array().context("items")? {
            let id = follower["item"].as_u64().context("an id")?;
            let weight = follower["weight"].as_f64().context("a weight")?;
            let expected = expected.get(&id).copied().unwrap_or(0.0);
            ensure!(
                weight < expected + ROUNDED,
                "item {id} after {item} weighs {weight}, by the input {expected}: a meeting counts more than once"
            );
            weighed.insert(id, weight);
        }
        for (id, expected) in expected {
            let weight = weighed.get(&id).copied().unwrap_or(0.0);
            if weight < expected - ROUNDED {
                missing
                    .get_or_insert(format!("item {id} after {item} weighs {weight} instead of {expected}"));
            }
        }
    }
    Ok(missing.map_or(Ok(count), Err))
}

/// How many views there are, and item → what came after it → its weight.
async fn fold(server: &Server) -> Result<(usize, BTreeMap<u64, BTreeMap<u64, f64>>)> {
    let mut sessions = BTreeMap::<u64, VecDeque<u64>>::new();
    let mut weights = BTreeMap::<u64, BTreeMap<u64, f64>>::new();
    let mut count = 0;
    for partition in 0..PARTITIONS {
        for record in read(server, "views", partition).await? {
            let number = |name: &str| record["value"][name].as_u64().context("a number");
            let (session, item) = (number("session")?, number("item")?);
            let past = sessions.entry(session).or_default();
            for (back, before) in past.iter().rev().enumerate() {
                let step = (back + 1) as f64;
                *weights.entry(*before).or_default().entry(item).or_default() += 1.0 / (step * step);
            }
            past.push_back(item);
            if past.len() > STEPS_MAX {
                past.pop_front();
            }
            count += 1;
        }
    }
    Ok((count, weights))
}
