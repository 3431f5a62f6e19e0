//! The one thread that writes. It takes what has come meanwhile, makes one RocksDB write of it, syncs once, and then
//! publishes and acknowledges. Nothing is acknowledged, and nothing visible, before the sync that covers it.
//!
//! There is no delay to make groups larger: while one group is being synced the next one gathers. A failed write, or a
//! panic, poisons the writer: whoever waits is answered "unknown", and nothing is written any more, because what RocksDB
//! holds in memory and what lies on disk may differ from then on. A restart recovers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::watch;

use crate::model::limits::{KIB, MIB};
use crate::runtime::clock::{self, Clock};
use crate::telemetry::metric_names as names;

use super::commit::{Commit, Receipt, Reply};
use super::db::Db;
use super::error::CommitError;
use super::group::Group;
use super::log::Log;
use super::queue::{Drained, Queue};
use super::tail_cache::TailCache;
use super::touched::Touched;

/// Room in the queue: a request takes one unit, and one more for each [`UNIT_BYTES`].
pub(super) const QUEUE_UNITS: u32 = 1_024;
const UNIT_BYTES: usize = 64 * KIB;
/// A group ends after so many bytes or requests.
const GROUP_BYTES: usize = 4 * MIB;
const GROUP_REQUESTS: usize = 1_024;
/// What was acknowledged without a sync is synced within this time.
const UNSYNCED_MAX: Duration = Duration::from_secs(1);

pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) reply: Reply,
}

impl Request {
    pub(super) fn units(&self) -> u32 {
        1 + u32::try_from(self.commit.bytes() / UNIT_BYTES).unwrap_or(QUEUE_UNITS)
    }
}

/// Where a group goes.
pub(super) trait Sink: Send + 'static {
    /// Writes atomically; `sync`: returns when this and all earlier writes are on disk.
    fn write(&mut self, db: &Db, batch: WriteBatch, sync: bool) -> Result<(), String>;
    /// Returns when all earlier writes are on disk.
    fn sync(&mut self, db: &Db) -> Result<(), String>;
}

/// RocksDB's write-ahead log.
pub(super) struct WriteAheadLog {
    synced: WriteOptions,
    unsynced: WriteOptions,
}

pub(super) struct Writer<S> {
    pub(super) db: Arc<Db>,
    pub(super) sink: S,
    pub(super) queue: Arc<Queue<Request>>,
    pub(super) failed: watch::Sender<Option<String>>,
    pub(super) clock: Clock,
    pub(super) cache: TailCache,
    /// since when, and in which logs, something is acknowledged and not synced
    unsynced_since: Option<Instant>,
    unsynced: Vec<Arc<Log>>,
    metrics: Metrics,
}

struct Metrics {
    sync_seconds: Histogram,
    group_commits: Histogram,
    group_bytes: Histogram,
    commits: Counter,
    refused: Counter,
    cache_bytes: Gauge,
}

/// A commit that is part of the group.
struct Made {
    receipt: Receipt,
    made: Vec<Box<dyn FnOnce() + Send>>,
    holds: Vec<Box<dyn Send>>,
    reply: Reply,
}

// === impl WriteAheadLog ===

impl Default for WriteAheadLog {
    fn default() -> Self {
        let options = || {
            let mut options = WriteOptions::default();
            // A commit's rows are sorted family by family: each starts its search where the last one ended.
            options.set_memtable_insert_hint_per_batch(true);
            options
        };
        let mut synced = options();
        synced.set_sync(true);
        Self { synced, unsynced: options() }
    }
}

impl Sink for WriteAheadLog {
    fn write(&mut self, db: &Db, batch: WriteBatch, sync: bool) -> Result<(), String> {
        let options = if sync { &self.synced } else { &self.unsynced };
        db.write(batch, options)
    }

    fn sync(&mut self, db: &Db) -> Result<(), String> {
        db.sync()
    }
}

// === impl Writer ===

impl<S: Sink> Writer<S> {
    pub(super) fn new(
        db: Arc<Db>,
        sink: S,
        queue: Arc<Queue<Request>>,
        failed: watch::Sender<Option<String>>,
        clock: Clock,
        cache_bytes: usize,
    ) -> Self {
        Self {
            db,
            sink,
            queue,
            failed,
            clock,
            cache: TailCache::new(cache_bytes),
            unsynced_since: None,
            unsynced: Vec::new(),
            metrics: Metrics {
                sync_seconds: metrics::histogram!(names::WAL_SYNC_DURATION_SECONDS),
                group_commits: metrics::histogram!(names::COMMIT_GROUP_COMMITS),
                group_bytes: metrics::histogram!(names::COMMIT_GROUP_BYTES),
                commits: metrics::counter!(names::COMMITS_TOTAL),
                refused: metrics::counter!(names::COMMITS_REFUSED_TOTAL, "reason" => "expected_or_gone"),
                cache_bytes: metrics::gauge!(names::TAIL_CACHE_BYTES),
            },
        }
    }

    /// Works until the queue is closed and empty, or until a write fails.
    pub(super) fn run(mut self) {
        let _poison = PoisonOnPanic { queue: self.queue.clone(), failed: self.failed.clone() };
        let mut requests = Vec::with_capacity(GROUP_REQUESTS);
        loop {
            let timeout = self.unsynced_since.map(|since| UNSYNCED_MAX.saturating_sub(since.elapsed()));
            let mut bytes = 0;
            let drained = self.queue.drain(&mut requests, GROUP_REQUESTS, timeout, |request| {
                bytes += request.commit.bytes();
                bytes >= GROUP_BYTES
            });
            let done = match drained {
                Drained::Some => self.handle_group(&mut requests, bytes),
                Drained::TimedOut => self.sync(),
                Drained::Closed => {
                    let synced = self.sync();
                    self.fail_on(synced);
                    return;
                }
            };
            if !self.fail_on(done) {
                return;
            }
        }
    }

    fn handle_group(&mut self, requests: &mut Vec<Request>, bytes: usize) -> Result<(), String> {
        let db = self.db.clone();
        let mut group = Group::new(&db, bytes, self.clock.now_ms());
        let mut sync = self.unsynced_since.is_some_and(|since| since.elapsed() >= UNSYNCED_MAX);
        let mut made = Vec::with_capacity(requests.len());
        for Request { mut commit, reply } in requests.drain(..) {
            let holds = std::mem::take(&mut commit.holds);
            let calls = std::mem::take(&mut commit.made);
            let needs_sync = commit.needs_sync();
            match group.place(commit) {
                Ok(receipt) => {
                    sync |= needs_sync;
                    made.push(Made { receipt, made: calls, holds, reply });
                }
                Err(refusal) => {
                    self.metrics.refused.increment(1);
                    drop(holds);
                    reply.send(Err(refusal));
                }
            }
        }
        if made.is_empty() {
            return Ok(());
        }

        let (batch, touched) = group.finish();
        let bytes = batch.size_in_bytes();
        let started = clock::monotonic();
        let written = self.sink.write(&db, batch, sync);
        if let Err(cause) = written {
            answer(made, |_| Err(CommitError::Unknown(cause.clone())));
            return Err(cause);
        }
        if sync {
            self.metrics.sync_seconds.record(started.elapsed());
        }
        self.metrics.group_commits.record(made.len() as f64);
        self.metrics.group_bytes.record(bytes as f64);
        self.metrics.commits.increment(made.len() as u64);

        self.publish(touched, sync);
        answer(made, Ok);
        Ok(())
    }

    fn publish(&mut self, touched: Vec<Touched>, synced: bool) {
        for touched in touched {
            let was_synced = touched.is_durable();
            let log = touched.publish(&mut self.cache);
            if synced {
                log.set_durable(log.tail());
            } else if was_synced {
                self.unsynced.push(log);
            }
        }
        if synced {
            self.note_synced();
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(clock::monotonic());
        }
        self.metrics.cache_bytes.set(self.cache.bytes() as f64);
    }

    fn sync(&mut self) -> Result<(), String> {
        if self.unsynced_since.is_none() {
            return Ok(());
        }
        self.sink.sync(&self.db)?;
        self.note_synced();
        Ok(())
    }

    fn note_synced(&mut self) {
        self.unsynced_since = None;
        for log in self.unsynced.drain(..) {
            log.set_durable(log.tail());
        }
    }

    /// False: the writer has failed and must end.
    fn fail_on(&self, done: Result<(), String>) -> bool {
        let Err(cause) = done else { return true };
        poison(&self.queue, &self.failed, &cause);
        false
    }
}

fn answer(made: Vec<Made>, outcome: impl Fn(Receipt) -> Result<Receipt, CommitError>) {
    for Made { receipt, made, holds, reply } in made {
        let outcome = outcome(receipt);
        if outcome.is_ok() {
            made.into_iter().for_each(|call| call());
        }
        // Whoever hears the outcome finds the permits free.
        drop(holds);
        reply.send(outcome);
    }
}

/// Takes no more requests, answers those that wait, and tells the server.
fn poison(queue: &Queue<Request>, failed: &watch::Sender<Option<String>>, cause: &str) {
    tracing::error!(cause, "a write failed; the server has to be restarted");
    queue.close();
    failed.send_if_modified(|first| {
        let is_first = first.is_none();
        if is_first {
            *first = Some(cause.to_owned());
        }
        is_first
    });
    while let Some(Request { commit, reply }) = queue.pop() {
        drop(commit);
        reply.send(Err(CommitError::Unknown(cause.to_owned())));
    }
}

struct PoisonOnPanic {
    queue: Arc<Queue<Request>>,
    failed: watch::Sender<Option<String>>,
}

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            poison(&self.queue, &self.failed, "the writer panicked");
        }
    }
}
