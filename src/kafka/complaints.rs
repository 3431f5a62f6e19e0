//! Log lines about clients, which any client can cause: at most one a second, with the number of those left out.

use std::fmt::Display;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::runtime::clock::monotonic;

const PAUSE: Duration = Duration::from_secs(1);

/// The limit.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Complaints {
    /// Logs a warning, or counts it.
    pub(super) fn warn(&self, client: impl Display, what: impl Display) {
        if let Some(left_out) = self.turn() {
            tracing::warn!(%client, left_out, "kafka: {what}");
        } else {
            tracing::debug!(%client, "kafka: {what}");
        }
    }

    /// How many were left out, if it is time for another.
    fn turn(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if state.last.is_some_and(|last| last.elapsed() < PAUSE) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(monotonic());
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_and_a_number() {
        let complaints = Complaints::default();
        assert_eq!(complaints.turn(), Some(0));
        assert_eq!((complaints.turn(), complaints.turn()), (None, None));
        complaints.0.lock().last = None;
        assert_eq!(complaints.turn(), Some(2));
    }
}
