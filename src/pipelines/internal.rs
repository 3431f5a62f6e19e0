//! Topics between the stages of one processor. They are made with it, written in the commits of its tasks, read by its
//! tasks, and part of its state: what clears the state empties them, what deletes it deletes them. What every task has
//! read of them goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::DeployError;
use super::supervisor::Pipelines;
use super::task::{Stop, Task};
use super::time::{Steps, TaskTime};
use crate::broker::{Broker, NewTopic, TopicError};
use crate::model::deployment::{Deployment, DeploymentSpec, Desired, owner_of};
use crate::model::limits::MESSAGE_BYTES_MAX;
use crate::model::revision::EffectiveFrom;
use crate::model::topic::{ConfigError, TopicConfig};
use crate::model::{DeploymentName, Offset, Partition, TimestampMs, TopicName};
use crate::storage::{CommitError, Error, Log};

/// A task deletes what it has read once it is so much: rare enough for the commit that it takes not to count (a guess).
const PURGED_RECORDS: u64 = 10_000;
/// And at most so often, however fast it reads (a guess).
const PURGE_MS: i64 = 1_000;
/// What a task that has not opened yet has read: nobody knows.
const NOT_KNOWN: u64 = u64::MAX;

/// Nothing goes before it is read, whatever the server's defaults for topics are, and what the code may emit fits.
fn config() -> Result<TopicConfig, ConfigError> {
    TopicConfig::parse([
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("max.message.bytes", &*MESSAGE_BYTES_MAX.to_string()),
        ("message.timestamp.type", "CreateTime"),
        ("compression.type", "lz4"),
        ("durability", "fsync"),
    ])
}

/// How far the tasks of a deployment have come: in its internal topics, and in event time.
pub(super) struct Backlog {
    topics: Vec<Waiting>,
    /// moves when a task has read something
    eased: watch::Sender<()>,
    /// of each task; none without internal topics
    reached: Mutex<Vec<Reached>>,
    /// moves when one of these has moved
    passed: watch::Sender<()>,
}

/// How far a task has come, by what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reached {
    steps: Steps,
    /// nothing comes in its inputs
    is_idle: bool,
}

/// A moment in the deployment's event time, and how far a task has to read to have all that was handed to it before.
pub(super) struct Sample {
    watermark: Option<TimestampMs>,
    /// of its internal topics
    tails: Vec<Offset>,
}

/// When a task has deleted what it has read of its internal topics, in ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Purged(Option<i64>);

/// One internal topic: each partition's log, and the next offset that its task reads.
struct Waiting {
    partitions: Vec<(Arc<Log>, AtomicU64)>,
    max_lag: u64,
}

// === impl Backlog ===

impl Backlog {
    pub(super) fn of(broker: &Broker, deployment: &Deployment) -> Self {
        let spec = &deployment.spec;
        let waiting = |(name, max_lag): (TopicName, u64)| {
            let logs =
                broker.topic_named(name.as_str()).map(|topic| topic.logs().to_vec()).unwrap_or_default();
            let partitions = logs.into_iter().map(|log| (log, AtomicU64::new(NOT_KNOWN))).collect();
            Waiting { partitions, max_lag }
        };
        let lags = spec.internal.values().map(|topic| topic.max_lag);
        Self {
            topics: spec.internal_topics().zip(lags).map(waiting).collect(),
            eased: watch::Sender::default(),
            reached: Mutex::new(match spec.internal.is_empty() {
                true => Vec::new(),
                false => vec![Reached::default(); deployment.tasks as usize],
            }),
            passed: watch::Sender::default(),
        }
    }

    /// Does so much wait anywhere that nothing is to be added?
    pub(super) fn is_full(&self) -> bool {
        self.topics.iter().any(Waiting::is_full)
    }

    /// A task has read a partition of the topic with this index up to an offset.
    pub(super) fn read_to(&self, topic: usize, partition: Partition, next: Offset) {
        let place = self.topics.get(topic).and_then(|topic| topic.partitions.get(partition as usize));
        if let Some((_, read)) = place {
            read.store(next, Ordering::Relaxed);
            self.eased.send_replace(());
        }
    }

    /// Hears of everything that is read from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.eased.subscribe()
    }

    /// A task has come so far.
    fn reach(&self, task: Partition, now: Reached) {
        let mut reached = self.reached.lock();
        if let Some(before) = reached.get_mut(task as usize).filter(|before| **before != now) {
            *before = now;
            drop(reached);
            self.passed.send_replace(());
        }
    }

    /// Hears of every task that has come further from now on.
    pub(super) fn watch_time(&self) -> watch::Receiver<()> {
        self.passed.subscribe()
    }

    /// What every task has come to by a step. Of their inputs those count in which something comes; if that is none, what any
    /// has come to, as for the inputs of one task.
    fn least(&self, step: usize) -> Option<TimestampMs> {
        let reached = self.reached.lock();
        let of = |task: &Reached| task.steps.get(step).copied().flatten();
        if step > 0 {
            return reached.iter().map(of).min().flatten();
        }
        let active = reached.iter().filter(|task| !task.is_idle).map(of).min();
        active.unwrap_or_else(|| reached.iter().filter_map(of).max())
    }
}

impl Purged {
    /// Is it time to delete so many records?
    fn is_due(self, tick: i64, records: u64) -> bool {
        records >= PURGED_RECORDS && self.0.is_none_or(|last| tick.saturating_sub(last) >= PURGE_MS)
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.partitions.iter().any(|(log, read)| {
            let read = read.load(Ordering::Relaxed);
            read != NOT_KNOWN && log.stable().saturating_sub(read.max(log.start())) > self.max_lag
        })
    }
}

// === impl Task ===

impl Task {
    /// Which of the internal topics an input is; `None`: none of them.
    pub(super) fn internal(&self, index: usize) -> Option<usize> {
        index.checked_sub(self.deployment.spec.input.topics.len())
    }

    /// Deletes what it has read of its internal topics, by what is committed. Nobody else reads them on behalf of the
    /// deployment; a shadow run counts what it has missed.
    ///
    /// # Errors
    /// [`Stop`] when the storage is closing.
    pub(super) async fn purge(&mut self) -> Result<(), Stop> {
        let (tick, purged) = (self.shared.broker.clock().tick_ms(), self.purged);
        for input in self.inputs.iter().skip(self.deployment.spec.input.topics.len()) {
            // Not by what it tells: that may be past the last position that is stored, from which a restart reads on.
            let committed = self.flight.stored(&input.topic).unwrap_or(0);
            if !purged.is_due(tick, committed.saturating_sub(input.log.start())) {
                continue;
            }
            self.purged = Purged(Some(tick));
            match self.shared.broker.storage().delete_records(&input.log, committed).await {
                Ok(_) => {}
                Err(Error::Commit(CommitError::Closed)) => return Err(Stop::Closed),
                // The next round tries again; nothing depends on it but space.
                Err(error) => {
                    tracing::warn!(topic = %input.topic, %error, "what was read could not be deleted");
                }
            }
        }
        Ok(())
    }

    /// Tells the others how far it has come, by what is committed.
    pub(super) fn share_time(&self) {
        let Some(time) = self.time.as_ref().filter(|time| time.topics() > 0) else { return };
        let steps = if self.flight.is_empty() { time.steps() } else { self.flight.steps() };
        // What it hands over at the end of a long call is not yet there.
        let is_idle = time.is_idle() && self.flight.is_empty();
        self.backlog.reach(self.status.partition, Reached { steps, is_idle });
    }

    /// Takes over the event time of all tasks, step by step, each once everything is read that they had handed over by then.
    /// Has the watermark moved?
    pub(super) fn take_time(&mut self) -> bool {
        self.share_time();
        self.passed.borrow_and_update();
        let mut moved = false;
        for step in 1..=self.time.as_ref().map_or(0, TaskTime::topics) {
            moved |= self.adopt(step);
            let Some(reached) = self.time.as_ref().map(|time| time.steps()[step]) else { break };
            if self.samples[step - 1].is_none() {
                // The time first: what was handed over before it lies in the logs then.
                let watermark = self.backlog.least(step - 1);
                if watermark > reached {
                    let internal = self.inputs.iter().skip(self.deployment.spec.input.topics.len());
                    let tails = internal.map(|input| input.log.stable()).collect();
                    self.samples[step - 1] = Some(Sample { watermark, tails });
                }
            }
            moved |= self.adopt(step);
        }
        moved
    }

    fn adopt(&mut self, step: usize) -> bool {
        let first = self.deployment.spec.input.topics.len();
        let is_read = |sample: &mut Sample| {
            sample.tails.iter().zip(self.next.iter().skip(first)).all(|(tail, next)| next >= tail)
        };
        let Some(sample) = self.samples[step - 1].take_if(is_read) else { return false };
        self.time.as_mut().is_some_and(|time| time.hand(step, sample.watermark))
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// Makes the internal topics of a deployment. What is left of those of one that never came, or whose deletion was
    /// interrupted, goes first.
    pub(super) async fn make_internal(
        &self,
        spec: &DeploymentSpec,
        partitions: u32,
    ) -> Result<(), DeployError> {
        let is_new = !self.knows(&spec.name);
        for name in spec.internal_topics() {
            if is_new {
                self.drop_topic(&name).await?;
            }
            let config = config().map_err(TopicError::from)?;
            self.broker().ensure_internal(NewTopic::new(name, partitions, config)).await?;
        }
        Ok(())
    }

    /// Deletes the internal topics of a deployment that is not there: it has gone, or it has not come.
    pub(super) async fn drop_internal(&self, spec: &DeploymentSpec) {
        if self.knows(&spec.name) {
            return;
        }
        // Of a spec that was refused a name may be that of another's: `b.c` of `a` is `c` of `a.b`.
        let is_own = |topic: &TopicName| owner_of(topic).is_some_and(|(owner, _)| owner == spec.name);
        for name in spec.internal_topics().filter(is_own) {
            if let Err(error) = self.drop_topic(&name).await {
                tracing::warn!(topic = %name, %error, "an internal topic is left over until the next start");
            }
        }
    }

    /// Deletes internal topics whose deployments are gone: the server was stopped between the one and the other.
    pub(super) async fn sweep_internal(&self) {
        for topic in self.broker().topics() {
            let Some((owner, _)) = owner_of(topic.name()) else { continue };
            if self.knows(&owner) {
                continue;
            }
            if let Err(error) = self.drop_topic(topic.name()).await {
                tracing::warn!(topic = %topic.name(), %error, "an internal topic is left over until the next start");
            }
        }
    }

    /// Is nothing left of it but its state?
    pub fn is_retired(&self, name: &DeploymentName) -> bool {
        self.0.entries.read().get(name).is_some_and(|e| e.deployment.desired == Desired::Retired)
    }

    /// Also one that is retired.
    pub(super) fn knows(&self, name: &DeploymentName) -> bool {
        self.0.entries.read().contains_key(name)
    }

    async fn drop_topic(&self, name: &TopicName) -> Result<(), TopicError> {
        match self.broker().delete_internal(name).await {
            Ok(()) | Err(TopicError::Unknown { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves positions in the internal topics to their ends: what waits there goes with the state that is cleared. The tasks
    /// stand still.
    pub(super) fn empty_internal(&self, spec: &DeploymentSpec, positions: &mut [EffectiveFrom]) {
        let internal: Vec<_> = spec.internal_topics().collect();
        for at in positions.iter_mut().filter(|at| internal.contains(&at.topic)) {
            let topic = self.broker().topic_named(at.topic.as_str());
            if let Some(log) = topic.as_ref().and_then(|topic| topic.log(at.partition)) {
                at.offset = log.tail();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_goes_once_it_is_much_and_at_most_once_a_second() {
        let never = Purged::default();
        assert_eq!([9_999, 10_000].map(|records| never.is_due(0, records)), [false, true]);
        let once = Purged(Some(5));
        assert_eq!([1_004, 1_005].map(|tick| once.is_due(tick, 1_000_000)), [false, true]);
        assert!(!once.is_due(5_000, 9_999));
    }
}
