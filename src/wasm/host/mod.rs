//! What a guest can call. One file per interface: log, configuration, state and timers for processors, and for sinks and sources
//! `wasi:http`, within their deployment's grants.
//! WASI exists for guests whose language needs it, over an empty context: clocks and random numbers work; files, network,
//! environment and arguments do not exist.

pub(super) mod config;
pub(super) mod http;
pub(super) mod log;
pub(super) mod state;
mod timers;
pub(super) mod wasi;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use self::log::Voice;
use self::state::{Opened, Stores};
use super::fault::Fault;
use super::instance::InstanceConfig;
use super::limiter::{Limiter, MemoryPool};
use super::meter::Meter;
use super::turns::Turns;
use crate::state::TaskState;

/// Entries of the WASI resource table and live handles: a guest holds a few dozen (a guess with room).
pub(super) const HANDLES_MAX: usize = 10_000;

/// What belongs to one instance on the host's side.
pub(super) struct Host {
    pub(super) config: InstanceConfig,
    pub(super) limiter: Limiter,
    pub(super) meter: Arc<Meter>,
    /// of the node's long calls
    pub(super) turns: Turns,
    /// CPU time that the running call may take
    pub(super) cpu_max: Duration,
    pub(super) voice: Arc<Voice>,
    /// processors only; taken out while a state function runs
    pub(super) stores: Option<Box<Stores>>,
    /// why a host function ended the call
    pub(super) fault: Option<Fault>,
    wasi: WasiCtx,
    http: http::Client,
    http_ctx: WasiHttpCtx,
    table: ResourceTable,
}

impl Host {
    pub(super) fn new(
        config: InstanceConfig,
        state: Option<TaskState>,
        pool: Arc<MemoryPool>,
        turns: Turns,
    ) -> Self {
        let voice = Arc::new(Voice::new(config.log.clone()));
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            limiter: Limiter::new(usize::try_from(config.limits.memory).unwrap_or(usize::MAX), pool),
            meter: Arc::default(),
            turns,
            cpu_max: config.limits.cpu,
            wasi: wasi::empty_context(&voice),
            http: http::Client::new(config.http.clone(), &voice),
            http_ctx: WasiHttpCtx::new(),
            voice,
            stores: state.map(|state| Box::new(Stores::new(state, Opened::default()))),
            fault: None,
            table,
            config,
        }
    }

    /// A call has returned.
    pub(super) fn call_ended(&self) {
        self.http.end_call();
    }

    /// Ends the running call with `fault`.
    pub(super) fn end_with(&mut self, fault: Fault) -> wasmtime::Error {
        self.fault.get_or_insert(fault);
        wasmtime::Error::msg("stopped by the host")
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Everything that `inspect` lets a component import.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    log::link(linker)?;
    config::link(linker)?;
    state::link(linker)?;
    timers::link(linker)?;
    http::link(linker)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// Full name of one of our interfaces.
pub(super) fn interface(name: &str) -> String {
    format!("{}/{name}@{}", super::PACKAGE, super::PACKAGE_VERSION)
}
