//! A topic that is full before the server starts: written straight into its storage.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use millstream::broker::{Broker, NewTopic};
use millstream::groups::{self, Groups};
use millstream::model::TopicName;
use millstream::model::batch::{BatchBuilder, Codec};
use millstream::model::topic::TopicConfig;
use millstream::runtime::clock::Clock;
use millstream::runtime::guests::GuestThreads;
use millstream::storage::{Commit, Options, Storage};

/// Records of a batch in the log.
const BATCH: usize = 1_000;

/// A record: timestamp, key, value.
pub(crate) type Record = (i64, Option<Vec<u8>>, Vec<u8>);

/// Writes records into a topic of one partition that keeps them for ever. `dir` is what [`super::server::Server::start_in`]
/// is given afterwards.
pub(crate) async fn fill(
    dir: &Path,
    topic: &str,
    records: impl Iterator<Item = Result<Record>>,
) -> Result<()> {
    let clock = Clock::system();
    let options =
        Options { dir: dir.join("data"), memory: 256 << 20, clock: clock.clone(), reader_threads: 1 };
    let storage = Storage::open(options)?;
    let guests = GuestThreads::start(1)?;
    let groups = Groups::open(storage.clone(), clock.clone(), groups::Options::default())?;
    let broker = Broker::open(storage.clone(), groups, guests.handle(), clock)?;
    let name = TopicName::parse(topic).map_err(|e| anyhow!("{e}"))?;
    let mut config = TopicConfig::default();
    config.set("retention.ms", "-1").map_err(|e| anyhow!("{e}"))?;
    broker.create_topic(NewTopic::new(name, 1, config)).await?;
    let log = broker.topic(topic)?.log(0).context("a log")?.clone();
    let mut records = records.peekable();
    while records.peek().is_some() {
        let mut builder = BatchBuilder::new();
        for record in records.by_ref().take(BATCH) {
            let (timestamp, key, value) = record?;
            builder.push(timestamp, key.as_deref(), Some(&value), []);
        }
        let mut commit = Commit::new();
        commit.append(&log, builder.finish(Codec::None).context("a batch")?);
        storage.commit(commit).await?;
    }
    drop(broker);
    storage.close();
    Ok(())
}
