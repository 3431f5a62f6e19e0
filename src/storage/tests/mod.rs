//! Scenarios over the whole floor, by what they are about.

mod commits;
mod compaction;
mod crash;
mod formats;
mod opening;
mod reading;
mod retention;
mod rows;
mod topics;
mod transactions;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::model::batch::{BatchBuilder, Codec};
use crate::model::topic::{Topic, TopicConfig};
use crate::model::{TopicId, TopicName};
use crate::runtime::clock::ManualClock;

/// Enough for every test, and small enough to see the limits.
const MEMORY: u64 = 64 << 20;

/// A storage in a directory of its own, with a clock that the test moves.
pub(crate) struct World {
    pub(crate) storage: Storage,
    pub(crate) clock: ManualClock,
    pub(crate) dir: TempDir,
}

pub(crate) fn options(dir: &Path, clock: Clock) -> Options {
    Options { dir: dir.to_owned(), memory: MEMORY, clock, reader_threads: 2 }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, moved) = Clock::manual(1_000_000);
        Self { storage: Storage::open(options(dir.path(), clock)).unwrap(), clock: moved, dir }
    }

    /// Closes the storage and opens it again.
    pub(super) fn reopen(self) -> Self {
        let Self { storage, dir, .. } = self;
        storage.close();
        drop(storage);
        let (clock, moved) = Clock::manual(2_000_000);
        Self { storage: Storage::open(options(dir.path(), clock)).unwrap(), clock: moved, dir }
    }

    /// Waits until the files of large values hold less than this. They go in the background; the WAL's do not count, because
    /// how many of them are kept for their next use is a matter of when flushes end.
    pub(super) async fn blob_files_shrink_below(&self, most: u64) {
        let mut held = u64::MAX;
        for _ in 0..200 {
            let files =
                std::fs::read_dir(self.dir.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
            // A file may go between the listing and the question.
            let blobs = files.filter(|path| path.extension().is_some_and(|extension| extension == "blob"));
            held = blobs.filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum();
            if held < most {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{held} bytes in blob files, expected less than {most}");
    }

    /// What a crash leaves: the directory as it is now, opened by another storage.
    pub(super) fn crashed_copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.dir.path(), copy.path());
        copy
    }

    pub(crate) async fn topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) -> Vec<Arc<Log>> {
        self.storage.create_topic(topic(name, partitions, config)).await.unwrap()
    }

    pub(super) async fn append(&self, log: &Arc<Log>, batch: RecordBatch) -> Placed {
        let mut commit = Commit::new();
        commit.append(log, batch);
        self.storage.commit(commit).await.unwrap().placed[0]
    }

    /// The records' values from `from` on.
    pub(super) async fn values(&self, log: &Arc<Log>, from: Offset) -> Vec<String> {
        values(&self.storage.read(log, from, 1 << 20).await.unwrap())
    }
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn open(dir: &Path) -> Storage {
    Storage::open(options(dir, Clock::manual(3_000_000).0)).unwrap()
}

pub(super) fn topic(name: &str, partitions: u32, config: &[(&str, &str)]) -> Topic {
    Topic {
        name: TopicName::parse(name).unwrap(),
        id: TopicId(Uuid::new_v4()),
        partitions,
        config: TopicConfig::parse(config.iter().copied()).unwrap(),
        revision: 1,
        replication_factor: 1,
        created_ms: 0,
    }
}

/// A batch of records with these values and timestamp 0.
pub(super) fn batch(values: &[&str]) -> RecordBatch {
    timed(&values.iter().map(|v| (0, *v)).collect::<Vec<_>>(), Codec::None)
}

pub(super) fn timed(records: &[(TimestampMs, &str)], codec: Codec) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for (timestamp, value) in records {
        builder.push(*timestamp, None, Some(value.as_bytes()), []);
    }
    builder.finish(codec).unwrap()
}

/// A batch of one record of this size that no compression shrinks.
pub(super) fn large(bytes: usize) -> RecordBatch {
    let noise: Vec<u8> = (0..bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(&noise), []);
    builder.finish(Codec::None).unwrap()
}

pub(super) fn values(batches: &[RecordBatch]) -> Vec<String> {
    let mut values = Vec::new();
    for batch in batches {
        let payload = batch.payload(1 << 24).unwrap();
        for record in payload.records() {
            values.push(String::from_utf8_lossy(record.unwrap().value.unwrap()).into_owned());
        }
    }
    values
}
