//! A task: one partition index of the inputs of a processor or a sink. Opens at its stored positions, reads, steps, commits; whatever
//! goes wrong, it reopens from what is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::expiry::Rounds;
use super::flight::{Flight, Place, Refused};
use super::instance::Worker;
use super::logs::DeploymentLog;
use super::status::{Status, TaskInput};
use super::step::{Source, run_length};
use super::supervisor::Shared;
use super::view::{DeploymentState, ErrorView};
use crate::broker::Isolation;
use crate::broker::fetch::Visible;
use crate::model::batch::{Payload, RecordBatch};
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, MIB};
use crate::model::{Offset, Partition, TopicId};
use crate::runtime::{backoff, clock};
use crate::state::{TaskId, Ttls, positions};
use crate::storage::{Commit, CommitError, Fence, ReadError};
use crate::wasm::{Answer, Fault, Input, Places};

/// Bytes asked of the storage in one read.
const READ_BYTES: usize = MIB;

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
    inputs: Vec<TaskInput>,
    /// where it reads on; what is committed may lie behind
    next: Vec<Offset>,
    pub(super) instance: Option<Worker>,
    pub(super) flight: Flight,
    /// how often the storage, or a node that is busy, refused in a row
    pub(super) refused: u32,
    turn: usize,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        deployment: Arc<Deployment>,
        status: Arc<Status>,
        log: DeploymentLog,
        (places, instance): (Places, Option<Worker>),
        (orders, fence): (watch::Receiver<Order>, Fence),
    ) -> Self {
        let flight = Flight::new(status.clone(), fence);
        Self {
            rounds: Rounds::new(Ttls::of(&deployment.spec.state)),
            shared,
            deployment,
            status,
            log,
            places,
            since: None,
            orders,
            inputs: Vec::new(),
            next: Vec::new(),
            instance,
            flight,
            refused: 0,
            turn: 0,
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
        self.status.set_state(DeploymentState::Running);
        loop {
            self.expire().await?;
            let Some(index) = self.wait_for_records().await? else { continue };
            let Visible { batches, next } = self.read(index).await?;
            let mut rest = batches.as_slice();
            while !rest.is_empty() {
                let payloads = self.unpack(rest)?;
                let (some, after) = rest.split_at(payloads.len());
                rest = after;
                self.process(index, some, &payloads).await?;
            }
            self.pass_over(index, next);
            self.make_room();
        }
    }

    /// Finds inputs and positions.
    async fn open(&mut self) -> Result<(), Stop> {
        let stored = {
            let id = self.id();
            let storage = self.shared.broker.storage();
            storage.on_reader(move |storage| positions::load(storage, id)).await
        };
        let stored = match stored {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => return Err(self.failed("state_unreadable", error.to_string())),
            Err(_) => return Err(Stop::Closed),
        };
        self.flight.begin();
        self.inputs.clear();
        self.next.clear();
        for name in &self.deployment.spec.input.topics.clone() {
            let topic = self.shared.broker.topic(name.as_str());
            let topic = topic.map_err(|error| self.failed("topic_gone", error.to_string()))?;
            if let Some(log) = topic.log(self.status.partition) {
                if !stored.contains_key(&(log.topic_id(), log.partition()))
                    && stored.keys().any(|(id, _)| self.shared.broker.topic_by_id(*id).is_none())
                {
                    let text = format!(
                        "topic `{name}` was deleted and created again, the state belongs to the records of the old \
                         one; rewind to earliest with the state kept or cleared"
                    );
                    return Err(self.failed("topic_replaced", text));
                }
                self.next.push(self.beginning(&stored, log.topic_id(), log.partition()));
                self.inputs.push(TaskInput { topic: name.clone(), log: log.clone() });
            }
        }
        self.status.set_inputs(self.inputs.clone());
        for (input, next) in self.inputs.iter().zip(&self.next) {
            self.status.set_position(&input.topic, input.log.partition(), *next);
        }
        Ok(())
    }

    fn beginning(
        &self,
        stored: &BTreeMap<(TopicId, Partition), Offset>,
        topic: TopicId,
        partition: Partition,
    ) -> Offset {
        let start = || self.deployment.start.iter().find(|s| s.topic == topic && s.partition == partition);
        stored.get(&(topic, partition)).copied().or_else(|| start().map(|s| s.offset)).unwrap_or(0)
    }

    /// The index of an input with records, the inputs in turn; `None`: something else is due.
    async fn wait_for_records(&mut self) -> Result<Option<usize>, Stop> {
        loop {
            self.check_orders()?;
            for _ in 0..self.inputs.len() {
                self.turn = (self.turn + 1) % self.inputs.len();
                if self.inputs[self.turn].log.stable() > self.next[self.turn] {
                    return Ok(Some(self.turn));
                }
            }
            if let Some(gone) = self.inputs.iter().find(|i| i.log.is_gone()) {
                let text = format!("topic `{}` was deleted; restart when it is there again", gone.topic);
                return Err(self.failed("topic_gone", text));
            }
            if self.inputs.is_empty() {
                self.ordered().await;
                continue;
            }
            let waits =
                self.inputs.iter().zip(&self.next).map(|(i, next)| Box::pin(i.log.wait_stable_past(*next)));
            let due = self.rounds.due();
            let (mut orders, flight) = (self.orders.clone(), &mut self.flight);
            let (places, holds) = (self.places.clone(), self.instance.is_some());
            let ended = tokio::select! {
                biased;
                _ = orders.wait_for(|order| *order != Order::Run) => Ok(false),
                ended = flight.next(), if !flight.is_empty() => ended.map(|()| false),
                _ = futures_util::future::select_all(waits) => Ok(false),
                () = due => return Ok(None),
                // Nothing to do, and another task waits.
                () = places.wanted(), if holds => Ok(true),
            };
            if ended.map_err(|refused| self.refusal(refused))? {
                self.drop_instance();
            }
        }
    }

    /// Its turn is over when it was long enough and another task of the deployment waits for a place.
    fn make_room(&mut self) {
        let long = self.since.is_some_and(|since| clock::monotonic().duration_since(since) >= TURN);
        if long && self.places.are_wanted() {
            self.drop_instance();
        }
    }

    /// What lies before `next` and was not read is for no reader of committed records. The next commit stores the
    /// position; whoever waits for it need not wait so long.
    fn pass_over(&mut self, index: usize, next: Offset) {
        if self.next[index] < next {
            self.next[index] = next;
            self.tell(index);
        }
    }

    /// Whole batches of committed records from the next offset of an input on.
    async fn read(&mut self, index: usize) -> Result<Visible, Stop> {
        let mut failed = 0;
        loop {
            let log = &self.inputs[index].log;
            let from = self.next[index];
            match self.shared.broker.visible(log, from, READ_BYTES, Isolation::Committed).await {
                Ok(visible) => return Ok(visible),
                Err(ReadError::OutOfRange { start, .. }) if self.next[index] < start => {
                    self.gap(index, start)?;
                }
                Err(ReadError::Closed) => return Err(Stop::Closed),
                Err(error) => {
                    failed += 1;
                    if failed > self.deployment.spec.on_error.max_retries {
                        return Err(self.failed("input_unreadable", error.to_string()));
                    }
                    self.pause(backoff::pause(self.deployment.spec.on_error.backoff, failed)).await?;
                }
            }
        }
    }

    /// Records were deleted before this task read them.
    fn gap(&mut self, index: usize, start: Offset) -> Result<(), Stop> {
        let (position, input) = (self.next[index], &self.inputs[index]);
        if !self.deployment.spec.skip_input_gap {
            let text = format!(
                "records {position}..{start} of `{}` partition {} were deleted before they were read; rewind to \
                 earliest, or set skip_input_gap",
                input.topic, self.status.partition
            );
            return Err(self.failed("input_gap", text));
        }
        self.status.counts.gap_records.fetch_add(start - position, Ordering::Relaxed);
        self.next[index] = start;
        self.tell(index);
        Ok(())
    }

    /// Where it reads on is where it stands, once the commits under way are made.
    fn tell(&mut self, index: usize) {
        let (topic, next) = (self.inputs[index].topic.clone(), self.next[index]);
        self.flight.tell(Place { topic, partition: self.status.partition, next });
    }

    /// The records of the first batches: one batch at least, and enough to fill a call. No more, because a MiB of
    /// compressed ones may be a hundred when it is unpacked.
    fn unpack(&self, batches: &[RecordBatch]) -> Result<Vec<Payload>, Stop> {
        let (mut records, mut bytes) = (0, 0);
        let mut payloads = Vec::new();
        for batch in batches {
            if records >= self.deployment.spec.limits.batch.records || bytes >= READ_BYTES {
                break;
            }
            let payload = batch.payload(BATCH_UNCOMPRESSED_MAX);
            let payload = payload.map_err(|e| self.failed("input_unreadable", e.to_string()))?;
            records += batch.header().count as usize;
            bytes += payload.bytes().len();
            payloads.push(payload);
        }
        Ok(payloads)
    }

    /// Takes the batches through the code, in runs of at most the deployment's batch size.
    async fn process(
        &mut self,
        index: usize,
        batches: &[RecordBatch],
        payloads: &[Payload],
    ) -> Result<(), Stop> {
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
        loop {
            let count = run_length(rest, self.deployment.spec.limits.batch.records);
            let (run, after) = rest.split_at(count);
            rest = after;
            let until = rest.first().map_or(end, |next| next.offset);
            let source = Source { topic: &topic, topic_id, partition: self.status.partition, until };
            if !run.is_empty() {
                self.run(run, source).await?;
            }
            self.next[index] = until;
            if rest.is_empty() {
                return Ok(());
            }
            self.check_orders()?;
        }
    }

    /// One call into the code, with an instance made when there is none. Orders end a call that takes long; what is
    /// under way is told of meanwhile.
    pub(super) async fn call(&mut self, inputs: &[Input<'_>]) -> Result<Result<Answer, Fault>, Stop> {
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
        let (now_ms, status) = (self.shared.broker.clock().now_ms(), self.status.clone());
        let call = async {
            if self.instance.is_none() {
                let log = self.log.instance(self.status.partition);
                let place = self.places.take().await;
                self.since = Some(clock::monotonic());
                self.instance = Some(Worker::make(&self.shared, &self.deployment, id, log, place).await?);
            }
            match self.instance.as_mut() {
                Some(instance) => instance.process(inputs, now_ms, &status.counts.calls).await,
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
        let Refused { error, topic, partition } = refused;
        let code = match &error {
            CommitError::Closed | CommitError::Unknown(_) | CommitError::Fenced => return Stop::Closed,
            CommitError::TopicGone { .. } => "topic_gone",
            CommitError::DiskFull { .. } => "disk_full",
            CommitError::Expected { .. } => "conflict",
        };
        let Stop::Failed(mut view) = self.failed(code, error.to_string()) else { return Stop::Closed };
        (view.topic, view.partition) = (Some(topic), Some(partition));
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
