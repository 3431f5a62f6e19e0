//! A group as it is stored: epochs, targets, and members as they stand.

use std::collections::BTreeMap;

use super::{Consumer, Member, Topics};
use crate::groups::machine::{Now, Rules};
use crate::model::{Partition, TopicId};

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// the group epoch
    pub epoch: i32,
    /// the group epoch for which the members' targets were made
    pub target_epoch: i32,
    /// what the members subscribed to, as far as it was there: topics with their partitions
    pub subscribed: BTreeMap<TopicId, Partition>,
    /// in the order of their ids; their deadlines are not stored
    pub members: Vec<Member>,
}

impl Consumer {
    /// How the group stands, to be stored.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            subscribed: self.subscribed.clone(),
            members: self.members.values().cloned().collect(),
        }
    }

    /// The group as it was stored. Its members have a session's time to give a sign of life, and those that have to give
    /// something up the time for that anew.
    pub fn restore(snapshot: Snapshot, rules: Rules, topics: &Topics, now: Now) -> Self {
        let mut group = Self::new(rules);
        group.epoch = snapshot.epoch;
        group.target_epoch = snapshot.target_epoch;
        for mut member in snapshot.members {
            member.renew(now.tick_ms);
            if !member.revoking.is_empty() {
                member.revocation_ends = Some(now.tick_ms.saturating_add(member.rebalance_timeout_ms));
            }
            if let Some(pattern) = &member.pattern {
                // It was accepted before. If it is none any more it matches nothing, and the member says it again.
                let _ = group.patterns.add(pattern, topics);
            }
            group.put(member);
        }
        // What has changed since is seen with the first heartbeat, which compares with this.
        group.subscribed = snapshot.subscribed;
        group
    }
}
