//! Bytes of produce requests under way are bounded, so that a slow disk becomes a clear answer and not a full memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ProduceError;

/// A record's share beside its own bytes: views, results, bookkeeping (a guess on the safe side).
pub const RECORD_OVERHEAD: usize = 128;

/// How long a piece of a stream waits for others to leave room (a guess).
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// Counts bytes in units of one KiB, so that any bound fits the semaphore's 32-bit permits.
const UNIT: usize = 1024;

/// The bound and what is under way.
#[derive(Debug)]
pub struct Admission {
    units: Arc<Semaphore>,
    limit_units: usize,
}

/// A request's share; given back when dropped.
pub type Permit = OwnedSemaphorePermit;

impl Admission {
    /// At most `bytes` under way, at least one MiB.
    pub fn new(bytes: usize) -> Self {
        let limit_units = (bytes / UNIT).max(1024);
        Self { units: Arc::new(Semaphore::new(limit_units)), limit_units }
    }

    /// The bound in bytes.
    pub fn limit(&self) -> usize {
        self.limit_units * UNIT
    }

    /// Bytes under way.
    pub fn in_flight(&self) -> usize {
        (self.limit_units - self.units.available_permits()) * UNIT
    }

    /// Takes a share, or says at once that there is none.
    ///
    /// # Errors
    /// `Overloaded`, or `RequestTooLarge` when no wait would help.
    pub fn admit(&self, bytes: usize) -> Result<Permit, ProduceError> {
        let units = self.units_of(bytes)?;
        self.units.clone().try_acquire_many_owned(units).map_err(|_| self.overloaded())
    }

    /// Takes a share as soon as there is room for it; whoever asks at once meanwhile is refused.
    ///
    /// # Errors
    /// `Overloaded` after a wait of 30 s, or `RequestTooLarge` when no wait would help.
    pub async fn wait(&self, bytes: usize) -> Result<Permit, ProduceError> {
        let units = self.units_of(bytes)?;
        match tokio::time::timeout(ROOM_WAIT, self.units.clone().acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    fn units_of(&self, bytes: usize) -> Result<u32, ProduceError> {
        let units = bytes.div_ceil(UNIT);
        let fits = u32::try_from(units).ok().filter(|_| units <= self.limit_units);
        fits.ok_or(ProduceError::RequestTooLarge { found: bytes, limit: self.limit() })
    }

    fn overloaded(&self) -> ProduceError {
        ProduceError::Overloaded { in_flight: self.in_flight(), limit: self.limit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_when_dropped() {
        let admission = Admission::new(4 << 20);
        let first = admission.admit(3 << 20).unwrap();
        let refused = admission.admit(2 << 20).unwrap_err();
        assert!(
            matches!(refused, ProduceError::Overloaded { in_flight: 3_145_728, limit: 4_194_304 }),
            "{refused}"
        );
        drop(first);
        assert_eq!(admission.in_flight(), 0);
        assert!(admission.admit(2 << 20).is_ok());
    }

    #[test]
    fn a_request_over_the_bound_is_told_so() {
        let refused = Admission::new(1 << 20).admit(2 << 20).unwrap_err();
        assert!(matches!(refused, ProduceError::RequestTooLarge { .. }), "{refused}");
    }
}
