//! kill -9 while sources poll a server on this machine, which has endless items and gives them out page by page. What a
//! poll brings and the cursor behind it are one commit: afterwards every item is there once, and the cursor stands behind
//! the last. A second source is rewound to its beginning now and then: its items come again, from the first, each time
//! without a gap.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::check::read;
use super::server::Server;
use super::{PARTITIONS, Random};

/// Items of a page: with a full one the source asks for the next at once, so that there is always a poll to be killed.
const PAGE: u64 = 7;
/// Sources, which are the names of their topics too.
const STEADY: &str = "steady";
const REWOUND: &str = "rewound";
/// The second one is rewound in every so many rounds.
const REWIND_EVERY: u32 = 3;
/// A source that has brought nothing for so long after a restart will not any more.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// The server with the items.
#[derive(Default)]
struct Shop {
    requests: AtomicU64,
    /// what the steady source has asked for last
    last_after: AtomicU64,
    /// pages that the steady source has asked for again
    repeated: AtomicU64,
}

pub(crate) async fn rounds(binary: &Path, rounds: u32, mut random: Random) -> Result<()> {
    let (address, shop) = open_shop().await?;
    let data = tempfile::tempdir()?;
    let mut server = Server::start(binary, data.path()).await?;
    prepare(&server, &address).await?;
    let mut rewinds = Rewinds::default();
    let mut items = check(&server, &rewinds).await?;
    for round in 1..=rounds {
        let rewind = round.is_multiple_of(REWIND_EVERY).then(|| rewinds.ask(&server, random.below(200)));
        tokio::time::sleep(Duration::from_micros(20_000 + random.below(250_000))).await;
        server.kill()?;
        if let Some(rewind) = rewind {
            rewinds.made += u64::from(rewind.await??);
        }
        server = Server::start(binary, data.path()).await.with_context(|| format!("restart {round}"))?;
        let found = check(&server, &rewinds).await.with_context(|| format!("after restart {round}"))?;
        ensure!(found.steady >= items.steady, "there were {} items, now {}", items.steady, found.steady);
        items = found;
        if round % 10 == 0 || round == rounds {
            let Found { steady, rewound, restarts } = items;
            println!(
                "round {round}: {steady} items, each there once; beside it {rewound} over {restarts} rewinds"
            );
        }
    }
    println!(
        "{} requests, {} pages were asked for again after a kill",
        shop.requests.load(Relaxed),
        shop.repeated.load(Relaxed)
    );
    server.kill()
}

#[expect(clippy::disallowed_methods, reason = "the shop is no part of the server")]
async fn open_shop() -> Result<(String, Arc<Shop>)> {
    let shop = Arc::new(Shop::default());
    let routes = Router::new().route("/items", get(page)).with_state(shop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((address, shop))
}

/// `?of=SOURCE&after=N`: the items behind item N.
async fn page(
    State(shop): State<Arc<Shop>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let after: u64 = asked.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    if asked.get("of").is_some_and(|of| of == STEADY)
        && shop.last_after.swap(after, Relaxed) == after
        && after > 0
    {
        shop.repeated.fetch_add(1, Relaxed);
    }
    // Slow now and then, so that kills come at every stage of a poll.
    let wait_ms = shop.requests.fetch_add(1, Relaxed) * 7919 % 6;
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let items: Vec<_> = (after + 1..=after + PAGE).map(|id| json!({ "id": id })).collect();
    ([(CONTENT_TYPE, "application/json")], Value::Array(items).to_string())
}

async fn prepare(server: &Server, address: &str) -> Result<()> {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let wasm = format!("{root}/guest-examples/prebuilt/http-poll-source.wasm");
    server.put_bytes("/v1/modules/http-poll-source?version=1.0.0", std::fs::read(wasm)?).await?;
    for (name, partitions) in [(STEADY, PARTITIONS), (REWOUND, 1)] {
        server.post("/v1/topics", &json!({ "name": name, "partitions": partitions })).await?;
        let spec = json!({
            "kind": "source", "module": "http-poll-source@1.0.0", "source": { "interval": "100ms" },
            "params": {
                "url": format!("{address}/items?of={name}"), "key": "/id", "since-field": "/id",
                "since-parameter": "after", "page": PAGE,
            },
            "grants": { "http": [address] }, "output": { "default": name },
        });
        server.put(&format!("/v1/deployments/{name}"), &spec).await?;
    }
    Ok(())
}

/// Of the second source.
#[derive(Default)]
struct Rewinds {
    asked: u64,
    /// answered
    made: u64,
}

impl Rewinds {
    /// After some milliseconds; whether there was an answer.
    fn ask(&mut self, server: &Server, wait_ms: u64) -> tokio::task::JoinHandle<Result<bool>> {
        self.asked += 1;
        let rewind = server.http.post(format!("{}/v1/deployments/{REWOUND}/rewind", server.url()));
        let rewind = rewind.json(&json!({ "to": "earliest" }));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            // No answer: the server was killed.
            let Ok(answer) = rewind.send().await else { return Ok(false) };
            let status = answer.status();
            ensure!(status.is_success(), "{status} {}", answer.text().await.unwrap_or_default());
            Ok(true)
        })
    }
}

/// Counts for the reader of the run.
struct Found {
    steady: u64,
    rewound: u64,
    restarts: u64,
}

/// Every claim, while both sources stand still; each has brought something since the server was started.
async fn check(server: &Server, rewinds: &Rewinds) -> Result<Found> {
    for name in [STEADY, REWOUND] {
        until(server, name, |view| view["totals"]["records_out"].as_u64() > Some(0)).await?;
        server.post(&format!("/v1/deployments/{name}/pause"), &json!({})).await?;
    }
    let mut steady = Vec::new();
    for partition in 0..PARTITIONS {
        let ids = ids(server, STEADY, partition).await?;
        ensure!(ids.is_sorted(), "partition {partition} is out of order: {ids:?}");
        steady.extend(ids);
    }
    steady.sort_unstable();
    for (expected, id) in (1..).zip(&steady) {
        ensure!(
            *id == expected,
            "item {id} stands where {expected} is due: it is there twice, or one is lost"
        );
    }
    stands_behind(server, STEADY, steady.last()).await?;

    let rewound = ids(server, REWOUND, 0).await?;
    let (mut last, mut restarts) = (0, 0);
    for (place, id) in rewound.iter().enumerate() {
        if *id == 1 && last > 0 {
            restarts += 1;
        } else {
            ensure!(*id == last + 1, "item {id} follows {last} at offset {place}");
        }
        last = *id;
    }
    stands_behind(server, REWOUND, rewound.last()).await?;
    let Rewinds { asked, made } = rewinds;
    ensure!(
        (*made..=*asked).contains(&restarts),
        "it began {restarts} times anew, of {asked} rewinds {made} were answered"
    );
    for name in [STEADY, REWOUND] {
        server.post(&format!("/v1/deployments/{name}/resume"), &json!({})).await?;
    }
    Ok(Found { steady: steady.len() as u64, rewound: rewound.len() as u64, restarts })
}

/// The items of a partition in their order; the key of each is its number.
async fn ids(server: &Server, topic: &str, partition: u32) -> Result<Vec<u64>> {
    let records = read(server, topic, partition).await?;
    let id = |record: &Value| {
        let id = record["value"]["id"].as_u64().with_context(|| format!("an id in {record}"))?;
        let key = record["key"].as_str().and_then(|key| key.parse().ok()).or(record["key"].as_u64());
        ensure!(key == Some(id), "the key of item {id} is {}", record["key"]);
        Ok(id)
    };
    records.iter().map(id).collect()
}

/// The cursor is that of the poll which brought the last item.
async fn stands_behind(server: &Server, name: &str, last: Option<&u64>) -> Result<()> {
    let view = until(server, name, |view| view["state"] == "paused").await?;
    let cursor = view["tasks"][0]["source"]["cursor"].as_str().context("a cursor")?;
    let cursor: Value = serde_json::from_str(cursor)?;
    let since = cursor["since"].as_str().and_then(|since| since.parse().ok());
    ensure!(since == last.copied(), "{name}: the cursor is {cursor}, the last item {last:?}");
    Ok(())
}

async fn until(server: &Server, name: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
    let wait = async {
        loop {
            let view = server.get(&format!("/v1/deployments/{name}")).await?;
            ensure!(view["state"] != "failed", "{name} failed: {view}");
            if is(&view) {
                return Ok(view);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PROGRESS_MAX, wait).await {
        Ok(view) => view,
        Err(_) => bail!("{name} did not come so far within {PROGRESS_MAX:?}"),
    }
}
