//! A source: one task that polls its code, and commits the records of a poll and its cursor at once. Between two polls
//! nothing runs: the pause is a timer, and no thread of the guests is held by it.

mod rewind;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::instance;
use super::logs::DeploymentLog;
use super::output::{CollectError, Defaults, collect_with};
use super::status::Status;
use super::supervisor::Shared;
use super::task::{Order, Stop};
use super::view::{DeploymentState, ErrorView};
use crate::model::Partition;
use crate::model::deployment::{Deployment, OnErrorPolicy};
use crate::runtime::backoff;
use crate::runtime::clock::monotonic;
use crate::state::{TaskId, cursor};
use crate::storage::{Commit, CommitError, Fence};
use crate::wasm::{Fault, LogSink, Polled, Source};

/// The one task of a source.
pub(super) const TASK: Partition = 0;

pub(super) struct SourceTask {
    shared: Arc<Shared>,
    deployment: Arc<Deployment>,
    status: Arc<Status>,
    log: DeploymentLog,
    orders: watch::Receiver<Order>,
    fence: Fence,
    /// as committed
    cursor: Option<Bytes>,
    instance: Option<Source>,
    /// polls that failed, or commits that were refused, in a row
    failed: u32,
    /// the partition of records without a key: another one for each poll
    sticky: Partition,
}

/// Whose cursor it is.
pub(super) fn id(deployment: &Deployment) -> TaskId {
    TaskId { deployment: deployment.id, generation: deployment.generation, task: TASK }
}

impl SourceTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        deployment: Arc<Deployment>,
        status: Arc<Status>,
        log: DeploymentLog,
        instance: Option<Source>,
        (orders, fence): (watch::Receiver<Order>, Fence),
    ) -> Self {
        let cursor = None;
        Self { shared, deployment, status, log, orders, fence, cursor, instance, failed: 0, sticky: 0 }
    }

    /// Runs until it is told to stop.
    pub(super) async fn work(mut self) {
        loop {
            let order = *self.orders.borrow_and_update();
            if order == Order::Stop {
                return;
            }
            let stop = self.obey(order).await;
            self.drop_instance();
            match stop {
                Stop::Closed => return,
                Stop::Failed(error) => {
                    tracing::warn!(
                        deployment = %self.deployment.spec.name, code = error.code, message = error.message,
                        "a source stopped"
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

    async fn obey(&mut self, order: Order) -> Stop {
        self.status.set_state(DeploymentState::Starting);
        self.failed = 0;
        // Opened also when it stands still, so that its cursor can be seen.
        if let Err(stop) = self.open().await {
            return stop;
        }
        if order == Order::Pause {
            self.status.set_state(DeploymentState::Paused);
            return Stop::Ordered;
        }
        self.status.set_state(DeploymentState::Running);
        loop {
            let pause = match self.step().await {
                Ok(pause) => pause,
                Err(stop) => return stop,
            };
            if self.ordered_within(pause).await {
                return Stop::Ordered;
            }
        }
    }

    async fn open(&mut self) -> Result<(), Stop> {
        let id = id(&self.deployment);
        let storage = self.shared.broker.storage();
        self.cursor = match storage.on_reader(move |storage| cursor::load(storage, id)).await {
            Ok(Ok(cursor)) => cursor,
            Ok(Err(error)) => return Err(self.fails("state_unreadable", error.to_string())),
            Err(_) => return Err(Stop::Closed),
        };
        self.status.set_cursor(self.cursor.clone());
        instance::check_grants(&self.shared, &self.deployment.spec)
            .map_err(|why| self.fails(instance::GRANTS_UNUSABLE, why))
    }

    /// One poll and its commit; how long to wait before the next.
    async fn step(&mut self) -> Result<Duration, Stop> {
        let begun_ms = self.shared.broker.clock().now_ms();
        self.status.polls(begun_ms);
        let Polled { outputs, cursor, more } = match self.poll().await? {
            Ok(polled) => polled,
            Err(fault) => return self.faulted(&fault),
        };
        self.sticky = self.sticky.wrapping_add(1);
        let defaults = Defaults { partition: self.sticky, timestamp: begun_ms };
        let outbox = match collect_with(&self.shared.broker, &self.deployment.spec, &[], &outputs, defaults) {
            Ok(outbox) => outbox,
            Err(CollectError::Fault(fault)) => return self.faulted(&fault),
            Err(CollectError::Gone(reason)) => return Err(self.fails("topic_gone", reason)),
        };

        let written = outbox.count();
        let moved = cursor.filter(|cursor| self.cursor.as_ref() != Some(cursor));
        // Nothing new is nothing to write: an idle source costs no fsync. It is also no reason to poll again at once.
        let idle = written == 0 && moved.is_none();
        if !idle {
            let mut commit = Commit::new();
            outbox.write_into(&mut commit);
            if !self.commit(commit, moved.as_ref()).await? {
                return Ok(self.retries());
            }
        }
        self.failed = 0;
        self.cursor = moved.or_else(|| self.cursor.take());
        self.status.counts.records_out.fetch_add(written, Ordering::Relaxed);
        self.status.set_cursor(self.cursor.clone());
        self.status.set_state(DeploymentState::Running);
        Ok(if more && !idle { Duration::ZERO } else { self.deployment.spec.interval() })
    }

    /// Adds the cursor and commits. False: refused for now; the poll has to be done again, for nothing of it counts.
    async fn commit(&mut self, mut commit: Commit, moved: Option<&Bytes>) -> Result<bool, Stop> {
        #[cfg(feature = "torn-commit")]
        {
            // For `make crash` alone: the cursor in a commit of its own, which its check has to notice.
            let torn = std::mem::replace(&mut commit, Commit::new());
            let _ = self.shared.broker.storage().commit(torn).await;
        }
        commit.behind(&self.fence);
        if let Some(moved) = moved {
            cursor::put(&mut commit, id(&self.deployment), moved);
        }
        match self.shared.broker.storage().commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::DiskFull { .. }) => {
                self.drop_instance();
                let text = "the disk is nearly full; the source waits".to_owned();
                self.status.set_error(self.error("disk_full", text));
                Ok(false)
            }
            Err(CommitError::Closed | CommitError::Unknown(_) | CommitError::Fenced) => Err(Stop::Closed),
            Err(error @ CommitError::TopicGone { .. }) => Err(self.fails("topic_gone", error.to_string())),
            Err(error @ CommitError::Expected { .. }) => Err(self.fails("conflict", error.to_string())),
        }
    }

    /// One call into the code, with an instance made when there is none. Orders end a call that takes long.
    async fn poll(&mut self) -> Result<Result<Polled, Fault>, Stop> {
        let mut orders = self.orders.clone();
        let Self { shared, deployment, status, log, cursor, instance, .. } = self;
        let call = async {
            let source = match instance {
                Some(source) => source,
                None => instance.insert(new_instance(shared, deployment, log.instance(TASK)).await?),
            };
            let (started, cpu) = (monotonic(), source.cpu_time());
            let polled = source.poll(cursor.as_deref()).await;
            status.counts.calls.ended(started.elapsed(), source.cpu_time().saturating_sub(cpu));
            polled
        };
        let result = tokio::select! {
            biased;
            _ = orders.wait_for(|order| *order != Order::Run) => return Err(Stop::Ordered),
            result = call => result,
        };
        let memory = self.instance.as_ref().map_or(0, Source::memory_bytes);
        self.status.counts.memory_bytes.store(memory as u64, Ordering::Relaxed);
        Ok(result)
    }

    /// A poll failed. What asks for time gets it, for as long as it asks, and so does a node that is busy; everything else
    /// is tried as often as the deployment says and then follows its `on_error`.
    fn faulted(&mut self, fault: &Fault) -> Result<Duration, Stop> {
        self.drop_instance();
        self.status.counts.restarts.fetch_add(1, Ordering::Relaxed);
        let mut view = self.error(fault.code(), fault.to_string());
        if let Fault::Trap { backtrace, .. } = fault {
            view.backtrace.clone_from(backtrace);
        }
        view.attempt = self.failed.saturating_add(1);
        let tries = self.deployment.spec.on_error.max_retries;
        if matches!(fault, Fault::Retry(_) | Fault::Busy(_)) || self.failed < tries {
            self.status.set_error(view);
            return Ok(self.retries());
        }
        if self.deployment.spec.on_error.policy != OnErrorPolicy::Skip {
            return Err(Stop::failed(view));
        }
        self.status.set_error(view);
        self.failed = 0;
        self.status.counts.skipped.fetch_add(1, Ordering::Relaxed);
        self.status.set_state(DeploymentState::Running);
        Ok(self.deployment.spec.interval())
    }

    /// The pause before the same poll is tried again.
    fn retries(&mut self) -> Duration {
        self.failed = self.failed.saturating_add(1);
        self.status.set_state(DeploymentState::Retrying);
        backoff::pause(self.deployment.spec.on_error.backoff, self.failed)
    }

    /// Stands still; true: it was told to do something else.
    async fn ordered_within(&mut self, pause: Duration) -> bool {
        let mut orders = self.orders.clone();
        tokio::time::timeout(pause, orders.wait_for(|order| *order != Order::Run)).await.is_ok()
    }

    /// Guest memory is uncommitted: it goes with the instance.
    fn drop_instance(&mut self) {
        self.instance = None;
        self.status.counts.memory_bytes.store(0, Ordering::Relaxed);
    }

    fn fails(&self, code: &str, message: String) -> Stop {
        Stop::failed(self.error(code, message))
    }

    fn error(&self, code: &str, message: String) -> ErrorView {
        ErrorView::new(code, message, self.shared.broker.clock().now_ms())
    }
}

/// Loads the code and makes an instance.
pub(super) async fn new_instance(
    shared: &Shared,
    deployment: &Deployment,
    log: Arc<dyn LogSink>,
) -> Result<Source, Fault> {
    let (component, config) = instance::prepare(shared, deployment, TASK, log.clone(), None).await?;
    match component.source(config).await {
        Err(Fault::Busy(_)) if shared.queried.make_room() => {
            let (component, config) = instance::prepare(shared, deployment, TASK, log, None).await?;
            component.source(config).await
        }
        tried => tried,
    }
}
