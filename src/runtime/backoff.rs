//! Pauses that double up to a bound.

use std::time::Duration;

/// The longest pause.
pub const MAX: Duration = Duration::from_secs(30);

/// Pause before retry number `attempt` (from 1), when the first one is `base`.
pub fn pause(base: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1u32 << attempt.saturating_sub(1).min(20)).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound() {
        let base = Duration::from_millis(200);
        let pauses = [1, 2, 3, 9, 4_000_000_000].map(|attempt| pause(base, attempt).as_millis());
        assert_eq!(pauses, [200, 400, 800, 30_000, 30_000]);
    }
}
