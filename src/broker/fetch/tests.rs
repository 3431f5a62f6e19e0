//! Both isolations, waits, and offsets by what they mean.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::broker::TransactionOf;
use crate::broker::tests::{START_MS, World, plain, transactional};
use crate::model::batch::{BatchBuilder, Codec};
use crate::model::transaction::{Outcome, Producer};

async fn write(
    world: &World,
    topic: &Arc<TopicHandle>,
    id: &str,
    producer: Producer,
    sequence: i32,
    value: &str,
) {
    let of = TransactionOf { id: id.to_owned(), joins: true };
    world.append_in(topic, 0, transactional(producer, sequence, &[value]), Some(of)).await.unwrap();
}

async fn end(world: &World, id: &str, producer: Producer, outcome: Outcome) -> Producer {
    world.broker.end_transaction(id, producer, outcome, true).await.unwrap()
}

#[tokio::test]
async fn committed_readers_stop_at_the_first_open_transaction_and_never_see_aborted_ones() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let (a, b, c) =
        (world.init("a").await.unwrap(), world.init("b").await.unwrap(), world.init("c").await.unwrap());
    write(&world, &topic, "a", a, 0, "a0").await;
    write(&world, &topic, "b", b, 0, "b1").await;
    world.append(&topic, plain(&["p2"])).await.unwrap();
    // The later one is aborted first.
    end(&world, "b", b, Outcome::Abort).await;
    end(&world, "a", a, Outcome::Abort).await;
    write(&world, &topic, "c", c, 0, "c5").await;
    world.append(&topic, plain(&["p6"])).await.unwrap();
    assert_eq!(world.committed(&topic).await, ["p2"]);
    assert_eq!(world.seen(&topic, 0, Isolation::Uncommitted).await, ["a0", "b1", "p2", "c5", "p6"]);
    end(&world, "c", c, Outcome::Commit).await;
    assert_eq!(world.committed(&topic).await, ["p2", "c5", "p6"]);
}

#[tokio::test]
async fn a_wait_over_many_partitions_ends_with_a_record_in_any_of_them() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let points: Vec<_> = (0..3).map(|p| WaitPoint::new(&topic, p, 0).unwrap()).collect();
    let wait = Duration::from_secs(60);
    let mut waiting = Box::pin(world.broker.wait_for_any(&points, Isolation::Committed, wait));
    assert!(waiting.as_mut().now_or_never().is_none());
    world.append_in(&topic, 2, plain(&["a"]), None).await.unwrap();
    assert!(waiting.await);
    let nothing = world.broker.wait_for_any(&points[..1], Isolation::Committed, Duration::from_millis(1));
    assert!(!nothing.await);
    assert!(!world.broker.wait_for_any(&[], Isolation::Committed, Duration::from_millis(1)).await);
}

#[tokio::test]
async fn a_committed_wait_ends_with_the_transaction_and_not_before() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let a = world.init("a").await.unwrap();
    let points = [WaitPoint::new(&topic, 0, 0).unwrap()];
    let wait = Duration::from_secs(60);
    let mut waiting = Box::pin(world.broker.wait_for_any(&points, Isolation::Committed, wait));
    assert!(waiting.as_mut().now_or_never().is_none());
    write(&world, &topic, "a", a, 0, "v").await;
    assert!(waiting.as_mut().now_or_never().is_none());
    end(&world, "a", a, Outcome::Commit).await;
    assert!(waiting.await);
}

#[tokio::test]
async fn beyond_the_bound_a_wait_takes_its_whole_time() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, plain(&["a"])).await.unwrap();
    let points = [WaitPoint::new(&topic, 0, 0).unwrap()];
    let all = world.broker.0.watchers.available_permits() as u32;
    let permit = world.broker.0.watchers.try_acquire_many(all).unwrap();
    assert!(!world.broker.wait_for_any(&points, Isolation::Uncommitted, Duration::from_millis(1)).await);
    drop(permit);
    assert!(world.broker.wait_for_any(&points, Isolation::Uncommitted, Duration::from_secs(60)).await);
}

#[tokio::test]
async fn offsets_are_found_by_what_they_mean() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let a = world.init("a").await.unwrap();
    for after in [0, 30, 10] {
        let mut builder = BatchBuilder::new();
        builder.push(START_MS + after, None, Some(b"v"), []);
        let batch = builder.finish(Codec::None).unwrap().bytes().clone();
        world.append(&topic, batch).await.unwrap();
    }
    write(&world, &topic, "a", a, 0, "open").await;
    let find = async |query, isolation| {
        let found = world.broker.find_offset(&topic, 0, query, isolation).await.unwrap();
        found.map(|f| (f.offset, f.timestamp.map(|t| t - START_MS)))
    };
    use Isolation::{Committed, Uncommitted};
    assert_eq!(find(OffsetQuery::Earliest, Committed).await, Some((0, None)));
    assert_eq!(find(OffsetQuery::Latest, Uncommitted).await, Some((4, None)));
    assert_eq!(find(OffsetQuery::Latest, Committed).await, Some((3, None)));
    assert_eq!(find(OffsetQuery::MaxTimestamp, Uncommitted).await, Some((1, Some(30))));
    assert_eq!(find(OffsetQuery::Since(START_MS + 5), Committed).await, Some((1, Some(30))));
    assert_eq!(find(OffsetQuery::Since(START_MS + 31), Uncommitted).await, None);
    assert_eq!(find(OffsetQuery::Since(START_MS), Committed).await, Some((0, Some(0))));
}
