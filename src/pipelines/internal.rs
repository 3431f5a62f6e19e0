//! Topics between the stages of one processor. They are made with it, written in the commits of its tasks, read by its tasks,
//! and part of its state: what clears the state empties them, what deletes it deletes them. What every task has read of them goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::DeployError;
use super::supervisor::Pipelines;
use super::task::{Stop, Task};
use crate::broker::{Broker, NewTopic, TopicError};
use crate::model::deployment::{DeploymentSpec, owner_of};
use crate::model::revision::EffectiveFrom;
use crate::model::topic::TopicConfig;
use crate::model::{DeploymentName, Offset, Partition, TopicName};
use crate::storage::{CommitError, Error, Log};

/// A task deletes what it has read once it is so much: rare enough for the commit that it takes not to count (a guess).
const PURGED_RECORDS: u64 = 10_000;

/// How far the tasks of a deployment have come in its internal topics.
pub(super) struct Backlog {
    topics: Vec<Waiting>,
    /// moves when a task has read something
    eased: watch::Sender<()>,
}

/// One internal topic: each partition's log, and the next offset that its task reads.
struct Waiting {
    partitions: Vec<(Arc<Log>, AtomicU64)>,
    max_lag: u64,
}

// === impl Backlog ===

impl Backlog {
    pub(super) fn of(broker: &Broker, spec: &DeploymentSpec) -> Self {
        let waiting = |(name, max_lag): (TopicName, u64)| {
            let logs =
                broker.topic_named(name.as_str()).map(|topic| topic.logs().to_vec()).unwrap_or_default();
            let partitions = logs.into_iter().map(|log| (log, AtomicU64::new(0))).collect();
            Waiting { partitions, max_lag }
        };
        let lags = spec.internal.values().map(|topic| topic.max_lag);
        Self {
            topics: spec.internal_topics().zip(lags).map(waiting).collect(),
            eased: watch::Sender::default(),
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
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.partitions.iter().any(|(log, read)| {
            let read = read.load(Ordering::Relaxed).max(log.start());
            log.stable().saturating_sub(read) > self.max_lag
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
        for input in self.inputs.iter().skip(self.deployment.spec.input.topics.len()) {
            let committed = self.status.position(&input.topic, input.log.partition()).unwrap_or(0);
            if committed.saturating_sub(input.log.start()) < PURGED_RECORDS {
                continue;
            }
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
            // Nothing goes before it is read.
            let config = TopicConfig::parse([("retention.ms", "-1"), ("compression.type", "lz4")]);
            let config = config.map_err(TopicError::from)?;
            self.broker().ensure_internal(NewTopic::new(name, partitions, config)).await?;
        }
        Ok(())
    }

    /// Deletes the internal topics of a deployment that is not there: it has gone, or it has not come.
    pub(super) async fn drop_internal(&self, spec: &DeploymentSpec) {
        if self.knows(&spec.name) {
            return;
        }
        for name in spec.internal_topics() {
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
