//! The only unit of change: everything in a [`Commit`] is stored at once, or nothing is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::model::Offset;
use crate::model::batch::RecordBatch;
use crate::model::topic::Durability;

use super::error::CommitError;
use super::families::Family;
use super::keys::{self, Kind};
use super::log::Log;
use super::rewrite::Rewrite;

/// A change under construction. Nothing happens until [`super::Storage::submit`] takes it.
///
/// It is made durable before it is acknowledged if one of its batches goes to a topic with `durability = fsync`, or if
/// it has no batches and did not say otherwise with [`Commit::durability`].
#[derive(Default)]
pub struct Commit {
    pub(super) appends: Vec<Append>,
    pub(super) expects: Vec<(Arc<Log>, Offset)>,
    pub(super) rows: Vec<Row>,
    pub(super) late: Vec<Late>,
    pub(super) at_ends: Vec<AtEnds>,
    /// logs whose oldest records go
    pub(super) trims: Vec<(Arc<Log>, Trim)>,
    /// what compaction changes
    pub(super) rewrites: Vec<Rewrite>,
    /// logs of a topic that is deleted
    pub(super) retired: Vec<Arc<Log>>,
    pub(super) holds: Vec<Box<dyn Send>>,
    pub(super) made: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) chain: Option<Chain>,
    pub(super) fence: Option<Fence>,
    durability: Option<Durability>,
    /// see [`Commit::past_reserve`]
    past_reserve: bool,
    bytes: usize,
}

pub(super) struct Append {
    pub(super) log: Arc<Log>,
    pub(super) batch: RecordBatch,
}

/// How much of a log goes.
pub(super) enum Trim {
    /// as much as its retention says when the writer takes it up
    Retention,
    /// Everything before an offset. `cut_bytes` are the batches that go of the segment that holds it; to be counted while
    /// the log's `upkeep` is held.
    To { offset: Offset, cut_bytes: u64 },
}

pub(super) enum Row {
    Put { family: Family, key: Vec<u8>, value: Bytes },
    Delete { family: Family, key: Vec<u8> },
    DeleteRange { family: Family, start: Vec<u8>, end: Vec<u8> },
}

/// Commits each of which is made of what the ones before it have done: once one is refused, the later ones are refused
/// for the same reason, however many of them wait already.
#[derive(Debug, Clone, Default)]
pub struct Chain(Arc<OnceLock<CommitError>>);

/// Shuts out the commits of one who may still be at work when somebody else has taken its place.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<AtomicBool>);

type MakeValue = Box<dyn FnOnce(&[Placed]) -> Vec<u8> + Send>;

/// A row whose value is made by the writer, from the offsets that it gave.
pub(super) struct Late {
    pub(super) family: Family,
    pub(super) key: Vec<u8>,
    pub(super) make: MakeValue,
    /// whose row it is: it goes with the log, and only the last value in a group of commits is written
    pub(super) log: Option<Arc<Log>>,
}

type MakeFromEnds = Box<dyn FnOnce(&[Offset]) -> Bytes + Send>;

/// A row whose value is made by the writer, from where logs end.
pub(super) struct AtEnds {
    pub(super) family: Family,
    pub(super) key: Vec<u8>,
    pub(super) logs: Vec<Arc<Log>>,
    pub(super) make: MakeFromEnds,
}

/// Where an appended batch went: `base..next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// offset of its first record
    pub base: Offset,
    /// offset after its last record
    pub next: Offset,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// one for each [`Commit::append`], in their order
    pub placed: Vec<Placed>,
}

/// A commit in the writer's queue. Dropping it does not take the commit back.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Receipt, CommitError>>);

/// Whoever waits for the outcome.
pub(super) enum Reply {
    Task(oneshot::Sender<Result<Receipt, CommitError>>),
    /// one of the storage's own threads
    Thread(std::sync::mpsc::SyncSender<Result<Receipt, CommitError>>),
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (appends, rows) = (self.appends.len(), self.rows.len() + self.late.len() + self.at_ends.len());
        write!(f, "Commit({appends} batches, {rows} rows, {} bytes)", self.bytes)
    }
}

// === impl Commit ===

impl Commit {
    /// What a row or batch costs in the queue beside its bytes (a guess).
    const OVERHEAD: usize = 64;

    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a batch at the log's next offset; the writer gives the offset. Returns the index into
    /// [`Receipt::placed`]. Batches for one log are placed in the order of the calls.
    pub fn append(&mut self, log: &Arc<Log>, batch: RecordBatch) -> usize {
        self.bytes += batch.bytes().len() + Self::OVERHEAD;
        self.appends.push(Append { log: log.clone(), batch });
        self.appends.len() - 1
    }

    /// Makes the whole commit fail with [`CommitError::Expected`] unless the log's next offset is `next` when the
    /// writer takes it up: after all commits submitted before, and before the batches of this one.
    pub fn expect(&mut self, log: &Arc<Log>, next: Offset) {
        self.expects.push((log.clone(), next));
    }

    /// Puts a row of task state; the key is encoded by `state::keys`.
    pub fn put_state(&mut self, key: Vec<u8>, value: Bytes) {
        self.put(Family::State, key, value);
    }

    /// Deletes a row of task state.
    pub fn delete_state(&mut self, key: Vec<u8>) {
        self.delete(Family::State, key);
    }

    /// Deletes all rows of task state in `start..end`. Rows put later in this commit stay.
    pub fn delete_state_range(&mut self, start: Vec<u8>, end: Vec<u8>) {
        self.delete_range(Family::State, start, end);
    }

    /// Stores what the log knows of a producer, also without a batch for the log. `make` runs on the writer's thread after
    /// the commit was placed and before it is written, only if the commit was not refused; it gets what
    /// [`Receipt::placed`] will be. It must be quick and must not wait. Rows of one log are made in the order of the commits.
    pub fn put_producer(
        &mut self,
        log: &Arc<Log>,
        producer_id: i64,
        make: impl FnOnce(&[Placed]) -> Vec<u8> + Send + 'static,
    ) {
        self.put_late(Family::Producers, producer_key(log, producer_id), make, Some(log.clone()));
    }

    /// Forgets what the log knows of a producer. A row that the same commit puts stays.
    pub fn delete_producer(&mut self, log: &Log, producer_id: i64) {
        self.delete(Family::Producers, producer_key(log, producer_id));
    }

    /// Keeps a value alive until the commit has ended, well or not. It is dropped before the outcome is told, on the
    /// writer's thread: its `Drop` must not wait.
    pub fn hold(&mut self, guard: impl Send + 'static) {
        self.holds.push(Box::new(guard));
    }

    /// Called once the commit is made, as durable as it has to be: before what is held is dropped and before the outcome
    /// is told, on the writer's thread, so it must not wait. Never called for a commit that was refused or whose
    /// outcome is unknown.
    pub fn when_made(&mut self, call: impl FnOnce() + Send + 'static) {
        self.made.push(Box::new(call));
    }

    /// What the commit itself needs; a batch for an `fsync` topic still makes it synced.
    pub fn durability(&mut self, durability: Durability) {
        self.durability = Some(durability);
    }

    /// Makes the commit a link of a chain. Its links are submitted one after the other.
    pub fn link(&mut self, chain: &Chain) {
        self.chain = Some(chain.clone());
    }

    /// Makes the commit one of those that the fence shuts out once it is closed.
    pub fn behind(&mut self, fence: &Fence) {
        self.fence = Some(fence.clone());
    }

    /// Taken also when the disk is nearly full: something small without which nothing can be given back, or that only
    /// replaces what is there. Retention stops at an open transaction, so its end must not wait for room; groups and their
    /// offsets are rows that are bounded in sum, and consumers that cannot join or commit free nothing.
    pub fn past_reserve(&mut self) {
        self.past_reserve = true;
    }

    pub(super) fn rewrite(&mut self, rewrite: Rewrite) {
        self.bytes += rewrite.bytes();
        self.rewrites.push(rewrite);
    }

    pub(super) fn put(&mut self, family: Family, key: Vec<u8>, value: Bytes) {
        self.bytes += key.len() + value.len() + Self::OVERHEAD;
        self.rows.push(Row::Put { family, key, value });
    }

    pub(super) fn delete(&mut self, family: Family, key: Vec<u8>) {
        self.bytes += key.len() + Self::OVERHEAD;
        self.rows.push(Row::Delete { family, key });
    }

    pub(super) fn delete_range(&mut self, family: Family, start: Vec<u8>, end: Vec<u8>) {
        self.bytes += start.len() + end.len() + Self::OVERHEAD;
        self.rows.push(Row::DeleteRange { family, start, end });
    }

    pub(super) fn put_late(
        &mut self,
        family: Family,
        key: Vec<u8>,
        make: impl FnOnce(&[Placed]) -> Vec<u8> + Send + 'static,
        log: Option<Arc<Log>>,
    ) {
        self.bytes += key.len() + Self::OVERHEAD;
        self.late.push(Late { family, key, make: Box::new(make), log });
    }

    /// A row that says where logs end at the place of this commit: behind all commits submitted before and its own
    /// batches, before all that come later. `make` runs on the writer's thread and must not wait.
    pub(super) fn put_at_ends(
        &mut self,
        family: Family,
        key: Vec<u8>,
        logs: Vec<Arc<Log>>,
        make: impl FnOnce(&[Offset]) -> Bytes + Send + 'static,
    ) {
        self.bytes += key.len() + Self::OVERHEAD;
        self.at_ends.push(AtEnds { family, key, logs, make: Box::new(make) });
    }

    /// Bytes that it adds to a write, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Does it make the data larger, without need? Then a full disk refuses it.
    pub(super) fn adds(&self) -> bool {
        let adds = || {
            !self.appends.is_empty()
                || !self.late.is_empty()
                || !self.at_ends.is_empty()
                || self.rows.iter().any(|r| matches!(r, Row::Put { .. }))
        };
        !self.past_reserve && adds()
    }

    /// Must it be synced before it is acknowledged?
    pub(super) fn needs_sync(&self) -> bool {
        let own = match self.durability {
            Some(durability) => durability == Durability::Fsync,
            None => self.appends.is_empty(),
        };
        own || self.appends.iter().any(|a| a.log.settings().durability == Durability::Fsync)
    }
}

fn producer_key(log: &Log, producer_id: i64) -> Vec<u8> {
    keys::in_log(Kind::Producer, log.topic_id(), log.partition(), producer_id.cast_unsigned())
}

// === impl Chain ===

impl Chain {
    /// Why an earlier link was refused.
    pub(super) fn broken(&self) -> Option<&CommitError> {
        self.0.get()
    }

    pub(super) fn tear(&self, refusal: &CommitError) {
        let _ = self.0.set(refusal.clone());
    }
}

// === impl Fence ===

impl Fence {
    /// From now on the writer takes up no commit behind it, also none that waits in its queue. Those that it has taken up
    /// already are written before whatever is submitted from now on.
    pub fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

// === impl Pending ===

impl Pending {
    pub(super) fn channel() -> (Reply, Self) {
        let (sender, receiver) = oneshot::channel();
        (Reply::Task(sender), Self(receiver))
    }

    /// Waits for the outcome. The wait ends in any case: with the write, or with the failure of the writer.
    pub async fn receipt(mut self) -> Result<Receipt, CommitError> {
        self.outcome().await
    }

    /// The same, and can be given up and asked for again until it has answered once.
    pub async fn outcome(&mut self) -> Result<Receipt, CommitError> {
        (&mut self.0).await.unwrap_or_else(|_gone| Err(writer_gone()))
    }
}

/// The writer never drops a reply unless it panicked over it.
pub(super) fn writer_gone() -> CommitError {
    CommitError::Unknown("the writer has stopped".into())
}

// === impl Reply ===

impl Reply {
    /// Whoever asked may have stopped waiting; that is no error.
    pub(super) fn send(self, outcome: Result<Receipt, CommitError>) {
        match self {
            Self::Task(sender) => drop(sender.send(outcome)),
            Self::Thread(sender) => drop(sender.try_send(outcome)),
        }
    }
}
