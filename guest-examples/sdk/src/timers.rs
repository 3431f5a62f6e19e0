//! Moments at which a processor is called again: see [`Timed`](crate::Timed). What is set and cancelled commits with the
//! outputs of the batch, or not at all.

#[cfg(target_arch = "wasm32")]
use crate::bindings::timers::millstream::functions::timers as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::timers as host;

/// What moves a timer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// the timestamps of the records, as the task's watermark
    EventTime,
    /// the server's clock
    Wall,
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// what it went by
    pub clock: Clock,
    /// as it was set
    pub name: Vec<u8>,
    /// as it was set, in milliseconds since 1970-01-01T00:00Z
    pub at: i64,
}

/// Sets the timer of this clock and name, or moves it. It fires once, after the call in which its clock has reached `at`
/// (milliseconds since 1970-01-01T00:00Z); one whose clock is there already fires after this call. A name has at most 1024
/// bytes.
pub fn set(clock: Clock, name: impl AsRef<[u8]>, at: i64) {
    host::set(clock.into(), name.as_ref(), at);
}

/// Cancels a timer; one that is not set is no error.
pub fn cancel(clock: Clock, name: impl AsRef<[u8]>) {
    host::cancel(clock.into(), name.as_ref());
}

/// The task's watermark: no record before it is expected any more, except late ones. None before there is one. Fixed while
/// a call lasts; `process` sees it as it was before its batch.
pub fn watermark() -> Option<i64> {
    host::now(Clock::EventTime.into())
}

/// The server's clock, in milliseconds since 1970-01-01T00:00Z; fixed while a call lasts.
pub fn now() -> i64 {
    host::now(Clock::Wall.into()).unwrap_or_default()
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::{Clock, Timer, host};
    use crate::bindings::{timed, timed_list};

    impl From<Clock> for host::Clock {
        fn from(clock: Clock) -> Self {
            match clock {
                Clock::EventTime => Self::EventTime,
                Clock::Wall => Self::Wall,
            }
        }
    }

    impl From<host::Clock> for Clock {
        fn from(clock: host::Clock) -> Self {
            match clock {
                host::Clock::EventTime => Self::EventTime,
                host::Clock::Wall => Self::Wall,
            }
        }
    }

    impl From<timed::Timer> for Timer {
        fn from(timed::Timer { clock, name, at }: timed::Timer) -> Self {
            Self { clock: clock.into(), name, at }
        }
    }

    impl From<timed_list::Timer> for Timer {
        fn from(timed_list::Timer { clock, name, at }: timed_list::Timer) -> Self {
            Self { clock: clock.into(), name, at }
        }
    }
}
