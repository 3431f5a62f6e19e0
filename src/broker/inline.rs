//! Inline transforms: the ordered chain of a topic, run on produce before the append. Order is the lane's business;
//! an instance serves one partition and is dropped as soon as a call of its fails, or a batch that it saw is not stored:
//! guest memory counts as uncommitted state.
//!
//! What goes in are views over the records of batches, wherever these came from; what comes out of each batch is either
//! the word that it goes on as it came, or the records to be stored, each with the record that it was made of.

mod passage;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use passage::Passage;
use tokio::sync::Semaphore;

use super::{Broker, ProduceError};
use crate::model::batch::Payload;
use crate::model::deployment::Deployment;
use crate::model::{DeploymentName, Partition, Record, TopicName};
use crate::runtime::clock::monotonic;
use crate::telemetry::calls::Calls;
use crate::wasm::{Component, Fault, Input, InstanceConfig, LogSink, Outcome, Transformer};

/// Batches are handed to the guests' threads together until they have so many bytes: waking a thread costs as much as
/// taking some fifty records through a transform (a guess from the profile).
const JOB_BYTES: usize = 64 << 10;

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
    seats: Mutex<Seats>,
    /// calls at once, and with those that are idle, instances alive at once
    turns: Semaphore,
    /// what it did so far
    pub counters: Counters,
    last_error: Mutex<Option<StageError>>,
    tap: RwLock<Option<Arc<dyn Tap>>>,
}

/// The instances of a stage that are not called right now.
#[derive(Default)]
struct Seats {
    by_partition: HashMap<Partition, Seat>,
    /// of [`Seat::used`]
    uses: u64,
}

/// Hears what a stage made of the batches that it was called with. Called on the way of a produce: it must not wait.
pub trait Tap: Send + Sync {
    /// A call that ended.
    fn heard(&self, partition: Partition, inputs: &[Input<'_>], outcomes: Result<&[Outcome], &Fault>);
}

/// Where the instance of a partition waits for its next batch.
#[derive(Default)]
struct Seat {
    /// none while it is called, and before the first batch
    idle: Option<Transformer>,
    /// how many were dropped; one that was called meanwhile does not come back
    drops: u64,
    /// grows from use to use, over all seats
    used: u64,
}

/// Partitions whose batches go through a chain and are not stored yet. Dropped before they are, it drops the instances
/// that saw them.
pub(super) struct Uncommitted {
    chain: Arc<Chain>,
    partitions: Vec<Partition>,
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
    /// what calls took, and how they failed
    pub calls: Calls,
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

/// A batch at the head of a chain.
pub struct Arrived {
    /// where it is to go
    pub partition: Partition,
    /// its records, uncompressed
    pub payload: Payload,
    /// what its records are called in errors: their numbers in the request, one per record
    pub names: Vec<u32>,
}

/// What a transform's `reject` does when its deployment says `on_reject: fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReject {
    /// the batch of the record fails
    FailBatch,
    /// the record alone
    FailRecord,
}

/// What came out of a chain, of one batch.
pub enum ChainResult {
    /// every record was kept: the batch goes on as it came
    Whole,
    /// anything else
    Changed(Changed),
}

/// What a chain made of a batch.
pub struct Changed {
    /// what is to be stored, in the order of the records it was made of
    pub records: Vec<StoredRecord>,
    /// one per record of the batch
    pub fates: Vec<Fate>,
    /// dead letters and routed records
    pub outside: Vec<Outside>,
}

/// A record to be stored and the record of the batch that it came from.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// index in the batch as it came
    pub origin: u32,
    /// as it is to be stored
    pub record: Record,
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

/// A record for another topic, in the same commit.
#[derive(Debug, Clone)]
pub struct Outside {
    /// index in the batch of the record that it came from
    pub origin: u32,
    /// where to
    pub topic: TopicName,
    /// as it is to be stored
    pub record: Record,
}

// === impl Chain ===

impl Chain {
    /// Stages in the order of their deployments' `order`.
    pub fn new(mut stages: Vec<Arc<Stage>>) -> Option<Self> {
        stages.sort_by_key(|s| s.deployment.spec.order);
        (!stages.is_empty()).then_some(Self { stages })
    }

    /// Batches of these partitions are about to go through; see [`Uncommitted`].
    pub(super) fn uncommitted(self: &Arc<Self>, partitions: Vec<Partition>) -> Uncommitted {
        Uncommitted { chain: self.clone(), partitions }
    }

    /// Drops the instances of a partition: they have seen records that are not stored.
    pub(super) fn forget(&self, partition: Partition) {
        for stage in &self.stages {
            stage.forget(partition);
        }
    }

    /// Runs batches through all stages, on the guests' threads: one answer for each, in their order. Batches of one
    /// partition stand next to each other and go one after the other, those of others beside them when they are large.
    ///
    /// An error, `Rejected` or `TransformFailed`, is one batch's alone: nothing of that batch may be stored.
    pub(super) async fn run(
        self: &Arc<Self>,
        broker: &Broker,
        topic: &TopicName,
        batches: Vec<Arrived>,
        on_reject: OnReject,
    ) -> Vec<Result<ChainResult, ProduceError>> {
        let mut results = Vec::with_capacity(batches.len());
        let now_ms = broker.clock().now_ms();
        let start = |job: Vec<Arrived>| {
            let (count, work) = (job.len(), self.clone().work(topic.clone(), job, on_reject, now_ms));
            (count, broker.guests().spawn("inline chain", work))
        };
        let running: Vec<_> = jobs(batches).into_iter().map(start).collect();
        for (count, job) in running {
            match job.await {
                Ok(done) => results.extend(done),
                Err(e) => {
                    let ended = || ProduceError::Unknown(format!("an inline transform's task ended: {e}"));
                    results.extend(std::iter::repeat_with(|| Err(ended())).take(count));
                }
            }
        }
        results
    }

    async fn work(
        self: Arc<Self>,
        topic: TopicName,
        batches: Vec<Arrived>,
        on_reject: OnReject,
        now_ms: i64,
    ) -> Vec<Result<ChainResult, ProduceError>> {
        let mut results = Vec::with_capacity(batches.len());
        for batch in batches {
            let partition = batch.partition;
            let result = Passage::new(&topic, batch, on_reject, now_ms).through(&self.stages).await;
            if result.is_err() {
                self.forget(partition);
            }
            results.push(result);
        }
        results
    }
}

/// Parts the batches where one partition ends and enough has come together.
fn jobs(batches: Vec<Arrived>) -> Vec<Vec<Arrived>> {
    let mut jobs: Vec<Vec<Arrived>> = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        let own = batch.payload.bytes().len();
        match jobs.last_mut() {
            Some(job)
                if bytes < JOB_BYTES || job.last().is_some_and(|last| last.partition == batch.partition) =>
            {
                bytes += own;
                job.push(batch);
            }
            _ => {
                bytes = own;
                jobs.push(vec![batch]);
            }
        }
    }
    jobs
}

// === impl Uncommitted ===

impl Uncommitted {
    /// They are stored.
    pub(super) fn committed(mut self) {
        self.partitions.clear();
    }
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        for partition in &self.partitions {
            self.chain.forget(*partition);
        }
    }
}

// === impl Stage ===

impl Stage {
    /// A stage with no instance yet; instances come with the first batch of a partition.
    pub fn new(deployment: Deployment, component: Result<Component, Fault>, log: Sinks) -> Self {
        let turns = Semaphore::new(deployment.spec.limits.instances as usize);
        Self {
            deployment,
            component,
            log,
            seats: Mutex::default(),
            turns,
            counters: Counters::default(),
            last_error: Mutex::default(),
            tap: RwLock::default(),
        }
    }

    /// Somebody who listens from now on.
    pub fn set_tap(&self, tap: Arc<dyn Tap>) {
        *self.tap.write() = Some(tap);
    }

    /// This one listens no more; another that came after it stays.
    pub fn clear_tap(&self, tap: &Arc<dyn Tap>) {
        self.tap.write().take_if(|current| Arc::ptr_eq(current, tap));
    }

    /// The deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Its last failure.
    pub fn last_error(&self) -> Option<StageError> {
        self.last_error.lock().clone()
    }

    /// Makes the instance of a partition, so that its first batch need not wait for it. On the guests' threads.
    ///
    /// # Errors
    /// The fault of its start or of its `open`.
    pub async fn warm(&self, partition: Partition) -> Result<(), Fault> {
        let component = self.component.as_ref().map_err(Fault::clone)?;
        let instance = component.transformer(self.instance_config(partition)).await?;
        self.seats.lock().by_partition.entry(partition).or_default().idle = Some(instance);
        Ok(())
    }

    async fn process(&self, partition: Partition, inputs: &[Input<'_>]) -> Result<Vec<Outcome>, Fault> {
        let outcomes = self.call(partition, inputs).await;
        let tap = self.tap.read().clone();
        if let Some(tap) = tap {
            tap.heard(partition, inputs, outcomes.as_deref());
        }
        outcomes
    }

    async fn call(&self, partition: Partition, inputs: &[Input<'_>]) -> Result<Vec<Outcome>, Fault> {
        let _turn = self.turns.acquire().await.map_err(|e| Fault::Instance(e.to_string()))?;
        let (warm, drops) = {
            let mut seats = self.seats.lock();
            let seat = seats.by_partition.entry(partition).or_default();
            (seat.idle.take(), seat.drops)
        };
        let mut instance = match warm {
            Some(instance) => instance,
            None => {
                self.make_room();
                self.component
                    .as_ref()
                    .map_err(Fault::clone)?
                    .transformer(self.instance_config(partition))
                    .await?
            }
        };
        let (started, cpu) = (monotonic(), instance.cpu_time());
        let outcomes = instance.process(inputs).await;
        self.counters.calls.ended(started.elapsed(), instance.cpu_time().saturating_sub(cpu));
        let outcomes = outcomes?;
        // Only an instance whose call went well is kept, and only if no batch before was refused meanwhile.
        let mut seats = self.seats.lock();
        seats.uses += 1;
        let used = seats.uses;
        if let Some(seat) = seats.by_partition.get_mut(&partition).filter(|seat| seat.drops == drops) {
            seat.idle = Some(instance);
            seat.used = used;
        }
        Ok(outcomes)
    }

    /// Drops idle instances, those used longest ago first, until one more may live. The caller has a turn.
    fn make_room(&self) {
        let most = self.deployment.spec.limits.instances as usize;
        let mut gone = Vec::new();
        let mut seats = self.seats.lock();
        let called = most.saturating_sub(self.turns.available_permits());
        let mut idle: Vec<_> = seats.by_partition.values_mut().filter(|seat| seat.idle.is_some()).collect();
        idle.sort_by_key(|seat| seat.used);
        let over = (idle.len() + called).saturating_sub(most);
        gone.extend(idle.into_iter().take(over).filter_map(|seat| seat.idle.take()));
        drop(seats);
        // Not under the lock: memory of guests is given back.
        drop(gone);
    }

    fn forget(&self, partition: Partition) {
        let gone = self.seats.lock().by_partition.get_mut(&partition).and_then(|seat| {
            seat.drops += 1;
            seat.idle.take()
        });
        // Not under the lock: memory of a guest is given back.
        drop(gone);
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
            place: None,
            http: None,
        }
    }

    fn failed(&self, fault: &Fault, partition: Partition, record: Option<u32>, at_ms: i64) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        self.counters.calls.failed(fault.code());
        *self.last_error.lock() = Some(StageError { fault: fault.clone(), partition, record, at_ms });
    }
}
