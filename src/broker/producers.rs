//! What idempotent producers have sent to each partition: placed batches and those on their way into the log.
//!
//! A batch is checked when its turn in the partition's lane has come, against everything checked before it, committed or
//! not. Its row is part of its commit, and nothing is ever rebuilt from the log. A repetition of a batch that is still
//! under way waits for the first one's outcome.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::model::limits::{PRODUCER_QUIET_MIN, PRODUCERS_PER_NODE_MAX, PRODUCERS_PER_PARTITION_MAX};
use crate::model::producer::{Row, SequenceError, Stamp, Stored, Verdict, Window};
use crate::model::{Partition, TimestampMs, TopicId};
use crate::storage::{Commit, Log, Placed, ReadError, Storage, tables};

/// The producers of all partitions.
#[derive(Default)]
pub(super) struct Producers {
    partitions: RwLock<HashMap<(TopicId, Partition), Arc<PartitionProducers>>>,
    total: Arc<AtomicUsize>,
}

/// The producers of one partition.
pub(super) struct PartitionProducers {
    log: Arc<Log>,
    held: Mutex<HashMap<i64, Held>>,
    /// producers of all partitions together
    total: Arc<AtomicUsize>,
}

/// What is known of one producer.
#[derive(Clone)]
struct Held {
    window: Arc<Window<Outcome>>,
    updated_ms: TimestampMs,
    in_flight: u32,
}

/// What became of a batch, or will.
#[derive(Clone)]
enum Outcome {
    Stored(Stored),
    InFlight(Arc<Flight>),
}

/// A batch under way.
#[derive(Default)]
struct Flight {
    /// set by the writer when it places the batch
    stored: OnceLock<Stored>,
    /// set when the commit has ended: was it made?
    settled: OnceLock<bool>,
    changed: Notify,
}

/// What a batch is, once its turn has come.
pub(super) enum Begin {
    /// the next one; it has to go into a commit, or its sequence is given back
    New(Slot),
    /// sent before
    Duplicate(First),
}

/// A batch's place among its producer's batches. Given back when dropped before its commit was made.
pub(super) struct Slot {
    partition: Arc<PartitionProducers>,
    producer_id: i64,
    flight: Arc<Flight>,
    /// as it was before this batch, and as it is with it
    before: Option<Held>,
    window: Arc<Window<Outcome>>,
    now_ms: TimestampMs,
    /// a producer that made room for this one
    evicted: Option<i64>,
}

/// The first copy of a repeated batch.
pub(super) struct First(Outcome);

/// Why a batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Sequence(SequenceError),
    /// so many producers are remembered, and none has been silent for long enough to be forgotten
    Full(usize),
}

/// A producer as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerView {
    /// who
    pub producer_id: i64,
    /// its generation
    pub epoch: i16,
    /// of its last record, -1 when there is none
    pub last_sequence: i32,
    /// when its last batch was appended
    pub updated_ms: TimestampMs,
}

// === impl Producers ===

impl Producers {
    /// Reads the rows of all logs.
    pub(super) fn load(
        storage: &Storage,
        logs: &HashMap<(TopicId, Partition), Arc<Log>>,
    ) -> Result<Self, ReadError> {
        let producers = Self::default();
        let mut damaged = None;
        tables::producers::each(storage, |topic, partition, producer_id, row| {
            let Some(log) = logs.get(&(topic, partition)) else { return };
            match Row::decode(row) {
                Ok(row) => producers.take_in(log, producer_id, &row),
                Err(error) => damaged = Some(ReadError::Damaged(format!("{log:?}: {error}"))),
            }
        })?;
        damaged.map_or(Ok(producers), Err)
    }

    pub(super) fn take_in(&self, log: &Arc<Log>, producer_id: i64, row: &Row) {
        let window = Arc::new(row.window.resolve(|stored| Some(Outcome::Stored(*stored))));
        let held = Held { window, updated_ms: row.updated_ms, in_flight: 0 };
        if self.of(log).held.lock().insert(producer_id, held).is_none() {
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The producers of a partition.
    pub(super) fn of(&self, log: &Arc<Log>) -> Arc<PartitionProducers> {
        let key = (log.topic_id(), log.partition());
        if let Some(known) = self.partitions.read().get(&key) {
            return known.clone();
        }
        let new = || {
            Arc::new(PartitionProducers {
                log: log.clone(),
                held: Mutex::default(),
                total: self.total.clone(),
            })
        };
        let mut partitions = self.partitions.write();
        if log.is_gone() {
            // Whoever still has the handle of a deleted topic: nobody would forget these.
            return new();
        }
        partitions.entry(key).or_insert_with(new).clone()
    }

    /// Forgets the producers of a deleted topic.
    pub(super) fn forget_topic(&self, topic: TopicId) {
        self.partitions.write().retain(|(id, _), _| *id != topic);
    }

    /// Partitions that have a producer whose last batch is not younger than `oldest_ms`.
    pub(super) fn with_expired(&self, oldest_ms: TimestampMs) -> Vec<Arc<PartitionProducers>> {
        let partitions: Vec<_> = self.partitions.read().values().cloned().collect();
        let has = |p: &Arc<PartitionProducers>| p.held.lock().values().any(|h| h.is_expired(oldest_ms));
        partitions.into_iter().filter(has).collect()
    }
}

// === impl PartitionProducers ===

impl PartitionProducers {
    /// The log of the partition.
    pub(super) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Takes a batch in as its producer's next one, or says what else it is. `from_zero`: a producer that is not known
    /// must begin at 0. To be called in the order of the partition's lane.
    pub(super) fn begin(
        self: &Arc<Self>,
        stamp: &Stamp,
        from_zero: bool,
        now_ms: TimestampMs,
    ) -> Result<Begin, Refusal> {
        let mut held = self.held.lock();
        let before = held.get(&stamp.producer_id).cloned();
        let known = before.as_ref().map(|held| &*held.window);
        match Window::check(known, stamp, from_zero).map_err(Refusal::Sequence)? {
            Verdict::Duplicate(outcome) => return Ok(Begin::Duplicate(First(outcome))),
            Verdict::Next => {}
        }
        let evicted = if before.is_none() { self.make_room(&mut held, now_ms)? } else { None };
        let flight = Arc::<Flight>::default();
        let window = Arc::new(Window::with(known, stamp, Outcome::InFlight(flight.clone())));
        let in_flight = before.as_ref().map_or(0, |held| held.in_flight) + 1;
        held.insert(stamp.producer_id, Held { window: window.clone(), updated_ms: now_ms, in_flight });
        drop(held);
        let (partition, producer_id) = (self.clone(), stamp.producer_id);
        Ok(Begin::New(Slot { partition, producer_id, flight, before, window, now_ms, evicted }))
    }

    /// Counts one producer more. When too many are remembered, the one of this partition that has been silent longest is
    /// forgotten, if that is longer than any client repeats a batch.
    fn make_room(&self, held: &mut HashMap<i64, Held>, now_ms: TimestampMs) -> Result<Option<i64>, Refusal> {
        let total = self.total.load(Ordering::Relaxed);
        if held.len() < PRODUCERS_PER_PARTITION_MAX && total < PRODUCERS_PER_NODE_MAX {
            self.total.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let quiet = i64::try_from(PRODUCER_QUIET_MIN.as_millis()).unwrap_or(i64::MAX);
        let silent = held.iter().filter(|(_, h)| h.is_expired(now_ms - quiet));
        let Some((id, _)) = silent.min_by_key(|(_, h)| h.updated_ms) else {
            return Err(Refusal::Full(held.len().max(total)));
        };
        let id = *id;
        held.remove(&id);
        Ok(Some(id))
    }

    /// Forgets producers whose last batch is not younger than `oldest_ms`, but for those that `is_kept`; their rows go
    /// with the commit. To be called in the order of the partition's lane.
    pub(super) fn expire(
        &self,
        oldest_ms: TimestampMs,
        is_kept: impl Fn(i64) -> bool,
        commit: &mut Commit,
    ) -> usize {
        let mut held = self.held.lock();
        let before = held.len();
        held.retain(|id, producer| {
            let stays = !producer.is_expired(oldest_ms) || is_kept(*id);
            if !stays {
                commit.delete_producer(&self.log, *id);
            }
            stays
        });
        let gone = before - held.len();
        self.total.fetch_sub(gone, Ordering::Relaxed);
        gone
    }

    /// The epoch in force of a producer that is known.
    pub(super) fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.held.lock().get(&producer_id).map(|held| held.window.epoch())
    }

    /// The producers, by id.
    pub(super) fn list(&self) -> Vec<ProducerView> {
        let view = |(id, held): (&i64, &Held)| ProducerView {
            producer_id: *id,
            epoch: held.window.epoch(),
            last_sequence: held.window.last_sequence(),
            updated_ms: held.updated_ms,
        };
        let mut list: Vec<_> = self.held.lock().iter().map(view).collect();
        list.sort_unstable_by_key(|p| p.producer_id);
        list
    }
}

impl Drop for PartitionProducers {
    fn drop(&mut self) {
        self.total.fetch_sub(self.held.get_mut().len(), Ordering::Relaxed);
    }
}

impl Held {
    fn is_expired(&self, oldest_ms: TimestampMs) -> bool {
        self.in_flight == 0 && self.updated_ms <= oldest_ms
    }
}

// === impl Slot ===

impl Slot {
    /// Puts the producer's row into the commit that appends its batch as number `append`; `None`: nothing of it is
    /// appended.
    pub(super) fn put(self, append: Option<usize>, append_time: Option<TimestampMs>, commit: &mut Commit) {
        let log = self.partition.log.clone();
        let (flight, window, updated_ms) = (self.flight.clone(), self.window.clone(), self.now_ms);
        commit.put_producer(&log, self.producer_id, move |placed: &[Placed]| {
            let base = append.and_then(|index| placed.get(index)).map(|placed| placed.base);
            let _ = flight.stored.set(Stored { base, append_time });
            // Those before it were placed before it, for the writer's queue keeps the order of the lane.
            Row { window: window.resolve(Outcome::stored), updated_ms }.encode()
        });
        if let Some(evicted) = self.evicted {
            commit.delete_producer(&log, evicted);
        }
        // Lives until the commit has ended, also when its client has gone.
        commit.hold(self);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let made = self.flight.stored.get().is_some();
        {
            let mut producers = self.partition.held.lock();
            if let Some(held) = producers.get_mut(&self.producer_id) {
                held.in_flight = held.in_flight.saturating_sub(1);
                if !made {
                    let in_flight = held.in_flight;
                    match self.before.take() {
                        _ if !Arc::ptr_eq(&held.window, &self.window) => {
                            held.window = Arc::new(held.window.resolve(|o| o.unless(&self.flight)));
                        }
                        Some(before) => *held = Held { in_flight, ..before },
                        None => {
                            producers.remove(&self.producer_id);
                            self.partition.total.fetch_sub(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        let _ = self.flight.settled.set(made);
        self.flight.changed.notify_waiters();
    }
}

// === impl First ===

impl First {
    /// Waits until it is known what became of it: `None` when it was not stored after all.
    pub(super) async fn outcome(self) -> Option<Stored> {
        let flight = match self.0 {
            Outcome::Stored(stored) => return Some(stored),
            Outcome::InFlight(flight) => flight,
        };
        loop {
            let changed = flight.changed.notified();
            if let Some(made) = flight.settled.get() {
                return flight.stored.get().copied().filter(|_| *made);
            }
            changed.await;
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn stored(&self) -> Option<Stored> {
        match self {
            Self::Stored(stored) => Some(*stored),
            Self::InFlight(flight) => flight.stored.get().copied(),
        }
    }

    /// Nothing if it is this one.
    fn unless(&self, failed: &Arc<Flight>) -> Option<Self> {
        match self {
            Self::InFlight(flight) if Arc::ptr_eq(flight, failed) => None,
            other => Some(other.clone()),
        }
    }
}
