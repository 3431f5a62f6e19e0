//! Members of the consumer protocol over the storage and the clock, and groups that change their protocol.

use super::*;
use crate::groups::GroupKind;
use crate::groups::machine::consumer::{
    Assignment, Beat, Heartbeat, JOINS, LEAVES, Snapshot, State as ConsumerState,
};

const TIMEOUT: i64 = 45_000;

fn joining(id: &str) -> Heartbeat {
    Heartbeat {
        member_id: id.into(),
        epoch: JOINS,
        instance_id: None,
        rack_id: None,
        client_id: "app".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: TIMEOUT,
        rebalance_timeout_ms: Some(60_000),
        topics: Some(["orders".into()].into()),
        pattern: None,
        assignor: None,
        owned: Some(Assignment::default()),
    }
}

fn orders() -> Assignment {
    [(topic_id("orders"), 0)].into_iter().collect()
}

impl Node {
    async fn beat(&self, group: &str, beat: &Heartbeat) -> Result<Beat, GroupError> {
        self.groups.consumer_heartbeat(&id(group), beat).await
    }

    fn consumers(&self, group: &str) -> (ConsumerState, Snapshot) {
        let described = self.groups.describe_consumers(&id(group)).unwrap();
        (described.state, described.group)
    }

    /// As `ListGroups` shows it.
    fn listed(&self, group: &str) -> (GroupKind, &'static str, usize) {
        let listed = self.groups.list().into_iter().find(|listed| listed.id == id(group)).unwrap();
        (listed.kind, listed.state, listed.members)
    }
}

#[tokio::test]
async fn a_member_goes_on_with_its_epoch_and_its_partitions_after_a_crash() {
    let node = Node::new().await;
    let joined = node.beat("g", &joining("a")).await.unwrap();
    assert_eq!(joined, Beat { member_id: "a".into(), epoch: 1, assignment: Some(orders()) });
    let before = node.consumers("g");
    let node = node.restart().await;
    let (state, after) = node.consumers("g");
    assert_eq!((state, after.epoch, &after.subscribed), (before.0, before.1.epoch, &before.1.subscribed));
    assert_eq!(after.members[0].assigned, orders());
    let again = Heartbeat { epoch: 1, owned: Some(orders()), ..joining("a") };
    assert_eq!(node.beat("g", &again).await, Ok(joined));
    node.hand.advance_ms(TIMEOUT);
    node.until(|node| node.listed("g") == (GroupKind::Consumer, "Empty", 0)).await;
}

#[tokio::test]
async fn a_topic_that_comes_is_assigned_with_the_next_heartbeat() {
    let node = Node::new().await;
    let beat = Heartbeat { topics: Some(["late".into()].into()), ..joining("a") };
    assert_eq!(node.beat("g", &beat).await.unwrap().assignment, Some(Assignment::default()));
    node.storage.create_topic(topic("late")).await.unwrap();
    let alive = Heartbeat { epoch: 1, topics: None, owned: None, ..joining("a") };
    let assignment = node.beat("g", &alive).await.unwrap().assignment;
    assert_eq!(assignment, Some([(topic_id("late"), 0)].into_iter().collect()));
}

#[tokio::test]
async fn members_commit_and_read_offsets_at_their_epoch() {
    let node = Node::new().await;
    node.beat("g", &joining("a")).await.unwrap();
    let offsets = [new_offset("orders", 0, 7)];
    assert_eq!(node.commit("g", member("a", 1), &offsets).await, Ok(vec![Ok(())]));
    let stale = GroupError::StaleEpoch { asked: 0, current: 1 };
    assert_eq!(node.commit("g", member("a", 0), &offsets).await, Err(stale.clone()));
    assert!(matches!(node.commit("g", nobody(), &offsets).await, Err(GroupError::UnknownMember { .. })));
    assert_eq!(node.orders("g"), [(0, 7)]);
    let asked = |epoch| FetchOffsets {
        group: id("g"),
        member: Some(("a".into(), epoch)),
        topics: None,
        require_stable: false,
    };
    assert_eq!(node.groups.fetch_offsets(&asked(0)), Err(stale));
    assert_eq!(node.groups.fetch_offsets(&asked(1)).map(|topics| topics.len()), Ok(1));
}

#[tokio::test]
async fn an_empty_group_follows_the_protocol_of_who_joins() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 3).await;
    assert_eq!(node.listed("g"), (GroupKind::Classic, "Empty", 0));
    node.beat("g", &joining("a")).await.unwrap();
    assert_eq!(node.listed("g"), (GroupKind::Consumer, "Stable", 1));
    let refused = node.join("g", consumer()).await.unwrap_err().error;
    assert_eq!(refused, GroupError::InconsistentProtocol);
    assert_eq!(node.groups.describe(&id("g")), Err(GroupError::InconsistentProtocol));
    let unknown = GroupError::UnknownMember { member_id: "a".into() };
    assert_eq!(node.heartbeat("g", "a", 1), Err(unknown.clone()), "a member of the protocol before");
    assert_eq!(node.sync("g", "a", 1, &[]).await, Err(unknown));

    node.beat("g", &Heartbeat { epoch: LEAVES, ..joining("a") }).await.unwrap();
    node.alone("g", consumer()).await;
    assert_eq!(node.listed("g"), (GroupKind::Classic, "Stable", 1));
    let refused = node.beat("g", &joining("a")).await;
    assert_eq!(refused, Err(GroupError::NotConsumer { group: id("g") }));

    let node = node.restart().await;
    assert_eq!(node.listed("g"), (GroupKind::Classic, "Stable", 1));
    assert_eq!(node.orders("g"), [(0, 3)]);
}

#[tokio::test]
async fn a_group_with_members_is_kept_and_one_without_is_deleted() {
    let node = Node::new().await;
    node.beat("g", &joining("a")).await.unwrap();
    node.put("h", "orders", 0, 3).await;
    assert_eq!(node.groups.delete_groups(vec![id("g")]).await, [Err(GroupError::NotEmpty { members: 1 })]);
    let subscribed = GroupError::Subscribed { topic: topic_name("orders") };
    let partitions = vec![(topic_name("orders"), 0), (topic_name("clicks"), 0)];
    let deleted = node.groups.delete_offsets(id("g"), partitions).await;
    assert_eq!(deleted, Ok(vec![Err(subscribed), Ok(())]));
    node.groups.expel(&id("g")).unwrap();
    assert_eq!(node.groups.delete_groups(vec![id("g")]).await, [Ok(())]);
    let unknown = Heartbeat { epoch: 1, ..joining("a") };
    assert_eq!(node.beat("g", &unknown).await, Err(GroupError::NotFound { group: id("g") }));
    let node = node.restart().await;
    assert_eq!(node.groups.list().iter().map(|listed| listed.id.as_str()).collect::<Vec<_>>(), ["h"]);
}

#[tokio::test]
async fn nothing_is_answered_that_is_not_stored() {
    let node = Node::new().await;
    node.beat("g", &joining("a")).await.unwrap();
    node.storage.close();
    let alive = Heartbeat { epoch: 1, topics: None, owned: None, ..joining("a") };
    assert_eq!(node.beat("g", &alive).await.map(|beat| beat.epoch), Ok(1), "nothing is to be stored");
    let refused = node.beat("g", &joining("b")).await;
    assert!(matches!(refused, Err(GroupError::Storage(_))), "{refused:?}");
    // The group has changed in memory, so that nobody hears of it before it is stored.
    let refused = node.beat("g", &alive).await;
    assert!(matches!(refused, Err(GroupError::Storage(_))), "{refused:?}");
}
