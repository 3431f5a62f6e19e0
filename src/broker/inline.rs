//! Inline transforms: the ordered chain of a topic, run on produce before the append. Order is the lane's business;
//! an instance serves one partition and is dropped as soon as a batch of its fails.

mod passage;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use passage::Passage;
use tokio::task::JoinHandle;

use super::{Broker, ProduceError, TopicHandle};
use crate::model::batch::{BatchBuilder, Codec, RecordBatch};
use crate::model::deployment::Deployment;
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::partitioner::partition_of;
use crate::model::{DeploymentName, Partition, Record, TopicName};
use crate::storage::Commit;
use crate::wasm::{Component, Fault, Input, InstanceConfig, LogSink, Outcome, Transformer};

/// The transforms of a topic, lowest `order` first.
#[derive(Clone)]
pub struct Chain {
    stages: Vec<Arc<Stage>>,
}

/// Gives the log of the instance that serves a partition.
pub type Sinks = Box<dyn Fn(Partition) -> Arc<dyn LogSink> + Send + Sync>;

/// One deployment in a chain.
pub struct Stage {
    deployment: Deployment,
    /// the fault when its code could not be loaded: then every batch fails, for a transform must not be passed by
    component: Result<Component, Fault>,
    log: Sinks,
    instances: Mutex<HashMap<Partition, Transformer>>,
    /// what it did so far
    pub counters: Counters,
    last_error: Mutex<Option<StageError>>,
}

/// Counts since the deployment was installed.
#[derive(Debug, Default)]
pub struct Counters {
    /// records handed to the code
    pub records_in: AtomicU64,
    /// records that went on
    pub records_out: AtomicU64,
    /// records refused
    pub rejected: AtomicU64,
    /// records kept as dead letters
    pub dead_letters: AtomicU64,
    /// calls that failed
    pub errors: AtomicU64,
}

/// The last failure of a stage.
#[derive(Debug, Clone)]
pub struct StageError {
    /// how
    pub fault: Fault,
    /// where
    pub partition: Partition,
    /// index in its batch, when it is known
    pub record: Option<u32>,
    /// milliseconds since the epoch
    pub at_ms: i64,
}

/// What a transform's `reject` does when its deployment says `on_reject: fail`.
#[derive(Debug, Clone, Copy)]
pub enum OnReject<'a> {
    /// the request fails; `indices` turn a batch's records into the request's
    FailRequest {
        /// one per record of the batch
        indices: &'a [usize],
    },
    /// the record alone
    FailRecord,
}

/// What became of a record of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// so many records of it are stored
    Stored(u32),
    /// none
    Dropped,
    /// in the dead-letter topic
    DeadLettered,
    /// refused
    Rejected {
        /// by whom
        deployment: DeploymentName,
        /// why
        reason: String,
    },
}

/// A record to be stored and the record of the batch that it came from.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// index in the batch as produced
    pub origin: u32,
    /// as it is to be stored
    pub record: Record,
}

/// A record for another topic, in the same commit.
pub struct Outside {
    /// index in the batch of the record that it came from
    origin: u32,
    topic: TopicName,
    /// used when the record has no key
    partition: Partition,
    record: Record,
}

/// What came out of a chain.
pub struct ChainResult {
    /// set when every record was kept: the batch as it came
    whole: Option<RecordBatch>,
    /// what is to be stored, in order; empty when the batch was kept whole
    pub records: Vec<StoredRecord>,
    /// one per record of the batch
    pub fates: Vec<Fate>,
    /// dead letters and routed records
    pub outside: Vec<Outside>,
}

impl ChainResult {
    /// The batch as it is to be stored, when every record was kept.
    pub fn kept_whole(&self, codec: Codec) -> Option<RecordBatch> {
        let batch = self.whole.as_ref()?;
        if codec == Codec::None {
            return Some(batch.clone());
        }
        let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).ok()?;
        let mut builder = BatchBuilder::with_capacity(payload.bytes().len());
        for record in payload.records() {
            builder.push_view(&record.ok()?);
        }
        builder.finish(codec)
    }
}

impl Outside {
    /// Appends the record to its topic, by its key or on the partition of the same number.
    pub(super) fn append_to(self, broker: &Broker, commit: &mut Commit) -> Result<(), ProduceError> {
        let topic =
            broker.topic(self.topic.as_str()).map_err(|_| ProduceError::TopicGone(self.topic.clone()))?;
        let partitions = topic.topic.partitions;
        let partition = match &self.record.key {
            Some(key) => partition_of(key, partitions),
            None => self.partition % partitions.max(1),
        };
        let Some(log) = topic.log(partition) else { return Err(ProduceError::TopicGone(self.topic)) };
        let mut builder = BatchBuilder::new();
        builder.push_record(&self.record);
        if let Some(batch) = builder.finish(topic.topic.config.codec()) {
            commit.append(log, batch);
        }
        Ok(())
    }
}

// === impl Chain ===

impl Chain {
    /// Stages in the order of their deployments' `order`.
    pub fn new(mut stages: Vec<Arc<Stage>>) -> Option<Self> {
        stages.sort_by_key(|s| s.deployment.spec.order);
        (!stages.is_empty()).then_some(Self { stages })
    }

    /// The stages.
    pub fn stages(&self) -> &[Arc<Stage>] {
        &self.stages
    }

    /// Runs a batch through all stages, on the guests' threads.
    ///
    /// # Errors
    /// `Rejected` and `TransformFailed`; then nothing may be stored.
    pub(super) async fn run(
        self: &Arc<Self>,
        broker: &Broker,
        topic: &Arc<TopicHandle>,
        partition: Partition,
        batch: RecordBatch,
        on_reject: OnReject<'_>,
    ) -> Result<ChainResult, ProduceError> {
        let indices = match on_reject {
            OnReject::FailRequest { indices } => Some(indices.to_vec()),
            OnReject::FailRecord => None,
        };
        let (chain, name, now_ms) = (self.clone(), topic.name().clone(), broker.clock().now_ms());
        let work = async move {
            let mut passage = Passage::new(name, partition, &batch, indices);
            for stage in &chain.stages {
                passage.through(stage, now_ms).await?;
            }
            Ok(passage.finish())
        };
        let mut running = Abandoned(broker.guests().spawn("inline chain", work));
        match (&mut running.0).await {
            Ok(result) => result,
            Err(e) => Err(ProduceError::Unknown(format!("an inline transform's task ended: {e}"))),
        }
    }
}

/// Work whose request may go away; it then ends at its next tick.
struct Abandoned<T>(JoinHandle<T>);

impl<T> Drop for Abandoned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Stage ===

impl Stage {
    /// A stage with no instance yet; instances come with the first batch of a partition.
    pub fn new(deployment: Deployment, component: Result<Component, Fault>, log: Sinks) -> Self {
        Self {
            deployment,
            component,
            log,
            instances: Mutex::default(),
            counters: Counters::default(),
            last_error: Mutex::default(),
        }
    }

    /// The deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Its last failure.
    pub fn last_error(&self) -> Option<StageError> {
        self.last_error.lock().clone()
    }

    /// Instances alive.
    pub fn instances(&self) -> usize {
        self.instances.lock().len()
    }

    async fn process(&self, partition: Partition, inputs: &[Input<'_>]) -> Result<Vec<Outcome>, Fault> {
        let warm = self.instances.lock().remove(&partition);
        let mut instance = match warm {
            Some(instance) => instance,
            None => {
                self.component
                    .as_ref()
                    .map_err(Fault::clone)?
                    .transformer(self.instance_config(partition))
                    .await?
            }
        };
        let outcomes = instance.process(inputs).await?;
        // Only an instance whose call went well is kept.
        self.instances.lock().insert(partition, instance);
        Ok(outcomes)
    }

    fn instance_config(&self, partition: Partition) -> InstanceConfig {
        let spec = &self.deployment.spec;
        InstanceConfig {
            label: format!("{}/{partition}", spec.name),
            params: spec.params.clone(),
            inputs: spec.input.topics.iter().map(ToString::to_string).collect(),
            outputs: spec.output.routes.keys().cloned().collect(),
            limits: spec.limits.clone(),
            log: (self.log)(partition),
        }
    }

    fn failed(&self, fault: &Fault, partition: Partition, at_ms: i64) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        let record = match fault {
            Fault::At { index, .. } => Some(*index),
            _ => None,
        };
        *self.last_error.lock() = Some(StageError { fault: fault.clone(), partition, record, at_ms });
    }
}
