//! What calls into users' code took, and how they failed: one set of counts for each that is told of, written by whoever
//! calls and read by whoever scrapes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of a call's duration, in seconds: from a call that only looks at a record to one at its limit.
pub const BOUNDS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Kinds of failures, in the order of their counts. What is none of them counts as the last.
pub const KINDS: [&str; 15] = [
    "trap",
    "cpu_limit",
    "wall_limit",
    "memory_limit",
    "output_bytes_limit",
    "output_records_limit",
    "state_limit",
    "retry",
    "fatal",
    "refused",
    "protocol",
    "open_failed",
    "instance",
    "node_busy",
    "other",
];

/// Counts of calls.
#[derive(Debug, Default)]
pub struct Calls {
    /// by bound, each for itself; the last one has none
    durations: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
    cpu_nanos: AtomicU64,
    failures: [AtomicU64; KINDS.len()],
}

/// The counts at one moment; they can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallSums {
    durations: [u64; BOUNDS.len() + 1],
    nanos: u64,
    cpu_nanos: u64,
    failures: [u64; KINDS.len()],
}

// === impl Calls ===

impl Calls {
    /// A call has ended, whatever came of it.
    pub fn ended(&self, took: Duration, cpu: Duration) {
        let index = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.durations.get(index) {
            count.fetch_add(1, Relaxed);
        }
        self.nanos.fetch_add(nanos(took), Relaxed);
        self.cpu_nanos.fetch_add(nanos(cpu), Relaxed);
    }

    /// Something failed, a call or what is done with its outputs.
    pub fn failed(&self, kind: &str) {
        let index = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
        if let Some(count) = self.failures.get(index) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// What was counted so far.
    pub fn sums(&self) -> CallSums {
        let get = |counts: &AtomicU64| counts.load(Relaxed);
        CallSums {
            durations: self.durations.each_ref().map(get),
            nanos: get(&self.nanos),
            cpu_nanos: get(&self.cpu_nanos),
            failures: self.failures.each_ref().map(get),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl CallSums ===

impl CallSums {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.durations.iter_mut().zip(&other.durations);
        for (own, other) in pairs.chain(self.failures.iter_mut().zip(&other.failures)) {
            *own += other;
        }
        self.nanos += other.nanos;
        self.cpu_nanos += other.cpu_nanos;
    }

    /// Calls of at most each bound, and all of them, as a histogram of Prometheus has them.
    pub fn buckets(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        bounds.zip(self.durations.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    /// Seconds of all calls.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }

    /// Seconds of CPU time of all calls.
    pub fn cpu_seconds(&self) -> f64 {
        Duration::from_nanos(self.cpu_nanos).as_secs_f64()
    }

    /// Failures by kind, those that there were.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        KINDS.iter().copied().zip(self.failures).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_bounds_and_failures_by_their_kinds() {
        let calls = Calls::default();
        for micros in [50, 100, 700, 20_000_000] {
            calls.ended(Duration::from_micros(micros), Duration::from_micros(10));
        }
        calls.failed("trap");
        calls.failed("something new");
        let mut sums = calls.sums();
        let buckets: Vec<_> = sums.buckets().map(|(_, count)| count).collect();
        assert_eq!(buckets, [2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(sums.buckets().last(), Some(("+Inf".to_owned(), 4)));
        assert_eq!((sums.seconds(), sums.cpu_seconds()), (20.000_85, 0.000_04));
        sums.add(&calls.sums());
        assert_eq!(sums.failures().collect::<Vec<_>>(), [("trap", 2), ("other", 2)]);
    }
}
