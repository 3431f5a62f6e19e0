//! One live instance: its store, its bounds, and the way every call into it goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, TypedFunc};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use super::bindings::OpenResult;
use super::component::{Component, Exports};
use super::fault::{self, Fault, LimitKind};
use super::host::http::HttpAccess;
use super::host::log::LogSink;
use super::host::state::{Opened, Stores};
use super::host::{HANDLES_MAX, Host};
use super::limiter::Denied;
use super::meter::Meter;
use super::output::Input;
use super::places::Place;
use crate::model::deployment::GuestLimits;
use crate::model::duration::{format_bytes, format_duration};
use crate::model::limits::STATE_BATCH_BYTES_MAX;
use crate::state::TaskState;

/// CPU time that starting and `open` may take, if the limit of a call is smaller: patterns are compiled and tables built
/// there (a guess; Python's start takes 2 ms).
const OPEN_CPU_MIN: Duration = Duration::from_secs(1);

/// What a deployment gives to each of its instances.
#[derive(Clone)]
pub struct InstanceConfig {
    /// deployment and partition, for the server's own log
    pub label: String,
    /// `config.get`; the component's declared defaults are added
    pub params: BTreeMap<String, String>,
    /// names of the input topics, in the order of [`Input::topic`]
    pub inputs: Vec<String>,
    /// names that an output can be routed to, in the order of [`super::Output::route`]
    pub outputs: Vec<String>,
    /// bounds of its calls
    pub limits: GuestLimits,
    /// where its lines go
    pub log: Arc<dyn LogSink>,
    /// its place among the instances of the deployment, kept as long as it lives
    pub place: Option<Place>,
    /// where its requests may go; none: nowhere
    pub http: Option<HttpAccess>,
}

/// An instance between calls.
pub(super) struct Live {
    store: Store<Host>,
    instance: Instance,
    exports: Exports,
    meter: Arc<Meter>,
    /// wall time of one call, host functions included
    pub(super) wall_max: Duration,
    /// its place among the instances of the node
    _permit: OwnedSemaphorePermit,
    /// A call is running, was given up, or failed: guest memory is not to be trusted.
    spent: bool,
}

/// What the outputs of one call may still take.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    bytes_max: u64,
    records: usize,
    records_max: usize,
}

impl Live {
    /// Makes an instance; nothing of it is called yet except what its module runs at start.
    pub(super) async fn start(
        component: &Component,
        mut config: InstanceConfig,
        state: Option<TaskState>,
    ) -> Result<Self, Fault> {
        for (name, default) in component.defaults.iter() {
            config.params.entry(name.clone()).or_insert_with(|| default.clone());
        }
        let engine = &component.engine;
        let permit = engine.instances.clone().try_acquire_owned().map_err(|_| {
            Fault::Busy(format!(
                "{} instances run on this node already (`limits.node_instances` in its settings)",
                engine.limits.instances
            ))
        })?;
        let wall_max = config.limits.wall;
        let host = Host::new(config, state, engine.memory.clone(), engine.turns.clone());
        let meter = host.meter.clone();
        let fuel = lift_bytes_max(&host.config.limits);
        let mut store = Store::new(component.pre.engine(), host);
        store.limiter(|host| &mut host.limiter);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(fuel);
        store.epoch_deadline_callback(at_tick);

        prepare(&mut store, OPEN_CPU_MIN);
        let started =
            bounded(&meter, wall_max.max(OPEN_CPU_MIN), component.pre.instantiate_async(&mut store)).await;
        let instance = started.map_err(|ended| explain(&mut store, ended).at_start())?;
        Ok(Self {
            store,
            instance,
            exports: component.exports,
            meter,
            wall_max,
            _permit: permit,
            spent: false,
        })
    }

    /// The checked function that does its kind's work; its parameters may be named with any lifetime.
    pub(super) fn process<P, R>(&mut self) -> Result<TypedFunc<P, R>, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.function(self.exports.process)
    }

    /// The checked function `query`.
    pub(super) fn query<P, R>(&mut self) -> Result<TypedFunc<P, R>, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.function(self.exports.query.ok_or_else(no_query)?.1)
    }

    /// The checked function `migrate`.
    pub(super) fn migrate<P, R>(&mut self) -> Result<TypedFunc<P, R>, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let missing = || Fault::Instance("the module exports no `migrate`".to_owned());
        self.function(self.exports.migrate.ok_or_else(missing)?)
    }

    /// Is `on-timer` the packed form? `None`: there is neither.
    pub(super) fn packs_timers(&self) -> Option<bool> {
        self.exports.on_timer.map(|(_, packed)| packed)
    }

    /// The checked function `on-timer`, of the form that there is.
    pub(super) fn on_timer<P, R>(&mut self) -> Result<TypedFunc<P, R>, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let missing = || Fault::Instance("the module exports no `on-timer`".to_owned());
        let (index, _) = self.exports.on_timer.ok_or_else(missing)?;
        self.function(index)
    }

    fn function<P, R>(&mut self, index: ComponentExportIndex) -> Result<TypedFunc<P, R>, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function = self.instance.get_typed_func(&mut self.store, index);
        function
            .map_err(|e| Fault::Instance(format!("its functions have other types than the interface: {e:#}")))
    }

    /// Calls `open`.
    pub(super) async fn open(&mut self) -> Result<(), Fault> {
        self.open_by(self.exports.open).await
    }

    /// Calls the `open` of `query`, which stands in for the other.
    pub(super) async fn open_query(&mut self) -> Result<(), Fault> {
        self.open_by(self.exports.query.ok_or_else(no_query)?.0).await
    }

    async fn open_by(&mut self, index: ComponentExportIndex) -> Result<(), Fault> {
        let open = self.function::<(), OpenResult>(index)?;
        let (opened,) = self.call_within(OPEN_CPU_MIN, open, ()).await.map_err(Fault::at_start)?;
        opened.map_err(Fault::Open)
    }

    /// Calls into the guest. After an error, or when the future is dropped before its end, the instance is spent.
    pub(super) async fn call<P, R>(&mut self, function: TypedFunc<P, R>, params: P) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.call_within(Duration::ZERO, function, params).await
    }

    async fn call_within<P, R>(
        &mut self,
        cpu_min: Duration,
        function: TypedFunc<P, R>,
        params: P,
    ) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        if self.spent {
            return Err(Fault::Instance("it is spent: an earlier call failed or was given up".to_owned()));
        }
        self.spent = true;
        prepare(&mut self.store, cpu_min);
        let ended = bounded(&self.meter, self.wall_max, function.call_async(&mut self.store, params)).await;
        self.store.data().call_ended();
        match ended {
            Ok(result) => {
                self.spent = false;
                Ok(result)
            }
            Err(ended) => Err(explain(&mut self.store, ended)),
        }
    }

    /// From now on calls are refused.
    pub(super) fn spend(&mut self) {
        self.spent = true;
    }

    pub(super) fn config(&self) -> &InstanceConfig {
        &self.store.data().config
    }

    /// How many routes the deployment declares.
    pub(super) fn routes(&self) -> usize {
        self.config().outputs.len()
    }

    pub(super) fn budget(&self) -> Budget {
        Budget::of(&self.config().limits)
    }

    pub(super) fn state(&mut self) -> Option<&mut TaskState> {
        self.store.data_mut().stores.as_mut().map(|stores| &mut stores.state)
    }

    /// Gives it the state for its next call, with the stores that it has opened.
    pub(super) fn lend(&mut self, state: TaskState, opened: Opened) {
        self.store.data_mut().stores = Some(Box::new(Stores::new(state, opened)));
    }

    /// Takes the state away.
    pub(super) fn part(&mut self) -> Opened {
        self.store.data_mut().stores.take().map(|stores| stores.opened()).unwrap_or_default()
    }

    /// Bytes of linear memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limiter.bytes()
    }

    /// CPU time of all calls so far.
    pub(super) fn cpu_time(&self) -> Duration {
        self.meter.total()
    }
}

fn no_query() -> Fault {
    Fault::Instance("the module exports no `query`".to_owned())
}

/// Sets the store up for one call.
fn prepare(store: &mut Store<Host>, cpu_min: Duration) {
    let host = store.data_mut();
    host.fault = None;
    host.limiter.take_denied();
    host.voice.begin();
    host.cpu_max = host.config.limits.cpu.max(cpu_min);
    host.turns.begin();
    store.set_epoch_deadline(1);
}

/// Looks at the CPU limit, then lets others have the thread.
fn at_tick(mut ctx: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
    let cpu_max = ctx.data().cpu_max;
    let spent = ctx.data().meter.at_tick();
    if spent > cpu_max {
        let detail = format!("more than {} of CPU time in one call", format_duration(cpu_max));
        return Err(ctx.data_mut().end_with(Fault::limit(LimitKind::Cpu, detail)));
    }
    if !ctx.data().meter.is_long() {
        return Ok(UpdateDeadline::YieldCustom(1, Box::pin(ctx.data().turns.first())));
    }
    let next = ctx.data().turns.next(&ctx.data().meter);
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(next)))
}

/// How a call ended that did not return.
enum Ended {
    Error(wasmtime::Error),
    TimedOut { wall_max: Duration },
}

/// The wall clock's bound also ends a host function that waits.
async fn bounded<T>(
    meter: &Arc<Meter>,
    wall_max: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Ended> {
    match tokio::time::timeout(wall_max, meter.measure(call)).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(Ended::Error(error)),
        Err(_) => Err(Ended::TimedOut { wall_max }),
    }
}

fn explain(store: &mut Store<Host>, ended: Ended) -> Fault {
    let host = store.data_mut();
    let error = match ended {
        Ended::TimedOut { wall_max } => {
            let detail = format!("more than {} in one call", format_duration(wall_max));
            return Fault::limit(LimitKind::Wall, detail);
        }
        Ended::Error(error) => error,
    };
    if let Some(fault) = host.fault.take() {
        return fault;
    }
    let spoken = host.voice.last_words();
    if let Some(denied) = host.limiter.take_denied() {
        let wanted = match denied {
            Denied::Own(wanted) => wanted,
            // Not the record's fault, and not this code's.
            Denied::Node(wanted, max) => {
                let [wanted, max] = [wanted, max].map(format_bytes);
                return Fault::Busy(format!(
                    "all guests of this node would have {wanted} of memory together, {max} are allowed \
                     (`limits.guest_memory` in its settings)"
                ));
            }
        };
        let (wanted, max) = (format_bytes(wanted as u64), format_bytes(host.limiter.bytes_max() as u64));
        let spoken = spoken.map(|spoken| format!("; its last words: {spoken}")).unwrap_or_default();
        let detail = format!("the code wanted {wanted} of memory, {max} are allowed{spoken}");
        return Fault::limit(LimitKind::Memory, detail);
    }
    fault::from_engine(&error, spoken)
}

/// Bytes that may be copied out of a guest in one call, into it or out of it: outputs and what holds them, or one batch
/// of state changes. Pointers in guest memory may overlap, so without it 64 MiB could claim to be terabytes.
fn lift_bytes_max(limits: &GuestLimits) -> usize {
    const OUTPUT_STRUCTS: usize = 512;
    let bytes = usize::try_from(limits.output.bytes).unwrap_or(usize::MAX);
    let outputs = bytes.saturating_add(limits.output.records.saturating_mul(OUTPUT_STRUCTS));
    outputs.max(2 * STATE_BATCH_BYTES_MAX)
}

// === impl Budget ===

impl Budget {
    pub(super) fn of(limits: &GuestLimits) -> Self {
        let (bytes, records) = (limits.output.bytes, limits.output.records);
        Self { bytes, bytes_max: bytes, records, records_max: records }
    }

    /// One more output of this many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.records = self.records.checked_sub(1).ok_or_else(|| {
            let detail = format!("more than {} outputs of one call", self.records_max);
            Fault::limit(LimitKind::OutputRecords, detail)
        })?;
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or_else(|| {
            let detail = format!("more than {} of outputs of one call", format_bytes(self.bytes_max));
            Fault::limit(LimitKind::OutputBytes, detail)
        })?;
        Ok(())
    }
}

/// Which input of the batch, checked.
pub(super) fn source_of<'b, 'a>(batch: &'b [Input<'a>], source: u32) -> Result<&'b Input<'a>, Fault> {
    batch.get(source as usize).ok_or_else(|| {
        Fault::Protocol(format!(
            "an output names input {source} as its source, the batch has {}",
            batch.len()
        ))
    })
}
