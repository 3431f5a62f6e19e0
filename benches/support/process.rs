//! CPU time and memory of processes, from `/proc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// CPU time, user and system, of all threads a process has had. Counted by the kernel in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok()).context("no CPU times in stat");
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// Resident bytes, 0 when the process is gone.
pub(crate) fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// CPU and wall time of a process from one moment to another.
pub(crate) struct Meter {
    pid: u32,
    cpu: Duration,
    at: Instant,
}

/// What a [`Meter`] has seen.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Meter {
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self { pid, cpu: cpu(pid)?, at: Instant::now() })
    }

    pub(crate) fn stop(&self) -> Result<Spent> {
        Ok(Spent { cpu: cpu(self.pid)?.saturating_sub(self.cpu), wall: self.at.elapsed() })
    }
}

impl Spent {
    /// Microseconds of CPU for each of `units`.
    pub(crate) fn micros_per(&self, units: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / units.max(1) as f64
    }

    /// Cores used on average.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub(crate) fn per_second(&self, units: u64) -> f64 {
        units as f64 / self.wall.as_secs_f64()
    }
}

/// Looks at the resident memory of a process and of its children every 20 ms.
pub(crate) struct MemoryWatch {
    peaks: Arc<Peaks>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Peaks {
    stop: AtomicBool,
    own: AtomicU64,
    children: AtomicU64,
}

impl MemoryWatch {
    pub(crate) fn start(pid: u32) -> Self {
        let peaks = Arc::new(Peaks::default());
        let shared = peaks.clone();
        let thread = std::thread::spawn(move || {
            while !shared.stop.load(Ordering::Relaxed) {
                shared.own.fetch_max(rss(pid), Ordering::Relaxed);
                shared.children.fetch_max(children(pid).into_iter().map(rss).sum(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { peaks, thread: Some(thread) }
    }

    /// Peak bytes: of the process, of its children together.
    pub(crate) fn stop(mut self) -> (u64, u64) {
        self.end();
        (self.peaks.own.load(Ordering::Relaxed), self.peaks.children.load(Ordering::Relaxed))
    }

    fn end(&mut self) {
        self.peaks.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only reads files; whether it panicked changes nothing here.
            let _ = thread.join();
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.end();
    }
}
