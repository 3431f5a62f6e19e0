//! Wall time for timestamps and retention, monotonic time for durations and deadlines.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Where wall time comes from; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<watch::Sender<i64>>),
}

/// Moves the time of the clock it came with.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<i64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start_ms` until it is moved.
    pub fn manual(start_ms: i64) -> (Self, ManualClock) {
        let ms = Arc::new(watch::Sender::new(start_ms));
        (Self(Source::Manual(ms.clone())), ManualClock(ms))
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::Manual(ms) => *ms.borrow(),
            Source::System => system_ms(),
        }
    }

    /// Milliseconds that only grow, from an arbitrary start: deadlines are counted in them, so that setting the
    /// machine's clock ends no session. A manual clock's are its time.
    pub fn tick_ms(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Source::Manual(ms) => *ms.borrow(),
            Source::System => {
                let since = START.get_or_init(monotonic).elapsed();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Waits until [`Clock::tick_ms`] is `tick_ms` or more; on a manual clock until somebody has moved it there.
    pub async fn sleep_until(&self, tick_ms: i64) {
        match &self.0 {
            Source::Manual(ms) => {
                let _ = ms.subscribe().wait_for(|now| *now >= tick_ms).await;
            }
            Source::System => {
                let ms = tick_ms.saturating_sub(self.tick_ms()).max(0).unsigned_abs();
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
        }
    }
}

impl ManualClock {
    /// Moves time forward.
    pub fn advance_ms(&self, ms: i64) {
        self.0.send_modify(|now| *now += ms);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks for wall time")]
fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// For measuring durations; never goes back.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for monotonic time")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time that the process has used, all threads together.
pub fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_the_clock_is_moved_there() {
        let (clock, hand) = Clock::manual(1_000);
        let sleeper = clock.clone();
        let mut sleep = std::pin::pin!(sleeper.sleep_until(1_010));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(sleep.as_mut().poll(&mut context).is_pending());
            hand.advance_ms(5);
        }
        sleep.await;
        assert_eq!((clock.now_ms(), clock.tick_ms()), (1_010, 1_010));
    }

    #[tokio::test]
    async fn a_sleep_until_a_time_that_is_past_does_not_wait() {
        let clock = Clock::system();
        clock.sleep_until(clock.tick_ms() - 1).await;
        assert!(clock.tick_ms() >= 0);
    }
}
