//! Floor 3: the users' code. The only code that names wasmtime.
//!
//! Bytes become a checked component (`inspect`), machine code (`artifact`, made in a child process), a pre-linked
//! [`Component`] (`component`) and live instances ([`Transformer`], [`Processor`], [`Querier`], [`Sink`], [`Source`]).
//! Nothing here touches the log, decides what a fault means for a record, or retries: that is the caller's business.
//!
//! An instance whose last call failed is spent: guest memory is uncommitted state.

pub mod artifact;
mod bindings;
mod component;
mod convert;
mod engine;
mod entries;
mod fault;
mod host;
pub mod inspect;
mod instance;
mod limiter;
mod meter;
mod on_timer;
mod output;
mod packed;
mod places;
mod pool;
mod preview1;
mod processor;
mod querier;
mod sink;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod transform;
mod turns;

pub use component::{Component, LoadError};
pub use engine::{Engine, EngineError, NodeLimits};
pub use fault::{Fault, LimitKind};
pub use host::http::{Answered, Asked, HttpAccess, Outbound, OutboundError, Outside, Resolve};
pub use host::log::{LogLevel, LogSink};
pub use inspect::{Inspected, Invalid, inspect};
pub use instance::InstanceConfig;
pub use output::{Answer, Content, Input, Outcome, Output};
pub use places::{Place, Places};
pub use pool::{Lease, Pool};
pub use processor::Processor;
pub use querier::{Querier, Reply};
pub use sink::Sink;
pub use source::{Polled, Source};
pub use transform::Transformer;

/// What runs the components, such as `wasmtime 48.0.8`.
pub fn engine_version() -> String {
    format!("wasmtime {}", wasmtime::component::__internal::wasmtime_environ::VERSION)
}

/// The WIT that guests are written against, as released.
pub const WIT: &str = include_str!("../../wit/millstream.wit");

/// The package of [`WIT`], without its version.
const PACKAGE: &str = "millstream:functions";

/// The version of [`PACKAGE`] that this server speaks.
const PACKAGE_VERSION: &str = "0.1.0";
