//! The other side of a classic group: what a member of it says, reads and, when it leads, decides. For members that live
//! in this server, and for showing what the members of others are assigned. Pure; whoever is a member does the talking.
//!
//! A member offers what Kafka's consumers offer by default: `range`, and `cooperative-sticky` beside it, so that it can be
//! in one group with any of them.

mod protocol;
mod range;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::machine::{JoinedMember, MemberId, Protocol};
use crate::model::Partition;

pub use protocol::{Malformed, Subscription, decode_assignment, encode_assignment};

/// The type of protocol of groups that read topics.
pub const CONSUMER: &str = "consumer";
/// Each topic's partitions in a row over its readers.
pub const RANGE: &str = "range";
/// Everybody keeps what it has, as far as that is fair, and reads on while a rebalance is under way.
pub const COOPERATIVE: &str = "cooperative-sticky";

/// Partitions by topic.
pub type Partitions = BTreeMap<Arc<str>, BTreeSet<Partition>>;

/// A member as whoever assigns sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    member_id: MemberId,
    instance_id: Option<Arc<str>>,
    subscription: Subscription,
}

/// What a member offers when it joins, the best first.
pub fn offers(subscription: &Subscription) -> Vec<Protocol> {
    let metadata = subscription.encode();
    [RANGE, COOPERATIVE].map(|name| Protocol { name: name.into(), metadata: metadata.clone() }).into()
}

/// What each member gets, as it is sent; for the member that leads. `partitions`: how many a topic has; `None`: there is no
/// such topic, and it is assigned to nobody.
///
/// # Errors
/// `Malformed` when a member's subscription cannot be read.
pub fn assign(
    protocol: &str,
    members: Vec<JoinedMember>,
    partitions: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<(MemberId, Bytes)>, Malformed> {
    let candidate = |member: JoinedMember| {
        let subscription = Subscription::decode(&member.metadata)?;
        Ok(Candidate { member_id: member.member_id, instance_id: member.instance_id, subscription })
    };
    let mut candidates = members.into_iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
    // Kafka's order: static members by their instance, before all others.
    candidates.sort_by(|a, b| match (&a.instance_id, &b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.member_id.cmp(&b.member_id),
    });
    let topics: BTreeSet<&Arc<str>> = candidates.iter().flat_map(|c| &c.subscription.topics).collect();
    let counts: BTreeMap<Arc<str>, u32> =
        topics.into_iter().filter_map(|topic| Some((topic.clone(), partitions(topic)?))).collect();
    let shares = match protocol {
        COOPERATIVE => sticky::assign(&candidates, &counts),
        _ => range::assign(&candidates, &counts),
    };
    let pairs = candidates.into_iter().zip(shares);
    Ok(pairs.map(|(candidate, share)| (candidate.member_id, encode_assignment(&share))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn partitions(of: &[(&str, &[Partition])]) -> Partitions {
        of.iter().map(|(topic, list)| (Arc::from(*topic), list.iter().copied().collect())).collect()
    }

    pub(super) fn candidate(id: &str, topics: &[&str], owned: &[(&str, &[Partition])]) -> Candidate {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        let subscription = Subscription { topics, owned: partitions(owned), generation: 1 };
        Candidate { member_id: id.into(), instance_id: None, subscription }
    }

    pub(super) fn counts(of: &[(&str, u32)]) -> BTreeMap<Arc<str>, u32> {
        of.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    #[test]
    fn static_members_come_first_and_topics_that_are_not_there_are_left_out() {
        let member = |id: &str, instance: Option<&str>| JoinedMember {
            member_id: id.into(),
            instance_id: instance.map(Arc::from),
            metadata: candidate(id, &["a", "gone"], &[]).subscription.encode(),
        };
        let members = vec![member("m-1", None), member("m-2", Some("z")), member("m-3", Some("b"))];
        let shares = assign(RANGE, members, |topic| (topic == "a").then_some(4)).unwrap();
        let shares: Vec<_> =
            shares.iter().map(|(id, share)| (&**id, decode_assignment(share).unwrap())).collect();
        let expected = [
            ("m-3", partitions(&[("a", &[0, 1])])),
            ("m-2", partitions(&[("a", &[2])])),
            ("m-1", partitions(&[("a", &[3])])),
        ];
        assert_eq!(shares, expected);
    }

    #[test]
    fn a_member_that_cannot_be_read_is_not_passed_over() {
        let metadata = Bytes::from_static(b"\0");
        let member = JoinedMember { member_id: "m".into(), instance_id: None, metadata };
        assert_eq!(assign(RANGE, vec![member], |_| Some(1)), Err(Malformed));
    }
}
