//! CPU time of a call, counted over the threads it runs on. A call moves between threads when it yields, so the time is
//! taken around every poll; time inside host functions is taken off.
//!
//! One call at a time writes; the atomics only make the sharing between the poll, the engine's callback and the host
//! functions safe.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::turns::Turn;
use crate::runtime::clock::thread_cpu;

/// Counts for one instance.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// nanoseconds of this call's finished polls
    used: AtomicU64,
    /// the thread's clock when the running poll began
    poll_began: AtomicU64,
    /// nanoseconds of this call inside host functions
    hosted: AtomicU64,
    /// how many ticks the running call has met
    ticks: AtomicU32,
    /// nanoseconds of all finished calls
    total: AtomicU64,
    /// of a long call, within a poll of it
    turn: Mutex<Option<Turn>>,
}

impl Meter {
    /// Runs `call` from zero.
    pub(super) async fn measure<T>(self: &Arc<Self>, call: impl Future<Output = T>) -> T {
        self.used.store(0, Relaxed);
        self.hosted.store(0, Relaxed);
        self.ticks.store(0, Relaxed);
        let _end = AddToTotal(self);

        let mut call = pin!(call);
        poll_fn(|cx| {
            let began = now();
            self.poll_began.store(began, Relaxed);
            let polled = call.as_mut().poll(cx);
            self.used.fetch_add(now().saturating_sub(began), Relaxed);
            if self.is_long() {
                // It waits for a turn, or for something that takes none.
                self.end_turn();
            }
            polled
        })
        .await
    }

    /// Is the running call past its first tick? Calls of microseconds meet one too.
    pub(super) fn is_long(&self) -> bool {
        self.ticks.load(Relaxed) > 1
    }

    /// CPU time of the running call, from inside its poll, at an epoch tick.
    pub(super) fn at_tick(&self) -> Duration {
        self.ticks.fetch_add(1, Relaxed);
        let running = now().saturating_sub(self.poll_began.load(Relaxed));
        let spent = self.used.load(Relaxed) + running;
        Duration::from_nanos(spent.saturating_sub(self.hosted.load(Relaxed)))
    }

    pub(super) fn begin_turn(&self, turn: Turn) {
        *self.turn.lock() = Some(turn);
    }

    pub(super) fn end_turn(&self) {
        *self.turn.lock() = None;
    }

    /// Runs a host function, its time taken off the call's. Before a call is long nothing is measured: two ticks
    /// are the resolution of the limit, and a clock reading costs as much as many a host function.
    pub(super) fn host<T>(&self, work: impl FnOnce() -> T) -> T {
        if !self.is_long() {
            return work();
        }
        let began = now();
        let out = work();
        self.hosted.fetch_add(now().saturating_sub(began), Relaxed);
        out
    }

    /// CPU time of all calls so far, host functions included.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.total.load(Relaxed))
    }
}

struct AddToTotal<'a>(&'a Meter);

impl Drop for AddToTotal<'_> {
    fn drop(&mut self) {
        self.0.total.fetch_add(self.0.used.load(Relaxed), Relaxed);
        // Also where a poll panicked.
        self.0.end_turn();
    }
}

fn now() -> u64 {
    u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX)
}
