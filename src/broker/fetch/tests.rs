//! Whole batches under both isolations, waits, and offsets by what they mean.

use futures_util::FutureExt as _;

use super::*;
use crate::broker::TransactionOf;
use crate::broker::append::AppendRequest;
use crate::broker::tests::{START_MS, World, plain, transactional};
use crate::broker::{AppendEntry, ReadError};
use crate::model::batch::{BatchBuilder, Codec};
use crate::model::transaction::{Outcome, Producer};

const LARGE: usize = 1 << 20;

fn bases(fetched: &Fetched) -> Vec<Offset> {
    fetched.batches.iter().map(|batch| batch.header().base_offset).collect()
}

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
async fn the_batch_that_holds_the_offset_comes_whole() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, plain(&["a", "b", "c"])).await.unwrap();
    world.append(&topic, plain(&["d"])).await.unwrap();
    let fetched = world.broker.fetch(&topic, 0, 1, LARGE, Isolation::Uncommitted).await.unwrap();
    assert_eq!(bases(&fetched), [0, 3]);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (4, 4, 0));
    let end = world.broker.fetch(&topic, 0, 4, LARGE, Isolation::Committed).await.unwrap();
    assert_eq!(bases(&end), [] as [Offset; 0]);
}

#[tokio::test]
async fn the_first_batch_comes_even_if_it_is_larger_than_asked_for() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    for _ in 0..3 {
        world.append(&topic, plain(&["x".repeat(1_000).as_str()])).await.unwrap();
    }
    let fetched = world.broker.fetch(&topic, 0, 0, 10, Isolation::Uncommitted).await.unwrap();
    assert_eq!(bases(&fetched), [0]);
}

#[tokio::test]
async fn an_offset_beyond_either_end_is_out_of_range() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let error = world.broker.fetch(&topic, 0, 1, LARGE, Isolation::Uncommitted).await.unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { asked: 1, start: 0, tail: 0, .. }), "{error}");
}

#[tokio::test]
async fn committed_readers_stop_at_the_first_open_transaction_and_hear_of_aborted_ones_in_order() {
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

    let fetch = |from, isolation| world.broker.fetch(&topic, 0, from, LARGE, isolation);
    let committed = fetch(0, Isolation::Committed).await.unwrap();
    assert_eq!(bases(&committed), [0, 1, 2, 3, 4]);
    assert_eq!((committed.high_watermark, committed.last_stable_offset), (7, 5));
    let aborted = |fetched: &Fetched| {
        fetched.aborted.iter().map(|t| (t.producer_id, t.first_offset)).collect::<Vec<_>>()
    };
    assert_eq!(aborted(&committed), [(a.id, 0), (b.id, 1)]);
    assert_eq!(aborted(&fetch(4, Isolation::Committed).await.unwrap()), [(a.id, 0)]);

    let uncommitted = fetch(0, Isolation::Uncommitted).await.unwrap();
    assert_eq!((bases(&uncommitted), aborted(&uncommitted)), ((0..7).collect(), Vec::new()));

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

fn request(topic: &Arc<TopicHandle>, from: &[Offset], min_bytes: usize, max_bytes: usize) -> FetchRequest {
    let partition = |(partition, from): (u32, &Offset)| FetchPartition {
        topic: topic.clone(),
        partition,
        from: *from,
        max_bytes: LARGE,
    };
    FetchRequest {
        partitions: (0..).zip(from).map(partition).collect(),
        isolation: Isolation::Committed,
        min_bytes,
        max_bytes,
        max_wait: Duration::from_secs(60),
    }
}

#[tokio::test]
async fn many_partitions_share_the_bytes_in_their_order() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let entry = |partition, size: usize| AppendEntry {
        topic: topic.clone(),
        partition,
        batch: plain(&["x".repeat(size).as_str()]),
    };
    let entries = vec![entry(0, 400), entry(0, 400), entry(1, 400), entry(2, 10)];
    world.broker.append(AppendRequest { entries, ..AppendRequest::default() }).await;

    let found = world.broker.fetch_many(&request(&topic, &[0, 0, 0], 1, 1_100)).await;
    let counts: Vec<_> = found.iter().map(|f| f.as_ref().unwrap().batches.len()).collect();
    assert_eq!(counts, [2, 0, 1], "what does not fit is left out, and smaller ones behind it may fit");
    let found = world.broker.fetch_many(&request(&topic, &[0, 0, 0], 1, 1)).await;
    let counts: Vec<_> = found.iter().map(|f| f.as_ref().unwrap().batches.len()).collect();
    assert_eq!(counts, [1, 0, 0], "the first one comes in any case");
}

#[tokio::test]
async fn a_fetch_of_many_waits_for_its_bytes_and_takes_what_came_meanwhile() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, plain(&["a"])).await.unwrap();
    let asked = request(&topic, &[0, 0], 200, LARGE);
    let mut waiting = Box::pin(world.broker.fetch_many(&asked));
    assert!(waiting.as_mut().now_or_never().is_none());
    world.append(&topic, plain(&["b"])).await.unwrap();
    assert!(waiting.as_mut().now_or_never().is_none(), "two batches are less than 200 bytes");
    world.append_in(&topic, 1, plain(&["c".repeat(100).as_str()]), None).await.unwrap();
    let found: Vec<_> = waiting.await.into_iter().map(Result::unwrap).collect();
    assert_eq!((bases(&found[0]), bases(&found[1])), (vec![0, 1], vec![0]));
}

#[tokio::test]
async fn an_error_of_one_partition_ends_the_wait() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let found = world.broker.fetch_many(&request(&topic, &[0, 9], 1, LARGE)).await;
    assert_eq!(bases(found[0].as_ref().unwrap()), [] as [Offset; 0]);
    assert!(matches!(found[1], Err(ReadError::OutOfRange { asked: 9, .. })));
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
