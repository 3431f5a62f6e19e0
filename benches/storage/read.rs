//! Catch-up reads of what was written long ago: warm, from the page cache; and cold, after the storage was closed and
//! every page of its files was given back to the kernel. Beside it a plain file of the same size.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use millstream::storage::{Commit, Log, Storage};
use rustix::fs::{Advice, fadvise};

use crate::support::{Args, median, number, table};
use crate::{BATCH_BYTES, PARTITIONS, batches, create_topic, open};

/// Bytes of one fetch.
const FETCH_BYTES: usize = 1 << 20;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let data = dir.path().join("storage");
    let total = args.pick(1 << 30, 128 << 20);
    let plain = dir.path().join("plain");
    fill(&data, &plain, total).await?;

    let mut rows = Vec::new();
    let (mut cold, mut cold_turns, mut warm, mut plain_cold, mut plain_warm) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.pick(3, 1) {
        forget(&data)?;
        cold.push(read_storage(&data, false).await?);
        warm.push(read_storage(&data, false).await?);
        forget(&data)?;
        cold_turns.push(read_storage(&data, true).await?);
        forget(dir.path())?;
        plain_cold.push(read_plain(&plain)?);
        plain_warm.push(read_plain(&plain)?);
    }
    let mut row = |name: &str, rates: &[f64], plain: &[f64]| {
        let of_plain = median(rates.iter().zip(plain).map(|(own, plain)| own / plain));
        rows.push(vec![name.to_owned(), number(median(rates.iter().copied())), number(of_plain)]);
    };
    row("cold, one partition after the other", &cold, &plain_cold);
    row("cold, partitions in turn", &cold_turns, &plain_cold);
    row("warm, one partition after the other", &warm, &plain_warm);
    row("plain file, cold", &plain_cold, &plain_cold);
    row("plain file, warm", &plain_warm, &plain_warm);
    table(
        &format!("Catch-up reads of {} MiB in fetches of 1 MiB", total >> 20),
        &["", "MB/s", "of the plain file"],
        &rows,
    );
    Ok(())
}

/// The same bytes into a storage and into a file.
async fn fill(data: &Path, plain: &Path, total: usize) -> Result<()> {
    let storage = open(data)?;
    let logs = create_topic(&storage, "read").await?;
    let batches = batches(256);
    let file = File::create(plain)?;
    let mut open_commits = Vec::new();
    for number in 0..total / BATCH_BYTES {
        let batch = batches[number % batches.len()].clone();
        file.write_all_at(batch.bytes(), (number * BATCH_BYTES) as u64)?;
        let mut commit = Commit::new();
        commit.append(&logs[number % PARTITIONS as usize], batch);
        open_commits.push(storage.submit(commit).await?);
        if open_commits.len() == 256 {
            for pending in open_commits.drain(..) {
                pending.receipt().await?;
            }
        }
    }
    for pending in open_commits {
        pending.receipt().await?;
    }
    file.sync_all()?;
    storage.close();
    Ok(())
}

/// Drops the page cache of every file below a directory.
fn forget(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Opens the storage anew, so that nothing is in its own memory, and reads everything; MB/s.
async fn read_storage(data: &Path, in_turn: bool) -> Result<f64> {
    let storage = open(data)?;
    let topic = storage.topics().first().map(|topic| topic.id).expect("the topic that was filled");
    let logs = storage.logs(topic);
    let begin = Instant::now();
    let mut bytes = 0;
    if in_turn {
        let mut offsets = vec![0; logs.len()];
        loop {
            let before = bytes;
            for (log, offset) in logs.iter().zip(&mut offsets) {
                bytes += fetch(&storage, log, offset).await?;
            }
            if bytes == before {
                break;
            }
        }
    } else {
        for log in &logs {
            let mut offset = 0;
            loop {
                let got = fetch(&storage, log, &mut offset).await?;
                if got == 0 {
                    break;
                }
                bytes += got;
            }
        }
    }
    let rate = bytes as f64 / 1e6 / begin.elapsed().as_secs_f64();
    storage.close();
    Ok(rate)
}

async fn fetch(storage: &Storage, log: &Arc<Log>, offset: &mut u64) -> Result<usize> {
    let batches = storage.read(log, *offset, FETCH_BYTES).await?;
    if let Some(last) = batches.last() {
        *offset = last.header().next_offset();
    }
    Ok(batches.iter().map(|batch| batch.bytes().len()).sum())
}

fn read_plain(path: &Path) -> Result<f64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; FETCH_BYTES];
    let (mut at, begin) = (0, Instant::now());
    loop {
        let got = file.read_at(&mut buffer, at)?;
        if got == 0 {
            return Ok(at as f64 / 1e6 / begin.elapsed().as_secs_f64());
        }
        at += got as u64;
    }
}
