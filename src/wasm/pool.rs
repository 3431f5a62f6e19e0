//! Instances that serve whoever comes: made when somebody needs one, kept for the next, never more than its permits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::runtime::clock::monotonic;

/// Instances of one kind.
#[derive(Debug)]
pub struct Pool<I> {
    idle: Mutex<Vec<Resting<I>>>,
    idle_max: usize,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Resting<I> {
    instance: I,
    since: Instant,
}

/// The right to have one instance, and one that rested, if there was any.
#[derive(Debug)]
pub struct Lease<I> {
    /// none until it is made, and after a failed call
    pub instance: Option<I>,
    _permit: OwnedSemaphorePermit,
}

impl<I> Pool<I> {
    /// Keeps at most so many that rest. Pools may share their permits.
    pub fn new(idle_max: usize, permits: Arc<Semaphore>) -> Self {
        Self { idle: Mutex::default(), idle_max, permits }
    }

    /// A lease; `None` when all permits are taken for so long.
    pub async fn lease(&self, wait: Duration) -> Option<Lease<I>> {
        let permit = tokio::time::timeout(wait, self.permits.clone().acquire_owned()).await.ok()?.ok()?;
        let instance = self.idle.lock().pop().map(|resting| resting.instance);
        Some(Lease { instance, _permit: permit })
    }

    /// Takes back what was leased.
    pub fn give_back(&self, lease: Lease<I>) {
        let Some(instance) = lease.instance else { return };
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max {
            idle.push(Resting { instance, since: monotonic() });
        }
    }

    /// How many rest.
    pub fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// Drops those that have rested so long. Were there any?
    pub fn rest(&self, longest: Duration) -> bool {
        let (tired, fit): (Vec<_>, Vec<_>) =
            self.idle.lock().drain(..).partition(|resting| resting.since.elapsed() >= longest);
        self.idle.lock().extend(fit);
        // Not under the lock: memory of guests is given back.
        !tired.is_empty()
    }
}
