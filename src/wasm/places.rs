//! How many instances of one deployment may be alive at once. Whoever wants one and finds all places taken waits, in the
//! order of asking; whoever has one and nothing to do, or had it for a while, gives it back when others wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The places of a deployment; cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    waiting: Arc<watch::Sender<usize>>,
}

/// A place; free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Places {
    /// So many, one at least.
    pub fn new(count: u32) -> Self {
        let free = Arc::new(Semaphore::new(count.max(1) as usize));
        Self { free, waiting: Arc::new(watch::channel(0).0) }
    }

    /// Waits for a free one.
    pub async fn take(&self) -> Place {
        let _waits = Waits::begin(&self.waiting);
        let permit = self.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        Place { _permit: Arc::new(permit) }
    }

    /// Does anybody wait?
    pub fn are_wanted(&self) -> bool {
        *self.waiting.borrow() > 0 && self.free.available_permits() == 0
    }

    /// Returns when somebody waits.
    pub async fn wanted(&self) {
        // The sender lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Places that are taken.
    pub fn taken(&self, count: u32) -> usize {
        (count.max(1) as usize).saturating_sub(self.free.available_permits())
    }
}

/// Counted among those who wait, until dropped.
struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|n| *n += 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_wanted_until_it_is_given_back() {
        let places = Places::new(1);
        let first = places.take().await;
        assert!(!places.are_wanted());
        let second = places.take();
        let holder = async {
            places.wanted().await;
            assert!(places.are_wanted());
            drop(first);
        };
        let (second, ()) = tokio::join!(second, holder);
        assert!(!places.are_wanted());
        drop(second);
        assert_eq!(places.taken(1), 0);
    }
}
