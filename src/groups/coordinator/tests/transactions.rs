//! Offsets in transactions: pending, then in force or forgotten, in memory as on disk.

use super::*;
use crate::storage::Commit;

const PRODUCER: i64 = 77;

impl Node {
    async fn pend(
        &self,
        producer_id: i64,
        group: &str,
        who: OffsetCommitter,
        offsets: &[NewOffset],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let mut commit = Commit::new();
        let request = PendingOffsets {
            producer_id,
            producer_epoch: 0,
            group: id(group),
            who,
            offsets: offsets.to_vec(),
        };
        let results = self.groups.add_pending_offsets(request, &mut commit).await?;
        self.storage.commit(commit).await.unwrap();
        Ok(results)
    }

    async fn end(&self, producer_id: i64, is_committed: bool) {
        let mut commit = Commit::new();
        self.groups.complete_transaction(producer_id, is_committed, &mut commit).await;
        self.storage.commit(commit).await.unwrap();
    }
}

#[tokio::test]
async fn pending_offsets_count_when_their_transaction_commits_also_after_a_crash() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    let offsets = [new_offset("orders", 0, 10), new_offset("orders", 1, 11)];
    assert_eq!(node.pend(PRODUCER, "g", nobody(), &offsets).await, Ok(vec![Ok(()), Ok(())]));
    assert_eq!(node.orders("g"), [(0, 1)]);
    assert_eq!(node.fetch("g", true), [("orders".to_owned(), 0, Err(GroupError::Unstable))]);

    let node = node.restart().await;
    assert_eq!(node.groups.producers_with_pending_offsets(), [PRODUCER]);
    assert_eq!(node.fetch("g", true), [("orders".to_owned(), 0, Err(GroupError::Unstable))]);
    node.end(PRODUCER, true).await;
    assert_eq!(node.orders("g"), [(0, 10), (1, 11)]);
    assert!(node.groups.producers_with_pending_offsets().is_empty());
    let node = node.restart().await;
    assert_eq!(node.orders("g"), [(0, 10), (1, 11)]);
    assert!(node.groups.producers_with_pending_offsets().is_empty());
}

#[tokio::test]
async fn pending_offsets_are_forgotten_when_their_transaction_aborts() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    node.pend(PRODUCER, "g", nobody(), &[new_offset("orders", 0, 10)]).await.unwrap();
    node.end(PRODUCER, false).await;
    assert_eq!(node.fetch("g", true), [("orders".to_owned(), 0, Ok(1))]);
    assert_eq!(node.restart().await.fetch("g", true), [("orders".to_owned(), 0, Ok(1))]);
}

#[tokio::test]
async fn nothing_is_pending_unless_the_commit_is_made() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    let mut commit = Commit::new();
    let request = PendingOffsets {
        producer_id: PRODUCER,
        producer_epoch: 0,
        group: id("g"),
        who: nobody(),
        offsets: vec![new_offset("orders", 0, 10)],
    };
    node.groups.add_pending_offsets(request, &mut commit).await.unwrap();
    drop(commit);
    assert_eq!(node.fetch("g", true), [("orders".to_owned(), 0, Ok(1))]);
    // The gate is open again.
    assert_eq!(node.groups.delete_groups(vec![id("g")]).await, [Ok(())]);
}

#[tokio::test]
async fn a_transaction_may_commit_offsets_of_several_groups_one_of_them_new() {
    let node = Node::new().await;
    for group in ["g", "h"] {
        node.pend(PRODUCER, group, nobody(), &[new_offset("orders", 0, 5)]).await.unwrap();
    }
    node.pend(78, "g", nobody(), &[new_offset("orders", 1, 6)]).await.unwrap();
    node.end(PRODUCER, true).await;
    assert_eq!((node.orders("g"), node.orders("h")), (vec![(0, 5)], vec![(0, 5)]));
    assert_eq!(node.groups.producers_with_pending_offsets(), [78]);
}

#[tokio::test]
async fn producers_are_fenced_by_the_generation_that_they_read_for() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let offset = [new_offset("orders", 0, 5)];
    let past = GroupError::IllegalGeneration { asked: 0, current: 1 };
    assert_eq!(node.pend(PRODUCER, "g", member(&joined.member_id, 0), &offset).await, Err(past));
    let unknown = GroupError::UnknownMember { member_id: "zombie".into() };
    assert_eq!(node.pend(PRODUCER, "g", member("zombie", 1), &offset).await, Err(unknown));
    let missing = GroupError::IllegalGeneration { asked: 1, current: -1 };
    assert_eq!(node.pend(PRODUCER, "none", member("m", 1), &offset).await, Err(missing));
    assert_eq!(node.pend(PRODUCER, "g", member(&joined.member_id, 1), &offset).await, Ok(vec![Ok(())]));
    assert_eq!(node.pend(PRODUCER, "g", nobody(), &offset).await, Ok(vec![Ok(())]));
}

#[tokio::test]
async fn a_commit_after_a_pending_one_stands_whatever_becomes_of_the_transaction() {
    let node = Node::new().await;
    node.pend(PRODUCER, "g", nobody(), &[new_offset("orders", 0, 10), new_offset("orders", 1, 11)])
        .await
        .unwrap();
    node.put("g", "orders", 0, 12).await;
    assert_eq!(node.fetch("g", true), [("orders".to_owned(), 0, Ok(12))]);
    let node = node.restart().await;
    node.end(PRODUCER, true).await;
    assert_eq!(node.orders("g"), [(0, 12), (1, 11)]);
}

#[tokio::test]
async fn the_end_of_a_transaction_without_offsets_changes_nothing() {
    let node = Node::new().await;
    node.put("g", "orders", 0, 1).await;
    node.end(PRODUCER, true).await;
    assert_eq!(node.orders("g"), [(0, 1)]);
}
