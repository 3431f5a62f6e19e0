//! Rows that other floors keep here as bytes: producers, transactions, groups, offsets.

use bytes::Bytes;

use super::*;
use crate::model::Partition;
use tables::{group_rows, offsets, pending_offsets, producers, transactions};

fn producer_rows(storage: &Storage) -> Vec<(TopicId, Partition, i64, String)> {
    let mut rows = Vec::new();
    let text = |row: &[u8]| String::from_utf8(row.to_vec()).unwrap();
    producers::each(storage, |topic, partition, id, row| rows.push((topic, partition, id, text(row))))
        .unwrap();
    rows
}

#[tokio::test]
async fn producer_rows_know_the_offsets_and_the_last_one_of_a_group_stays() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    let mut pending = Vec::new();
    for _ in 0..100 {
        let mut commit = Commit::new();
        commit.append(&logs[1], batch(&["a", "b"]));
        commit.put_producer(&logs[1], 7, |placed| placed[0].next.to_string().into_bytes());
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    for pending in pending {
        pending.receipt().await.unwrap();
    }
    let mut refused = Commit::new();
    refused.expect(&logs[1], 3);
    refused.put_producer(&logs[1], 7, |_| b"refused".to_vec());
    world.storage.commit(refused).await.unwrap_err();

    let id = logs[1].topic_id();
    drop(logs);
    let world = world.reopen();
    assert_eq!(producer_rows(&world.storage), [(id, 1, 7, "200".to_owned())]);
}

#[tokio::test]
async fn a_producer_row_is_deleted_in_the_order_of_the_commits() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let mut pending = Vec::new();
    for id in [1, 2, -3] {
        let mut put = Commit::new();
        put.put_producer(&log, id, |placed| vec![b'0' + placed.len() as u8]);
        pending.push(world.storage.submit(put).await.unwrap());
        let mut delete = Commit::new();
        delete.delete_producer(&log, id);
        pending.push(world.storage.submit(delete).await.unwrap());
        let mut again = Commit::new();
        again.put_producer(&log, id + 10, |_| b"kept".to_vec());
        pending.push(world.storage.submit(again).await.unwrap());
    }
    for pending in pending {
        pending.receipt().await.unwrap();
    }
    let ids: Vec<_> = producer_rows(&world.storage).into_iter().map(|row| (row.2, row.3)).collect();
    assert_eq!(ids, [7, 11, 12].map(|id| (id, "kept".to_owned())));
}

#[tokio::test]
async fn producer_rows_go_with_their_topic_and_come_no_more() {
    let world = World::new();
    let gone = world.topic("gone", 1, &[]).await.remove(0);
    let kept = world.topic("kept", 1, &[]).await.remove(0);
    for log in [&gone, &kept] {
        let mut commit = Commit::new();
        commit.put_producer(log, 1, |_| b"row".to_vec());
        world.storage.commit(commit).await.unwrap();
    }
    world.storage.delete_topic(gone.topic_id()).await.unwrap();
    let mut late = Commit::new();
    late.put_producer(&gone, 2, |_| b"late".to_vec());
    let topic = gone.topic_id();
    assert_eq!(world.storage.commit(late).await, Err(CommitError::TopicGone { topic }));
    assert_eq!(producer_rows(&world.storage), [(kept.topic_id(), 0, 1, "row".to_owned())]);
}

#[tokio::test]
async fn transactions_and_groups_read_back_after_reopening() {
    let world = World::new();
    let mut commit = Commit::new();
    transactions::put(&mut commit, "copier", "t1");
    transactions::put(&mut commit, "loader", "t2");
    group_rows::put(&mut commit, "copier", "g1");
    group_rows::put(&mut commit, "", "g2");
    world.storage.commit(commit).await.unwrap();
    let mut commit = Commit::new();
    transactions::delete(&mut commit, "copier");
    group_rows::delete(&mut commit, "copier");
    world.storage.commit(commit).await.unwrap();

    let world = world.reopen();
    let row = |key: &str, value: &'static str| (key.to_owned(), Bytes::from(value));
    assert_eq!(transactions::load_all(&world.storage), Ok(vec![row("loader", "t2")]));
    assert_eq!(group_rows::load_all(&world.storage), Ok(vec![row("", "g2")]));
}

#[tokio::test]
async fn offsets_of_a_group_go_together_and_leave_those_of_others() {
    let world = World::new();
    let mut commit = Commit::new();
    for group in ["g", "g2"] {
        offsets::put(&mut commit, group, "orders", 0, group.to_owned());
        offsets::put(&mut commit, group, "orders", 1, group.to_owned());
        offsets::put(&mut commit, group, "clicks", 0, group.to_owned());
    }
    offsets::delete(&mut commit, "g2", "orders", 1);
    world.storage.commit(commit).await.unwrap();
    let mut commit = Commit::new();
    offsets::delete_group(&mut commit, "g");
    offsets::put(&mut commit, "g", "orders", 5, "after");
    world.storage.commit(commit).await.unwrap();

    let mut rows = Vec::new();
    let visit = |group: &str, topic: &str, partition, row: &[u8]| {
        rows.push(format!("{group} {topic} {partition} {}", String::from_utf8_lossy(row)));
    };
    offsets::each(&world.storage, visit).unwrap();
    assert_eq!(rows, ["g orders 5 after", "g2 clicks 0 g2", "g2 orders 0 g2"]);
}

#[tokio::test]
async fn pending_offsets_go_by_producer_or_by_group() {
    let world = World::new();
    let mut commit = Commit::new();
    for (producer, group, partition) in [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0), (2, "b", 0)] {
        pending_offsets::put(&mut commit, producer, group, "orders", partition, "row");
    }
    pending_offsets::delete(&mut commit, 1, "a", "orders", 0);
    world.storage.commit(commit).await.unwrap();
    let rows = || {
        let mut rows = Vec::new();
        let visit = |producer, group: &str, topic: &str, partition, _: &[u8]| {
            rows.push(format!("{producer} {group} {topic} {partition}"));
        };
        pending_offsets::each(&world.storage, visit).unwrap();
        rows
    };
    assert_eq!(rows(), ["1 a orders 1", "1 b orders 0", "2 a orders 0", "2 b orders 0"]);
    let mut commit = Commit::new();
    pending_offsets::delete_range(&mut commit, 1, Some("a"));
    pending_offsets::delete_range(&mut commit, 2, None);
    world.storage.commit(commit).await.unwrap();
    assert_eq!(rows(), ["1 b orders 0"]);
}

#[tokio::test]
async fn producer_ids_are_never_given_out_twice() {
    use tables::counters::reserve_producer_ids;

    let world = World::new();
    let (a, b) =
        tokio::join!(reserve_producer_ids(&world.storage, 100), reserve_producer_ids(&world.storage, 5));
    assert_eq!((a, b), (Ok(1..101), Ok(101..106)));
    let world = world.reopen();
    assert_eq!(reserve_producer_ids(&world.storage, 1).await, Ok(106..107));
}
