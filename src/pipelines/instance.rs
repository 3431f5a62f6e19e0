//! The code of one task, alive: a processor over its state, or a sink.

use std::sync::Arc;
use std::time::Duration;

use super::supervisor::Shared;
use crate::model::deployment::{Deployment, DeploymentKind, DeploymentSpec};
use crate::model::{Partition, TimestampMs};
use crate::runtime::clock::monotonic;
use crate::state::{self, Allowed, TaskId, TaskState, Timer, Ttls};
use crate::telemetry::calls::Calls;
use crate::wasm::{Answer, Component, Fault, Input, InstanceConfig, LogSink, Place, Processor, Sink};

/// The code of what stands still for want of a secret.
pub(super) const GRANTS_UNUSABLE: &str = "grants_unusable";

pub(super) enum Worker {
    Processor(Processor),
    Sink(Sink),
}

/// What an instance is asked for.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// to be there
    Start,
    Records(&'a [Input<'a>]),
    /// that were taken out of its state as it is
    Timers(&'a [Timer]),
}

/// What time it is for the code, by the clock and by the records.
#[derive(Clone, Copy, Default)]
pub(super) struct Present {
    pub(super) now_ms: TimestampMs,
    pub(super) watermark: Option<TimestampMs>,
}

/// The state of a task as it is committed now.
pub(super) fn state_of(
    shared: &Shared,
    deployment: &Deployment,
    id: TaskId,
) -> Result<TaskState, state::Error> {
    let spec = &deployment.spec.state;
    let state = TaskState::open(shared.broker.storage(), id, Allowed::by(spec))?.timed(Ttls::of(spec))?;
    let mut state = state.with_timers(spec.max_timers);
    state.begin(shared.broker.clock().now_ms());
    Ok(state)
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
        match Self::try_make(shared, deployment, id, log.clone(), place.clone()).await {
            Err(Fault::Busy(_)) if shared.queried.make_room() => {
                Self::try_make(shared, deployment, id, log, place).await
            }
            tried => tried,
        }
    }

    async fn try_make(
        shared: &Shared,
        deployment: &Deployment,
        id: TaskId,
        log: Arc<dyn LogSink>,
        place: Place,
    ) -> Result<Self, Fault> {
        let (component, config) = prepare(shared, deployment, id.task, log, Some(place)).await?;
        let spec = &deployment.spec;
        if spec.kind == DeploymentKind::Sink {
            return Ok(Self::Sink(component.sink(config).await?));
        }
        let state = state_of(shared, deployment, id).map_err(|e| Fault::Instance(e.to_string()))?;
        Ok(Self::Processor(component.processor(config, state).await?))
    }

    /// Hands over what there is, at a time that the code's stores and timers see; the call is counted. What a sink has
    /// delivered has no outputs.
    pub(super) async fn answer(
        &mut self,
        ask: Ask<'_>,
        present: Present,
        calls: &Calls,
    ) -> Result<Answer, Fault> {
        if let Some(state) = self.state() {
            state.begin(present.now_ms);
            state.move_watermark(present.watermark);
        }
        let (started, cpu) = (monotonic(), self.cpu_time());
        let answer = match (&mut *self, ask) {
            (_, Ask::Start) => return Ok(Answer::default()),
            (Self::Processor(processor), Ask::Records(inputs)) => processor.process(inputs).await,
            (Self::Processor(processor), Ask::Timers(due)) => processor.on_timer(due).await,
            (Self::Sink(sink), Ask::Records(inputs)) => {
                sink.deliver(inputs).await.map(|()| Answer::default())
            }
            (Self::Sink(_), Ask::Timers(_)) => Err(Fault::Instance("a sink has no timers".to_owned())),
        };
        calls.ended(started.elapsed(), self.cpu_time().saturating_sub(cpu));
        answer
    }

    fn cpu_time(&self) -> Duration {
        match self {
            Self::Processor(processor) => processor.cpu_time(),
            Self::Sink(sink) => sink.cpu_time(),
        }
    }

    /// What a processor keeps.
    pub(super) fn state(&mut self) -> Option<&mut TaskState> {
        match self {
            Self::Processor(processor) => processor.state(),
            Self::Sink(_) => None,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Processor(processor) => processor.memory_bytes(),
            Self::Sink(sink) => sink.memory_bytes(),
        }
    }

    /// One step of a migration of the state, at a time that the code's stores see.
    pub(super) async fn migrate(
        &mut self,
        from: &str,
        at: Option<&[u8]>,
        now_ms: TimestampMs,
    ) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(state) = self.state() {
            state.begin(now_ms);
        }
        match self {
            Self::Processor(processor) => processor.migrate(from, at).await,
            Self::Sink(_) => Ok(None),
        }
    }
}

/// Can the server still give what the deployment is granted?
///
/// # Errors
/// Names the secret.
pub(super) fn check_grants(shared: &Shared, spec: &DeploymentSpec) -> Result<(), String> {
    if !spec.kind.goes_out() {
        return Ok(());
    }
    shared.outbound.access(spec.name.as_str(), &spec.grants).map(drop)
}

/// The code of a deployment, loaded, and what an instance of it for one task is given.
pub(super) async fn prepare(
    shared: &Shared,
    deployment: &Deployment,
    task: Partition,
    log: Arc<dyn LogSink>,
    place: Option<Place>,
) -> Result<(Component, InstanceConfig), Fault> {
    let instance = |e: &dyn std::fmt::Display| Fault::Instance(e.to_string());
    let component = shared.registry.component(deployment.digest).await.map_err(|e| instance(&e))?;
    let spec = &deployment.spec;
    let http =
        spec.kind.goes_out().then(|| shared.outbound.access(spec.name.as_str(), &spec.grants)).transpose();
    let config = InstanceConfig {
        label: format!("{}/{task}", spec.name),
        params: spec.params.clone(),
        inputs: spec.input_names(),
        outputs: spec.route_names().cloned().collect(),
        limits: spec.limits.clone(),
        log,
        place,
        http: http.map_err(|e| instance(&e))?,
    };
    Ok((component, config))
}
