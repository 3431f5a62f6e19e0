//! A task: one partition index of the inputs of a processor or a sink. Opens at its stored positions, reads, steps,
//! commits; whatever goes wrong, it reopens from what is stored.

mod input;
mod timers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::cut;
use super::expiry::Rounds;
use super::flight::{Flight, Refused};
use super::instance::{Ask, Present, Worker};
use super::internal::{Backlog, Purged, Sample};
use super::logs::DeploymentLog;
use super::status::{Status, TaskInput};
use super::step::Source;
use super::supervisor::Shared;
use super::time::TaskTime;
use super::view::{DeploymentState, ErrorView};
use crate::broker::fetch::Visible;
use crate::model::batch::{Payload, RecordBatch};
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::{Offset, TimestampMs};
use crate::runtime::clock;
use crate::state::{TaskId, Ttls};
use crate::storage::{Commit, CommitError, Fence};
use crate::wasm::{Answer, Fault, Input, Places};

/// How long an instance works before it makes room for a task that waits for a place: long enough for what starting costs
/// (Python's 2 ms) not to count.
const TURN: Duration = Duration::from_millis(100);
/// How long a delivery that is under way may go on when its task is told to stop; less than a stop waits.
const DELIVERY_GRACE: Duration = Duration::from_secs(5);

/// What the supervisor wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    Pause,
    Stop,
}

/// Why a task does not go on.
pub(super) enum Stop {
    /// told to pause or stop
    Ordered,
    /// by its own failure
    Failed(Box<ErrorView>),
    /// the storage is closing, or another task is in its place
    Closed,
}

impl Stop {
    pub(super) fn failed(error: ErrorView) -> Self {
        Self::Failed(Box::new(error))
    }
}

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) deployment: Arc<Deployment>,
    pub(super) status: Arc<Status>,
    pub(super) rounds: Rounds,
    pub(super) log: DeploymentLog,
    pub(super) places: Places,
    /// when the instance was made
    pub(super) since: Option<Instant>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) inputs: Vec<TaskInput>,
    /// of the whole deployment
    pub(super) backlog: Arc<Backlog>,
    /// where it reads on; what is committed may lie behind
    pub(super) next: Vec<Offset>,
    pub(super) instance: Option<Worker>,
    pub(super) flight: Flight,
    /// how often the storage, or a node that is busy, refused in a row
    pub(super) refused: u32,
    turn: usize,
    /// of a processor that has an event time
    pub(super) time: Option<TaskTime>,
    /// its code is called when timers are due
    pub(super) fires: bool,
    /// by clock: no timer is before it
    pub(super) next_timers: [TimestampMs; 2],
    /// some are due, and wait until less lies in the internal topics
    timers_wait: bool,
    /// of the event time of all tasks, to be taken over once so much is read: one for each step
    pub(super) samples: Vec<Option<Sample>>,
    /// moves with that time
    pub(super) passed: watch::Receiver<()>,
    /// what it has read of its internal topics
    pub(super) purged: Purged,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        deployment: Arc<Deployment>,
        status: Arc<Status>,
        (log, backlog): (DeploymentLog, Arc<Backlog>),
        (places, instance): (Places, Option<Worker>),
        (orders, fence): (watch::Receiver<Order>, Fence),
    ) -> Self {
        let flight = Flight::new(status.clone(), fence);
        Self {
            passed: backlog.watch_time(),
            rounds: Rounds::new(Ttls::of(&deployment.spec.state)),
            shared,
            deployment,
            status,
            log,
            places,
            // One that was made before has its turn from now on.
            since: instance.as_ref().map(|_| clock::monotonic()),
            orders,
            inputs: Vec::new(),
            backlog,
            next: Vec::new(),
            instance,
            flight,
            refused: 0,
            turn: 0,
            time: None,
            fires: false,
            next_timers: [TimestampMs::MIN; 2],
            timers_wait: false,
            samples: Vec::new(),
            purged: Purged::default(),
        }
    }

    pub(super) fn id(&self) -> TaskId {
        TaskId {
            deployment: self.deployment.id,
            generation: self.deployment.generation,
            task: self.status.partition,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn work(mut self) {
        loop {
            let order = *self.orders.borrow_and_update();
            let stop = match order {
                Order::Stop => return,
                Order::Pause => {
                    // Opened also when it stands still, so that its place can be seen and rewound.
                    match self.open().await {
                        Ok(()) => {
                            self.status.set_state(DeploymentState::Paused);
                            Stop::Ordered
                        }
                        Err(stop) => stop,
                    }
                }
                Order::Run => match self.open_and_process().await {
                    Ok(()) => Stop::Closed,
                    Err(stop) => stop,
                },
            };
            self.drop_instance();
            // What was submitted is made, or refused as a whole: then that is why it stopped.
            let stop = self.settle().await.err().unwrap_or(stop);
            match stop {
                Stop::Closed => return,
                Stop::Failed(error) => {
                    tracing::warn!(
                        deployment = %self.deployment.spec.name, task = self.status.partition,
                        code = error.code, message = error.message, "a task stopped"
                    );
                    self.status.set_error(*error);
                    self.status.set_state(DeploymentState::Failed);
                }
                Stop::Ordered if order == Order::Run => continue,
                Stop::Ordered => {}
            }
            if self.orders.changed().await.is_err() {
                return;
            }
        }
    }

    async fn open_and_process(&mut self) -> Result<(), Stop> {
        self.status.set_state(DeploymentState::Starting);
        self.open().await?;
        self.renew_instance();
        self.migrate().await?;
        if self.deployment.migration.is_some() {
            // It may have set some.
            self.next_timers = [TimestampMs::MIN; 2];
        }
        self.status.set_state(DeploymentState::Running);
        loop {
            self.expire().await?;
            self.purge().await?;
            self.fire().await?;
            let Some(index) = self.wait_for_records().await? else { continue };
            let Visible { batches, next } = self.read(index).await?;
            let mut rest = batches.as_slice();
            let mut held_back = false;
            while !rest.is_empty() && !held_back {
                let payloads = self.unpack(rest)?;
                let (some, after) = rest.split_at(payloads.len());
                rest = after;
                held_back = !self.process(index, some, &payloads).await?;
            }
            if !held_back {
                self.pass_over(index, next);
            }
            self.make_room();
        }
    }

    /// Takes the batches through the code, in runs of at most the deployment's batch size. False: there are more, which have to
    /// wait until less lies in an internal topic.
    async fn process(
        &mut self,
        index: usize,
        batches: &[RecordBatch],
        payloads: &[Payload],
    ) -> Result<bool, Stop> {
        let from = self.next[index];
        let mut inputs = Vec::with_capacity(batches.iter().map(|b| b.header().count as usize).sum());
        for payload in payloads {
            for record in payload.records() {
                let record = match record {
                    Ok(record) => record,
                    Err(error) => return Err(self.failed("input_unreadable", error.to_string())),
                };
                let offset = payload.header().base_offset + Offset::from(record.offset_delta);
                if offset >= from {
                    let topic = u32::try_from(index).unwrap_or(u32::MAX);
                    inputs.push(Input { topic, partition: self.status.partition, offset, record });
                }
            }
        }
        let end = batches.last().map_or(from, |b| b.header().next_offset()).max(from);
        let topic = self.inputs[index].topic.clone();
        let topic_id = self.inputs[index].log.topic_id();
        let mut rest = inputs.as_slice();
        self.read_now(index);
        loop {
            let count = cut::run_length(rest, self.deployment.spec.limits.batch.records);
            let count = self.cut(index, &rest[..count]);
            let (run, after) = rest.split_at(count);
            rest = after;
            let until = rest.first().map_or(end, |next| next.offset);
            let source = Source { index, topic: &topic, topic_id, partition: self.status.partition, until };
            if !run.is_empty() {
                self.run(run, source).await?;
                self.fire().await?;
            }
            self.next[index] = until;
            self.note_read(index);
            if rest.is_empty() {
                return Ok(true);
            }
            if self.is_held_back(index) {
                return Ok(false);
            }
            self.check_orders()?;
        }
    }

    /// One call into the code, with an instance made when there is none. Orders end a call that takes long; what is
    /// under way is told of meanwhile.
    pub(super) async fn call(&mut self, ask: Ask<'_>) -> Result<Result<Answer, Fault>, Stop> {
        if self.instance.is_none() {
            // It reads what is committed.
            self.settle().await?;
            self.flight.take_state_made();
        }
        let made = self.flight.take_state_made();
        if let Some(state) = self.instance.as_mut().and_then(Worker::state) {
            (0..made).for_each(|_| state.committed());
        }
        let id = self.id();
        let grace = if self.is_sink() { DELIVERY_GRACE } else { Duration::ZERO };
        let (status, next_timers) = (self.status.clone(), self.next_timers);
        let present = Present {
            now_ms: self.shared.broker.clock().now_ms(),
            watermark: self.time.as_ref().and_then(TaskTime::watermark),
        };
        let call = async {
            if self.instance.is_none() {
                let log = self.log.instance(self.status.partition);
                let place = self.places.take().await;
                self.since = Some(clock::monotonic());
                let mut made = Worker::make(&self.shared, &self.deployment, id, log, place).await?;
                if let Some(state) = made.state() {
                    state.timers_from(next_timers);
                }
                self.instance = Some(made);
            }
            match self.instance.as_mut() {
                Some(instance) => instance.answer(ask, present, &status.counts.calls).await,
                None => Err(Fault::Instance("no instance".to_owned())),
            }
        };
        let result = meanwhile(call, &mut self.orders.clone(), grace, &mut self.flight).await;
        match result {
            Err(refused) => {
                self.drop_instance();
                Err(refused.map_or(Stop::Ordered, |refused| self.refusal(refused)))
            }
            Ok(Ok(answer)) => {
                let memory = self.instance.as_ref().map_or(0, Worker::memory_bytes);
                self.status.counts.memory_bytes.store(memory as u64, Ordering::Relaxed);
                Ok(Ok(answer))
            }
            Ok(Err(fault)) => {
                self.drop_instance();
                self.status.counts.restarts.fetch_add(1, Ordering::Relaxed);
                if matches!(fault, Fault::Busy(_)) {
                    // Memory that it wanted: the next try finds more.
                    self.shared.queried.make_room();
                }
                Ok(Err(fault))
            }
        }
    }

    /// What a sink has delivered is noted down before it goes on, so that little is delivered twice.
    pub(super) fn is_sink(&self) -> bool {
        self.deployment.spec.kind == DeploymentKind::Sink
    }

    /// The batch's state changes, into the commit; are there any to be told of?
    pub(super) fn write_state(&mut self, commit: &mut Commit) -> bool {
        if let Some(state) = self.instance.as_mut().and_then(Worker::state) {
            state.write_ahead(commit);
            return true;
        }
        false
    }

    /// Waits until what is under way is made.
    pub(super) async fn settle(&mut self) -> Result<(), Stop> {
        let settled = self.flight.settle().await;
        settled.map_err(|refused| self.refusal(refused))
    }

    /// Waits for the oldest commit under way.
    pub(super) async fn make_way(&mut self) -> Result<(), Stop> {
        let ended = self.flight.next().await;
        ended.map_err(|refused| self.refusal(refused))
    }

    /// What a refused commit means for the task: it stands still, and reopens at what is stored.
    pub(super) fn refusal(&self, refused: Refused) -> Stop {
        let Refused { error, place } = refused;
        let code = match &error {
            CommitError::Closed | CommitError::Unknown(_) | CommitError::Fenced => return Stop::Closed,
            CommitError::TopicGone { .. } => "topic_gone",
            CommitError::DiskFull { .. } => "disk_full",
            CommitError::Expected { .. } => "conflict",
        };
        let Stop::Failed(mut view) = self.failed(code, error.to_string()) else { return Stop::Closed };
        if let Some((topic, partition)) = place {
            (view.topic, view.partition) = (Some(topic), Some(partition));
        }
        Stop::Failed(view)
    }

    /// Guest memory is uncommitted state: it goes with the instance.
    pub(super) fn drop_instance(&mut self) {
        self.instance = None;
        self.status.counts.memory_bytes.store(0, Ordering::Relaxed);
    }

    pub(super) fn check_orders(&self) -> Result<(), Stop> {
        if *self.orders.borrow() == Order::Run { Ok(()) } else { Err(Stop::Ordered) }
    }

    async fn ordered(&mut self) {
        let mut orders = self.orders.clone();
        let _ = orders.wait_for(|order| *order != Order::Run).await;
    }

    /// Stands still, unless ordered to do something else.
    pub(super) async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        let _ = tokio::time::timeout(pause, self.ordered()).await;
        self.check_orders()
    }

    pub(super) fn failed(&self, code: &str, message: String) -> Stop {
        Stop::failed(ErrorView::new(code, message, self.shared.broker.clock().now_ms()))
    }
}

/// Awaits a call, and tells meanwhile of commits that end. The call is given up for another order than to run, after a
/// grace, and when a commit that it stands on is refused.
async fn meanwhile<T>(
    call: impl Future<Output = T>,
    orders: &mut watch::Receiver<Order>,
    grace: Duration,
    flight: &mut Flight,
) -> Result<T, Option<Refused>> {
    let until_ordered = async {
        let _ = orders.wait_for(|order| *order != Order::Run).await;
        if !grace.is_zero() {
            tokio::time::sleep(grace).await;
        }
    };
    let (mut call, mut until_ordered) = (std::pin::pin!(call), std::pin::pin!(until_ordered));
    loop {
        tokio::select! {
            biased;
            () = &mut until_ordered => return Err(None),
            ended = flight.next(), if !flight.is_empty() => ended.map_err(Some)?,
            result = &mut call => return Ok(result),
        }
    }
}
