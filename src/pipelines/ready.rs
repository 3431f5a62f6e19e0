//! What is to take over is loaded and opened while what runs goes on: then the change itself takes milliseconds, and code
//! that cannot be started changes nothing. Code takes its time to open, so other changes are made meanwhile: a change goes
//! in rounds, each of which decides under the change lock whether what was opened is what it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::DeployError;
use super::apply::Applied;
use super::error::Clash;
use super::instance::Worker;
use super::source;
use super::supervisor::Pipelines;
use crate::broker::inline::Stage;
use crate::broker::view::View;
use crate::model::Partition;
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::limits::OPENS_WAIT;
use crate::model::revision::StateChange;
use crate::state::TaskId;
use crate::wasm::{Fault, Places, Source};

/// Instances made before a change; the others are made with their first batch. Each may hold `limits.memory` beside those
/// that still run (a guess). What is new has nobody to keep up with: one shows that the code can be started.
const READY_MAX: u32 = 16;

/// Rounds of a change after which it gives way to the others that come between. Each of them takes another change of the same
/// deployment, or of its topics (a guess: nobody writes one from so many places).
const ROUNDS_MAX: usize = 8;

/// What a deployment is to be, as far as its code has to be opened for it.
pub(super) struct Form {
    pub(super) deployment: Deployment,
    /// what becomes of its state
    pub(super) state: StateChange,
    /// nothing runs before it
    pub(super) is_new: bool,
    /// else a node too busy to open the code takes it untried
    pub(super) must_open: bool,
}

/// A form and what was opened for it.
pub(super) struct Opened {
    pub(super) form: Form,
    pub(super) ready: Ready,
}

/// How far a round has come.
pub(super) enum Round {
    Done(Box<Applied>),
    /// the code of this form has to be open for the next one
    Open(Box<Form>),
}

/// What takes over.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) stage: Option<Arc<Stage>>,
    pub(super) view: Option<Arc<View>>,
    pub(super) source: Option<Source>,
    pub(super) places: Option<Places>,
    pub(super) instances: BTreeMap<Partition, Worker>,
}

impl Opened {
    /// Is it what this form needs? Where a new deployment begins, and when, its code does not see; its number is its own.
    pub(super) fn is_for(&self, form: &Form) -> bool {
        let (now, opened) = (&form.deployment, &self.form.deployment);
        let is_first = |d: &Deployment| d.revision == 1;
        let same = Deployment {
            id: if is_first(now) && is_first(opened) { opened.id } else { now.id },
            start: opened.start.clone(),
            created_ms: opened.created_ms,
            updated_ms: opened.updated_ms,
            ..now.clone()
        };
        same == *opened && self.form.state == form.state
    }
}

impl Pipelines {
    /// Goes through the rounds of a change until one is done. A round takes the change lock; none is held while code opens.
    ///
    /// # Errors
    /// Those of the round, `NotReady`, `Opening`, `Conflict` when others change what it rests on again and again.
    pub(super) async fn in_rounds<F>(
        &self,
        round: impl Fn(Option<Opened>) -> F,
    ) -> Result<Applied, DeployError>
    where
        F: Future<Output = Result<Round, DeployError>>,
    {
        let mut opened = None;
        for _ in 0..ROUNDS_MAX {
            match round(opened.take()).await? {
                Round::Done(applied) => return Ok(*applied),
                Round::Open(form) => opened = Some(self.open_code(*form).await?),
            }
        }
        Err(Clash::Meanwhile.because(format!(
            "others changed the deployment or its topics {ROUNDS_MAX} times while its code was opened; send it again"
        )))
    }

    async fn open_code(&self, form: Form) -> Result<Opened, DeployError> {
        let ready = match self.make_ready(&form).await {
            Err(DeployError::NotReady { fault: Fault::Busy(_), .. }) if !form.must_open => Ready::default(),
            ready => ready?,
        };
        Ok(Opened { form, ready })
    }

    /// Loads the code of a deployment to be and opens its first instances (of a new one a single one), over the state as
    /// it is or, when that is to be cleared, over none. Waits for a compilation if the compiled form is gone, and then
    /// for a place. Whoever stops waiting for it ends it.
    ///
    /// # Errors
    /// `NotReady`, `Opening`.
    async fn make_ready(&self, form: &Form) -> Result<Ready, DeployError> {
        let (deployment, is_new) = (&form.deployment, form.is_new);
        let not_ready = |fault: Fault| DeployError::NotReady { module: deployment.module(), is_new, fault };
        let instance = |e: &dyn std::fmt::Display| Fault::Instance(e.to_string());
        let component = self.0.shared.registry.component(deployment.digest).await;
        let component = component.map_err(|e| not_ready(instance(&e)))?;
        let open = self.place_to_open().await?;
        let log = self.log(&deployment.spec);
        let pipelines = self.clone();
        let mut new = deployment.clone();
        if form.state == StateChange::Clear {
            new.generation += 1;
        }
        let most = if is_new { 1 } else { READY_MAX }.min(new.spec.limits.instances);
        let work = async move {
            let _open = open;
            let mut ready = Ready::default();
            match new.spec.kind {
                DeploymentKind::Inline => {
                    let topic = new.spec.input.topics.first();
                    let topic = topic.and_then(|name| pipelines.broker().topic_named(name.as_str()));
                    let partitions = topic.map_or(1, |topic| topic.topic.partitions);
                    let sinks = Box::new(move |partition| log.instance(partition));
                    let stage = Arc::new(Stage::new(new, Ok(component), sinks));
                    for partition in 0..partitions.min(most) {
                        stage.warm(partition).await?;
                    }
                    ready.stage = Some(stage);
                }
                DeploymentKind::View => {
                    ready.view = pipelines.view_of(&new, Ok(component)).map(Arc::new);
                    if let Some(view) = &ready.view {
                        view.warm().await?;
                    }
                }
                DeploymentKind::Source => {
                    let log = log.instance(source::TASK);
                    ready.source = Some(source::new_instance(&pipelines.0.shared, &new, log).await?);
                }
                DeploymentKind::Processor | DeploymentKind::Sink => {
                    let places = Places::new(new.spec.limits.instances);
                    for task in 0..new.tasks.min(most) {
                        let id = TaskId { deployment: new.id, generation: new.generation, task };
                        let place = places.take().await;
                        let made = Worker::make(&pipelines.0.shared, &new, id, log.instance(task), place);
                        ready.instances.insert(task, made.await?);
                    }
                    ready.places = Some(places);
                }
            }
            Ok(ready)
        };
        let opening = self.broker().guests().spawn("first instances", work);
        opening.await.unwrap_or_else(|e| Err(instance(&e))).map_err(not_ready)
    }

    async fn place_to_open(&self) -> Result<OwnedSemaphorePermit, DeployError> {
        let place = self.0.opens.clone().acquire_owned();
        let place = tokio::time::timeout(OPENS_WAIT, place).await.map_err(|_| DeployError::Opening)?;
        place.map_err(|e| DeployError::Stopping(e.to_string()))
    }
}
