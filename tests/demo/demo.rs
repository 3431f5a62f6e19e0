//! The demo: a recommendation pipeline on MovieLens-100K, from an empty folder to live recommendations, through the
//! public interfaces only (the command line and HTTP). `make demo` builds and runs it.
#![expect(clippy::print_stdout, reason = "it is a program that talks to the person who started it")]

mod data;
mod folder;
mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use millstream::config::env::Vars;
use millstream::runtime::clock::monotonic;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use data::Data;
use server::Server;

/// Clicks that are timed for the freshness figure.
const CLICKS: usize = 300;

fn main() -> anyhow::Result<()> {
    let vars = Vars::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        // Whatever ends the demo, the server goes with it: dropping the run stops it.
        tokio::select! {
            done = run(&vars) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminated.recv() => Ok(()),
        }
    })
}

/// The clone in whose folder `make demo` was called. It need not be the one that this was compiled in: two clones may share a
/// target directory.
fn repository() -> PathBuf {
    let here = Path::new(".");
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.join("guest-examples").is_dir() { here.into() } else { compiled.into() }
}

async fn run(vars: &Vars) -> anyhow::Result<()> {
    let started = monotonic();
    let repository = &repository();
    let data = data::load(vars);
    let (users, items) = data.sizes();
    println!("{}: {} events of {users} users on {items} items\n", data.name, data.events.len());

    let mut server = Server::start().await?;
    create(&server, repository)?;
    let produced = produce(&server, &data)?;
    let processed = wait_for_processor(&server, data.events.len()).await?;
    println!(
        "produced in {:.1} s, learned from all of it {:.1} s later\n",
        produced.as_secs_f64(),
        processed.as_secs_f64()
    );

    for user in data.some_users() {
        show_recommendations(&server, &data, &user).await?;
    }
    freshness(&server, &data).await?;
    show_next_steps(&server, &data);

    println!("\nThe demo took {:.0} s.", started.elapsed().as_secs_f64());
    if vars.value("DEMO_EXIT").is_some() {
        return server.stop();
    }
    println!("The server runs until Ctrl-C.");
    server.until_it_ends().await
}

/// Topics, modules, deployments.
fn create(server: &Server, repository: &Path) -> anyhow::Result<()> {
    // The events are from 1997 and 1998, and retention goes by their own time.
    for topic in ["events", "recommendations"] {
        server.cli(&["topic", "create", topic, "--partitions", "1", "--config", "retention.ms=-1"])?;
    }
    for module in ["validate-json", "item-cf"] {
        let file = repository.join(format!("guest-examples/prebuilt/{module}.wasm"));
        server.cli(&["module", "push", module, &file.to_string_lossy()])?;
    }
    let spec = repository.join("tests/demo/deploy.yaml");
    server.cli(&["deploy", "--wait", "--file", &spec.to_string_lossy()])
}

/// All events in time order, as NDJSON in batches.
fn produce(server: &Server, data: &Data) -> anyhow::Result<Duration> {
    let path: PathBuf = server.data_dir().join("events.ndjson");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for event in &data.events {
        let value = json!({"user": event.user, "item": event.item, "rating": event.rating});
        let key = event.user.to_string();
        writeln!(file, "{}", json!({"key": key, "value": value, "timestamp": event.timestamp * 1000}))?;
    }
    file.flush()?;
    let started = monotonic();
    server.cli(&["produce", "events", "--ndjson", "--file", &path.to_string_lossy()])?;
    Ok(started.elapsed())
}

/// Until the processor has read everything; says how long that took.
async fn wait_for_processor(server: &Server, events: usize) -> anyhow::Result<Duration> {
    let started = monotonic();
    let bar = ProgressBar::new(events as u64);
    let style =
        ProgressStyle::with_template("item-cf learns  {bar:40} {percent:>3} %  {pos} events  {elapsed}")?;
    bar.set_style(style);
    loop {
        let view = server.json("/v1/deployments/item-cf").await?;
        if view["state"] == "failed" {
            bail!("deployment `item-cf` failed: {}", view["last_error"]);
        }
        let lag = view["totals"]["lag"].as_u64().context("a deployment says its lag")?;
        let running = view["state"] == "running";
        bar.set_position((events as u64).saturating_sub(lag));
        if lag == 0 && running {
            bar.finish_and_clear();
            return Ok(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn show_recommendations(server: &Server, data: &Data, user: &str) -> anyhow::Result<()> {
    let seen = data.last_items_of(user, 3).into_iter().map(|item| data.title(item)).collect::<Vec<_>>();
    println!("user {user}, who last chose {}", seen.join(", "));
    let list = server.json(&format!("/v1/deployments/item-cf/stores/recommendations/keys/{user}")).await?;
    print_list(data, &list, 5);
    println!();
    Ok(())
}

fn print_list(data: &Data, list: &Value, most: usize) {
    for (place, entry) in list["items"].as_array().into_iter().flatten().take(most).enumerate() {
        let item = entry["item"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        println!(
            "  {}. {:<50} {:.2}",
            place + 1,
            data.title(item),
            entry["score"].as_f64().unwrap_or_default()
        );
    }
}

/// A new user clicks, one click after the other: from sending a click until the list that knows it has been read.
async fn freshness(server: &Server, data: &Data) -> anyhow::Result<()> {
    let items = data.popular_items(CLICKS);
    let mut times = Vec::with_capacity(items.len());
    let mut list = Value::Null;
    for item in &items {
        let click = json!({"records": [{"key": "you", "value": {"user": "you", "item": item}}]});
        let started = monotonic();
        let answer = server.post("/v1/topics/events/records", &click).await?;
        let result = &answer["results"][0];
        let after = format!("events:{}:{}", result["partition"], result["offset"]);
        let path = format!("/v1/deployments/item-cf/stores/recommendations/keys/you?after={after}&wait=5s");
        list = server.json(&path).await?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let quantile = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize].as_secs_f64() * 1e3;
    println!(
        "freshness, click sent → new list read, each click synced to disk: median {:.1} ms, p99 {:.1} ms ({} clicks, one \
         at a time)",
        quantile(0.5),
        quantile(0.99),
        times.len()
    );
    println!("a new user, after clicking on the {} most popular items, gets:", items.len());
    print_list(data, &list, 3);
    Ok(())
}

fn show_next_steps(server: &Server, data: &Data) {
    let url = server.url();
    let user = data.some_users().into_iter().next().unwrap_or_default();
    let item = data.popular_items(1).first().copied().unwrap_or(1);
    println!(
        "\nGo on:\n  \
         curl {url}/v1/topics/events/records -d '{{\"key\": \"me\", \"value\": {{\"user\": \"me\", \"item\": {item}}}}}'\n  \
         curl {url}/v1/deployments/item-cf/stores/recommendations/keys/me\n  \
         curl {url}/v1/deployments/item-cf/stores/recommendations/keys/{user}\n  \
         curl '{url}/v1/topics/recommendations/records?offset=-3'\n  \
         curl {url}/v1/deployments/item-cf\n  \
         {} --url {url} status",
        server.binary().display()
    );
}
