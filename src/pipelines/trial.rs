//! How the timer that fails is found among those that are due: they are handed over by halves until it stands alone. Pure.

use crate::model::limits::TIMERS_DUE_MAX;
use crate::state::Timer;
use crate::wasm::Fault;

/// Calls beside those that the timers need which are set, before records come in between: code that sets timers anew whose
/// time has passed would be called for them for ever.
const CALLS_AGAIN_MAX: u64 = 64;

/// How many timers are tried, and what is known of them.
pub(super) struct Trial {
    pub(super) most: usize,
    /// among so many of the first ones one fails
    within: usize,
    /// tries that failed so far
    pub(super) failed: u32,
    /// calls until records come in between
    calls: Option<u64>,
}

impl Default for Trial {
    fn default() -> Self {
        Self { most: TIMERS_DUE_MAX, within: 0, failed: 0, calls: None }
    }
}

impl Trial {
    /// One call more, while so many timers are set. Those that look for the one that fails end by themselves.
    pub(super) fn count_call(&mut self, timers: u64) {
        let calls = self.calls.get_or_insert(timers / TIMERS_DUE_MAX as u64 + CALLS_AGAIN_MAX);
        if self.within == 0 {
            *calls = calls.saturating_sub(1);
        }
    }

    /// It is time for records.
    pub(super) fn makes_room(&self) -> bool {
        self.calls == Some(0) && self.within == 0 && self.failed == 0
    }

    /// So many went well.
    pub(super) fn passed(&mut self, count: usize) {
        self.within = self.within.saturating_sub(count);
        self.failed = 0;
        self.most = if self.within == 0 { TIMERS_DUE_MAX } else { (self.within / 2).max(1) };
    }

    /// A call with these has failed, `bad` of them if that is known. It was no single one.
    pub(super) fn narrow(&mut self, due: &[Timer], bad: Option<usize>) {
        match bad {
            Some(i) => self.cut(i + 1, i),
            None => self.cut(due.len(), due.len() / 2),
        }
    }

    /// One of the first `within` fails, of which `most` are tried next.
    fn cut(&mut self, within: usize, most: usize) {
        (self.within, self.most, self.failed) = (within, most.max(1), 0);
    }
}

/// The one of the timers that a fault is about, if that is known.
pub(super) fn to_blame(due: &[Timer], fault: &Fault) -> Option<usize> {
    match fault {
        Fault::At { index, .. } => Some(*index as usize).filter(|i| *i < due.len()),
        _ if due.len() == 1 => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of timers that a trial hands over until the bad one, which is `bad`, has stood alone.
    fn handed_over(bad: usize, count: usize, named: bool) -> Vec<usize> {
        let (mut trial, mut first, mut tries) = (Trial::default(), 0, Vec::new());
        while first < count {
            let most = trial.most.min(count - first);
            tries.push(most);
            if !(first..first + most).contains(&bad) {
                trial.passed(most);
                first += most;
            } else if most == 1 {
                trial.passed(1);
                first += 1;
            } else if named {
                trial.cut(bad - first + 1, bad - first);
            } else {
                trial.cut(most, most / 2);
            }
            assert!(tries.len() < 100, "{tries:?}");
        }
        tries
    }

    #[test]
    fn the_bad_one_is_found_by_halves_and_the_others_go_on_together() {
        assert_eq!(handed_over(5, 8, false), [8, 4, 2, 1, 1, 2], "0..4, 4, then 5 alone");
        assert_eq!(handed_over(0, 1, false), [1]);
        for bad in 0..300 {
            assert!(handed_over(bad, 300, false).len() <= 2 + 2 * 9, "{bad}");
        }
    }

    #[test]
    fn one_that_is_named_is_cut_out_at_once() {
        assert_eq!(handed_over(5, 8, true), [8, 5, 1, 2]);
        assert_eq!(handed_over(0, 8, true), [8, 1, 7]);
    }
}
