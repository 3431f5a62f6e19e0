//! Time passes for groups: one task sleeps until the first deadline of all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Weak;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Inner;
use crate::groups::GroupId;

/// When each group wants to be looked at. Signs of life move deadlines away without a word here: then the look comes early,
/// and finds the new one.
#[derive(Default)]
pub(super) struct Timers {
    due: Mutex<Due>,
    sooner: Notify,
}

#[derive(Default)]
struct Due {
    order: BTreeSet<(i64, GroupId)>,
    by_group: HashMap<GroupId, i64>,
}

// === impl Timers ===

impl Timers {
    /// Sets a group's deadline, or takes it away. Called while the group is locked.
    pub(super) fn set(&self, group: &GroupId, at: Option<i64>) {
        let mut due = self.due.lock();
        let before = match at {
            Some(at) => due.by_group.insert(group.clone(), at),
            None => due.by_group.remove(group),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            due.order.remove(&(before, group.clone()));
        }
        let Some(at) = at else { return };
        due.order.insert((at, group.clone()));
        if due.order.first().is_some_and(|(first, _)| *first == at) {
            self.sooner.notify_one();
        }
    }

    fn first(&self) -> Option<i64> {
        self.due.lock().order.first().map(|(at, _)| *at)
    }

    /// Takes out what is due.
    fn take(&self, tick_ms: i64) -> Vec<GroupId> {
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while let Some((at, _)) = due.order.first()
            && *at <= tick_ms
            && let Some((_, group)) = due.order.pop_first()
        {
            due.by_group.remove(&group);
            taken.push(group);
        }
        taken
    }
}

/// Works until the groups are gone.
pub(super) async fn run(groups: Weak<Inner>) {
    let Some((timers, clock)) = groups.upgrade().map(|inner| (inner.timers.clone(), inner.clock.clone()))
    else {
        return;
    };
    loop {
        let sooner = timers.sooner.notified();
        match timers.first() {
            None => sooner.await,
            Some(at) => tokio::select! {
                () = sooner => {}
                () = clock.sleep_until(at) => match groups.upgrade() {
                    Some(inner) => inner.pass(),
                    None => return,
                },
            },
        }
    }
}

impl Inner {
    fn pass(&self) {
        for group in self.timers.take(self.clock.tick_ms()) {
            if let Some(entry) = self.find(&group) {
                // What is due is done whenever something happens; here nothing else does.
                self.happen(&entry, |_, _| ());
            }
        }
    }
}
