//! A log as others see it: its bounds, and a watch on its tail.
//!
//! ```text
//!        start                      tail            next
//!          |  acknowledged batches   |  in the writer  |
//!  deleted |#########################|~~~~~~~~~~~~~~~~~|
//! ```
//!
//! `start` is the first offset kept, `tail` the first one that is not acknowledged yet. Readers see `start..tail` and
//! nothing else. Only the writer moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::topic::{Durability, TopicConfig};
use crate::model::{Offset, Partition, TopicId};

use super::error::ReadError;
use super::families;
use super::ledger::{Keep, Ledger};
use super::tail_cache::Ring;

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
    tail: watch::Sender<Offset>,
    /// what certainly survives a loss of power: the tail, except where `durability = os` has not been synced yet
    durable: AtomicU64,
    /// as of the last group that was written
    pub(super) ledger: Mutex<Ledger>,
    pub(super) ring: Mutex<Ring>,
}

/// What the storage needs of a topic's config.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) keep: Keep,
}

impl Settings {
    pub(super) fn of(config: &TopicConfig) -> Self {
        Self { durability: config.durability(), keep: Keep::of(config) }
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
        Self {
            topic,
            partition,
            slot,
            family: families::of_topic(topic).into(),
            settings: ArcSwap::from_pointee(settings),
            start: AtomicU64::new(ledger.head.start),
            bytes: AtomicU64::new(ledger.head.bytes),
            gone: AtomicBool::new(false),
            tail: watch::Sender::new(ledger.head.next()),
            durable: AtomicU64::new(ledger.head.next()),
            ledger: Mutex::new(ledger),
            ring: Mutex::default(),
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
        *self.tail.borrow()
    }

    /// Bytes of the batches kept.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Was the topic deleted?
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Hears of every move of the tail, and of the topic's deletion (then with the tail unmoved).
    pub fn watch(&self) -> watch::Receiver<Offset> {
        self.tail.subscribe()
    }

    /// Waits until the record at `offset` can be read, or the topic is deleted. The caller sets the deadline.
    pub async fn wait_past(&self, offset: Offset) {
        let mut tail = self.tail.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = tail.wait_for(|tail| *tail > offset || self.is_gone()).await;
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

    pub(super) fn set_tail(&self, tail: Offset) {
        self.tail.send_if_modified(|old| std::mem::replace(old, tail) != tail);
    }

    pub(super) fn durable(&self) -> Offset {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn set_durable(&self, end: Offset) {
        self.durable.store(end, Ordering::Release);
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.tail.send_modify(|_| {});
    }
}
