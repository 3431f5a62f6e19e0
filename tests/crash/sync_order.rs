//! kill -9 cannot show a missing sync, since the page cache survives it. Here the server runs under strace, and in the
//! order of its system calls no acknowledgement may leave before the fdatasync that follows the arrival of its request.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::server::Server;

/// Requests, one after the other on one connection.
const REQUESTS: usize = 50;

pub(crate) async fn run(binary: &Path, durability: &str) -> Result<()> {
    if Command::new("strace").arg("-V").output().is_err() {
        bail!("strace is not installed; `apt-get install strace` and try again");
    }
    let data = tempfile::tempdir()?;
    let trace = data.path().with_extension("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "200", "-e", "trace=read,recvfrom,write,writev,sendto,fdatasync,fsync", "-o"]);
    command.arg(&trace).arg(binary);
    let mut server = Server::start_by(command, data.path()).await?;
    let topic = json!({ "name": "synced", "partitions": 1, "config": { "durability": durability } });
    server.post("/v1/topics", &topic).await?;
    // What was set up before is synced by now; only the requests below count.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    for n in 0..REQUESTS {
        server.post("/v1/topics/synced/records", &json!({ "value": { "request": n } })).await?;
    }
    stop_group(&server)?;
    // strace ends by itself after what it traces, and only then writes the rest of its trace.
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    server.kill()?;
    let text = std::fs::read_to_string(&trace).context("the trace")?;
    let (answered, unsynced) = judge(&text);
    println!("durability={durability}: {answered} acknowledgements, {unsynced} of them left before a sync");
    if answered < REQUESTS {
        bail!("the trace shows {answered} of {REQUESTS} acknowledgements; it cannot be judged");
    }
    match (durability, unsynced) {
        ("os", 0) => bail!("without syncing every acknowledgement seemed synced: the check is worth nothing"),
        ("os", _) => Ok(()),
        (_, 0) => Ok(()),
        _ => bail!("acknowledgements left before the sync that covers them"),
    }
}

/// The traced process is a child of strace; ending strace alone would leave it behind.
fn stop_group(server: &Server) -> Result<()> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.id()))?;
    for child in children.split_whitespace() {
        Command::new("kill").args(["-9", child]).status()?;
    }
    Ok(())
}

/// Counts acknowledgements, and those with no completed sync since their request arrived.
fn judge(trace: &str) -> (usize, usize) {
    let (mut answered, mut unsynced) = (0, 0);
    let mut open = false;
    let mut synced = false;
    for line in trace.lines() {
        let arrived = line.contains("POST /v1/topics/synced/records");
        let complete = !line.contains("<unfinished");
        if arrived {
            (open, synced) = (true, false);
        } else if (line.contains("fdatasync(")
            || line.contains("fdatasync resumed")
            || line.contains("fsync"))
            && complete
        {
            synced = true;
        } else if open && line.contains("HTTP/1.1 200") {
            answered += 1;
            unsynced += usize::from(!synced);
            open = false;
        }
    }
    (answered, unsynced)
}
