//! Queries: a processor's own code answers over what its task has committed. The instances that answer are never the one
//! that works on records; they serve all tasks, and each call sees the state of one moment, which it cannot change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::error::QueryError;
use super::instance::prepare;
use super::logs::DeploymentLog;
use super::reads::{StateAt, fixed_task, task_id, wait_for};
use super::run::Held;
use super::supervisor::{Entry, Pipelines, Shared};
use crate::broker::inline::Sinks;
use crate::broker::voice::Voice;
use crate::model::deployment::Deployment;
use crate::model::limits::{QUERIES_WAITING_MAX, QUERY_INSTANCES_MAX};
use crate::model::partitioner::partition_of;
use crate::model::{Offset, Partition, TopicId, TopicName};
use crate::runtime::clock::monotonic;
use crate::state::positions::Positions;
use crate::state::{self, TaskId, TaskState, Ttls, committed, migration};
use crate::telemetry::calls::Calls;
use crate::wasm::{Fault, Lease, LogLevel, Pool, Querier, Reply};

/// A query waits no longer for an instance: all of them are at work then, each within its limits (a guess).
const LEASE_WAIT: Duration = Duration::from_secs(5);

/// Instances that nobody has asked for so long give their memory back (a guess: longer than a client's pause).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What answers the queries of a deployment: of one revision, so a change begins with none.
pub(super) struct Queries {
    pool: Pool<Seat>,
    /// places for queries, those that wait for an instance included
    places: Arc<Semaphore>,
    log: Arc<Sinks>,
    pub(super) calls: Calls,
}

/// An instance, and the task that its lines belong to.
struct Seat {
    querier: Querier,
    voice: Arc<Voice>,
}

/// A question to a processor.
#[derive(Debug, Clone)]
pub struct Query {
    /// what its code is handed
    pub request: Bytes,
    /// the task of this key is asked, unless `at` names one
    pub key: Option<Bytes>,
    /// which task, and when
    pub at: StateAt,
}

/// An answer, and how far the state behind it has come.
#[derive(Debug, Clone)]
pub struct Queried {
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
    id: TaskId,
    inputs: Vec<(TopicId, Partition)>,
    request: Bytes,
}

impl Queries {
    pub(super) fn of(deployment: &Deployment, log: DeploymentLog) -> Self {
        let instances = QUERY_INSTANCES_MAX.min(deployment.spec.limits.instances as usize).max(1);
        Self {
            pool: Pool::new(instances, Arc::new(Semaphore::new(instances))),
            places: Arc::new(Semaphore::new(instances + QUERIES_WAITING_MAX)),
            log: Arc::new(Box::new(move |task| log.instance(task))),
            calls: Calls::default(),
        }
    }
}

impl Pipelines {
    /// Has a processor's code answer. Fails at once when too many wait already.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&self, name: &str, query: Query) -> Result<Queried, QueryError> {
        let entry = self.stateful(name)?;
        let Some(queries) = entry.queries.clone() else {
            let (deployment, module) = (entry.deployment.spec.name.clone(), entry.deployment.module());
            return Err(QueryError::NoQuery { deployment, module });
        };
        let task = task_of(&entry, &query)?;
        if let Some((topic, partition, offset)) = &query.at.after {
            wait_for(&entry, topic, *partition, *offset, query.at.wait).await?;
        }
        let _place = queries.places.clone().try_acquire_owned().map_err(|_| QueryError::Busy)?;
        let lease = queries.pool.lease(LEASE_WAIT).await.ok_or(QueryError::Busy)?;
        let topics = entry.deployment.spec.input.topics.iter();
        let inputs = topics.filter_map(|name| Some((self.broker().topic(name.as_str()).ok()?.id(), task)));
        let call = Call {
            shared: self.0.shared.clone(),
            deployment: entry.deployment.clone(),
            queries,
            id: task_id(&entry, task),
            inputs: inputs.collect(),
            request: query.request,
        };
        let mut running = Held(self.broker().guests().spawn("query", call.run(lease)));
        let (answer, position) = (&mut running.0).await.map_err(|_| QueryError::Closed)??;
        Ok(Queried { answer, position: self.named(&position) })
    }

    /// Drops instances that were not asked for a while. To be called now and then.
    pub fn rest_queries(&self) {
        for queries in self.entries().into_iter().filter_map(|entry| entry.queries) {
            queries.pool.rest(IDLE_MAX);
        }
    }
}

/// The task that is asked: the named one, that of `after` or of the key, or the only one.
fn task_of(entry: &Entry, query: &Query) -> Result<Partition, QueryError> {
    let tasks = entry.deployment.tasks;
    let by_key = || query.key.as_ref().map(|key| partition_of(key, tasks));
    fixed_task(entry, &query.at)?
        .or_else(by_key)
        .or((tasks == 1).then_some(0))
        .ok_or_else(|| QueryError::WhichTask { deployment: entry.deployment.spec.name.clone(), tasks })
}

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
        let position = committed::positions(&pinned, self.id, &self.inputs)?;
        let ttls = Ttls::of(&self.deployment.spec.state);
        let state = || {
            let mut state = TaskState::pinned(pinned.clone(), self.id, ttls.clone())?;
            state.begin(self.shared.broker.clock().now_ms());
            Ok::<_, state::Error>(state)
        };
        let mut seat = match lease.instance.take() {
            Some(seat) => seat,
            None => self.seat(state()?).await.map_err(|fault| self.fault(fault))?,
        };
        seat.voice.speak_for(self.id.task);
        let (began, cpu) = (monotonic(), seat.querier.cpu_time());
        let reply = seat.querier.query(state()?, &self.request).await;
        self.queries.calls.ended(began.elapsed(), seat.querier.cpu_time().saturating_sub(cpu));
        let reply = reply.map_err(|fault| self.fault(fault))?;
        lease.instance = Some(seat);
        Ok((reply, position))
    }

    async fn seat(&self, state: TaskState) -> Result<Seat, Fault> {
        let voice = Arc::new(Voice::new(self.queries.log.clone(), self.id.task));
        let (component, config) =
            prepare(&self.shared, &self.deployment, self.id.task, voice.clone(), None).await?;
        Ok(Seat { querier: component.querier(config, state).await?, voice })
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
