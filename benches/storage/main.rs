//! The storage by itself, in this process, beside plain files on the same disk.
//!
//! ```text
//! cargo bench --bench storage -- [append] [read] [start] [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod append;
mod files;
mod read;
mod start;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use millstream::model::batch::{BatchBuilder, Codec, RecordBatch};
use millstream::model::topic::{Topic, TopicConfig};
use millstream::model::{TopicId, TopicName};
use millstream::runtime::clock::Clock;
use millstream::storage::{Log, Options, Storage};
use support::{Args, events::Random};

// As in the server: its values are up to a MiB.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Partitions of every topic here.
const PARTITIONS: u32 = 8;
/// Bytes of a batch, near enough.
const BATCH_BYTES: usize = 16 << 10;

fn main() -> Result<()> {
    let args = Args::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if args.wants("append") {
            append::run(&args).await?;
        }
        if args.wants("read") {
            read::run(&args).await?;
        }
        if args.wants("start") {
            start::run(&args).await?;
        }
        Ok(())
    })
}

/// Opens a storage with the memory that a server has unless told otherwise.
fn open(dir: &Path) -> Result<Storage> {
    let (dir, clock) = (dir.to_owned(), Clock::system());
    let options = Options { dir, memory: 512 << 20, clock, reader_threads: 2 };
    Storage::open(options).map_err(|error| anyhow!(error))
}

async fn create_topic(storage: &Storage, name: &str) -> Result<Vec<Arc<Log>>> {
    let topic = Topic {
        name: TopicName::parse(name).map_err(|error| anyhow!(error))?,
        id: TopicId(uuid::Uuid::new_v4()),
        partitions: PARTITIONS,
        config: TopicConfig::default(),
        revision: 1,
        replication_factor: 1,
        created_ms: Clock::system().now_ms(),
    };
    Ok(storage.create_topic(topic).await?)
}

/// Different batches of one record each, of bytes that do not compress.
fn batches(count: usize) -> Vec<RecordBatch> {
    let mut random = Random(13);
    let mut value = vec![0; BATCH_BYTES - 80];
    let one = |_| {
        random.fill(&mut value);
        let mut builder = BatchBuilder::new();
        builder.push(1, None, Some(&value), []);
        builder.finish(Codec::None).expect("it has a record")
    };
    (0..count).map(one).collect()
}

/// The bytes of batches, for those who store no batches.
fn blocks(batches: &[RecordBatch]) -> Vec<Bytes> {
    batches.iter().map(|batch| batch.bytes().clone()).collect()
}
