//! To another version, and back. The new code is ready before the old one stops; where it takes effect is in the revision
//! that the change makes.

use std::collections::BTreeMap;

use super::apply::{Applied, ApplyOptions, How, check_conditions};
use super::ready::{Opened, Round};
use super::replace::Cause;
use super::revisions::find;
use super::supervisor::{Entry, Pipelines};
use super::{DeployError, plan};
use crate::model::deployment::DeploymentKind;
use crate::model::revision::{Action, Revision, StateChange};
use crate::registry::ResolveError;

/// What is to run from now on.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// as in a spec
    pub module: String,
    /// what becomes of the state
    pub state: StateChange,
    /// parameters that change; `None` removes one
    pub params: BTreeMap<String, Option<String>>,
}

/// What was, and is to be again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rollback {
    /// default: the newest one before that had another spec or other code
    pub revision: Option<u64>,
    /// begin with an empty state
    pub clear: bool,
    /// hand the state over as it is, also when a version in between has cleared or migrated it
    pub force: bool,
}

impl Pipelines {
    /// Another module version, and other parameters if asked for. The old code goes on until the new one is ready.
    ///
    /// # Errors
    /// See [`DeployError`]; then what ran runs on.
    pub async fn upgrade(
        &self,
        name: &str,
        upgrade: Upgrade,
        options: ApplyOptions,
    ) -> Result<Applied, DeployError> {
        let own = name.to_owned();
        let work = async move |pipelines: Self| {
            let round = |opened| pipelines.upgrade_round(&own, &upgrade, options, opened);
            pipelines.in_rounds(round).await
        };
        let applied = self.change_or_try(options, work).await?;
        self.shown_settled(name, applied, options).await
    }

    async fn upgrade_round(
        &self,
        name: &str,
        upgrade: &Upgrade,
        options: ApplyOptions,
        opened: Option<Opened>,
    ) -> Result<Round, DeployError> {
        let _one = self.0.changes.lock().await;
        let mut spec = self.entry(name)?.deployment.spec.clone();
        spec.module.clone_from(&upgrade.module);
        for (name, value) in &upgrade.params {
            match value {
                Some(value) => drop(spec.params.insert(name.clone(), value.clone())),
                None => drop(spec.params.remove(name)),
            }
        }
        let cause = Cause { state: upgrade.state, ..Action::Upgraded.into() };
        self.apply_locked(spec, options, How { must_open: true, ..How::by(cause) }, opened).await
    }

    /// The spec and the code of an earlier revision, as a new revision.
    ///
    /// # Errors
    /// `NoRevision`, `StateGone`; see [`DeployError`] for the rest. Then what ran runs on.
    pub async fn rollback(
        &self,
        name: &str,
        rollback: Rollback,
        options: ApplyOptions,
    ) -> Result<Applied, DeployError> {
        let own = name.to_owned();
        let work = async move |pipelines: Self| {
            let round = |opened| pipelines.rollback_round(&own, rollback, options, opened);
            pipelines.in_rounds(round).await
        };
        let applied = self.change_or_try(options, work).await?;
        self.shown_settled(name, applied, options).await
    }

    async fn rollback_round(
        &self,
        name: &str,
        rollback: Rollback,
        options: ApplyOptions,
        opened: Option<Opened>,
    ) -> Result<Round, DeployError> {
        let _one = self.0.changes.lock().await;
        let entry = self.entry(name)?;
        check_conditions(&entry.deployment.spec.name, Some(entry.deployment.revision), options)?;
        let stored = self.stored_revisions(name).await?;
        let target = match rollback.revision {
            Some(number) => find(name, &stored, number)?.0,
            None => before(&entry, &stored)?,
        };
        let state = if rollback.clear { StateChange::Clear } else { StateChange::Keep };
        let migrating = entry.deployment.migration.is_some() && state == StateChange::Keep;
        let halts = migrating && !options.dry_run && opened.is_some();
        if halts {
            // No step may be committed between the look and the change.
            self.halt(&entry.deployment.spec.name).await;
        }
        let applied = async {
            if state == StateChange::Keep && !rollback.force {
                self.check_state(&entry, &stored, target).await?;
            }
            let cause = Cause { action: Action::RolledBack, of: Some(target.revision), state };
            let how = How { must_open: true, pinned: Some(target.digest), abandon: true, ..How::by(cause) };
            self.apply_locked(target.spec.clone(), options, how, opened).await.map_err(|e| gone(e, target))
        }
        .await;
        let is_made = matches!(&applied, Ok(Round::Done(applied)) if applied.changed);
        if halts && !is_made {
            // Whoever refused may have set it going again already.
            self.halt(&entry.deployment.spec.name).await;
            self.start(entry.deployment).await;
        }
        applied
    }

    /// State that a later version has cleared or migrated is not what the earlier one left.
    async fn check_state(
        &self,
        entry: &Entry,
        stored: &[Revision],
        target: &Revision,
    ) -> Result<(), DeployError> {
        if entry.deployment.spec.kind == DeploymentKind::Inline {
            return Ok(());
        }
        let later = stored.iter().filter(|r| r.revision > target.revision && r.action != Action::Rewound);
        for revision in later {
            let own = entry.deployment.migration.as_ref().is_some_and(|m| m.revision == revision.revision);
            let is_changed = match revision.state {
                StateChange::Keep => false,
                StateChange::Migrate if own => self.migration_has_begun(&entry.deployment).await?,
                StateChange::Migrate | StateChange::Clear => true,
            };
            if is_changed {
                let (revision, change) = (revision.revision, revision.state);
                return Err(DeployError::StateGone { revision, change });
            }
        }
        Ok(())
    }

    async fn shown_settled(
        &self,
        name: &str,
        applied: Applied,
        options: ApplyOptions,
    ) -> Result<Applied, DeployError> {
        if options.dry_run {
            return Ok(applied);
        }
        Ok(Applied { view: Some(self.settled(name).await?), ..applied })
    }
}

/// The newest revision that was something else.
fn before<'a>(entry: &Entry, stored: &'a [Revision]) -> Result<&'a Revision, DeployError> {
    let now = &entry.deployment;
    let compared = |r: &Revision| serde_json::to_value(&r.spec).unwrap_or_default();
    let spec = serde_json::to_value(&now.spec).unwrap_or_default();
    let differs = |r: &&Revision| r.digest != now.digest || !plan::diff(&compared(r), &spec).is_empty();
    stored
        .iter()
        .rev()
        .filter(|r| r.revision < now.revision)
        .find(differs)
        .ok_or_else(|| DeployError::NothingBefore(now.spec.name.clone()))
}

/// A version that was deleted meanwhile.
fn gone(error: DeployError, target: &Revision) -> DeployError {
    match error {
        DeployError::Module(ResolveError::Module { .. } | ResolveError::Version { .. }) => {
            DeployError::VersionGone(Box::new(target.clone()))
        }
        other => other,
    }
}
