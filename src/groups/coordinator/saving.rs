//! What of a group of the consumer protocol is stored, and who waits for it. The machine counts its changes; an answer
//! leaves when the changes that it tells of are on disk.

use tokio::sync::oneshot;

use crate::groups::GroupError;

/// A heartbeat that waits for a store.
pub(super) type Waiting = oneshot::Receiver<Result<(), GroupError>>;

/// Counts of changes, each as the machine counts them.
#[derive(Default)]
pub(super) struct Saving {
    stored: u64,
    /// for which a store has been asked
    asked: u64,
    /// of the commit under way
    under_way: Option<u64>,
    waiting: Vec<(u64, oneshot::Sender<Result<(), GroupError>>)>,
}

impl Saving {
    /// Waits until so many changes are stored; `None`: they are. What could not be stored is tried again for whoever waits,
    /// and not by itself: a full disk stays full for a while.
    pub(super) fn wait(&mut self, changes: u64) -> Option<Waiting> {
        if changes <= self.stored {
            return None;
        }
        if self.waiting.is_empty() && self.under_way.is_none() {
            self.asked = self.stored;
        }
        let (sender, stored) = oneshot::channel();
        self.waiting.push((changes, sender));
        Some(stored)
    }

    /// True: there are changes for which nobody has asked for a store. Now somebody has.
    pub(super) fn ask(&mut self, changes: u64) -> bool {
        let is_more = changes > self.asked;
        self.asked = self.asked.max(changes);
        is_more
    }

    /// A commit with so many changes begins.
    pub(super) fn begin(&mut self, changes: u64) {
        self.under_way = Some(changes);
    }

    /// The commit has ended. After a failure all who wait hear of it: theirs would fail like it.
    pub(super) fn end(&mut self, result: &Result<(), GroupError>) {
        let Some(changes) = self.under_way.take() else { return };
        if result.is_ok() {
            self.stored = changes;
        }
        let is_told = |told: &(u64, _)| result.is_err() || told.0 <= changes;
        for (_, sender) in self.waiting.extract_if(.., |waiting| is_told(waiting)) {
            // Whoever has gone is not told.
            let _ = sender.send(result.clone());
        }
    }

    /// Whoever waits hears that the groups are closed.
    pub(super) fn close(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_for_the_store_that_covers_it() {
        let mut saving = Saving::default();
        assert!(saving.wait(0).is_none(), "nothing has changed");
        let mut first = saving.wait(1).unwrap();
        assert!(saving.ask(1) && !saving.ask(1));
        saving.begin(1);
        let mut second = saving.wait(2).unwrap();
        assert!(saving.ask(2));
        saving.end(&Ok(()));
        assert_eq!(first.try_recv(), Ok(Ok(())));
        assert!(second.try_recv().is_err(), "its changes came after");
        saving.begin(2);
        saving.end(&Ok(()));
        assert_eq!(second.try_recv(), Ok(Ok(())));
        assert!(saving.wait(2).is_none());
    }

    #[test]
    fn what_could_not_be_stored_is_tried_again_for_the_next_who_waits() {
        let mut saving = Saving::default();
        let mut first = saving.wait(1).unwrap();
        assert!(saving.ask(1));
        saving.begin(1);
        saving.end(&Err(GroupError::Closed));
        assert_eq!(first.try_recv(), Ok(Err(GroupError::Closed)));
        assert!(!saving.ask(1), "not by itself");
        assert!(saving.wait(1).is_some());
        assert!(saving.ask(1));
    }
}
