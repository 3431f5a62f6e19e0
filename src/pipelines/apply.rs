//! Applying a spec: the change is stored first and then put in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::DeployError;
use super::error::Clash;
use super::plan::{self, Change};
use super::ready::{Form, Opened, Round};
use super::replace::{Cause, Replacement};
use super::supervisor::{Pipelines, live_max};
use super::view::DeploymentView;
use crate::broker::{NewTopic, OffsetSpec, TopicError, TopicHandle};
use crate::model::deployment::{
    Deployment, DeploymentSpec, Desired, Grants, SpecProblem, Start, StartPosition,
};
use crate::model::limits::{KIB, MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX};
use crate::model::module::{Digest, ModuleKind, ModuleRef, ModuleVersion};
use crate::model::revision::{Action, StateChange};
use crate::model::topic::TopicConfig;
use crate::model::{DeploymentName, TopicName};
use crate::runtime::tasks;
use crate::storage::Commit;
use crate::storage::tables::counters::{self, Counter};

/// What the headers of a dead letter may take: the words of a panic are the largest of them.
const DEAD_LETTER_ROOM: usize = 256 * KIB;

/// Conditions of an apply.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// refuse unless the deployment has this revision
    pub if_revision: Option<u64>,
    /// refuse if it exists
    pub if_absent: bool,
    /// check everything, change nothing
    pub dry_run: bool,
}

/// What a change is, beside its spec.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) cause: Cause,
    /// the code, whatever the spec's module means now
    pub(super) pinned: Option<Digest>,
    /// as in [`Form::must_open`]
    pub(super) must_open: bool,
    /// a migration that is not done is given up
    pub(super) abandon: bool,
}

impl How {
    pub(super) fn by(cause: Cause) -> Self {
        Self { cause, pinned: None, must_open: false, abandon: false }
    }
}

/// What an apply did, or would do.
#[derive(Debug, Clone)]
pub struct Applied {
    /// the deployment; a dry run of a new one gives none
    pub view: Option<DeploymentView>,
    /// it was not there before
    pub created: bool,
    /// spec or module differ from before
    pub changed: bool,
    /// how the spec differs
    pub diff: Vec<Change>,
}

impl Pipelines {
    /// Creates a deployment or changes it to what the spec says; the same spec again changes nothing.
    ///
    /// # Errors
    /// See [`DeployError`]; then nothing has changed, but that topics may have been created for it.
    pub async fn apply(&self, spec: DeploymentSpec, options: ApplyOptions) -> Result<Applied, DeployError> {
        let apply = async move |pipelines: Self| {
            let round = |opened| pipelines.apply_round(&spec, options, opened);
            pipelines.in_rounds(round).await
        };
        self.change_or_try(options, apply).await
    }

    async fn apply_round(
        &self,
        spec: &DeploymentSpec,
        options: ApplyOptions,
        opened: Option<Opened>,
    ) -> Result<Round, DeployError> {
        let _one = self.0.changes.lock().await;
        let round = self.apply_locked(spec.clone(), options, How::by(Action::Applied.into()), opened).await;
        if !options.dry_run && !matches!(round, Ok(Round::Done(_))) {
            self.give_back(spec).await;
        }
        round
    }

    /// What was taken for a deployment that has not come.
    async fn give_back(&self, spec: &DeploymentSpec) {
        self.release_view(spec);
        self.drop_internal(spec).await;
        if !self.knows(&spec.name) {
            self.broker().detach(&spec.name);
        }
    }

    /// Under the change lock: checks everything, and makes the change if the code was opened for just this.
    pub(super) async fn apply_locked(
        &self,
        spec: DeploymentSpec,
        options: ApplyOptions,
        how: How,
        opened: Option<Opened>,
    ) -> Result<Round, DeployError> {
        let problems = spec.problems();
        if !problems.is_empty() {
            return Err(DeployError::Spec(problems));
        }
        let entries = self.entries();
        let past = entries.iter().find(|e| e.deployment.spec.name == spec.name).map(|e| e.deployment.clone());
        let live = past.as_ref().filter(|p| p.desired != Desired::Retired);
        check_conditions(&spec.name, live.map(|p| p.revision), options)?;
        self.check_secrets(&spec)?;
        let module = self.resolve_as(&spec, how.pinned)?;
        let others = entries.iter().map(|e| &*e.deployment);
        if let Some((with, detail)) = plan::conflict(&spec, past.as_deref(), others) {
            return Err(with.because(detail));
        }
        if let Some(past) = past.as_ref().filter(|_| how.cause.state != StateChange::Clear) {
            self.check_stores(&spec, past).await?;
        }

        let before = live.map(|p| serde_json::to_value(&p.spec).unwrap_or_default()).unwrap_or_default();
        let after = serde_json::to_value(&spec).unwrap_or_default();
        let diff = plan::diff(&before, &after);
        let changed = !diff.is_empty()
            || how.cause.state != StateChange::Keep
            || live.is_none_or(|p| p.digest != module.digest);
        let migration = self.migration_after(&how.cause, past.as_deref(), &module, how.abandon).await?;
        let created = live.is_none();
        // What is stored goes on also above a ceiling that came down; a change has to keep to it.
        let above = if changed { self.0.options.ceiling.problems(&spec) } else { Vec::new() };
        if !above.is_empty() {
            return Err(DeployError::Spec(above));
        }
        let tasks = self.check_topics(&spec, module.kind, true).await?;
        if !changed {
            let view = self.entry(spec.name.as_str()).ok().map(|e| e.view());
            return Ok(Round::Done(Box::new(Applied { view, created, changed, diff })));
        }

        let limit = self.0.options.deployments_max;
        if created && entries.len() >= limit {
            return Err(DeployError::TooMany { limit });
        }
        if let Some(past) = past.as_ref().filter(|p| p.tasks != tasks) {
            return Err(Clash::Past.because(format!(
                "the inputs of deployment `{}` have {tasks} partitions, its state was made with {}; {}, or deploy under \
                 another name",
                spec.name,
                past.tasks,
                plan::delete_first(past)
            )));
        }
        self.check_instances(&spec, tasks)?;
        let mut commit = Commit::new();
        let mut deployment = self.make(spec, &module, past.as_deref(), tasks, &mut commit).await?;
        deployment.migration = migration;
        let form = Form { deployment, state: how.cause.state, is_new: created, must_open: how.must_open };
        let Some(Opened { form: Form { deployment: of, .. }, ready }) = opened.filter(|o| o.is_for(&form))
        else {
            return Ok(Round::Open(Box::new(form)));
        };
        if options.dry_run {
            let view = self.entry(form.deployment.spec.name.as_str()).ok().map(|e| e.view());
            return Ok(Round::Done(Box::new(Applied { view, created, changed, diff })));
        }
        if created {
            // From now on nobody adds partitions to its inputs.
            self.broker().attach(&form.deployment.spec.name, self.uses(&form.deployment));
        }
        if self.check_topics(&form.deployment.spec, module.kind, false).await? != tasks {
            // It happened a moment ago: the next round sees it.
            return Ok(Round::Open(Box::new(form)));
        }
        let deployment = Deployment { id: of.id, ..form.deployment };
        let replacement = Replacement { ready, ..Replacement::new(deployment, how.cause, commit) };
        let view = self.replace(replacement).await?;
        Ok(Round::Done(Box::new(Applied { view: Some(view), created, changed, diff })))
    }

    /// Runs a change to its end, also when whoever asked for it has gone: half a change would leave a deployment that is
    /// stored and does not run.
    pub(super) async fn change<T, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T, DeployError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DeployError>> + Send + 'static,
    {
        let done = tasks::spawn("change of a deployment", work(self.clone())).await;
        done.unwrap_or_else(|e| Err(DeployError::Stopping(e.to_string())))
    }

    /// The same; but a dry run ends with its request: it changes nothing, and nobody is left to be told what its code did.
    pub(super) async fn change_or_try<T, F>(
        &self,
        options: ApplyOptions,
        work: impl FnOnce(Self) -> F,
    ) -> Result<T, DeployError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DeployError>> + Send + 'static,
    {
        if options.dry_run { work(self.clone()).await } else { self.change(work).await }
    }

    /// Runs work to its end while no deployment is applied, changed or deleted.
    ///
    /// # Errors
    /// `Stopping` when the server stops before.
    pub async fn while_unchanged<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, DeployError> {
        let held = async move |pipelines: Self| {
            let _one = pipelines.0.changes.lock().await;
            Ok(work.await)
        };
        self.change(held).await
    }

    fn check_secrets(&self, spec: &DeploymentSpec) -> Result<(), DeployError> {
        let mut problems = Vec::new();
        for (i, secret) in spec.grants.secrets.iter().enumerate() {
            // One after the other, so that each has its own words.
            let alone = Grants { http: spec.grants.http.clone(), secrets: vec![secret.clone()] };
            if let Err(detail) = self.0.shared.outbound.access(spec.name.as_str(), &alone) {
                problems.push(SpecProblem { pointer: format!("/grants/secrets/{i}/name"), detail });
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(DeployError::Spec(problems)) }
    }

    /// The module that a spec means, if it is of the right kind.
    pub(super) fn resolve(&self, spec: &DeploymentSpec) -> Result<Arc<ModuleVersion>, DeployError> {
        self.resolve_as(spec, None)
    }

    /// The same, or the version with a digest whatever the spec means.
    fn resolve_as(
        &self,
        spec: &DeploymentSpec,
        pinned: Option<Digest>,
    ) -> Result<Arc<ModuleVersion>, DeployError> {
        let spec_problem =
            |detail: String| DeployError::Spec(vec![SpecProblem { pointer: "/module".into(), detail }]);
        let name = spec.module.split('@').next().unwrap_or_default();
        let text = pinned.map_or_else(|| spec.module.clone(), |digest| format!("{name}@{digest}"));
        let reference = ModuleRef::parse(&text).map_err(spec_problem)?;
        let module = self.0.shared.registry.resolve(&reference)?;
        if module.kind.fits(spec.kind) {
            let problems = module.params.as_ref().map(|params| params.problems(&spec.params));
            return match problems {
                Some(problems) if !problems.is_empty() => Err(DeployError::Spec(problems)),
                _ => Ok(module),
            };
        }
        let name = format!("{}@{}", module.name, module.version);
        Err(DeployError::Kind { module: name, found: module.kind, wanted: spec.kind })
    }

    /// Inputs exist and have the same number of partitions, which is the number of tasks; outputs exist or are created.
    async fn check_topics(
        &self,
        spec: &DeploymentSpec,
        module: ModuleKind,
        dry_run: bool,
    ) -> Result<u32, DeployError> {
        let inputs: Vec<_> =
            spec.input.topics.iter().map(|t| self.broker().topic(t.as_str())).collect::<Result<_, _>>()?;
        let partitions = inputs.first().map_or(1, |t| t.topic.partitions);
        let by = |topic: &&Arc<TopicHandle>| topic.topic.partitions;
        if let (Some(least), Some(most)) = (inputs.iter().min_by_key(by), inputs.iter().max_by_key(by))
            && by(&least) != by(&most)
        {
            let (least, less, most, more) = (least.name(), by(&least), most.name(), by(&most));
            return Err(Clash::Inputs.because(format!(
                "topic `{least}` has {less} partitions, topic `{most}` has {more}; the inputs of a deployment must have \
                 the same number, so that a key's records meet in one task: add {} to `{least}` before it holds keyed \
                 records, or copy it to a topic of {more}",
                more - less
            )));
        }
        for name in spec.outputs() {
            let create = spec.output.create_topics.as_ref();
            let create = create.map(|c| NewTopic::new(name.clone(), c.partitions, TopicConfig::default()));
            self.check_output(name, create, dry_run).await?;
        }
        if spec.wants_dead_letters(module) {
            let name = spec.dead_letter_topic();
            let create = NewTopic::new(name.clone(), partitions, dead_letter_config(&inputs)?);
            self.check_output(&name, Some(create), dry_run).await?;
        }
        if !dry_run {
            self.make_internal(spec, partitions).await?;
        }
        self.reserve_view(spec, dry_run).await?;
        Ok(if spec.kind.has_tasks() { partitions } else { 0 })
    }

    async fn check_output(
        &self,
        name: &TopicName,
        create: Option<NewTopic>,
        dry_run: bool,
    ) -> Result<(), DeployError> {
        match (self.broker().topic(name.as_str()), create) {
            (Ok(_), _) => Ok(()),
            (Err(view @ TopicError::View { .. }), _) => Err(view.into()),
            (Err(missing), None) => Err(missing.into()),
            (Err(_), Some(new)) => {
                let made = match dry_run {
                    true => self.broker().check_new_topic(&new),
                    false => self.broker().create_topic(new).await.map(drop),
                };
                match made {
                    Err(TopicError::Exists { .. }) => Ok(()),
                    made => made.map_err(DeployError::from),
                }
            }
        }
    }

    fn check_instances(&self, spec: &DeploymentSpec, tasks: u32) -> Result<(), DeployError> {
        let own = self.entry(spec.name.as_str()).map_or(0, |e| live_max(&e.deployment.spec, e.tasks.len()));
        let tasks = live_max(spec, tasks as usize);
        let (limit, wanted) = (self.0.options.instances_max, self.instances() - own + tasks);
        if wanted <= limit {
            return Ok(());
        }
        Err(Clash::Instances.because(format!(
            "deployment `{}` may have {tasks} instances, the node would then have {wanted} of at most {limit} \
             (`limits.node_instances` in its settings); a lower `limits.instances` makes its tasks take turns",
            spec.name
        )))
    }

    async fn make(
        &self,
        spec: DeploymentSpec,
        module: &ModuleVersion,
        past: Option<&Deployment>,
        tasks: u32,
        commit: &mut Commit,
    ) -> Result<Deployment, DeployError> {
        let now_ms = self.broker().clock().now_ms();
        let (version, digest) = (module.version.clone(), module.digest);
        if let Some(past) = past {
            let desired = if past.desired == Desired::Retired { Desired::Running } else { past.desired };
            let revision = past.revision + 1;
            return Ok(Deployment {
                spec,
                version,
                digest,
                revision,
                desired,
                tasks,
                updated_ms: now_ms,
                ..past.clone()
            });
        }
        let start = if spec.kind.has_tasks() { self.start_positions(&spec).await? } else { Vec::new() };
        // Also one whose code is only opened has a number of its own, under which no state is.
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        counters::put(commit, Counter::Deployment, id + 1);
        Ok(Deployment {
            id,
            spec,
            version,
            digest,
            revision: 1,
            generation: 0,
            desired: Desired::Running,
            tasks,
            start,
            migration: None,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
    }

    async fn start_positions(&self, spec: &DeploymentSpec) -> Result<Vec<StartPosition>, DeployError> {
        let at = match spec.input.start {
            Start::Earliest => OffsetSpec::Earliest,
            Start::Latest => OffsetSpec::Latest,
            Start::Timestamp(ms) => OffsetSpec::Timestamp(ms),
        };
        let mut positions = Vec::new();
        for name in &spec.input.topics {
            let topic: Arc<TopicHandle> = self.broker().topic(name.as_str())?;
            for partition in 0..topic.topic.partitions {
                let offset = self.broker().resolve_offset(&topic, partition, at).await?;
                positions.push(StartPosition { topic: topic.id(), partition, offset });
            }
        }
        Ok(positions)
    }
}

/// A dead letter is a record of an input and what was wrong with it: its topic takes larger ones than the inputs do, or the
/// largest records would be the ones that cannot be given up.
fn dead_letter_config(inputs: &[Arc<TopicHandle>]) -> Result<TopicConfig, TopicError> {
    let largest = inputs.iter().map(|topic| topic.topic.config.message_bytes_max()).max();
    let bytes = largest.unwrap_or(MESSAGE_BYTES_DEFAULT).saturating_add(DEAD_LETTER_ROOM);
    let mut config = TopicConfig::default();
    config.set("max.message.bytes", &bytes.clamp(MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX).to_string())?;
    Ok(config)
}

pub(super) fn check_conditions(
    name: &DeploymentName,
    revision: Option<u64>,
    o: ApplyOptions,
) -> Result<(), DeployError> {
    if o.if_absent && revision.is_some() {
        return Err(DeployError::Exists(name.clone()));
    }
    match o.if_revision {
        Some(expected) if revision != Some(expected) => {
            Err(DeployError::Revision { name: name.clone(), expected, actual: revision.unwrap_or(0) })
        }
        _ => Ok(()),
    }
}
