//! Queries: a processor's own code answers over what its task has committed. The instances that answer are never the one
//! that works on records; they serve all tasks, and each call sees the state of one moment, which it cannot change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::error::QueryError;
use super::instance::prepare;
use super::logs::DeploymentLog;
use super::reads::{StateAt, task_asked, task_id};
use super::running::Running;
use super::supervisor::{Entry, Pipelines, Shared};
use crate::broker::inline::Sinks;
use crate::broker::voice::Voice;
use crate::model::deployment::Deployment;
use crate::model::limits::{QUERIES_WAITING_MAX, QUERY_INSTANCES_MAX};
use crate::model::{Offset, Partition, TopicId, TopicName};
use crate::runtime::clock::monotonic;
use crate::runtime::guests::Ended;
use crate::state::positions::Positions;
use crate::state::{self, TaskId, TaskState, Ttls, committed, migration};
use crate::telemetry::calls::Calls;
use crate::wasm::{Fault, Lease, LogLevel, Pool, Querier, Reply};

/// A query waits no longer for an instance: all of them are at work then, each within its limits (a guess).
const LEASE_WAIT: Duration = Duration::from_secs(5);

/// A query that its deployment's changes overtake begins anew so often, and waits so long for the new form (guesses: a
/// change takes milliseconds).
const CHANGES_MAX: u32 = 3;
const CHANGE_WAIT: Duration = Duration::from_secs(5);

/// Instances that nobody has asked for so long give their memory back (a guess: longer than a client's pause).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What answers the queries of a deployment: of one revision, so a change begins with none.
pub(super) struct Queries {
    pool: Pool<Seat>,
    /// places for queries, those that wait for an instance included
    places: Arc<Semaphore>,
    log: Arc<Sinks>,
    pub(super) calls: Calls,
    /// linear memory of the instances
    memory: Arc<AtomicU64>,
}

/// The queries of all deployments, those that ended included until somebody looks.
#[derive(Default)]
pub(super) struct Queried(Mutex<Vec<Weak<Queries>>>);

/// An instance, and the task that its lines belong to.
struct Seat {
    querier: Querier,
    voice: Arc<Voice>,
    /// what of the deployment's memory is its own
    counted: u64,
    memory: Arc<AtomicU64>,
}

/// A question to a processor.
#[derive(Debug, Clone)]
pub struct Query {
    /// what its code is handed
    pub request: Bytes,
    /// the task of this key is asked, unless `at` names a partition
    pub key: Option<Bytes>,
    /// which task, and when
    pub at: StateAt,
}

/// An answer, and how far the state behind it has come.
#[derive(Debug, Clone)]
pub struct Answered {
    /// as the code made it
    pub answer: Bytes,
    /// the next offset of every input of the task
    pub position: Vec<(TopicName, Partition, Offset)>,
}

/// What a call is about.
struct Call {
    shared: Arc<Shared>,
    deployment: Arc<Deployment>,
    queries: Arc<Queries>,
    /// whose state is read
    task: Arc<Running>,
    id: TaskId,
    inputs: Vec<(TopicId, Partition)>,
    request: Bytes,
}

// === impl Queries ===

impl Queries {
    pub(super) fn of(deployment: &Deployment, log: DeploymentLog, all: &Queried) -> Arc<Self> {
        let instances = QUERY_INSTANCES_MAX.min(deployment.spec.limits.instances as usize).max(1);
        let queries = Arc::new(Self {
            pool: Pool::new(instances, Arc::new(Semaphore::new(instances))),
            places: Arc::new(Semaphore::new(instances + QUERIES_WAITING_MAX)),
            log: Arc::new(Box::new(move |task| log.instance(task))),
            calls: Calls::default(),
            memory: Arc::default(),
        });
        let mut all = all.0.lock();
        all.retain(|queries| queries.strong_count() > 0);
        all.push(Arc::downgrade(&queries));
        queries
    }

    /// Bytes of linear memory of the instances, those that rest included.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }
}

// === impl Queried ===

impl Queried {
    /// Gives up every instance that rests, for what has work and no room. Was there any?
    pub(super) fn make_room(&self) -> bool {
        self.rest(Duration::ZERO)
    }

    fn rest(&self, longest: Duration) -> bool {
        let all: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        // Those of all, not only the first that has any.
        all.iter().filter(|queries| queries.pool.rest(longest)).count() > 0
    }
}

// === impl Seat ===

impl Seat {
    /// Counts what its memory is now.
    fn count(&mut self) {
        let now = self.querier.memory_bytes() as u64;
        // Wraps around where it has become less, as the sum does.
        self.memory.fetch_add(now.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = now;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.memory.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// Returns once a query of this deployment can be answered behind the position asked for: until then nothing else of it
    /// need be there.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query_ready(&self, name: &str, at: &StateAt) -> Result<(), QueryError> {
        queries_of(&self.stateful(name)?)?;
        Ok(self.reached(name, at).await.map(drop)?)
    }

    /// Has a processor's code answer. Fails at once when too many wait already. What was asked before a change of the
    /// deployment, and not begun, is answered by its new form.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&self, name: &str, mut query: Query) -> Result<Answered, QueryError> {
        let until = monotonic() + query.at.wait;
        let mut changes = 0;
        loop {
            let entry = self.stateful(name)?;
            queries_of(&entry)?;
            task_of(&entry, &query)?;
            let entry = self.reached(name, &query.at).await?;
            match self.ask(&entry, &query).await {
                Err(QueryError::Changing { .. })
                    if changes < CHANGES_MAX && self.replaced(&entry, CHANGE_WAIT).await => {}
                answered => return answered,
            }
            changes += 1;
            query.at.wait = until.saturating_duration_since(monotonic());
        }
    }

    /// Asks the code of this entry; `Changing` when it is not begun before the entry ends.
    async fn ask(&self, entry: &Entry, query: &Query) -> Result<Answered, QueryError> {
        let queries = queries_of(entry)?;
        let task = task_of(entry, query)?;
        let changing = || QueryError::Changing { deployment: entry.deployment.spec.name.clone() };
        let _place = queries.places.clone().try_acquire_owned().map_err(|_| QueryError::Busy)?;
        let lease = queries.pool.lease(LEASE_WAIT).await.ok_or(QueryError::Busy)?;
        let inputs = entry.deployment.spec.inputs().into_iter();
        let inputs = inputs.filter_map(|name| Some((self.broker().topic(name.as_str()).ok()?.id(), task)));
        let call = Call {
            shared: self.0.shared.clone(),
            deployment: entry.deployment.clone(),
            queries,
            task: entry.tasks.get(task as usize).ok_or_else(changing)?.clone(),
            id: task_id(entry, task),
            inputs: inputs.collect(),
            request: query.request.clone(),
        };
        let running = self.broker().guests().spawn("query", call.run(lease));
        let (answer, position) = running.await.map_err(ended)??;
        Ok(Answered { answer, position: self.named(&position) })
    }

    /// Drops instances that were not asked for a while. To be called now and then.
    pub fn rest_queries(&self) {
        self.0.shared.queried.rest(IDLE_MAX);
    }
}

/// What answers the queries of this deployment.
fn queries_of(entry: &Entry) -> Result<Arc<Queries>, QueryError> {
    entry.queries.clone().ok_or_else(|| {
        let (deployment, module) = (entry.deployment.spec.name.clone(), entry.deployment.module());
        QueryError::NoQuery { deployment, module }
    })
}

/// The task that is asked: the named one, that of the key or of `after`, or the only one.
fn task_of(entry: &Entry, query: &Query) -> Result<Partition, QueryError> {
    let tasks = entry.deployment.tasks;
    task_asked(entry, &query.at, query.key.as_deref())?
        .or((tasks == 1).then_some(0))
        .ok_or_else(|| QueryError::WhichTask { deployment: entry.deployment.spec.name.clone(), tasks })
}

/// Why a call on the guests' threads has no result.
fn ended(how: Ended) -> QueryError {
    match how {
        Ended::Panicked => QueryError::Panicked,
        Ended::Stopped => QueryError::Closed,
    }
}

// === impl Call ===

impl Call {
    /// On the guests' threads. An instance whose call failed, or was given up, does not come back.
    async fn run(self, mut lease: Lease<Seat>) -> Result<(Bytes, Positions), QueryError> {
        let answered = match self.reply(&mut lease).await {
            Ok((reply, position)) => {
                self.queries.pool.give_back(lease);
                match reply {
                    Reply::Answer(answer) => Ok((answer.into(), position)),
                    Reply::BadRequest(why) => Err(QueryError::BadRequest(why)),
                    Reply::NotFound(why) => Err(QueryError::NotFound(why)),
                    Reply::Failed(why) => Err(QueryError::Failed(why)),
                }
            }
            Err(error) => Err(error),
        };
        match &answered {
            Err(QueryError::Fault { fault, .. }) => self.failed(fault.code(), &fault.to_string()),
            Err(QueryError::Failed(why)) => self.failed("fatal", why),
            _ => {}
        }
        answered
    }

    async fn reply(&self, lease: &mut Lease<Seat>) -> Result<(Reply, Positions), QueryError> {
        let storage = self.shared.broker.storage();
        if let Some(pending) = &self.deployment.migration
            && !migration::load(storage, self.id, pending.revision)?.is_some_and(|progress| progress.done)
        {
            let (deployment, from) = (self.deployment.spec.name.clone(), pending.from.to_string());
            return Err(QueryError::Migrating { deployment, from });
        }
        // One moment for all that the code reads and for the position that is told.
        let pinned = storage.pin_state();
        if self.task.is_ending() {
            // The state may be that of another form already. Before the task is told to stop it cannot be.
            return Err(QueryError::Changing { deployment: self.deployment.spec.name.clone() });
        }
        let position = committed::positions(&pinned, self.id, &self.inputs)?;
        let ttls = Ttls::of(&self.deployment.spec.state);
        let state = || {
            let mut state = TaskState::pinned(pinned.clone(), self.id, ttls.clone())?;
            state.begin(self.shared.broker.clock().now_ms());
            Ok::<_, state::Error>(state)
        };
        let mut seat = match lease.instance.take() {
            Some(seat) => seat,
            None => match self.seat(state()?).await {
                Err(Fault::Busy(_)) if self.shared.queried.make_room() => self.seat(state()?).await,
                made => made,
            }
            .map_err(|fault| self.fault(fault))?,
        };
        seat.voice.speak_for(self.id.task);
        let (began, cpu) = (monotonic(), seat.querier.cpu_time());
        let reply = seat.querier.query(state()?, &self.request).await;
        seat.count();
        self.queries.calls.ended(began.elapsed(), seat.querier.cpu_time().saturating_sub(cpu));
        let reply = reply.map_err(|fault| self.fault(fault))?;
        lease.instance = Some(seat);
        Ok((reply, position))
    }

    async fn seat(&self, state: TaskState) -> Result<Seat, Fault> {
        let voice = Arc::new(Voice::new(self.queries.log.clone(), self.id.task));
        let (component, config) =
            prepare(&self.shared, &self.deployment, self.id.task, voice.clone(), None).await?;
        let querier = component.querier(config, state).await?;
        Ok(Seat { querier, voice, counted: 0, memory: self.queries.memory.clone() })
    }

    fn fault(&self, fault: Fault) -> QueryError {
        QueryError::Fault { deployment: self.deployment.spec.name.clone(), fault }
    }

    /// Whoever runs the deployment is told as well.
    fn failed(&self, kind: &str, why: &str) {
        self.queries.calls.failed(kind);
        (self.queries.log)(self.id.task).write(LogLevel::Error, format!("a query failed: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::guests::GuestThreads;

    #[tokio::test]
    async fn a_panic_is_not_told_as_the_end_of_the_server() {
        let guests = GuestThreads::start(1).unwrap();
        let query = guests.handle().spawn("a query", async { panic!("a mistake of the host") });
        assert!(matches!(ended(query.await.unwrap_err()), QueryError::Panicked));
        let waits = guests.handle().spawn("a query", std::future::pending::<()>());
        drop(guests);
        assert!(matches!(ended(waits.await.unwrap_err()), QueryError::Closed));
    }
}
