//! Entering a group: join, and the assignment that follows; with the assignor's work if the member leads. It may wait for
//! the slowest of the other members, so it is a task of its own: requests look whether it has ended.

use std::cell::RefCell;
use std::sync::Arc;

use super::MemberOptions;
use crate::broker::Broker;
use crate::groups::client::{self, CONSUMER, COOPERATIVE, Partitions, Subscription};
use crate::groups::machine::{Join, JoinRefused, Joined, MemberId, SyncRequest};
use crate::groups::{GroupError, GroupId};

/// Rebalances in a row that a member goes through before it says that the group does not come to rest.
const TRIES: usize = 20;

/// A member on its way into the next generation.
pub(super) struct Entering {
    pub(super) broker: Broker,
    pub(super) group: GroupId,
    pub(super) member_id: MemberId,
    pub(super) options: MemberOptions,
    /// what it has so far
    pub(super) owned: Partitions,
    /// in which it was given that; −1: none
    pub(super) generation: i32,
}

/// A member in its generation.
pub(super) struct Entered {
    pub(super) generation: i32,
    pub(super) assigned: Partitions,
    /// What it had and still has was nobody else's in between.
    pub(super) is_unbroken: bool,
    pub(super) counted: Counted,
}

/// The partitions of each topic when the member assigned them; of a member that does not lead, none.
pub(super) type Counted = Vec<(Arc<str>, Option<u32>)>;

/// Asks for an id to join with.
pub(super) async fn fresh_id(
    broker: &Broker,
    group: &GroupId,
    options: &MemberOptions,
) -> Result<MemberId, GroupError> {
    let join = join("".into(), options, &Partitions::new(), -1);
    match broker.groups().join(group, join).await {
        Ok(joined) => Ok(joined.member_id),
        Err(JoinRefused { error: GroupError::MemberIdRequired { member_id }, .. }) => Ok(member_id),
        Err(refused) => Err(refused.error),
    }
}

fn join(member_id: MemberId, options: &MemberOptions, owned: &Partitions, generation: i32) -> Join {
    let topics = options.topics.iter().map(|topic| topic.as_str().into()).collect();
    let subscription = Subscription { topics, owned: owned.clone(), generation };
    let timeout_ms = i64::try_from(options.session_timeout.as_millis()).unwrap_or(i64::MAX);
    Join {
        member_id,
        instance_id: None,
        client_id: options.client_id.clone(),
        client_host: options.client_host.clone(),
        session_timeout_ms: timeout_ms,
        // Its client may come as late as that.
        rebalance_timeout_ms: timeout_ms,
        protocol_type: CONSUMER.into(),
        protocols: client::offers(&subscription),
        needs_known_id: true,
        may_skip_assignment: false,
    }
}

impl Entering {
    pub(super) async fn run(mut self) -> Result<Entered, GroupError> {
        let mut is_unbroken = true;
        for _ in 0..TRIES {
            let join = join(self.member_id.clone(), &self.options, &self.owned, self.generation);
            let joined = match self.broker.groups().join(&self.group, join).await {
                Ok(joined) => joined,
                Err(JoinRefused { error: GroupError::Rebalancing, .. }) => continue,
                Err(refused) => return Err(refused.error),
            };
            let generation = joined.generation;
            let protocol = joined.protocol.clone().unwrap_or_default();
            let (assignments, counted) = self.assign(joined)?;
            let sync = SyncRequest {
                member_id: self.member_id.clone(),
                instance_id: None,
                generation,
                protocol_type: None,
                protocol: None,
                assignments,
            };
            let synced = match self.broker.groups().sync(&self.group, sync).await {
                Ok(synced) => synced,
                Err(GroupError::Rebalancing | GroupError::IllegalGeneration { .. }) => continue,
                Err(error) => return Err(error),
            };
            let malformed = |_| GroupError::InconsistentProtocol;
            let assigned = client::decode_assignment(&synced.assignment).map_err(malformed)?;
            // In a generation that was left out others may have read what this member had.
            is_unbroken &= generation == self.generation || generation == self.generation.wrapping_add(1);
            self.generation = generation;
            if *protocol == *COOPERATIVE && self.give_up_all_but(&assigned) {
                // Others wait for it.
                continue;
            }
            return Ok(Entered { generation, assigned, is_unbroken, counted });
        }
        Err(GroupError::Rebalancing)
    }

    /// The leader's assignments; others have none to make.
    fn assign(&self, joined: Joined) -> Result<(Vec<(MemberId, bytes::Bytes)>, Counted), GroupError> {
        if joined.leader != joined.member_id || joined.skip_assignment {
            return Ok((Vec::new(), Counted::new()));
        }
        let protocol = joined.protocol.clone().unwrap_or_default();
        let counted = RefCell::new(Counted::new());
        let count = |topic: &str| {
            let count = self.broker.readable_named(topic).map(|handle| handle.topic.partitions);
            counted.borrow_mut().push((topic.into(), count));
            count
        };
        let assignments = client::assign(&protocol, joined.members, count);
        let assignments = assignments.map_err(|_| GroupError::InconsistentProtocol)?;
        Ok((assignments, counted.into_inner()))
    }

    /// Keeps what is still assigned; false: there was nothing else.
    fn give_up_all_but(&mut self, assigned: &Partitions) -> bool {
        let before: usize = self.owned.values().map(std::collections::BTreeSet::len).sum();
        for (topic, list) in &mut self.owned {
            list.retain(|partition| assigned.get(topic).is_some_and(|kept| kept.contains(partition)));
        }
        self.owned.retain(|_, list| !list.is_empty());
        before > self.owned.values().map(std::collections::BTreeSet::len).sum()
    }
}
