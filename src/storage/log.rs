//! A log as others see it: its bounds, and a watch on its ends.
//!
//! ```text
//!        start         stable       tail            next
//!          |             | acknowledged |  in the writer  |
//!  deleted |#############|--------------|~~~~~~~~~~~~~~~~~|
//! ```
//!
//! `start` is the first offset kept, `tail` the first one that is not acknowledged yet. Readers see `start..tail` and
//! nothing else. `stable` is the first offset of the earliest open transaction, the tail if there is none: who wants only
//! what is committed stops there. Only the writer moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::topic::{Compaction, Durability, TopicConfig};
use crate::model::{Offset, Partition, TopicId};

use super::cleaner::Cleaned;
use super::error::ReadError;
use super::families;
use super::ledger::{Keep, Ledger};
use super::tail_cache::Ring;
use super::transactions::OpenTxn;

/// One partition of a topic.
pub struct Log {
    topic: TopicId,
    partition: Partition,
    /// the topic's number in its family's keys
    pub(super) slot: u32,
    pub(super) family: Arc<str>,
    settings: ArcSwap<Settings>,
    start: AtomicU64,
    bytes: AtomicU64,
    gone: AtomicBool,
    ends: watch::Sender<Ends>,
    /// as in the ledger
    aborted_end: AtomicU64,
    /// what certainly survives a loss of power: the tail, except where `durability = os` has not been synced yet
    durable: AtomicU64,
    /// as of the last group that was written
    pub(super) ledger: Mutex<Ledger>,
    pub(super) ring: Mutex<Ring>,
    /// held by whoever deletes or rewrites records, one at a time
    pub(super) upkeep: Mutex<()>,
    /// how far it is compacted
    pub(super) cleaned: Mutex<Cleaned>,
    /// compaction has failed and would fail again
    pub(super) is_uncleanable: AtomicBool,
    /// disk space that was given up waits to be given back
    pub(super) has_garbage: AtomicBool,
}

/// Where a log ends for its readers. Both move in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// for those who read everything
    pub tail: Offset,
    /// for those who read what is committed
    pub stable: Offset,
}

/// What the storage needs of a topic's config.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) keep: Keep,
    /// of logs that are compacted
    pub(super) compaction: Option<Compaction>,
}

impl Settings {
    pub(super) fn of(config: &TopicConfig) -> Self {
        let compaction = config.cleanup().compact.then(|| config.compaction());
        Self { durability: config.durability(), keep: Keep::of(config), compaction }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({}/{}, {}..{})", self.topic, self.partition, self.start(), self.tail())
    }
}

impl Log {
    pub(super) fn new(
        topic: TopicId,
        partition: Partition,
        slot: u32,
        settings: Settings,
        ledger: Ledger,
    ) -> Self {
        let ends = Ends { tail: ledger.head.next(), stable: ledger.stable() };
        Self {
            topic,
            partition,
            slot,
            family: families::of_topic(topic).into(),
            settings: ArcSwap::from_pointee(settings),
            start: AtomicU64::new(ledger.head.start),
            bytes: AtomicU64::new(ledger.head.bytes),
            gone: AtomicBool::new(false),
            ends: watch::Sender::new(ends),
            aborted_end: AtomicU64::new(ledger.aborted_end),
            durable: AtomicU64::new(ledger.head.next()),
            ledger: Mutex::new(ledger),
            ring: Mutex::default(),
            upkeep: Mutex::default(),
            cleaned: Mutex::default(),
            is_uncleanable: AtomicBool::new(false),
            has_garbage: AtomicBool::new(false),
        }
    }

    /// The topic it belongs to.
    pub fn topic_id(&self) -> TopicId {
        self.topic
    }

    /// Which of the topic's partitions it is.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The first offset kept.
    pub fn start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    /// The end of what is acknowledged: the first offset that readers do not see yet.
    pub fn tail(&self) -> Offset {
        self.ends.borrow().tail
    }

    /// The last stable offset: the end of what is acknowledged and belongs to no open transaction.
    pub fn stable(&self) -> Offset {
        self.ends.borrow().stable
    }

    /// The open transactions, by first offset.
    pub fn open_transactions(&self) -> Vec<OpenTxn> {
        self.ledger.lock().open.list()
    }

    /// Both ends as of one moment.
    pub fn ends(&self) -> Ends {
        *self.ends.borrow()
    }

    /// Bytes of the batches kept.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Was the topic deleted?
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Hears of every move of an end, and of the topic's deletion (then with the ends unmoved).
    pub fn watch(&self) -> watch::Receiver<Ends> {
        self.ends.subscribe()
    }

    /// Waits until the record at `offset` can be read, or the topic is deleted. The caller sets the deadline.
    pub async fn wait_past(&self, offset: Offset) {
        self.wait(|ends| ends.tail > offset).await;
    }

    /// Waits until `offset` lies below the last stable offset, or the topic is deleted. The caller sets the deadline.
    pub async fn wait_stable_past(&self, offset: Offset) {
        self.wait(|ends| ends.stable > offset).await;
    }

    async fn wait(&self, is_enough: impl Fn(&Ends) -> bool) {
        let mut ends = self.ends.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = ends.wait_for(|ends| is_enough(ends) || self.is_gone()).await;
    }

    /// The tail, if a reader may begin at `from`.
    pub(super) fn check(&self, from: Offset) -> Result<Offset, ReadError> {
        if self.is_gone() {
            return Err(ReadError::TopicGone { topic: self.topic });
        }
        let (start, tail) = (self.start(), self.tail());
        if from < start || from > tail {
            return Err(ReadError::OutOfRange { asked: from, start, tail });
        }
        Ok(tail)
    }

    pub(super) fn settings(&self) -> Settings {
        **self.settings.load()
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Before a deletion is written, so that nobody reads what is about to go.
    pub(super) fn set_start(&self, start: Offset) {
        self.start.store(start, Ordering::Release);
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_ends(&self, ends: Ends) {
        self.ends.send_if_modified(|old| std::mem::replace(old, ends) != ends);
    }

    /// May a transaction with its marker at or after `from` have been aborted?
    pub(super) fn has_aborted_since(&self, from: Offset) -> bool {
        from < self.aborted_end.load(Ordering::Acquire)
    }

    /// Before the ends move past the marker, so that nobody misses it.
    pub(super) fn set_aborted_end(&self, end: Offset) {
        self.aborted_end.store(end, Ordering::Release);
    }

    pub(super) fn durable(&self) -> Offset {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn set_durable(&self, end: Offset) {
        self.durable.store(end, Ordering::Release);
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.ends.send_modify(|_| {});
    }
}
