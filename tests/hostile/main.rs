//! Hostile components beside good ones, on the real server: each has to end in its documented state (docs/LIMITS.md) with
//! a message that says what to do, the server's memory stays bounded, and the neighbours go on. It misbehaves for five seconds,
//! over and over. How long the neighbours take meanwhile is printed beside their quiet times and not judged: machines differ.
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
mod outside;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use cases::{Case, End};
use neighbours::{KINDS, Watch};
use outside::Outside;
use serde_json::{Value, json};
use server::Server;

/// How long the neighbours are watched alone, before all and after all.
const QUIET: Duration = Duration::from_secs(20);
/// How long a component may take to come to its end: compiling is the slowest.
const END_MAX: Duration = Duration::from_secs(600);
/// So long each of them misbehaves, one time after the other.
const OVER_AND_OVER: Duration = Duration::from_secs(10);
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
    let names = outside::names(&root, dir.path())?;
    let outside = Outside::start().await?;
    let server = Arc::new(Server::start(&binary, dir.path(), SETTINGS, &names).await?);
    neighbours::deploy(&server, &root).await?;
    let watch = Watch::start(server.clone());
    tokio::time::sleep(QUIET).await;
    let quiet = watch.take();
    println!("p99 of the neighbours in ms, and how many times their quiet one");
    println!(
        "{:20} {:>16} {:>16} {:>16} {:>6} {:>5} {:>8}",
        "", KINDS[0], KINDS[1], KINDS[2], "rounds", "times", "peak MiB"
    );
    println!("{:20} {}", "quiet", quiet.beside(&quiet));

    let mut cases = cases::all(outside.port);
    cases.retain(|case| only.as_deref().is_none_or(|only| only == case.name));
    ensure!(!cases.is_empty(), "there is no such component");
    let (mut wrong, mut worst) = (Vec::new(), Vec::new());
    for case in &cases {
        let bytes = case.component(&root).with_context(|| case.name)?;
        watch.take();
        server.forget_peak()?;
        let ended = run(&server, case, bytes, &outside).await;
        let p99 = watch.take();
        let peak = server.peak_mib()?;
        let (times, verdict) = match &ended {
            Ok((times, message)) => (*times, message.chars().take(110).collect()),
            Err(why) => (0, format!("WRONG: {why:#}")),
        };
        println!("{:20} {} {times:>5} {peak:>8}  {verdict}", case.name, p99.beside(&quiet));
        worst.push((p99.worst_ratio(&quiet), case.name));
        if ended.is_err() || peak > RESIDENT_MIB_MAX {
            wrong.push(case.name);
        }
        if watch.has_ended() {
            break;
        }
    }
    tokio::time::sleep(QUIET).await;
    println!("{:20} {}", "quiet again", watch.take().beside(&quiet));
    watch.stop().await.context("a neighbour was disturbed")?;
    ensure!(wrong.is_empty(), "not as documented, or with too much memory: {wrong:?}");
    worst.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, name) = worst.last().context("a component")?;
    println!(
        "all {} ended as documented; the neighbours went on, at most {ratio:.1} times slower ({name})",
        cases.len()
    );
    Ok(())
}

/// Uploads, deploys and feeds a component, and then over and over; how many times, and the message that it ended with.
async fn run(server: &Server, case: &Case, bytes: Vec<u8>, outside: &Outside) -> Result<(u32, String)> {
    outside.taken();
    let message = first(server, case, &bytes).await?;
    if case.name == "sink-rebind" {
        let taken = outside.taken();
        ensure!(taken == 1, "{taken} instead of 1 record went to the address that was public");
    }
    let (began, mut times) = (Instant::now(), 1);
    while began.elapsed() < OVER_AND_OVER {
        again(server, case, &bytes).await.with_context(|| format!("time {}", times + 1))?;
        times += 1;
    }
    outside.untouched()?;
    if !matches!(case.end, End::Refused(_) | End::NotDeployed(_)) {
        let (status, answer) = server.delete(&path(case)).await?;
        ensure!(status == 204, "it cannot be deleted: {status}: {answer}");
    }
    Ok((times, message))
}

async fn first(server: &Server, case: &Case, bytes: &[u8]) -> Result<String> {
    if let End::Refused(_) = case.end {
        return refused(server, case, bytes).await;
    }
    let (status, uploaded) = server.upload(case.name, bytes.to_vec()).await?;
    ensure!(status == 201, "its upload was refused: {status}: {uploaded}");
    server.put(&format!("/v1/topics/{}", topic(case)), &json!({ "partitions": 1 })).await?;
    if let End::NotDeployed(fault) = case.end {
        return not_deployed(server, case, fault).await;
    }
    server.put(&path(case), &spec(case)).await?;
    match case.end {
        End::Inline(fault) => inline(server, case, fault).await,
        _ => {
            let (status, produced) = feed(server, case).await?;
            ensure!(status == 200, "{status}: {produced}");
            ended(server, case).await
        }
    }
}

/// Once more what it did before.
async fn again(server: &Server, case: &Case, bytes: &[u8]) -> Result<()> {
    match case.end {
        End::Refused(_) => refused(server, case, bytes).await.map(drop),
        End::NotDeployed(fault) => not_deployed(server, case, fault).await.map(drop),
        End::Inline(fault) => inline(server, case, fault).await.map(drop),
        End::Logged => ended(server, case).await.map(drop),
        End::Task(..) => {
            let (_, before) = server.get(&path(case)).await?;
            let (status, answer) = server.post(&format!("{}/restart", path(case)), &json!({})).await?;
            ensure!(status == 202, "restart: {status}: {answer}");
            // Its end is another one than the last.
            let began = Instant::now();
            while began.elapsed() < END_MAX {
                let (_, view) = server.get(&path(case)).await?;
                if view["state"] == "failed" && view["last_error"]["at_ms"] != before["last_error"]["at_ms"] {
                    return ended(server, case).await.map(drop);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            bail!("it did not end again")
        }
    }
}

async fn refused(server: &Server, case: &Case, bytes: &[u8]) -> Result<String> {
    let End::Refused(code) = case.end else { bail!("it is to be taken") };
    let (status, uploaded) = server.upload(case.name, bytes.to_vec()).await?;
    ensure!(status == 422 && uploaded["code"] == code, "{status}: {uploaded}");
    says(case, uploaded["detail"].to_string())
}

async fn not_deployed(server: &Server, case: &Case, fault: &str) -> Result<String> {
    let (status, refused) = server.try_put(&path(case), &spec(case)).await?;
    ensure!(
        status == 422 && refused["code"] == "module_not_ready" && refused["fault"] == fault,
        "{status}: {refused}"
    );
    says(case, refused["detail"].to_string())
}

async fn inline(server: &Server, case: &Case, fault: &str) -> Result<String> {
    let (status, produced) = feed(server, case).await?;
    ensure!(
        status == 503 && produced["code"] == "transform_failed" && produced["fault"] == fault,
        "{status}: {produced}"
    );
    says(case, produced["detail"].to_string())
}

/// A good record and a bad one, which a source does not look at.
async fn feed(server: &Server, case: &Case) -> Result<server::Answer> {
    // A flood of lines is to go on between two requests (a record of it takes 2.6 ms, measured).
    let times = if matches!(case.end, End::Logged) { 40 } else { 1 };
    let mut records = vec![json!({ "value": "misbehave" }); times];
    records.insert(0, json!({ "value": "fine" }));
    let records = json!({ "records": records });
    server.post(&format!("/v1/topics/{}/records", topic(case)), &records).await
}

/// Its topic and its deployment have one name.
fn topic(case: &Case) -> String {
    format!("h-{}", case.name)
}

fn path(case: &Case) -> String {
    format!("/v1/deployments/h-{}", case.name)
}

fn spec(case: &Case) -> Value {
    let mut spec = case.members.clone();
    spec["module"] = json!(case.name);
    let kind = match (&case.end, spec["kind"].as_str()) {
        (End::Inline(_), _) => "inline".to_owned(),
        (_, kind) => kind.unwrap_or("processor").to_owned(),
    };
    if kind != "source" {
        spec["input"] = json!({ "topics": [topic(case)] });
    }
    if kind == "processor" || kind == "source" {
        let output = format!("{}-out", topic(case));
        spec["output"] = json!({ "default": output, "create_topics": { "partitions": 1 } });
    }
    if kind != "inline" {
        spec["on_error"] = json!({ "policy": "stop", "max_retries": 1, "backoff": "10ms" });
    }
    spec["kind"] = json!(kind);
    spec
}

/// Waits for the state in which it ends; the message of its last error, or its log.
async fn ended(server: &Server, case: &Case) -> Result<String> {
    let path = path(case);
    let (began, since) =
        (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis());
    let mut last = Value::Null;
    while began.elapsed() < END_MAX {
        (_, last) = server.get(&path).await?;
        match case.end {
            End::Task(state, code) if last["state"] == state => {
                let error = &last["last_error"];
                ensure!(error["code"] == code, "code {} instead of {code}: {error}", error["code"]);
                return says(case, error["message"].to_string());
            }
            End::Logged => {
                // What was left out is said with the first line of a later second.
                feed(server, case).await?;
                let asked = format!("{path}/logs?limit=1&since={since}&contains=were%20left%20out");
                let (_, lines) = server.get(&asked).await?;
                let lines = lines.to_string();
                if let Some(at) = lines.find("lines were left out") {
                    let from = lines.floor_char_boundary(at.saturating_sub(20));
                    return says(case, lines[from..].chars().take(120).collect());
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
