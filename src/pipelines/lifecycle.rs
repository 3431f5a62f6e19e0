//! Pausing, resuming, restarting, deleting: what becomes of a deployment without a new spec. As in [`super::apply`], every
//! change is stored first and then put in force.

use std::sync::Arc;

use super::apply::{ApplyOptions, check_conditions};
use super::replace::{Replacement, revision_of};
use super::supervisor::{Entry, Pipelines, wanted};
use super::view::{DeploymentState, DeploymentView};
use super::{DeployError, status::Status};
use crate::model::deployment::{DeploymentKind, Desired, StateFate};
use crate::model::revision::Action;
use crate::runtime::events::{self, What};
use crate::state;
use crate::storage::{Commit, tables};

impl Pipelines {
    /// Lets the tasks stand still after their current batch; positions are kept. Doing it again changes nothing.
    ///
    /// # Errors
    /// `Unknown`, `Inline`, `Commit`.
    pub async fn pause(&self, name: &str) -> Result<DeploymentView, DeployError> {
        self.set_desired(name, Desired::Paused, "paused").await?;
        self.settled(name).await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// `Unknown`, `Inline`, `Commit`.
    pub async fn resume(&self, name: &str) -> Result<DeploymentView, DeployError> {
        self.set_desired(name, Desired::Running, "resumed").await?;
        self.settled(name).await
    }

    async fn set_desired(
        &self,
        name: &str,
        desired: Desired,
        verb: &'static str,
    ) -> Result<DeploymentView, DeployError> {
        let name = name.to_owned();
        self.change(async move |pipelines: Self| pipelines.set_desired_whole(&name, desired, verb).await)
            .await
    }

    async fn set_desired_whole(
        &self,
        name: &str,
        desired: Desired,
        verb: &'static str,
    ) -> Result<DeploymentView, DeployError> {
        let _one = self.0.changes.lock().await;
        let entry = by_itself(self.entry(name)?, verb)?;
        if entry.deployment.desired == desired {
            return Ok(entry.view());
        }
        let deployment = self.revised(&entry, |d| d.desired = desired);
        let mut commit = Commit::new();
        if desired == Desired::Paused {
            // What fills a disk has to be stopped also when it is full.
            commit.past_reserve();
        }
        let action = if desired == Desired::Paused { Action::Paused } else { Action::Resumed };
        self.replace(Replacement::new(deployment, action.into(), commit)).await
    }

    /// Fresh instances that begin at the stored positions; `only_failed` leaves the other tasks alone.
    ///
    /// # Errors
    /// `Unknown`.
    pub async fn restart(&self, name: &str, only_failed: bool) -> Result<DeploymentView, DeployError> {
        let own = name.to_owned();
        self.change(async move |pipelines: Self| pipelines.restart_whole(&own, only_failed).await).await?;
        self.settled(name).await
    }

    async fn restart_whole(&self, name: &str, only_failed: bool) -> Result<DeploymentView, DeployError> {
        let _one = self.0.changes.lock().await;
        let entry = self.entry(name)?;
        if only_failed && entry.stage.is_none() && entry.view.is_none() {
            let failed = |status: &Status| {
                let failed = status.state() == DeploymentState::Failed;
                if failed {
                    // Not any more: the answer waits for what becomes of it.
                    status.set_state(DeploymentState::Starting);
                }
                failed
            };
            Self::order(&entry, wanted(&entry.deployment), failed);
            return Ok(entry.view());
        }
        self.end_shadow(&entry.deployment.spec.name, "the deployment was restarted");
        self.halt(&entry.deployment.spec.name).await;
        self.start(entry.deployment).await;
        self.describe(name)
    }

    /// Deletes a deployment; with a revision only if it still has it. `Keep` keeps state and positions for a later one of
    /// the same name.
    ///
    /// # Errors
    /// `Unknown`, `Revision`, `Commit`.
    pub async fn delete(
        &self,
        name: &str,
        fate: StateFate,
        revision: Option<u64>,
    ) -> Result<(), DeployError> {
        let name = name.to_owned();
        self.change(async move |pipelines: Self| pipelines.delete_whole(&name, fate, revision).await).await
    }

    async fn delete_whole(
        &self,
        name: &str,
        fate: StateFate,
        revision: Option<u64>,
    ) -> Result<(), DeployError> {
        let _one = self.0.changes.lock().await;
        // State that an earlier delete has kept is deleted in the same way.
        let kept = || self.entries().into_iter().find(|e| e.deployment.spec.name.as_str() == name);
        let entry = match self.entry(name) {
            Err(unknown) if fate == StateFate::Clear => kept().ok_or(unknown)?,
            other => other?,
        };
        let conditions = ApplyOptions { if_revision: revision, ..ApplyOptions::default() };
        check_conditions(&entry.deployment.spec.name, Some(entry.deployment.revision), conditions)?;
        let keep = entry.deployment.spec.kind.remembers() && fate == StateFate::Keep;
        self.halt(&entry.deployment.spec.name).await;
        let mut commit = Commit::new();
        let retired = self.revised(&entry, |d| d.desired = Desired::Retired);
        if keep {
            // A delete, like every other on a full disk.
            commit.past_reserve();
            tables::deployments::put(&mut commit, &retired);
            let positions = match self.effective_from(&entry.deployment).await {
                Ok(positions) => positions,
                Err(error) => {
                    self.start(entry.deployment).await;
                    return Err(error);
                }
            };
            let revision = revision_of(&retired, &Action::Retired.into(), positions);
            tables::revisions::put(&mut commit, retired.id, &revision);
        } else {
            tables::revisions::delete_all(&mut commit, entry.deployment.id);
            tables::deployments::delete(&mut commit, entry.deployment.id);
            state::clear_deployment(&mut commit, entry.deployment.id);
        }
        if let Err(error) = self.broker().storage().commit(commit).await {
            self.start(entry.deployment).await;
            return Err(error.into());
        }
        self.end_shadow(&entry.deployment.spec.name, "the deployment was deleted");
        self.forget_shadow(&entry.deployment.spec.name);
        self.remove(&entry.deployment.spec.name);
        self.hide_view(&entry.deployment.spec).await;
        if !keep {
            self.drop_internal(&entry.deployment.spec).await;
        }
        self.0.shared.failing.forget(&entry.deployment.spec.name);
        events::publish(What::DeploymentDeleted, &entry.deployment.spec.name, Vec::new());
        if keep {
            self.start(Arc::new(retired)).await;
        }
        Ok(())
    }
}

/// Only what runs by itself stands still and goes back.
pub(super) fn by_itself(entry: Entry, verb: &'static str) -> Result<Entry, DeployError> {
    match entry.deployment.spec.kind {
        DeploymentKind::Processor | DeploymentKind::Sink | DeploymentKind::Source => Ok(entry),
        DeploymentKind::View => Err(DeployError::View { name: entry.deployment.spec.name.clone(), verb }),
        DeploymentKind::Inline => Err(DeployError::Inline { name: entry.deployment.spec.name.clone(), verb }),
    }
}
