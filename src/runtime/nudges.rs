//! Makes Linux look again at who is to run, on every CPU that this process may use, while it computes.
//!
//! Whether a thread that wakes gets the CPU from one that computes is decided at that moment, and a thread that has just had
//! more than its share does not get it: the writer between two waits of a sync, for example. A tenth of a millisecond later
//! it would, but nobody looks before the system's next tick, up to 4 ms later, be another CPU idle or not. Any thread that
//! wakes there has the scheduler look (from Linux 6.12 on, where a thread with a short slice waits, see [`slices`]). A
//! process that rests wakes one CPU 200 times a second for it; one that computes, or has within 0.2 s, each of them 1,000
//! times. docs/adr/0004 has the measurements.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::clock::{monotonic, process_cpu};
use super::{slices, tasks};

/// Between nudges.
const NUDGE: Duration = Duration::from_millis(1);
/// Between looks at whether the process computes.
const REST: Duration = Duration::from_millis(5);
/// It computes when it uses this part of one CPU or more.
const COMPUTES: u32 = 4;
/// So many nudges without, and it rests: who computes in bursts is not looked for anew each time.
const LINGER: u32 = 200;
/// With more CPUs a thread that wakes finds an idle one (a guess).
const CPUS_MAX: usize = 8;

/// Nudges are given until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Nudges {
    common: Arc<Common>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Common {
    ended: AtomicBool,
    computes: AtomicBool,
}

/// Starts a thread on each CPU; none where there are many CPUs, and none on systems other than Linux. Without one that the
/// system refuses everything goes on as well, only later.
pub fn start() -> Nudges {
    let mut nudges = Nudges { common: Arc::default(), threads: Vec::new() };
    if let Err(error) = nudges.add_all() {
        tracing::warn!(%error, "no thread for nudges: beside code that computes, answers take longer");
    }
    nudges
}

/// Starts a thread that stays on this CPU.
fn on(cpu: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    tasks::thread(&format!("nudge-{cpu}"), move || {
        slices::short();
        if let Err(error) = stay_on(cpu) {
            tracing::debug!(%error, cpu, "nudges are not bound to their CPU");
        }
        work();
    })
}

/// Looks whether the process computes, and wakes the others when it does.
fn look(others: &[Thread], common: &Common) {
    let (mut used, mut looked, mut calm) = (process_cpu(), monotonic(), LINGER);
    while !common.ended.load(Relaxed) {
        let rests = calm >= LINGER;
        std::thread::sleep(if rests { REST } else { NUDGE });
        let (used_by_now, now) = (process_cpu(), monotonic());
        let computes = is_much(used_by_now.saturating_sub(used), now - looked);
        (used, looked) = (used_by_now, now);
        calm = if computes { 0 } else { calm.saturating_add(1) };
        common.computes.store(calm < LINGER, Relaxed);
        if computes {
            others.iter().for_each(Thread::unpark);
        }
    }
}

/// Each by the timer of its own CPU, so that none waits behind another.
fn follow(common: &Common) {
    while !common.ended.load(Relaxed) {
        if common.computes.load(Relaxed) {
            std::thread::sleep(NUDGE);
        } else {
            std::thread::park();
        }
    }
}

/// Has the process computed when it has used so much CPU of the time that passed?
fn is_much(used: Duration, passed: Duration) -> bool {
    used * COMPUTES >= passed
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

impl Nudges {
    /// One of the threads looks whether the process computes; the others stand still until it does.
    fn add_all(&mut self) -> io::Result<()> {
        let mut cpus = cpus().into_iter();
        let Some(first) = cpus.next() else { return Ok(()) };
        for cpu in cpus {
            let common = self.common.clone();
            self.threads.push(on(cpu, move || follow(&common))?);
        }
        let others: Vec<_> = self.threads.iter().map(|thread| thread.thread().clone()).collect();
        let common = self.common.clone();
        self.threads.push(on(first, move || look(&others, &common))?);
        Ok(())
    }
}

impl Drop for Nudges {
    fn drop(&mut self) {
        self.common.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_one_cpu_is_much() {
        let ms = Duration::from_millis;
        assert!(is_much(ms(5), ms(5)) && is_much(ms(16), ms(8)) && is_much(ms(1), ms(4)));
        assert!(!is_much(ms(1), ms(5)) && !is_much(Duration::ZERO, ms(1)));
    }

    #[test]
    fn there_is_one_thread_for_each_cpu_and_none_is_left() {
        let nudges = start();
        let common = nudges.common.clone();
        assert_eq!(nudges.threads.len(), cpus().len());
        drop(nudges);
        assert_eq!(Arc::strong_count(&common), 1);
    }
}
