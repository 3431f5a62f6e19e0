//! Hostile components beside good ones, on the real server: each has to end in its documented state (docs/LIMITS.md) with
//! a message that says what to do, the server's memory stays bounded, and the neighbours go on. How long these take is
//! printed beside their quiet times and not judged: machines differ.
//!
//! ```text
//! hostile --server PATH [--only NAME]
//! ```

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own: it tells what it found, and drives a real server in real time"
)]

mod cases;
mod guests;
mod neighbours;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cases::{Case, End};
use neighbours::{KINDS, Watch};
use serde_json::{Value, json};
use server::Server;

/// How long the neighbours are watched alone.
const QUIET: Duration = Duration::from_secs(5);
/// How long a component may take to come to its end: compiling is the slowest.
const END_MAX: Duration = Duration::from_secs(120);
/// A component that is at its end is left there for so long, its neighbours watched.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// What the server may have in memory at any moment (a guess with room: 256 MiB of its own, guests and answers).
const RESIDENT_MIB_MAX: u64 = 1024;
/// A bomb is to go off quickly here; everything good compiles in a second.
const SETTINGS: &str = "memory = \"256MiB\"\n[limits]\ncompile_cpu = \"5s\"\n";

#[tokio::main]
async fn main() -> Result<()> {
    let (mut binary, mut only) = (PathBuf::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--server" => binary = value()?.into(),
            "--only" => only = Some(value()?),
            other => bail!("unknown argument {other}"),
        }
    }
    ensure!(binary.is_file(), "--server must name the millstream binary");
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let dir = tempfile::tempdir()?;
    let server = Arc::new(Server::start(&binary, dir.path(), SETTINGS).await?);
    neighbours::deploy(&server, &root).await?;
    let watch = Watch::start(server.clone());
    tokio::time::sleep(QUIET).await;
    let (quiet, rounds) = watch.take();
    println!("neighbours' p99, ms ({}): quiet {quiet:.1?} of {rounds} rounds", KINDS.join(", "));

    let cases = cases::all();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| only.as_deref().is_none_or(|only| only == case.name)) {
        let bytes = case.component(&root).with_context(|| case.name)?;
        watch.take();
        let began = Instant::now();
        let ended = run(&server, case, bytes).await;
        let took = began.elapsed();
        tokio::time::sleep(AFTERWARDS).await;
        let (p99, rounds) = watch.take();
        let resident = server.resident_mib()?;
        let verdict = match &ended {
            Ok(message) => message.chars().take(110).collect(),
            Err(why) => format!("WRONG: {why:#}"),
        };
        println!("{:20} {took:>6.1?}  p99 {p99:.1?} of {rounds}, {resident} MiB: {verdict}", case.name);
        if ended.is_err() || resident > RESIDENT_MIB_MAX {
            wrong.push(case.name);
        }
        if watch.has_ended() {
            break;
        }
    }
    watch.stop().await.context("a neighbour was disturbed")?;
    ensure!(wrong.is_empty(), "not as documented, or with too much memory: {wrong:?}");
    println!("every component ended as documented; the neighbours went on");
    Ok(())
}

/// Uploads, deploys and feeds a component; the message that it ended with.
async fn run(server: &Server, case: &Case, bytes: Vec<u8>) -> Result<String> {
    let (status, uploaded) = server.upload(case.name, bytes).await?;
    if let End::Refused(code) = case.end {
        ensure!(status == 422 && uploaded["code"] == code, "{status}: {uploaded}");
        return says(case, uploaded["detail"].to_string());
    }
    ensure!(status == 201, "its upload was refused: {status}: {uploaded}");
    let topic = format!("h-{}", case.name);
    server.put(&format!("/v1/topics/{topic}"), &json!({ "partitions": 1 })).await?;
    server.put(&format!("/v1/deployments/{topic}"), &spec(case, &topic)).await?;
    let record = json!({ "records": [{ "value": "fine" }, { "value": "misbehave" }] });
    let (status, produced) = server.post(&format!("/v1/topics/{topic}/records"), &record).await?;
    if let End::Inline(fault) = case.end {
        ensure!(
            status == 503 && produced["code"] == "transform_failed" && produced["fault"] == fault,
            "{produced}"
        );
        return says(case, produced["detail"].to_string());
    }
    ensure!(status == 200, "{status}: {produced}");
    let path = format!("/v1/deployments/{topic}");
    let message = ended(server, case, &path).await?;
    let (status, _) = server.delete(&path).await?;
    ensure!(status == 204, "it cannot be deleted: {status}");
    says(case, message)
}

fn spec(case: &Case, topic: &str) -> Value {
    let mut spec = case.members.clone();
    spec["module"] = json!(case.name);
    spec["input"] = json!({ "topics": [topic] });
    if matches!(case.end, End::Inline(_)) {
        spec["kind"] = json!("inline");
        return spec;
    }
    spec["kind"] = json!("processor");
    spec["output"] = json!({ "default": format!("{topic}-out"), "create_topics": { "partitions": 1 } });
    spec["on_error"] = json!({ "policy": "stop", "max_retries": 1, "backoff": "10ms" });
    spec
}

/// Waits for the state in which it ends; the message of its last error, or its log.
async fn ended(server: &Server, case: &Case, path: &str) -> Result<String> {
    let began = Instant::now();
    let mut last = Value::Null;
    while began.elapsed() < END_MAX {
        (_, last) = server.get(path).await?;
        match case.end {
            End::Task(state, code) if last["state"] == state => {
                let error = &last["last_error"];
                ensure!(error["code"] == code, "code {} instead of {code}: {error}", error["code"]);
                return Ok(error["message"].to_string());
            }
            End::Logged => {
                // What was left out is said with the first line of a later second.
                let topic = path.trim_start_matches("/v1/deployments/");
                let flood = json!({ "records": [{ "value": "misbehave" }] });
                server.post(&format!("/v1/topics/{topic}/records"), &flood).await?;
                let (_, lines) = server.get(&format!("{path}/logs?limit=10000")).await?;
                let lines = lines.to_string();
                if let Some(at) = lines.find("lines were left out") {
                    let from = lines.floor_char_boundary(at.saturating_sub(20));
                    return Ok(lines[from..].chars().take(120).collect());
                }
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("it did not come to its end: {last:#}")
}

fn says(case: &Case, message: String) -> Result<String> {
    ensure!(message.contains(case.says), "`{}` is not said: {message}", case.says);
    Ok(message)
}
