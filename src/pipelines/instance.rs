//! The code of one task, alive: a processor over its state, or a sink.

use std::sync::Arc;

use super::supervisor::Shared;
use crate::model::deployment::{Deployment, DeploymentKind};
use crate::state::{Allowed, TaskId, TaskState};
use crate::wasm::{Answer, Fault, Input, InstanceConfig, LogSink, Place, Processor, Sink};

pub(super) enum Worker {
    Processor(Processor),
    Sink(Sink),
}

impl Worker {
    /// Loads the code, opens the task's state, makes an instance. Takes parts of a task, for an instance cannot be shared
    /// between threads, and neither can a reference to the task that holds it.
    pub(super) async fn make(
        shared: &Shared,
        deployment: &Deployment,
        id: TaskId,
        log: Arc<dyn LogSink>,
        place: Place,
    ) -> Result<Self, Fault> {
        let instance = |e: &dyn std::fmt::Display| Fault::Instance(e.to_string());
        let component = shared.registry.component(deployment.digest).await.map_err(|e| instance(&e))?;
        let spec = &deployment.spec;
        let goes_out = spec.kind.goes_out();
        let http = goes_out.then(|| shared.outbound.access(&spec.grants)).transpose();
        let config = InstanceConfig {
            label: format!("{}/{}", spec.name, id.task),
            params: spec.params.clone(),
            inputs: spec.input.topics.iter().map(ToString::to_string).collect(),
            outputs: spec.output.routes.keys().cloned().collect(),
            limits: spec.limits.clone(),
            log,
            place: Some(place),
            http: http.map_err(|e| instance(&e))?,
        };
        if spec.kind == DeploymentKind::Sink {
            return Ok(Self::Sink(component.sink(config).await?));
        }
        let state = TaskState::open(shared.broker.storage(), id, Allowed::by(&spec.state));
        Ok(Self::Processor(component.processor(config, state.map_err(|e| instance(&e))?).await?))
    }

    /// Hands a batch over. What a sink has delivered has no outputs.
    pub(super) async fn process(&mut self, inputs: &[Input<'_>]) -> Result<Answer, Fault> {
        match self {
            Self::Processor(processor) => processor.process(inputs).await,
            Self::Sink(sink) => sink.deliver(inputs).await.map(|()| Answer::default()),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Processor(processor) => processor.memory_bytes(),
            Self::Sink(sink) => sink.memory_bytes(),
        }
    }

    /// The task's state; transforms and sinks have none.
    pub(super) fn state(&mut self) -> Option<&mut TaskState> {
        match self {
            Self::Processor(processor) => processor.state(),
            Self::Sink(_) => None,
        }
    }
}
