//! What goes away, and what stays.

use super::*;
use crate::groups::machine::Leaving;

const KEPT: i64 = 7 * 24 * 3600 * 1000;

impl Node {
    async fn leave(&self, group: &str, joined: &Joined) {
        let leaving = Leaving { member_id: joined.member_id.clone(), instance_id: None };
        assert_eq!(self.groups.leave(&id(group), &[leaving]), Ok(vec![Ok(())]));
    }

    /// All members live on through time.
    async fn pass(&self, ms: i64, group: &str, joined: &Joined) {
        for _ in 0..ms / (SESSION - 1) + 1 {
            self.hand.advance_ms((ms / (ms / (SESSION - 1) + 1)).max(1));
            assert_eq!(self.heartbeat(group, &joined.member_id, joined.generation), Ok(()));
        }
    }
}

#[tokio::test]
async fn groups_without_members_are_deleted_with_their_offsets_for_good() {
    let node = Node::new().await;
    let joined = node.alone("full", consumer()).await;
    node.put("empty", "orders", 0, 1).await;
    let groups = vec![id("empty"), id("full"), id("none")];
    let results = node.groups.delete_groups(groups).await;
    let missing = GroupError::NotFound { group: id("none") };
    assert_eq!(results, [Ok(()), Err(GroupError::NotEmpty { members: 1 }), Err(missing)]);
    node.leave("full", &joined).await;
    assert_eq!(node.groups.delete_groups(vec![id("full")]).await, [Ok(())]);
    assert_eq!(node.groups.list(), []);
    let node = node.restart().await;
    assert_eq!(node.groups.list(), []);
}

#[tokio::test]
async fn a_group_that_was_deleted_can_be_made_again_without_its_past() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    node.commit("g", member(&joined.member_id, 1), &[new_offset("orders", 0, 1)]).await.unwrap();
    node.leave("g", &joined).await;
    assert_eq!(node.groups.delete_groups(vec![id("g")]).await, [Ok(())]);
    assert_eq!(node.alone("g", consumer()).await.generation, 1);
    assert_eq!(node.orders("g"), []);
    assert_eq!(node.restart().await.state("g"), "Stable");
}

#[tokio::test]
async fn deleting_and_committing_at_once_leaves_memory_and_disk_of_one_mind() {
    let node = Node::new().await;
    for round in 0..20 {
        node.put("g", "orders", 0, round).await;
        let request = CommitOffsets {
            group: id("g"),
            who: nobody(),
            kept_ms: None,
            offsets: vec![new_offset("orders", 1, round)],
        };
        let (deleted, committed) =
            tokio::join!(node.groups.delete_groups(vec![id("g")]), node.groups.commit_offsets(request));
        assert_eq!((deleted, committed), (vec![Ok(())], Ok(vec![Ok(())])));
    }
    let before = node.fetch("g", true);
    assert_eq!(node.restart().await.fetch("g", true), before);
}

#[tokio::test]
async fn offsets_of_a_topic_that_members_read_are_not_deleted() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let offsets = [new_offset("orders", 0, 1), new_offset("clicks", 0, 2)];
    node.commit("g", member(&joined.member_id, 1), &offsets).await.unwrap();
    let partitions = vec![(topic_name("orders"), 0), (topic_name("clicks"), 0), (topic_name("clicks"), 9)];
    let results = node.groups.delete_offsets(id("g"), partitions).await.unwrap();
    let subscribed = GroupError::Subscribed { topic: topic_name("orders") };
    assert_eq!(results, [Err(subscribed), Ok(()), Ok(())]);
    let node = node.restart().await;
    assert_eq!(node.fetch("g", false), [("orders".to_owned(), 0, Ok(1))]);

    let missing = GroupError::NotFound { group: id("none") };
    assert_eq!(node.groups.delete_offsets(id("none"), vec![]).await, Err(missing));
    node.alone("workers", Join { protocol_type: "connect".into(), ..consumer() }).await;
    let refused = node.groups.delete_offsets(id("workers"), vec![]).await;
    assert_eq!(refused, Err(GroupError::NotEmpty { members: 1 }));
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_go_also_pending_ones() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    node.put("g", "clicks", 0, 1).await;
    node.put("h", "orders", 0, 1).await;
    let mut commit = crate::storage::Commit::new();
    let request = PendingOffsets {
        producer_id: 7,
        producer_epoch: 0,
        group: id("g"),
        who: nobody(),
        offsets: vec![new_offset("orders", 0, 10)],
    };
    node.groups.add_pending_offsets(request, &mut commit).await.unwrap();
    node.storage.commit(commit).await.unwrap();

    node.groups.forget_topic(&topic_name("orders")).await.unwrap();
    assert_eq!((node.fetch("g", true), node.orders("h")), (vec![("clicks".to_owned(), 0, Ok(1))], vec![]));
    let node = node.restart().await;
    assert_eq!((node.fetch("g", true), node.orders("h")), (vec![("clicks".to_owned(), 0, Ok(1))], vec![]));
    assert!(node.groups.producers_with_pending_offsets().is_empty());
}

#[tokio::test]
async fn an_offset_that_comes_after_its_topic_has_gone_is_refused() {
    let node = Node::new().await;
    node.storage.delete_topic(topic_id("orders")).await.unwrap();
    node.groups.forget_topic(&topic_name("orders")).await.unwrap();
    let late = node.commit("g", nobody(), &[new_offset("orders", 0, 1), new_offset("clicks", 0, 2)]).await;
    let unknown = GroupError::UnknownTopic { topic: topic_name("orders") };
    assert_eq!(late, Ok(vec![Err(unknown), Ok(())]));
    assert_eq!(node.fetch("g", false), [("clicks".to_owned(), 0, Ok(2))]);
}

#[tokio::test]
async fn offsets_of_a_topic_that_went_before_a_crash_go_at_the_start() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    let orders = node.storage.topics().into_iter().find(|t| t.name.as_str() == "orders").unwrap();
    node.storage.delete_topic(orders.id).await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.orders("g"), []);
}

#[tokio::test]
async fn offsets_are_kept_for_a_week_after_the_group_became_empty() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    node.commit("g", member(&joined.member_id, 1), &[new_offset("orders", 0, 1)]).await.unwrap();
    node.pass(60_000, "g", &joined).await;
    node.leave("g", &joined).await;
    node.hand.advance_ms(KEPT - 1);
    assert_eq!(node.groups.expire_offsets().await, Ok(0));
    assert_eq!(node.orders("g"), [(0, 1)]);
    node.hand.advance_ms(1);
    assert_eq!(node.groups.expire_offsets().await, Ok(1));
    assert_eq!(node.groups.list(), []);
    assert_eq!(node.restart().await.groups.list(), []);
}

#[tokio::test]
async fn offsets_that_were_committed_from_outside_are_kept_for_a_week_each() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    node.hand.advance_ms(KEPT / 2);
    node.put("g", "orders", 1, 1).await;
    node.hand.advance_ms(KEPT / 2);
    assert_eq!(node.groups.expire_offsets().await, Ok(1));
    assert_eq!(node.orders("g"), [(1, 1)]);
    assert_eq!(node.restart().await.orders("g"), [(1, 1)]);
}

#[tokio::test]
async fn offsets_of_topics_that_members_no_longer_read_go_and_the_others_stay() {
    let node = Node::with(Options { offsets_kept_ms: 60_000, ..options() }).await;
    let joined = node.alone("g", consumer()).await;
    let offsets = [new_offset("orders", 0, 1), new_offset("clicks", 0, 2)];
    node.commit("g", member(&joined.member_id, 1), &offsets).await.unwrap();
    node.pass(61_000, "g", &joined).await;
    assert_eq!(node.groups.expire_offsets().await, Ok(1));
    assert_eq!(node.fetch("g", false), [("orders".to_owned(), 0, Ok(1))]);
}

#[tokio::test]
async fn an_old_client_says_itself_how_long_its_offsets_are_kept() {
    let node = Node::new().await;
    let offsets = vec![new_offset("orders", 0, 1)];
    let request = CommitOffsets { group: id("g"), who: nobody(), kept_ms: Some(100), offsets };
    node.groups.commit_offsets(request).await.unwrap();
    node.hand.advance_ms(99);
    assert_eq!(node.groups.expire_offsets().await, Ok(0));
    node.hand.advance_ms(1);
    assert_eq!(node.groups.expire_offsets().await, Ok(1));
}

#[tokio::test]
async fn the_groups_look_for_old_offsets_by_themselves() {
    let node = Node::with(Options { offsets_kept_ms: 1_000, look_through_ms: 600_000, ..options() }).await;
    node.put("g", "orders", 0, 1).await;
    node.until(|node| {
        // The first look is one period after the task has begun, which nobody can see from here.
        node.hand.advance_ms(600_000);
        node.groups.list().is_empty()
    })
    .await;
}

#[tokio::test]
async fn ids_that_nobody_joined_with_leave_no_group_behind() {
    let node = Node::new().await;
    let refused = node.join("g", Join { needs_known_id: true, ..consumer() }).await.unwrap_err();
    let required = GroupError::MemberIdRequired { member_id: refused.member_id.clone() };
    assert_eq!(refused.error, required);
    assert_eq!(node.groups.expire_offsets().await, Ok(0));
    assert_eq!(node.groups.list().len(), 1);
    node.hand.advance_ms(SESSION);
    node.until(|node| {
        let entry = node.groups.inner().find(&id("g")).unwrap();
        entry.group.lock().machine.is_deserted()
    })
    .await;
    assert_eq!(node.groups.expire_offsets().await, Ok(0));
    assert_eq!(node.groups.list(), []);
}
