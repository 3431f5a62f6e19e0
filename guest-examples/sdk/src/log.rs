//! Lines for the deployment's log: `log::info!("{n} words")`. The host limits their rate; do not log per record.

#[cfg(target_arch = "wasm32")]
use crate::bindings::list::millstream::functions::log as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::log as host;

pub use crate::{__log_debug as debug, __log_error as error, __log_info as info};
pub use crate::{__log_trace as trace, __log_warn as warn};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// every step
    Trace,
    /// for whoever looks for a mistake
    Debug,
    /// worth knowing
    Info,
    /// may need attention
    Warn,
    /// needs attention
    Error,
}

/// Writes one line.
pub fn write(level: Level, text: &str) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::write(level, text);
}

/// `log::trace!`
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($part:tt)*) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($part)*)) };
}

/// `log::debug!`
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($part:tt)*) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($part)*)) };
}

/// `log::info!`
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($part:tt)*) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($part)*)) };
}

/// `log::warn!`
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($part:tt)*) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($part)*)) };
}

/// `log::error!`
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($part:tt)*) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($part)*)) };
}
