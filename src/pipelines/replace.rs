//! One form of a deployment takes the place of another, with its revision in the same commit. Tasks stand still while it
//! is made, so it takes effect at their committed positions; a transform is switched in line with its topic's produces.

use std::sync::Arc;

use super::DeployError;
use super::ready::Ready;
use super::supervisor::{Entry, Pipelines};
use super::view::DeploymentView;
use crate::model::TopicName;
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::revision::{Action, EffectiveFrom, Revision, StateChange};
use crate::runtime::events::{self, What};
use crate::state::{self, TaskId, positions};
use crate::storage::{Commit, Log, Storage, tables};

/// Why a deployment changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cause {
    pub(super) action: Action,
    /// rolled back: to which revision
    pub(super) of: Option<u64>,
    pub(super) state: StateChange,
}

impl From<Action> for Cause {
    fn from(action: Action) -> Self {
        Self { action, of: None, state: StateChange::Keep }
    }
}

/// A new form of a deployment, and what else is in its commit.
pub(super) struct Replacement {
    pub(super) deployment: Deployment,
    pub(super) cause: Cause,
    pub(super) commit: Commit,
    /// of a processor, when the commit moves them
    pub(super) positions: Option<Vec<EffectiveFrom>>,
    /// what was made before
    pub(super) ready: Ready,
}

impl Replacement {
    pub(super) fn new(deployment: Deployment, cause: Cause, commit: Commit) -> Self {
        Self { deployment, cause, commit, positions: None, ready: Ready::default() }
    }
}

/// The revision that a deployment has become.
pub(super) fn revision_of(deployment: &Deployment, cause: &Cause, positions: Vec<EffectiveFrom>) -> Revision {
    Revision {
        revision: deployment.revision,
        at_ms: deployment.updated_ms,
        action: cause.action,
        of: cause.of,
        state: cause.state,
        spec: deployment.spec.clone(),
        version: deployment.version.clone(),
        digest: deployment.digest,
        generation: deployment.generation,
        desired: deployment.desired,
        positions,
    }
}

/// Tells who listens. What is retired is told of as deleted, by who deletes it.
fn told(deployment: &Deployment, action: Action) {
    let what = match action {
        Action::Applied => What::DeploymentApplied,
        Action::Upgraded => What::DeploymentUpgraded,
        Action::RolledBack => What::DeploymentRolledBack,
        Action::Rewound => What::DeploymentRewound,
        Action::Paused => What::DeploymentPaused,
        Action::Resumed => What::DeploymentResumed,
        Action::Retired => return,
    };
    let details = vec![("revision", deployment.revision.to_string()), ("module", deployment.module())];
    events::publish(what, &deployment.spec.name, details);
}

impl Pipelines {
    /// Stores the new form with what else is in the commit and puts it in force; a refused commit leaves the old form as
    /// it was. The caller holds the change lock.
    pub(super) async fn replace(&self, change: Replacement) -> Result<DeploymentView, DeployError> {
        let name = change.deployment.spec.name.clone();
        let old = self.entries().into_iter().find(|e| e.deployment.spec.name == name).map(|e| e.deployment);
        self.end_shadow(
            &name,
            &format!("the deployment was changed, to revision {}", change.deployment.revision),
        );
        if change.deployment.spec.kind == DeploymentKind::Inline {
            self.replace_stage(change, old.as_deref()).await?;
        } else {
            self.replace_tasks(change, old).await?;
        }
        Ok(self.entry(name.as_str())?.view())
    }

    async fn replace_tasks(
        &self,
        change: Replacement,
        old: Option<Arc<Deployment>>,
    ) -> Result<(), DeployError> {
        let Replacement { mut deployment, cause, mut commit, positions, ready } = change;
        self.halt(&deployment.spec.name).await;
        let stored = async {
            if let Some(old) = old.as_deref().filter(|_| cause.state != StateChange::Clear) {
                // The tasks may have made stores since this was looked at first.
                self.check_stores(&deployment.spec, old).await?;
            }
            let positions = match positions {
                Some(positions) => positions,
                None => {
                    let mut positions = self.effective_from(old.as_deref().unwrap_or(&deployment)).await?;
                    if cause.state == StateChange::Clear {
                        self.empty_internal(&deployment.spec, &mut positions);
                        self.clear_state(&mut deployment, &positions, &mut commit);
                    }
                    positions
                }
            };
            tables::deployments::put(&mut commit, &deployment);
            let revision = revision_of(&deployment, &cause, positions);
            tables::revisions::put(&mut commit, deployment.id, &revision);
            self.broker().storage().commit(commit).await.map_err(DeployError::from)
        };
        if let Err(error) = stored.await {
            if let Some(old) = old {
                self.start(old).await;
            }
            return Err(error);
        }
        told(&deployment, cause.action);
        self.start_with(Arc::new(deployment), ready).await;
        Ok(())
    }

    async fn replace_stage(&self, change: Replacement, old: Option<&Deployment>) -> Result<(), DeployError> {
        let Replacement { deployment, cause, mut commit, ready, .. } = change;
        let deployment = Arc::new(deployment);
        let stage = match ready.stage {
            Some(stage) => stage,
            None => Arc::new(self.stage(&deployment).await),
        };
        tables::deployments::put(&mut commit, &deployment);

        let inputs = &deployment.spec.input.topics;
        let logs: Vec<(TopicName, Arc<Log>)> = inputs
            .iter()
            .filter_map(|name| self.broker().topic(name.as_str()).ok())
            .flat_map(|topic| {
                topic.logs().iter().map(|log| (topic.name().clone(), log.clone())).collect::<Vec<_>>()
            })
            .collect();
        let places: Vec<_> = logs.iter().map(|(name, log)| (name.clone(), log.partition())).collect();
        let logs = logs.into_iter().map(|(_, log)| log).collect();
        let revision = revision_of(&deployment, &cause, Vec::new());
        tables::revisions::put_at_ends(&mut commit, deployment.id, revision, logs, |revision, ends| {
            let place = |((topic, partition), offset): ((TopicName, u32), &u64)| EffectiveFrom {
                topic,
                partition,
                offset: *offset,
            };
            revision.positions = places.into_iter().zip(ends).map(place).collect();
        });

        let mut topics = inputs.clone();
        topics.extend(old.into_iter().flat_map(|d| d.spec.input.topics.clone()));
        topics.sort();
        topics.dedup();
        let chains = topics.iter().map(|name| (name.clone(), self.chain_of(name, Some(&stage)))).collect();
        if let Err(error) = self.broker().switch_chains(chains, commit).await {
            self.install_chains(&topics);
            return Err(error.into());
        }
        told(&deployment, cause.action);
        self.start_with(deployment, Ready { stage: Some(stage), ..Ready::default() }).await;
        Ok(())
    }

    /// Where the tasks of a halted deployment stand; what they have not committed, they have not read.
    pub(super) async fn effective_from(
        &self,
        deployment: &Deployment,
    ) -> Result<Vec<EffectiveFrom>, DeployError> {
        let (id, generation) = (deployment.id, deployment.generation);
        let tasks = 0..deployment.tasks;
        let load = move |storage: &Storage| {
            let of = |task| positions::load(storage, TaskId { deployment: id, generation, task });
            tasks.map(of).collect::<Result<Vec<_>, _>>()
        };
        let stored = self.broker().storage().on_reader(load).await??;
        let mut from = Vec::new();
        for (partition, stored) in (0..).zip(&stored) {
            for name in deployment.spec.inputs() {
                let Ok(topic) = self.broker().topic(name.as_str()) else { continue };
                let begun =
                    deployment.start.iter().find(|s| s.topic == topic.id() && s.partition == partition);
                let offset = stored.get(&(topic.id(), partition)).copied().or(begun.map(|s| s.offset));
                from.push(EffectiveFrom { topic: name.clone(), partition, offset: offset.unwrap_or(0) });
            }
        }
        Ok(from)
    }

    /// The next generation, which begins where the one before stands.
    fn clear_state(&self, deployment: &mut Deployment, positions: &[EffectiveFrom], commit: &mut Commit) {
        state::clear_generation(commit, deployment.id, deployment.generation);
        deployment.generation += 1;
        for at in positions {
            let Ok(topic) = self.broker().topic(at.topic.as_str()) else { continue };
            let (deployment, generation) = (deployment.id, deployment.generation);
            let id = TaskId { deployment, generation, task: at.partition };
            positions::put(commit, id, topic.id(), at.partition, at.offset);
        }
    }

    /// A copy of the deployment with its next revision.
    pub(super) fn revised(&self, entry: &Entry, change: impl FnOnce(&mut Deployment)) -> Deployment {
        let mut deployment = Deployment::clone(&entry.deployment);
        deployment.revision += 1;
        deployment.updated_ms = self.broker().clock().now_ms();
        change(&mut deployment);
        deployment
    }
}
