//! Bringing one member to its target: it gives up first, and gets afterwards.
//!
//! ```text
//!            has to give up                    has given up, others have not
//!  Stable ───────────────────► Unrevoked ───────────────────────────────────► Unreleased
//!    ▲ ▲                           │                                             │
//!    │ └───────────────────────────┘                                             │
//!    └───────────────────────────────────────────────────────────────────────────┘
//! ```

use super::{Assignment, Consumer, MemberId, Progress};
use crate::groups::machine::Now;

impl Consumer {
    /// `owned` is what the member says that it owns, if it says so.
    pub(super) fn reconcile(&mut self, id: &MemberId, owned: Option<&Assignment>, now: Now) {
        let Some(member) = self.members.get(id) else { return };
        if member.is_reconciled(self.target_epoch) {
            return;
        }
        // Who does not say what it owns may own everything still.
        let owns = |partitions: &Assignment| owned.is_none_or(|owned| owned.overlaps(partitions));
        if member.progress == Progress::Unrevoked && owns(&member.revoking) {
            return;
        }
        let kept = member.assigned.common(&member.target);
        let revoking = member.assigned.without(&kept);
        if !revoking.is_empty() && owns(&revoking) {
            let (epoch, wait_ms) = (member.epoch, member.rebalance_timeout_ms);
            return self.settle(id, epoch, Progress::Unrevoked, (kept, revoking), Some((wait_ms, now)));
        }
        let mut assigned = kept;
        let mut progress = Progress::Stable;
        for (topic, partition) in member.target.without(&assigned).iter() {
            // What it has just given up and shall own again is held by itself.
            match self.holders.get(&(topic, partition)) {
                Some(holder) if holder != id => progress = Progress::Unreleased,
                _ => {
                    assigned.insert(topic, partition);
                }
            }
        }
        let target_epoch = self.target_epoch;
        self.settle(id, target_epoch, progress, (assigned, Assignment::default()), None);
    }

    fn settle(
        &mut self,
        id: &MemberId,
        epoch: i32,
        progress: Progress,
        (assigned, revoking): (Assignment, Assignment),
        wait: Option<(i64, Now)>,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        let is_same = (member.epoch, member.progress) == (epoch, progress)
            && (&member.assigned, &member.revoking) == (&assigned, &revoking);
        if is_same {
            return;
        }
        member.move_to(epoch);
        member.progress = progress;
        member.revocation_ends = wait.map(|(ms, now)| now.tick_ms.saturating_add(ms));
        self.hold(id, assigned, revoking);
        self.changes += 1;
    }
}
