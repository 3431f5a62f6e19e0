//! Makes Linux look again at who is to run, on every CPU that this process may use, while it computes.
//!
//! Whether a thread that wakes gets the CPU from one that computes is decided at that moment, and a thread that has just had
//! more than its share does not get it: the writer between two waits of a sync, for example. A tenth of a millisecond later
//! it would, but nobody looks before the system's next tick, up to 4 ms later, be another CPU idle or not. Any thread that
//! wakes there has the scheduler look (from Linux 6.12 on, where a thread with a short slice waits, see [`slices`]).
//! docs/adr/0004 has the measurements.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::clock::{monotonic, process_cpu};
use super::{slices, tasks};

/// Between nudges.
const NUDGE: Duration = Duration::from_millis(1);
/// Between looks at whether the process computes.
const REST: Duration = Duration::from_millis(5);
/// It computes when it uses this part of one CPU or more.
const COMPUTES: u32 = 4;
/// With more CPUs a thread that wakes finds an idle one (a guess).
const CPUS_MAX: usize = 8;

/// Nudges are given until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Nudges(Arc<AtomicBool>);

/// Starts a thread on each CPU; none where there are many CPUs, and none on systems other than Linux.
///
/// # Errors
/// The system refused a thread.
pub fn start() -> io::Result<Nudges> {
    let ended = Arc::<AtomicBool>::default();
    let nudges = Nudges(ended.clone());
    for cpu in cpus() {
        let ended = ended.clone();
        tasks::thread(&format!("nudge-{cpu}"), move || match stay_on(cpu) {
            Ok(()) => nudge(&ended),
            Err(error) => tracing::debug!(%error, cpu, "no nudges on this CPU"),
        })?;
    }
    Ok(nudges)
}

fn nudge(ended: &AtomicBool) {
    slices::short();
    let (mut used, mut looked, mut pause) = (process_cpu(), monotonic(), REST);
    while !ended.load(Relaxed) {
        std::thread::sleep(pause);
        let (used_by_now, now) = (process_cpu(), monotonic());
        pause = next_pause(used_by_now.saturating_sub(used), now - looked);
        (used, looked) = (used_by_now, now);
    }
}

/// Until the next look, after one in which the process has used so much of the time that passed.
fn next_pause(used: Duration, passed: Duration) -> Duration {
    if used * COMPUTES >= passed { NUDGE } else { REST }
}

/// Those that this process may use, if they are few.
#[cfg(target_os = "linux")]
fn cpus() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let Ok(may) = sched_getaffinity(None) else { return Vec::new() };
    let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&cpu| may.is_set(cpu)).collect();
    if cpus.len() <= CPUS_MAX { cpus } else { Vec::new() }
}

#[cfg(target_os = "linux")]
fn stay_on(cpu: usize) -> io::Result<()> {
    let mut one = rustix::thread::CpuSet::new();
    one.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &one)?)
}

#[cfg(not(target_os = "linux"))]
fn cpus() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_cpu: usize) -> io::Result<()> {
    Ok(())
}

// === impl Nudges ===

impl Drop for Nudges {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nudges_are_given_while_the_process_computes() {
        let ms = Duration::from_millis;
        assert_eq!(next_pause(ms(5), ms(5)), NUDGE);
        assert_eq!(next_pause(ms(16), ms(8)), NUDGE, "two CPUs");
        assert_eq!(next_pause(ms(1), ms(5)), REST);
    }

    #[test]
    fn the_threads_end_with_the_nudges() {
        let nudges = start().unwrap();
        let ended = nudges.0.clone();
        drop(nudges);
        let began = monotonic();
        while Arc::strong_count(&ended) > 1 {
            assert!(began.elapsed() < Duration::from_secs(60), "a thread goes on");
            std::thread::sleep(NUDGE);
        }
    }
}
