//! Migration: a new version's `migrate` works on the state that an older one has left, task by task, in steps. Each step's
//! changes and how far it is are one commit; records wait until the last one.

use super::error::Clash;
use super::instance::{Worker, state_of};
use super::supervisor::Pipelines;
use super::task::{Stop, Task};
use super::view::{DeploymentState, ErrorView};
use super::{DeployError, replace::Cause};
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::limits::MIGRATE_AT_MAX;
use crate::model::module::ModuleVersion;
use crate::model::revision::{Migration, StateChange};
use crate::runtime::{backoff, clock};
use crate::state::TaskId;
use crate::state::migration::{self, Progress};
use crate::storage::{Commit, CommitError, Storage};
use crate::wasm::Fault;

impl Pipelines {
    /// The migration that is to do after a change, if it may be made.
    ///
    /// # Errors
    /// `Conflict`, `NoMigrate`, `Migrating`, `Tables`.
    pub(super) async fn migration_after(
        &self,
        cause: &Cause,
        past: Option<&Deployment>,
        module: &ModuleVersion,
        abandon: bool,
    ) -> Result<Option<Migration>, DeployError> {
        let Some(past) = past else { return Ok(None) };
        if cause.state != StateChange::Keep && past.spec.kind != DeploymentKind::Processor {
            return Err(Clash::Kind.because(format!(
                "deployment `{}` is of kind {} and has no state to be cleared or migrated; leave `state` out",
                past.spec.name,
                past.spec.kind.as_str()
            )));
        }
        let pending = self.progress(past).await?.filter(|steps| steps.iter().any(|p| !p.done));
        let pending = pending.and(past.migration.clone());
        match cause.state {
            StateChange::Clear => Ok(None),
            StateChange::Migrate if !module.migrates() => {
                Err(DeployError::NoMigrate(format!("{}@{}", module.name, module.version)))
            }
            // A version that comes while one before it is at work goes on where that one stands.
            StateChange::Migrate => {
                let new = || Migration { from: past.version.clone(), revision: past.revision + 1 };
                Ok(Some(pending.unwrap_or_else(new)))
            }
            StateChange::Keep if abandon => Ok(None),
            StateChange::Keep => match pending {
                Some(migration) if past.digest != module.digest => {
                    let name = past.spec.name.clone();
                    Err(DeployError::Migrating { name, from: migration.from.to_string() })
                }
                other => Ok(other),
            },
        }
    }

    /// Was a step of the deployment's migration committed, by any task?
    pub(super) async fn migration_has_begun(&self, deployment: &Deployment) -> Result<bool, DeployError> {
        let steps = self.progress(deployment).await?.unwrap_or_default();
        Ok(steps.iter().any(|p| p.done || p.at.is_some()))
    }

    /// Of every task; `None` without a migration.
    async fn progress(&self, deployment: &Deployment) -> Result<Option<Vec<Progress>>, DeployError> {
        let Some(Migration { revision, .. }) = deployment.migration else { return Ok(None) };
        let (id, generation, tasks) = (deployment.id, deployment.generation, 0..deployment.tasks);
        let load = move |storage: &Storage| {
            let of = |task| {
                let id = TaskId { deployment: id, generation, task };
                migration::load(storage, id, revision).map(Option::unwrap_or_default)
            };
            tasks.map(of).collect::<Result<Vec<_>, _>>()
        };
        Ok(Some(self.broker().storage().on_reader(load).await??))
    }
}

impl Task {
    /// Gives an instance that was made before the task stood at its place the state as it is now. One whose `open` has
    /// looked at the state, or that has to migrate it, is made anew.
    pub(super) fn renew_instance(&mut self) {
        let id = self.id();
        let Some(instance) = &mut self.instance else { return };
        let is_new = match instance.state() {
            None => true,
            Some(state) if state.is_touched() => false,
            Some(state) => match state_of(&self.shared, &self.deployment, id) {
                Ok(now) => {
                    *state = now;
                    true
                }
                Err(_) => false,
            },
        };
        if !is_new || self.deployment.migration.is_some() {
            self.drop_instance();
        } else {
            self.since = Some(clock::monotonic());
        }
    }

    /// Carries the migration of the state to its end, if there is one to do.
    pub(super) async fn migrate(&mut self) -> Result<(), Stop> {
        let Some(Migration { from, revision }) = self.deployment.migration.clone() else { return Ok(()) };
        let id = self.id();
        let load = move |storage: &Storage| migration::load(storage, id, revision);
        let mut progress = match self.shared.broker.storage().on_reader(load).await {
            Ok(Ok(stored)) => stored.unwrap_or(Progress { revision, ..Progress::default() }),
            Ok(Err(error)) => return Err(self.failed("state_unreadable", error.to_string())),
            Err(_) => return Err(Stop::Closed),
        };
        if progress.done {
            return Ok(());
        }
        self.status.set_state(DeploymentState::Migrating);
        let mut failed = 0;
        while !progress.done {
            match self.migrate_step(&from.to_string(), progress.at.as_deref()).await? {
                Ok(next) => {
                    let step = Progress { revision, done: next.is_none(), at: next };
                    if self.commit_step(id, &step).await? {
                        progress = step;
                        failed = 0;
                        self.refused = 0;
                    }
                }
                Err(Fault::Busy(text)) => {
                    // Others have what the node has: no try of this code.
                    self.refused += 1;
                    let now_ms = self.shared.broker.clock().now_ms();
                    self.status.set_error(ErrorView::new("node_busy", text, now_ms));
                    self.pause(backoff::pause(self.deployment.spec.on_error.backoff, self.refused)).await?;
                }
                Err(Fault::Retry(_)) if failed < self.deployment.spec.on_error.max_retries => {
                    failed += 1;
                    self.pause(backoff::pause(self.deployment.spec.on_error.backoff, failed)).await?;
                }
                Err(fault) => {
                    let text = format!("the state of version {from} could not be migrated: {fault}");
                    return Err(self.failed("migrate_failed", text));
                }
            }
        }
        // What it has seen of the old state is not for the records to come.
        self.drop_instance();
        Ok(())
    }

    /// One call, which an order ends. After a fault the instance is gone.
    async fn migrate_step(
        &mut self,
        from: &str,
        at: Option<&[u8]>,
    ) -> Result<Result<Option<Vec<u8>>, Fault>, Stop> {
        let mut orders = self.orders.clone();
        let id = self.id();
        let call = async {
            if self.instance.is_none() {
                let log = self.log.instance(self.status.partition);
                let place = self.places.take().await;
                self.since = Some(clock::monotonic());
                self.instance = Some(Worker::make(&self.shared, &self.deployment, id, log, place).await?);
            }
            let now_ms = self.shared.broker.clock().now_ms();
            let next = match self.instance.as_mut() {
                Some(instance) => instance.migrate(from, at, now_ms).await?,
                None => None,
            };
            match next.as_ref().map_or(0, Vec::len) {
                bytes if bytes > MIGRATE_AT_MAX => {
                    let text =
                        format!("`migrate` returned {bytes} bytes, at most {MIGRATE_AT_MAX} are allowed");
                    Err(Fault::Protocol(text))
                }
                _ => Ok(next),
            }
        };
        let result = tokio::select! {
            biased;
            _ = orders.wait_for(|order| *order != super::task::Order::Run) => None,
            result = call => Some(result),
        };
        if !matches!(result, Some(Ok(_))) {
            self.drop_instance();
        }
        result.ok_or(Stop::Ordered)
    }

    /// False: refused for now, the step has to be done again.
    async fn commit_step(&mut self, id: TaskId, step: &Progress) -> Result<bool, Stop> {
        let mut commit = Commit::new();
        commit.behind(self.flight.fence());
        if let Some(state) = self.instance.as_mut().and_then(Worker::state) {
            state.write_into(&mut commit);
        }
        migration::put(&mut commit, id, step);
        match self.shared.broker.storage().commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::DiskFull { .. }) => {
                self.drop_instance();
                self.refused += 1;
                self.pause(backoff::pause(self.deployment.spec.on_error.backoff, self.refused)).await?;
                Ok(false)
            }
            Err(_) => Err(Stop::Closed),
        }
    }
}
