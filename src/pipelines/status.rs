//! What a task tells of itself while it runs. Written by the task alone, read by anyone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::failing::Failing;
use super::time::TaskTime;
use super::view::{DeploymentState, ErrorView, InputPosition, SourceView, TaskView, TimeView, Totals};
use crate::model::{DeploymentName, Offset, Partition, TimestampMs, TopicName};
use crate::runtime::clock::Clock;
use crate::storage::Log;
use crate::telemetry::calls::Calls;

/// A task's input: the topic's name and the partition's log.
#[derive(Clone)]
pub(super) struct TaskInput {
    pub(super) topic: TopicName,
    pub(super) log: Arc<Log>,
}

/// Shared between a task and its readers.
pub(super) struct Status {
    deployment: DeploymentName,
    failing: Failing,
    /// it is among them
    has_failed: AtomicBool,
    pub(super) partition: Partition,
    pub(super) counts: Counts,
    held_back: AtomicBool,
    inner: Mutex<Inner>,
    /// moves with every change of a position or of the state
    changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) records_in: AtomicU64,
    pub(super) records_out: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) dead_letters: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) gap_records: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) ahead: AtomicU64,
    pub(super) fired: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) calls: Calls,
    pub(super) restarts: AtomicU64,
    pub(super) memory_bytes: AtomicU64,
}

struct Inner {
    state: DeploymentState,
    inputs: Vec<TaskInput>,
    positions: BTreeMap<(TopicName, Partition), Offset>,
    last_error: Option<ErrorView>,
    source: Option<Polling>,
    time: Option<TaskTime>,
    timers: Option<u64>,
    /// what its event time is compared with
    clock: Clock,
}

/// How far a source has come.
#[derive(Default)]
struct Polling {
    cursor: Option<Bytes>,
    polls: u64,
    last_ms: Option<TimestampMs>,
}

impl Status {
    pub(super) fn new(deployment: DeploymentName, partition: Partition, failing: Failing) -> Self {
        Self {
            has_failed: failing.has(&deployment, partition).into(),
            deployment,
            failing,
            partition,
            counts: Counts::default(),
            held_back: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                state: DeploymentState::Starting,
                inputs: Vec::new(),
                positions: BTreeMap::new(),
                last_error: None,
                source: None,
                time: None,
                timers: None,
                clock: Clock::default(),
            }),
            changed: watch::channel(0).0,
        }
    }

    pub(super) fn set_state(&self, state: DeploymentState) {
        let mut inner = self.inner.lock();
        if state == DeploymentState::Failed && inner.state != state {
            self.has_failed.store(true, Ordering::Relaxed);
            self.failing.add(&self.deployment, self.partition, inner.last_error.as_ref());
        }
        inner.state = state;
        drop(inner);
        self.changed.send_modify(|n| *n += 1);
    }

    /// It reads nothing and fires nothing of its own, because so much waits in an internal topic.
    pub(super) fn set_held_back(&self, is_held_back: bool) {
        self.held_back.store(is_held_back, Ordering::Relaxed);
    }

    /// Tells who waits that something was committed.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn state(&self) -> DeploymentState {
        self.inner.lock().state
    }

    pub(super) fn set_inputs(&self, inputs: Vec<TaskInput>) {
        self.inner.lock().inputs = inputs;
    }

    pub(super) fn set_position(&self, topic: &TopicName, partition: Partition, next: Offset) {
        let before = self.inner.lock().positions.insert((topic.clone(), partition), next);
        if before.is_some_and(|before| next > before) && self.has_failed.swap(false, Ordering::Relaxed) {
            self.failing.take(&self.deployment, self.partition);
        }
        self.changed.send_modify(|n| *n += 1);
    }

    /// How its event time stands and how many timers it has; what is not given stays.
    pub(super) fn set_time(&self, time: Option<TaskTime>, timers: Option<u64>) {
        let mut inner = self.inner.lock();
        if time.is_some() {
            inner.time = time;
        }
        inner.timers = timers.or(inner.timers);
    }

    /// By which its event time is late.
    pub(super) fn set_clock(&self, clock: Clock) {
        self.inner.lock().clock = clock;
    }

    /// A source's cursor, as committed.
    pub(super) fn set_cursor(&self, cursor: Option<Bytes>) {
        self.inner.lock().source.get_or_insert_default().cursor = cursor;
    }

    /// A poll begins.
    pub(super) fn polls(&self, now_ms: TimestampMs) {
        let mut inner = self.inner.lock();
        let source = inner.source.get_or_insert_default();
        source.polls += 1;
        source.last_ms = Some(now_ms);
    }

    /// The next offset it will read; `None` when it is no input of this task or the task has not opened yet.
    pub(super) fn position(&self, topic: &TopicName, partition: Partition) -> Option<Offset> {
        self.inner.lock().positions.get(&(topic.clone(), partition)).copied()
    }

    pub(super) fn set_error(&self, error: ErrorView) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        self.counts.calls.failed(&error.code);
        self.inner.lock().last_error = Some(error);
    }

    pub(super) fn last_error(&self) -> Option<ErrorView> {
        self.inner.lock().last_error.clone()
    }

    /// Hears of every change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn view(&self) -> TaskView {
        let inner = self.inner.lock();
        let positions: Vec<_> = inner
            .inputs
            .iter()
            .filter_map(|input| {
                let partition = input.log.partition();
                let offset = *inner.positions.get(&(input.topic.clone(), partition))?;
                let lag = input.log.stable().saturating_sub(offset.max(input.log.start()));
                Some(InputPosition { topic: input.topic.clone(), partition, offset, lag })
            })
            .collect();
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let counts = &self.counts;
        TaskView {
            partition: self.partition,
            state: inner.state,
            held_back: inner.state == DeploymentState::Running && self.held_back.load(Ordering::Relaxed),
            totals: Totals {
                records_in: get(&counts.records_in),
                records_out: get(&counts.records_out),
                rejected: get(&counts.rejected),
                dead_letters: get(&counts.dead_letters),
                skipped: get(&counts.skipped),
                gap_records: get(&counts.gap_records),
                late_records: get(&counts.late),
                ahead_records: get(&counts.ahead),
                timers_fired: get(&counts.fired),
                errors: get(&counts.errors),
                restarts: get(&counts.restarts),
                lag: positions.iter().map(|p| p.lag).sum(),
            },
            positions,
            source: inner.source.as_ref().map(|s| SourceView::of(s.cursor.as_deref(), s.polls, s.last_ms)),
            time: inner.time.as_ref().map(|time| {
                let inputs = inner.inputs.iter().map(|input| (&input.topic, input.log.partition()));
                TimeView::of(time, inputs, inner.timers, inner.clock.now_ms())
            }),
            memory_bytes: get(&counts.memory_bytes),
            last_error: inner.last_error.clone(),
        }
    }
}
