//! One signal from the top to everything that runs: stop soon.

use tokio::sync::watch;

/// Asks everything to stop.
#[derive(Debug, Clone)]
pub struct Trigger(std::sync::Arc<watch::Sender<bool>>);

/// Hears of it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A pair of the two.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(std::sync::Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// From now on every [`Shutdown`] of this pair is requested.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Has it been asked for? A trigger that is gone counts as yes.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is asked for.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
