//! Floor 1: everything that is kept. The only code that names RocksDB.
//!
//! A [`Commit`] is the only unit of change, and one thread, the writer, is its only executor: it places batches at the
//! ends of their logs, writes what has gathered in one atomic write, syncs it, and then publishes and acknowledges.
//! Readers see what is acknowledged and nothing else. A stored value is a whole Kafka record batch, as the producer sent
//! it but for its base offset.
//!
//! Whatever is called here returns errors instead of panicking, waits only where its documentation says so, and holds
//! no lock while it waits for a disk.

mod cleaner;
mod commit;
mod db;
mod directory;
mod disk;
mod error;
mod families;
mod group;
mod guard;
mod identity;
mod keeper;
pub(crate) mod keys;
mod ledger;
mod log;
mod lookup;
mod open;
mod pinned;
mod queue;
mod reader;
mod reconcile;
mod retention;
mod rewrite;
pub mod tables;
mod tail_cache;
mod topics;
mod touched;
mod transactions;
mod view;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use crate::model::batch::RecordBatch;
use crate::model::{Offset, TimestampMs, TopicId};
use crate::runtime::clock::Clock;
use crate::telemetry::metric_names as names;

pub use commit::{Chain, Commit, Fence, Pending, Placed, Receipt};
pub use disk::DiskStatus;
pub use error::{CommitError, Error, OpenError, ReadError};
pub use log::{Ends, Log};
pub use pinned::PinnedState;
pub use transactions::{AbortedTxn, OpenTxn};
pub use view::{KeyRange, StateReader, StateView};

use commit::Reply;
use db::Db;
use queue::Queue;
use writer::{Request, WriteAheadLog};

/// How a storage is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// the data directory; made if it is not there
    pub dir: PathBuf,
    /// Bytes of memory that memtables (1/4), block cache (1/4), tail cache (1/8) and admission (1/8) share. Less than
    /// 64 MiB makes many small files; more than half of the machine's starves the page cache that cold reads live from.
    pub memory: u64,
    /// time of appends, for retention
    pub clock: Clock,
    /// threads for reads that wait for the disk, at least 1; more than the disk serves at once bring nothing
    pub reader_threads: usize,
}

/// An open storage; a cheap handle. The directory is free again when the last one is dropped.
#[derive(Clone)]
pub struct Storage(Arc<Owner>);

/// Closes the storage when the last handle goes.
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads of the storage have in common.
struct Shared {
    db: Arc<Db>,
    // Dropped after the database: the lock goes last.
    directory: directory::Directory,
    queue: Arc<Queue<Request>>,
    jobs: Arc<Queue<reader::Job>>,
    table: RwLock<topics::Table>,
    /// grows with every change of the table
    revision: AtomicU64,
    /// held while a topic is created, changed or deleted
    changes: Mutex<()>,
    /// held while a block of producer ids is taken
    producer_ids: tokio::sync::Mutex<()>,
    disk: disk::Disk,
    guard: guard::Guard,
    failed: watch::Receiver<Option<String>>,
    warnings: Vec<String>,
    cluster_id: String,
    memory: u64,
    clock: Clock,
    stop: Stop,
}

/// Tells the threads that work in rounds to end.
#[derive(Default)]
struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({})", self.shared().directory.database().display())
    }
}

// === impl Storage ===

impl Storage {
    /// Opens a data directory, or makes a new one. Blocking: up to a few seconds after a crash.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what can be done.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let probe = disk::probe(&options.dir);
        open::open(options, WriteAheadLog::default(), probe)
    }

    /// Ends all work: commits submitted so far are made, later calls get `Closed`. Blocking.
    pub fn close(&self) {
        self.0.close();
    }

    /// What the operator should know, in sentences; fixed when the storage was opened.
    pub fn warnings(&self) -> Vec<String> {
        self.shared().warnings.clone()
    }

    /// Who this data is: 22 characters, made once with the data directory.
    pub fn cluster_id(&self) -> &str {
        &self.shared().cluster_id
    }

    /// Becomes `Some(cause)` when a write has failed. Nothing is written from then on: the server has to exit, and a
    /// restart recovers.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared().failed.clone()
    }

    /// Where everything is kept.
    pub fn directory(&self) -> &Path {
        self.shared().directory.path()
    }

    /// Keeps so many bytes of the disk back, instead of what its size gives.
    pub fn set_disk_reserve(&self, bytes: u64) {
        self.shared().disk.set_reserve(bytes);
    }

    /// Room on the data directory's disk, as of the last second.
    pub fn disk(&self) -> DiskStatus {
        self.shared().disk.status()
    }

    /// Bytes of records that may be on their way into the storage at once: admission's share of the memory.
    pub fn admission_bytes(&self) -> usize {
        usize::try_from(self.shared().memory / 8).unwrap_or(usize::MAX)
    }

    /// Puts a commit into the writer's queue; waits only for room there. Commits of one caller are placed in the order
    /// of its calls. Dropping the future before it is ready drops the commit.
    ///
    /// # Errors
    /// `DiskFull`, `Closed`. The outcome of the commit itself comes from the [`Pending`].
    pub async fn submit(&self, commit: Commit) -> Result<Pending, CommitError> {
        let shared = self.shared();
        if commit.adds()
            && let Some(refusal) = shared.refusal()
        {
            return Err(refusal);
        }
        let (reply, pending) = Pending::channel();
        let request = Request { commit, reply };
        let pushed = shared.queue.push(request.units(), request).await;
        pushed.map_err(|_| CommitError::Closed)?;
        Ok(pending)
    }

    /// Submits a commit and waits for its outcome.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        self.submit(commit).await?.receipt().await
    }

    /// Whole batches in offset order, from the one that holds `from` (or the next one after a gap), up to `bytes_max`
    /// bytes but at least one; none at the tail. Never past the tail. From memory if they are there, else it waits for a
    /// reader thread.
    ///
    /// # Errors
    /// `OutOfRange` below the start or beyond the tail, `TopicGone`, `Damaged`, `Engine`, `Closed`.
    pub async fn read(
        &self,
        log: &Arc<Log>,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        if let Some(found) = reader::read_memory(log, from, bytes_max)? {
            metrics::counter!(names::LOG_READS_TOTAL, "source" => "memory").increment(1);
            return Ok(found);
        }
        metrics::counter!(names::LOG_READS_TOTAL, "source" => "disk").increment(1);
        let log = log.clone();
        self.on_reader(move |storage| reader::read_disk(storage.db(), &log, from, bytes_max)).await?
    }

    /// Offset and timestamp of the first record, in offset order and before `end` (a tail or a last stable offset), whose
    /// timestamp is `at` or later; `None` if there is none. Timestamps need not be in order. Waits for a reader thread,
    /// which reads up to 64 MiB.
    ///
    /// # Errors
    /// `TopicGone`, `Damaged`, `Engine`, `Closed`.
    pub async fn offset_for_time(
        &self,
        log: &Arc<Log>,
        at: TimestampMs,
        end: Offset,
    ) -> Result<Option<(Offset, TimestampMs)>, ReadError> {
        let log = log.clone();
        self.on_reader(move |storage| lookup::first_since(storage.db(), &log, at, end)).await?
    }

    /// Offset and timestamp of the record with the largest timestamp of all before `end` (a tail or a last stable
    /// offset), the first of them if there are several; `None` for an empty log. Waits as the other one.
    ///
    /// # Errors
    /// `TopicGone`, `Damaged`, `Engine`, `Closed`.
    pub async fn max_timestamp(
        &self,
        log: &Arc<Log>,
        end: Offset,
    ) -> Result<Option<(Offset, TimestampMs)>, ReadError> {
        let log = log.clone();
        self.on_reader(move |storage| lookup::latest(storage.db(), &log, end)).await?
    }

    /// The aborted transactions with records or a marker in `from..to`, by their first offsets: who reads what is
    /// committed passes over their records. Free of cost where no transaction was ever aborted; else it waits for a
    /// reader thread.
    ///
    /// # Errors
    /// `Damaged`, `Engine`, `Closed`.
    pub async fn aborted(
        &self,
        log: &Arc<Log>,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        if from >= to || !log.has_aborted_since(from) {
            return Ok(Vec::new());
        }
        let log = log.clone();
        self.on_reader(move |storage| transactions::aborted(storage.db(), &log, from, to)).await?
    }

    /// Runs something that reads and may block on a reader thread. Waits for room in their queue and for the result.
    ///
    /// # Errors
    /// `Closed`, also when `work` panicked.
    pub async fn on_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (answer, result) = oneshot::channel();
        let storage = self.clone();
        let job: reader::Job = Box::new(move || {
            // Nobody reads for whoever has gone.
            if !answer.is_closed() {
                drop(answer.send(work(&storage)));
            }
        });
        self.shared().jobs.push(1, job).await.map_err(|_| ReadError::Closed)?;
        result.await.map_err(|_| ReadError::Closed)
    }

    /// Reads of task state.
    pub fn state(&self) -> StateReader {
        StateReader::new(self.clone())
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn db(&self) -> &Db {
        &self.0.shared.db
    }
}

// === impl Owner ===

impl Owner {
    fn add(&self, thread: JoinHandle<()>) {
        self.threads.lock().push(thread);
    }

    fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        let shared = &self.shared;
        shared.stop.set();
        shared.queue.close();
        shared.jobs.close();
        for thread in threads {
            // The last handle may go on a reader thread, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the storage panicked");
            }
        }
        if shared.failed.borrow().is_none() {
            let mut last = shared.guard.last.lock();
            shared.write_guard(&mut last, None);
            shared.db.close();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Shared ===

impl Shared {
    /// Why nothing may be added now.
    fn refusal(&self) -> Option<CommitError> {
        if !self.disk.is_full() {
            return None;
        }
        metrics::counter!(names::COMMITS_REFUSED_TOTAL, "reason" => "disk_full").increment(1);
        let DiskStatus { free, reserve, .. } = self.disk.status();
        Some(CommitError::DiskFull { free, reserve })
    }

    /// Commits on one of the storage's own threads, past the bound of the queue and the reserve of the disk. Blocking.
    fn commit_now(&self, commit: Commit) -> Result<Receipt, CommitError> {
        let (reply, outcome) = std::sync::mpsc::sync_channel(1);
        let request = Request { commit, reply: Reply::Thread(reply) };
        self.queue.push_now(request).map_err(|_| CommitError::Closed)?;
        outcome.recv().unwrap_or_else(|_| Err(commit::writer_gone()))
    }

    /// Writes the log-end guard, without a topic that is being deleted.
    fn write_guard(&self, last: &mut Vec<guard::Entry>, without: Option<TopicId>) {
        let mut entries: Vec<_> = {
            let table = self.table.read();
            let kept = table.iter().filter(|(id, _)| Some(**id) != without);
            kept.map(|(id, entry)| guard::Entry::of(entry.row.topic.name.as_str(), *id, &entry.logs))
                .collect()
        };
        entries.sort_unstable_by_key(|entry| entry.id);
        if let Err(error) = self.guard.write(last, entries) {
            tracing::warn!(%error, "cannot write the log-end guard");
        }
    }
}

// === impl Stop ===

impl Stop {
    fn set(&self) {
        *self.is_set.lock() = true;
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.is_set.lock()
    }

    /// Waits; true: it is time to end.
    fn wait(&self, pause: Duration) -> bool {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.changed.wait_for(&mut is_set, pause);
        }
        *is_set
    }
}
