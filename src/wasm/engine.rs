//! The engine: its settings, the linked host functions, and the ticks that let guests share threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, EngineWeak, OptLevel, WasmBacktraceDetails};

use super::host::{self, Host};
use super::limiter::MemoryPool;
use super::turns::Turns;
use crate::model::limits::INSTANCES_MAX;
use crate::runtime::{slices, tasks};

/// While guests run: they yield at every tick, and limits are looked at then.
const TICK: Duration = Duration::from_millis(2);
/// The same while calls are long: what others wait for them at most, once or twice for each record.
const TURN: Duration = Duration::from_millis(1);
/// So many ticks without a call that begins or goes on, and they become rare until one begins.
const IDLE_TICKS: u32 = 50;
/// Between ticks then.
const IDLE_TICK: Duration = Duration::from_millis(10);

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// settings that this machine does not take
    #[error("WebAssembly engine: {0}")]
    Setup(String),
    /// no ticker
    #[error("thread of the WebAssembly engine's ticker: {0}")]
    Ticker(std::io::Error),
}

/// What all guests of a node may have together.
#[derive(Debug, Clone, Copy)]
pub struct NodeLimits {
    /// instances alive at once
    pub instances: usize,
    /// bytes of linear memory
    pub memory: u64,
    /// threads that run them
    pub threads: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self { instances: INSTANCES_MAX, memory: u64::MAX, threads: 1 }
    }
}

/// Cheap to clone. Lives as long as the last clone, component or instance.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: wasmtime::Engine,
    pub(super) linker: Arc<Linker<Host>>,
    /// one permit per live instance
    pub(super) instances: Arc<Semaphore>,
    pub(super) memory: Arc<MemoryPool>,
    pub(super) turns: Turns,
    pub(super) limits: NodeLimits,
}

impl Engine {
    /// Sets up the engine, links the host functions and starts the ticker thread, which ends with the engine.
    pub fn new(limits: NodeLimits) -> Result<Self, EngineError> {
        let setup = |e: wasmtime::Error| EngineError::Setup(format!("{e:#}"));
        let inner = wasmtime::Engine::new(&config()).map_err(setup)?;
        let mut linker = Linker::new(&inner);
        host::link(&mut linker).map_err(setup)?;

        let weak = inner.weak();
        let turns = Turns::new(limits.threads);
        let pressed = turns.clone();
        let ticker =
            tasks::thread("wasm-ticker", move || tick(&weak, &pressed)).map_err(EngineError::Ticker)?;
        turns.set_ticker(ticker.thread().clone());
        Ok(Self {
            inner,
            linker: Arc::new(linker),
            instances: Arc::new(Semaphore::new(limits.instances)),
            memory: Arc::new(MemoryPool::new(limits.memory)),
            turns,
            limits,
        })
    }
}

/// One set of settings for compiling and running: a compiled artifact is valid only under the settings it was made with.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        // The only way to stop and to share; a third dearer for tight loops, and still cheaper than fuel (measured).
        .epoch_interruption(true)
        // No guest runs two calls at once; without it calls are cheaper.
        .concurrency_support(false)
        // Interpreters start in 20 to 600 us with it, in milliseconds without (measured).
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        // wasmtime's own default, kept in sight: it bounds recursion. The fiber's stack has to be larger.
        .max_wasm_stack(512 << 10)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

fn tick(engine: &EngineWeak, turns: &Turns) {
    // Woken on the CPU of a guest that computes, it is the one that ends its turn.
    slices::short();
    let mut idle = 0_u32;
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        let (begun, pressing) = (turns.have_begun(), turns.are_pressing());
        idle = if begun || pressing { 0 } else { idle.saturating_add(1) };
        if idle < IDLE_TICKS {
            std::thread::sleep(if pressing { TURN } else { TICK });
        } else {
            // The first call wakes it.
            std::thread::park_timeout(IDLE_TICK);
        }
    }
}
