//! What is to take over is loaded and opened while what runs goes on: then the change itself takes milliseconds, and code
//! that cannot be started changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::DeployError;
use super::instance::Worker;
use super::source;
use super::supervisor::Pipelines;
use crate::broker::inline::Stage;
use crate::broker::view::View;
use crate::model::Partition;
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::model::revision::StateChange;
use crate::state::TaskId;
use crate::wasm::{Fault, Places, Source};

/// Instances made before a change; the others are made with their first batch. Each may hold `limits.memory` beside those
/// that still run (a guess). What is new has nobody to keep up with: one shows that the code can be started.
const READY_MAX: u32 = 16;

/// What takes over.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) stage: Option<Arc<Stage>>,
    pub(super) view: Option<Arc<View>>,
    pub(super) source: Option<Source>,
    pub(super) places: Option<Places>,
    pub(super) instances: BTreeMap<Partition, Worker>,
}

impl Pipelines {
    /// Loads the code of a deployment to be and opens its first instances (of a new one a single one), over the state as it is or, when that is to be
    /// cleared, over none. Waits for a compilation if the compiled form is gone.
    ///
    /// # Errors
    /// `NotReady`.
    pub(super) async fn make_ready(
        &self,
        deployment: &Deployment,
        state: StateChange,
        is_new: bool,
    ) -> Result<Ready, DeployError> {
        let not_ready = |fault: Fault| DeployError::NotReady { module: deployment.module(), is_new, fault };
        let instance = |e: &dyn std::fmt::Display| Fault::Instance(e.to_string());
        let component = self.0.shared.registry.component(deployment.digest).await;
        let component = component.map_err(|e| not_ready(instance(&e)))?;
        let log = self.log(&deployment.spec);
        let pipelines = self.clone();
        let mut new = deployment.clone();
        if state == StateChange::Clear {
            new.generation += 1;
        }
        let most = if is_new { 1 } else { READY_MAX }.min(new.spec.limits.instances);
        let work = async move {
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
        let made = self.broker().guests().spawn("first instances", work).await;
        made.unwrap_or_else(|e| Err(instance(&e))).map_err(not_ready)
    }
}
