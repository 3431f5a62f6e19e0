//! kill -9 while deployments change under load: a transform that stamps what is stored and a processor that stamps what it
//! makes of it are upgraded again and again, now and then rolled back, and the server is killed in the middle. Each
//! version has its stamp in its code. Afterwards every record has exactly one stamp, that of the revision whose offsets
//! it lies behind, and every input exactly one output. Before each change a shadow run goes on beside the processor, of the
//! same code and of another version by turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::check::read_as;
use super::producer::{self, Acked};
use super::server::Server;
use super::shadow::{self, Beside, Compared};
use super::{PARTITIONS, Random};

/// Both are changed in every round: name of the deployment, its module.
const CHANGED: [(&str, &str); 2] = [("mark", "stamp"), ("follow", "stamp-counter")];
/// Every so many rounds it is a rollback.
const ROLLBACK_EVERY: u32 = 11;
/// What stands in the guests' code instead of a stamp.
const PLACEHOLDER: &[u8] = b"STAMP-0000000000";

pub(crate) async fn rounds(binary: &Path, rounds: u32, mut random: Random) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut server = Server::start(binary, data.path()).await?;
    prepare(&server, rounds).await?;
    let acked = Arc::new(Acked::default());
    let producers = producer::start(server.url(), &acked, 4);
    let (mut killed_before, mut compared) = (0, Compared::default());
    for round in 1..=rounds {
        let beside = shadowed(&server, round).await?;
        tokio::time::sleep(Duration::from_millis(50 + random.below(200))).await;
        compared.look(&server, "follow", beside).await.with_context(|| format!("round {round}"))?;
        let before = revisions_of(&server).await?;
        let wanted = change(round);
        let requests: Vec<_> = CHANGED.map(|(name, module)| wanted.send(&server, name, module)).into();
        // The change itself takes a few milliseconds, making the new code ready some more.
        tokio::time::sleep(Duration::from_micros(random.below(40_000))).await;
        server.kill()?;
        requests.iter().for_each(tokio::task::JoinHandle::abort);
        producers.hold().await?;
        server = Server::start(binary, data.path()).await.with_context(|| format!("restart {round}"))?;
        producers.go_on(server.url());
        for ((name, module), before) in CHANGED.into_iter().zip(before) {
            if revision_of(&server, name).await? == before {
                killed_before += 1;
                let answered = wanted.send(&server, name, module).await?;
                ensure!(answered.as_deref() == Some("200"), "round {round}, {name}: {answered:?}");
            }
        }
        if round % ROLLBACK_EVERY == 5 {
            for verb in ["pause", "resume"] {
                server.post(&format!("/v1/deployments/follow/{verb}"), &json!({})).await?;
            }
        }
        producers.settle().await?;
        if round % 5 == 0 || round == rounds {
            producers.hold().await?;
            let found = check(&server, &acked).await.with_context(|| format!("after round {round}"))?;
            println!("round {round}: {found}");
            producers.go_on(server.url());
        }
    }
    println!("{killed_before} of {} changes were killed before they were made, and made again", 2 * rounds);
    println!("{}", compared.said(true)?);
    producers.stop().await;
    server.kill()
}

/// Begins a shadow run beside the processor, whose stamp stands in each of its outputs.
async fn shadowed(server: &Server, round: u32) -> Result<Beside> {
    let view = server.get("/v1/deployments/follow").await?;
    let first = "stamp-counter@1.0.1";
    let other = if view["module"] == first { "stamp-counter@1.0.2" } else { first };
    let beside = if round.is_multiple_of(2) { Beside::Other } else { Beside::Same };
    shadow::begin(server, "follow", (beside == Beside::Other).then(|| other.to_owned())).await?;
    Ok(beside)
}

/// What a round does to both deployments.
#[derive(Clone, Copy)]
enum Change {
    Upgrade(u32),
    Rollback,
}

fn change(round: u32) -> Change {
    if round.is_multiple_of(ROLLBACK_EVERY) { Change::Rollback } else { Change::Upgrade(round + 1) }
}

impl Change {
    /// The status of the answer; `None`: there was none.
    fn send(self, server: &Server, name: &str, module: &str) -> tokio::task::JoinHandle<Option<String>> {
        let (verb, body) = match self {
            Self::Upgrade(n) => ("upgrade", json!({ "module": format!("{module}@1.0.{n}") })),
            Self::Rollback => ("rollback", json!({})),
        };
        let request = server.http.post(format!("{}/v1/deployments/{name}/{verb}", server.url())).json(&body);
        tokio::spawn(async move {
            let response = request.send().await.ok()?;
            let status = response.status().as_u16().to_string();
            let text = response.text().await.ok()?;
            Some(if status == "200" { status } else { format!("{status} {text}") })
        })
    }
}

async fn prepare(server: &Server, rounds: u32) -> Result<()> {
    for topic in ["in", "out"] {
        server.post("/v1/topics", &json!({ "name": topic, "partitions": PARTITIONS })).await?;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    for (_, module) in CHANGED {
        let bytes = std::fs::read(format!("{root}/guest-examples/prebuilt/{module}.wasm"))?;
        for n in 1..=rounds + 1 {
            let path = format!("/v1/modules/{module}?version=1.0.{n}");
            server.put_bytes(&path, stamped(&bytes, n)?).await?;
        }
    }
    let mark = json!({ "kind": "inline", "module": "stamp@1.0.1", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/mark", &mark).await?;
    let follow = json!({ "kind": "processor", "module": "stamp-counter@1.0.1", "input": { "topics": ["in"] },
        "output": { "default": "out" } });
    server.put("/v1/deployments/follow", &follow).await
}

/// The module with the stamp of a version.
fn stamped(bytes: &[u8], n: u32) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let stamp = format!("STAMP-{n:010}");
    let is_place = |at: &usize| bytes[*at..].starts_with(PLACEHOLDER);
    let places: Vec<_> = (0..bytes.len() - PLACEHOLDER.len()).filter(is_place).collect();
    ensure!(!places.is_empty(), "the module has no place for a stamp");
    for at in places {
        bytes[at..at + stamp.len()].copy_from_slice(stamp.as_bytes());
    }
    Ok(bytes)
}

async fn revision_of(server: &Server, name: &str) -> Result<u64> {
    let view = server.get(&format!("/v1/deployments/{name}")).await?;
    view["revision"].as_u64().context("a revision")
}

async fn revisions_of(server: &Server) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for (name, _) in CHANGED {
        all.push(revision_of(server, name).await?);
    }
    Ok(all)
}

/// Which version holds from which offset on, of one deployment.
struct Past {
    name: &'static str,
    /// by partition: offset and version, oldest revision first
    from: BTreeMap<u64, Vec<(u64, u32)>>,
    upgrades: usize,
    rollbacks: usize,
}

impl Past {
    async fn of(server: &Server, name: &'static str) -> Result<Self> {
        let mut page = server.get(&format!("/v1/deployments/{name}/revisions")).await?;
        let Value::Array(revisions) = page["items"].take() else { bail!("no revisions in {page}") };
        let count = |action: &str| revisions.iter().filter(|r| r["action"] == action).count();
        let (upgrades, rollbacks) = (count("upgraded"), count("rolled_back"));
        let mut from: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
        for revision in revisions.iter().rev() {
            let module = revision["module"].as_str().context("a module")?;
            let version = module.rsplit('.').next().and_then(|n| n.parse().ok()).context("a version")?;
            for position in revision["positions"].as_array().into_iter().flatten() {
                let number = |field: &str| position[field].as_u64().with_context(|| field.to_owned());
                from.entry(number("partition")?).or_default().push((number("offset")?, version));
            }
        }
        for of_partition in from.values() {
            ensure!(
                of_partition.is_sorted_by_key(|(offset, _)| *offset),
                "{name}: {of_partition:?} goes back"
            );
        }
        Ok(Self { name, from, upgrades, rollbacks })
    }

    /// The stamp has to be that of the last revision at or before this offset.
    fn check(&self, partition: u32, offset: u64, value: &str) -> Result<()> {
        let from = self.from.get(&partition.into()).context("a partition that no revision names")?;
        let Some((since, version)) = from.iter().rev().find(|(since, _)| *since <= offset) else {
            return Ok(());
        };
        let expected = format!("STAMP-{version:010}:");
        ensure!(
            value.starts_with(&expected),
            "{}: {value} at {partition}/{offset}, but version {version} is in force from {since} on",
            self.name
        );
        let rest = &value[expected.len()..];
        ensure!(!rest.starts_with("STAMP-"), "{}: {value} at {partition}/{offset} has two stamps", self.name);
        Ok(())
    }
}

/// Every claim, over both topics.
async fn check(server: &Server, acked: &Acked) -> Result<String> {
    let (mark, follow) = (Past::of(server, "mark").await?, Past::of(server, "follow").await?);
    let acked = acked.records.lock().await;
    let mut inputs = 0;
    for partition in 0..PARTITIONS {
        let records = read_as(server, "in", partition, "text").await?;
        for (place, record) in (0u64..).zip(&records) {
            ensure!(record["offset"].as_u64() == Some(place), "input {partition}: {record} at place {place}");
            let value = record["value"].as_str().with_context(|| format!("text in {record}"))?;
            mark.check(partition, place, value)?;
            if let Some((producer, n)) = acked.get(&(partition.into(), place)) {
                let sent: Value = serde_json::from_str(&value[PLACEHOLDER.len() + 1..])?;
                ensure!(
                    sent["producer"] == *producer && sent["n"] == *n,
                    "input {partition}/{place} was acknowledged for ({producer}, {n}) and holds {sent}"
                );
            }
        }
        let tail = records.len() as u64;
        let lost = acked.range((u64::from(partition), tail)..(u64::from(partition) + 1, 0)).next();
        ensure!(lost.is_none(), "acknowledged {lost:?} is lost");
        caught_up(server, partition, tail).await?;
        let outputs = read_as(server, "out", partition, "text").await?;
        ensure!(outputs.len() as u64 == tail, "{tail} inputs of {partition} made {} outputs", outputs.len());
        for (place, record) in (0u64..).zip(&outputs) {
            let value = record["value"].as_str().with_context(|| format!("text in {record}"))?;
            follow.check(partition, place, value)?;
            ensure!(
                value[PLACEHOLDER.len()..] == format!(":{place}:{place}"),
                "output {partition}: {value} is in the place of input {place}"
            );
        }
        inputs += tail;
    }
    let Past { upgrades, rollbacks, .. } = follow;
    ensure!((mark.upgrades, mark.rollbacks) == (upgrades, rollbacks), "both were changed alike");
    Ok(format!(
        "{inputs} records, each stamped once and processed once, over {upgrades} upgrades and {rollbacks} rollbacks"
    ))
}

async fn caught_up(server: &Server, partition: u32, tail: u64) -> Result<()> {
    for _ in 0..600 {
        let view = server.get("/v1/deployments/follow").await?;
        let position = &view["tasks"][partition as usize]["positions"][0]["offset"];
        if position.as_u64() == Some(tail) {
            return Ok(());
        }
        ensure!(view["state"] != "failed", "the processor failed: {view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the processor did not reach offset {tail} of partition {partition} within 30 s")
}
