//! Resident memory against the `memory` setting: idle, and at the peak of a load that fills every buffer there is.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::support::client::request;
use crate::support::events::Random;
use crate::support::load::Load;
use crate::support::process::{MemoryWatch, rss};
use crate::support::server::Server;
use crate::support::{Args, mib, table};

/// Values that do not compress, as base64 of random bytes: the largest batches in the fewest requests.
const VALUE_BYTES: usize = 1200;
const LINES: usize = 400;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for memory in args.pick(vec![64_u64, 256, 512], vec![128]) {
        rows.push(one(memory, args).await?);
    }
    table(
        "Resident memory of the server",
        &["`memory`", "idle", "peak under load", "peak − `memory`", "produced", "read back"],
        &rows,
    );
    Ok(())
}

async fn one(memory: u64, args: &Args) -> Result<Vec<String>> {
    let server = Server::start(&["--memory", &format!("{memory}MiB")]).await?;
    for topic in ["a", "b", "c", "d"] {
        server.create_topic(topic, 4).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = rss(server.pid());
    let watch = MemoryWatch::start(server.pid());
    let load = Load::start(server.addr(), 32, requests().into()).await?;
    let window = load.window(args.pick(Duration::from_secs(20), Duration::from_secs(3))).await?;
    load.stop().await?;
    let produced = window.requests * (LINES * VALUE_BYTES) as u64;
    let read = read_back(&server, args.pick(Duration::from_secs(8), Duration::from_secs(1))).await?;
    let (peak, _) = watch.stop();
    let above = (peak >> 20) as i64 - memory as i64;
    Ok(vec![format!("{memory} MiB"), mib(idle), mib(peak), format!("{above} MiB"), mib(produced), mib(read)])
}

fn requests() -> Vec<Vec<u8>> {
    let mut random = Random(11);
    let mut bodies = Vec::new();
    for number in 0..16 {
        let mut body = String::new();
        for line in 0..LINES {
            let mut value = String::with_capacity(VALUE_BYTES);
            while value.len() < VALUE_BYTES {
                value.push_str(&format!("{:016x}", random.next()));
            }
            body.push_str(&format!("{{\"key\":\"k{line}\",\"value\":\"{value}\"}}\n"));
        }
        let topic = ["a", "b", "c", "d"][number % 4];
        let path = format!("/v1/topics/{topic}/records");
        bodies.push(request("POST", &path, "application/x-ndjson", body.as_bytes()));
    }
    bodies
}

/// Eight readers, each from the beginning of a partition; the bytes of their answers.
async fn read_back(server: &Server, length: Duration) -> Result<u64> {
    let bytes = Rc::new(std::cell::Cell::new(0));
    let mut readers = Vec::new();
    for reader in 0..8 {
        let mut connection = crate::support::client::Connection::open(server.addr()).await?;
        let bytes = bytes.clone();
        readers.push(tokio::task::spawn_local(async move {
            let (topic, partition) = (["a", "b", "c", "d"][reader % 4], reader / 4);
            let (mut offset, begin) = (0, Instant::now());
            while begin.elapsed() < length {
                let path =
                    format!("/v1/topics/{topic}/partitions/{partition}/records?offset={offset}&limit=2000");
                let answer = connection.exchange(&crate::support::client::get(&path)).await?;
                anyhow::ensure!(answer.status == 200, "{}", String::from_utf8_lossy(answer.body));
                bytes.set(bytes.get() + answer.body.len() as u64);
                let next = crate::support::client::json_number(answer.body, "next_offset").unwrap_or(offset);
                offset = if next == offset { 0 } else { next };
            }
            anyhow::Ok(())
        }));
    }
    for reader in readers {
        reader.await??;
    }
    Ok(bytes.get())
}
