//! Making the instance of a task.

use std::sync::Arc;

use super::supervisor::Shared;
use crate::model::deployment::Deployment;
use crate::state::{Allowed, TaskId, TaskState};
use crate::wasm::{Fault, InstanceConfig, LogSink, Place, Processor};

/// Loads the code, opens the task's state, makes an instance. Takes parts of a task, for an instance cannot be shared
/// between threads, and neither can a reference to the task that holds it.
pub(super) async fn new_instance(
    shared: &Shared,
    deployment: &Deployment,
    id: TaskId,
    log: Arc<dyn LogSink>,
    place: Place,
) -> Result<Processor, Fault> {
    let instance = |e: &dyn std::fmt::Display| Fault::Instance(e.to_string());
    let component = shared.registry.component(deployment.digest).await.map_err(|e| instance(&e))?;
    let spec = &deployment.spec;
    let state =
        TaskState::open(shared.broker.storage(), id, Allowed::by(&spec.state)).map_err(|e| instance(&e))?;
    let config = InstanceConfig {
        label: format!("{}/{}", spec.name, id.task),
        params: spec.params.clone(),
        inputs: spec.input.topics.iter().map(ToString::to_string).collect(),
        outputs: spec.output.routes.keys().cloned().collect(),
        limits: spec.limits.clone(),
        log,
        place: Some(place),
    };
    component.processor(config, state).await
}
