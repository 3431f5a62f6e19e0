//! The instances of a view: made when a reader needs one, kept for the next, never more than its permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::View;
use crate::broker::inline::Sinks;
use crate::model::Partition;
use crate::runtime::clock::monotonic;
use crate::wasm::{Fault, InstanceConfig, LogLevel, LogSink, Transformer};

/// A reader waits no longer for an instance: all of them are at work then, each within its limits (a guess).
const LEASE_WAIT: Duration = Duration::from_secs(10);

/// The instances of a view.
pub(super) struct Pool {
    idle: Mutex<Vec<Resting>>,
    idle_max: usize,
    permits: Arc<Semaphore>,
}

struct Resting {
    seat: Seat,
    since: Instant,
}

/// An instance, and the partition that its lines belong to.
pub(super) struct Seat {
    pub(super) instance: Transformer,
    voice: Arc<Voice>,
}

/// An instance for the time of one look; none until the first call, and after a failed one.
pub(super) struct Lease {
    pub(super) seat: Option<Seat>,
    _permit: OwnedSemaphorePermit,
}

/// An instance serves all partitions: its lines go to the log of the one that it is at.
struct Voice {
    log: Arc<Sinks>,
    partition: AtomicU32,
}

impl LogSink for Voice {
    fn write(&self, level: LogLevel, text: String) {
        (self.log)(self.partition.load(Ordering::Relaxed)).write(level, text);
    }
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(idle_max: usize, permits: Arc<Semaphore>) -> Self {
        Self { idle: Mutex::default(), idle_max, permits }
    }

    /// The right to one instance, and one that rests if there is any.
    pub(super) async fn lease(&self) -> Result<Lease, Fault> {
        let permit = tokio::time::timeout(LEASE_WAIT, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Fault::Busy("all instances for views are at work; try again later".to_owned()));
        };
        let seat = self.idle.lock().pop().map(|resting| resting.seat);
        Ok(Lease { seat, _permit: permit })
    }

    /// Takes back what was leased.
    pub(super) fn give_back(&self, lease: Lease) {
        let Some(seat) = lease.seat else { return };
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max {
            idle.push(Resting { seat, since: monotonic() });
        }
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    pub(super) fn rest(&self, longest: Duration) {
        let (tired, fit): (Vec<_>, Vec<_>) =
            self.idle.lock().drain(..).partition(|resting| resting.since.elapsed() > longest);
        self.idle.lock().extend(fit);
        // Not under the lock: memory of guests is given back.
        drop(tired);
    }
}

// === impl Lease ===

impl Lease {
    /// The instance, made if there is none.
    pub(super) async fn instance(
        &mut self,
        view: &Arc<View>,
        partition: Partition,
    ) -> Result<&mut Transformer, Fault> {
        let seat = match self.seat.take() {
            Some(seat) => seat,
            None => Seat::make(view, partition).await?,
        };
        seat.voice.partition.store(partition, Ordering::Relaxed);
        Ok(&mut self.seat.insert(seat).instance)
    }
}

impl Seat {
    async fn make(view: &Arc<View>, partition: Partition) -> Result<Self, Fault> {
        let component = view.component.as_ref().map_err(Fault::clone)?;
        let voice = Arc::new(Voice { log: view.log.clone(), partition: AtomicU32::new(partition) });
        let of = &view.of;
        let config = InstanceConfig {
            label: of.called.clone(),
            params: of.params.clone(),
            inputs: vec![of.source.to_string()],
            outputs: Vec::new(),
            limits: of.limits.clone(),
            log: voice.clone(),
            place: None,
            http: None,
        };
        Ok(Self { instance: component.transformer(config).await?, voice })
    }
}
