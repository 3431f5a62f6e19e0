//! The two plain rivals: threads that gather what waits for them, write it to a file with one call, sync the file, and
//! acknowledge. No index, no retention, no recovery: what a log costs at the least.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::oneshot;

/// As much as the storage's writer gathers.
const GROUP_BYTES: usize = 4 << 20;

struct Append {
    bytes: Bytes,
    done: oneshot::Sender<()>,
}

/// One file for all partitions, or one for each; every file has its own thread.
pub(crate) struct Files {
    queues: Vec<SyncSender<Append>>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Files {
    pub(crate) fn create(dir: &Path, files: usize) -> Result<Self> {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..files {
            let file = File::create(dir.join(format!("log-{number}")))?;
            let (queue, appends) = sync_channel(4096);
            queues.push(queue);
            threads.push(std::thread::spawn(move || write(file, &appends)));
        }
        Ok(Self { queues, threads })
    }

    /// Hands an append to its file's thread; the receiver hears when it is synced.
    pub(crate) fn append(&self, partition: usize, bytes: Bytes) -> Result<oneshot::Receiver<()>> {
        let (done, synced) = oneshot::channel();
        let queue = &self.queues[partition % self.queues.len()];
        queue.send(Append { bytes, done }).ok().context("the thread of a file ended")?;
        Ok(synced)
    }

    pub(crate) fn close(self) -> Result<()> {
        drop(self.queues);
        for thread in self.threads {
            thread.join().ok().context("the thread of a file panicked")??;
        }
        Ok(())
    }
}

fn write(mut file: File, appends: &Receiver<Append>) -> Result<()> {
    let mut buffer = Vec::with_capacity(GROUP_BYTES + (64 << 10));
    let mut waiting = Vec::new();
    while let Ok(first) = appends.recv() {
        let mut next = Some(first);
        while let Some(append) = next {
            buffer.extend_from_slice(&append.bytes);
            waiting.push(append.done);
            next = if buffer.len() < GROUP_BYTES { appends.try_recv().ok() } else { None };
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        buffer.clear();
        for done in waiting.drain(..) {
            // A producer that is gone needs no answer.
            let _ = done.send(());
        }
    }
    Ok(())
}
