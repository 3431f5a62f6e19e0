//! Batches of clients: what is refused, what is stored once, and in which order.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;
use crate::broker::Isolation;
use crate::broker::tests::{START_MS, World, again, at, plain, sequenced};
use crate::model::batch::{BatchBuilder, Codec};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, KIB, MIB, PRODUCERS_PER_PARTITION_MAX};
use crate::model::producer::{Row, SequenceError, Stored, Window};

const ANNA: Producer = Producer { id: 41, epoch: 0 };
/// What a frame of some hundred bytes may come to.
const PACKED_LARGE: usize = 1 << 20;
const BERT: Producer = Producer { id: 42, epoch: 0 };

fn request(topic: &Arc<TopicHandle>, batches: Vec<Bytes>) -> AppendRequest {
    let entry = |batch| AppendEntry { topic: topic.clone(), partition: 0, batch };
    AppendRequest { entries: batches.into_iter().map(entry).collect(), ..AppendRequest::default() }
}

fn out_of_order(result: Result<Appended, AppendError>) -> (i32, i32) {
    match result {
        Err(AppendError::Sequence(SequenceError::OutOfOrder { found, expected, .. })) => (found, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_repeated_batch_is_stored_once_and_answered_with_its_first_offset() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["a", "b"])).await.unwrap(), at(0));
    assert_eq!(world.append(&topic, sequenced(ANNA, 2, &["c"])).await.unwrap(), at(2));
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["a", "b"])).await.unwrap(), again(0));
    assert_eq!(world.append(&topic, sequenced(ANNA, 2, &["c"])).await.unwrap(), again(2));
    assert_eq!(world.committed(&topic).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_gap_in_the_sequence_is_refused_and_what_comes_next_is_not() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    assert_eq!(out_of_order(world.append(&topic, sequenced(ANNA, 2, &["c"])).await), (2, 1));
    assert_eq!(world.append(&topic, sequenced(ANNA, 1, &["b"])).await.unwrap(), at(1));
    assert_eq!(
        world.append(&topic, sequenced(BERT, 7, &["x"])).await.unwrap(),
        at(2),
        "nothing is known of it"
    );
}

#[tokio::test]
async fn sequences_are_known_after_a_stop_and_after_a_kill() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    for (sequence, value) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
        world.append(&topic, sequenced(ANNA, sequence as i32, &[value])).await.unwrap();
    }
    for world in [world.after_a_kill(), world.reopen()] {
        let topic = world.known("t");
        assert_eq!(world.append(&topic, sequenced(ANNA, 5, &["f"])).await.unwrap(), again(5));
        assert_eq!(world.append(&topic, sequenced(ANNA, 1, &["b"])).await.unwrap(), again(1));
        assert_eq!(out_of_order(world.append(&topic, sequenced(ANNA, 0, &["a"])).await), (0, 6));
        assert_eq!(world.append(&topic, sequenced(ANNA, 6, &["g"])).await.unwrap(), at(6));
    }
}

#[tokio::test]
async fn a_small_batch_that_is_large_inside_is_not_checked_at_once() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let rules = rules_of(&topic, START_MS);
    for (size, at_once) in [(PACKED_LARGE / 8, true), (PACKED_LARGE, false)] {
        let mut builder = BatchBuilder::new();
        builder.push(START_MS, None, Some(&vec![0; size]), []);
        let batch = builder.finish(Codec::Zstd).unwrap().bytes().clone();
        assert!(batch.len() < 1024);
        assert_eq!(check::quick(&batch, &rules, None).is_some(), at_once);
        world.append(&topic, batch).await.unwrap();
    }
    assert_eq!(topic.log(0).unwrap().tail(), 2);
}

#[tokio::test]
async fn what_is_far_larger_inside_is_stored_up_to_the_bound() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    for (size, is_stored) in [(20 * MIB, true), (BATCH_UNCOMPRESSED_MAX, false), (20 * MIB, true)] {
        let mut builder = BatchBuilder::new();
        builder.push(START_MS, None, Some(&vec![0; size]), []);
        let batch = builder.finish(Codec::Zstd).unwrap().bytes().clone();
        assert!(batch.len() < 64 * KIB, "{} bytes", batch.len());
        match world.append(&topic, batch).await {
            Ok(_) => assert!(is_stored, "{size} bytes"),
            Err(AppendError::Invalid { .. }) => assert!(!is_stored, "{size} bytes"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(topic.log(0).unwrap().tail(), 2);
}

#[tokio::test]
async fn the_order_of_calls_is_the_order_of_records_whoever_is_polled_first() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let call = |sequence: i32| {
        world.broker.append(request(&topic, vec![sequenced(ANNA, sequence, &[&sequence.to_string()])]))
    };
    let mut calls: Vec<_> = (0..20).map(call).collect();
    calls.reverse();
    let replies = join_all(calls).await;
    let offsets = replies.into_iter().map(|mut r| r.results.remove(0).unwrap().base_offset.unwrap());
    assert_eq!(offsets.collect::<Vec<_>>(), (0..20).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_repetition_of_a_batch_under_way_waits_for_it() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let in_front = topic.lanes().take([0]);
    let batch = sequenced(ANNA, 0, &["a"]);
    let mut calls = Box::pin(join_all([
        world.broker.append(request(&topic, vec![batch.clone()])),
        world.broker.append(request(&topic, vec![batch])),
    ]));
    assert!(calls.as_mut().now_or_never().is_none());
    drop(in_front);
    let results: Vec<_> = calls.await.into_iter().map(|mut r| r.results.remove(0).unwrap()).collect();
    assert_eq!(results, [at(0), again(0)]);
    assert_eq!(world.committed(&topic).await, ["a"]);
}

#[tokio::test]
async fn a_batch_whose_client_goes_away_in_line_leaves_its_sequence_free() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let in_front = topic.lanes().take([0]);
    let mut abandoned = Box::pin(world.broker.append(request(&topic, vec![sequenced(ANNA, 0, &["a"])])));
    assert!(abandoned.as_mut().now_or_never().is_none());
    drop((abandoned, in_front));
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["b"])).await.unwrap(), at(0));
}

#[tokio::test]
async fn a_batch_that_is_given_up_in_its_turn_gives_its_sequence_back() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let log = topic.log(0).unwrap();
    let producers = world.broker.0.producers.of(log);
    let stamp = |first| Stamp { producer_id: ANNA.id, epoch: 0, first, last: first };
    assert!(matches!(producers.begin(&stamp(0), false, 0), Ok(Begin::New(_))), "and dropped at once");
    assert_eq!(producers.list(), []);
    world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    assert!(matches!(producers.begin(&stamp(1), false, 0), Ok(Begin::New(_))), "and dropped at once");
    assert_eq!(world.append(&topic, sequenced(ANNA, 1, &["b"])).await.unwrap(), at(1));
}

#[tokio::test]
async fn several_batches_of_a_request_are_stored_in_their_order_and_fail_alone() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let other = world.topic("u", &[]).await;
    let mut request = request(
        &topic,
        vec![
            sequenced(ANNA, 0, &["a"]),
            sequenced(ANNA, 9, &["x"]),
            sequenced(ANNA, 1, &["b"]),
            plain(&["c"]),
        ],
    );
    request.entries.insert(1, AppendEntry { topic: other.clone(), partition: 2, batch: plain(&["d"]) });
    request.entries.push(AppendEntry { topic: topic.clone(), partition: 3, batch: plain(&["e"]) });
    let mut results = world.broker.append(request).await.results;
    let last = results.pop().unwrap().unwrap_err();
    assert_eq!(last.to_string(), "topic `t` has partitions 0 to 2, not 3");
    assert_eq!(out_of_order(results.remove(2)), (9, 1));
    let placed: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(placed, [at(0), at(0), at(1), at(2)]);
    assert_eq!(world.committed(&topic).await, ["a", "b", "c"]);
    assert_eq!(world.seen(&other, 2, Isolation::Committed).await, ["d"]);
}

#[tokio::test]
async fn a_deleted_topic_fails_its_own_batches_alone() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let gone = world.topic("u", &[]).await;
    world.broker.delete_topic("u", false, None).await.unwrap();
    let mut request = request(&topic, vec![plain(&["a"])]);
    request.entries.push(AppendEntry { topic: gone, partition: 0, batch: plain(&["b"]) });
    let results = world.broker.append(request).await.results;
    assert_eq!(*results[0].as_ref().unwrap(), at(0));
    assert_eq!(results[1].as_ref().unwrap_err().to_string(), "topic `u` was deleted");
}

#[tokio::test]
async fn damaged_large_and_keyless_batches_are_told_apart() {
    let world = World::new();
    let topic = world.topic("t", &[("max.message.bytes", "2048"), ("cleanup.policy", "compact")]).await;
    let mut damaged = plain(&["a"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let error = world.append(&topic, damaged.into()).await.unwrap_err();
    assert!(matches!(error, AppendError::Corrupt(_)), "{error}");

    let error = world.append(&topic, plain(&["x".repeat(2048).as_str()])).await.unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { found: 2049.., limit: 2048, .. }), "{error}");

    let mut builder = BatchBuilder::new();
    builder.push(START_MS, Some(b"k"), Some(b"v"), []);
    builder.push(START_MS, None, Some(b"v"), []);
    let keyless = builder.finish(Codec::None).unwrap().bytes().clone();
    match world.append(&topic, keyless).await.unwrap_err() {
        AppendError::Invalid { records, .. } => {
            assert_eq!(records.iter().map(|r| r.index).collect::<Vec<_>>(), [1]);
        }
        other => panic!("{other}"),
    }
    assert_eq!(topic.log(0).unwrap().tail(), 0);
}

#[tokio::test]
async fn times_out_of_range_are_refused_and_the_topics_own_take_their_place() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let mut builder = BatchBuilder::new();
    builder.push(START_MS + 3_600_001, None, Some(b"v"), []);
    let early = builder.finish(Codec::None).unwrap().bytes().clone();
    let error = world.append(&topic, early.clone()).await.unwrap_err();
    assert!(matches!(&error, AppendError::Timestamp { records } if records[0].index == 0), "{error}");

    let stamped = world.topic("u", &[("message.timestamp.type", "LogAppendTime")]).await;
    let appended = world.append(&stamped, early).await.unwrap();
    assert_eq!(appended.append_time, Some(START_MS));
    let payload = world.stored(&stamped, 0).await[0].payload(1 << 20).unwrap();
    let times: Vec<_> = payload.records().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [START_MS]);
}

#[tokio::test]
async fn a_repetition_is_answered_with_the_time_of_the_first_append() {
    let world = World::new();
    let topic = world.topic("t", &[("message.timestamp.type", "LogAppendTime")]).await;
    let first = world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    world.clock.advance_ms(5_000);
    let world = world.reopen();
    let second = world.append(&world.known("t"), sequenced(ANNA, 0, &["a"])).await.unwrap();
    assert_eq!((first.append_time, second.append_time), (Some(START_MS), Some(START_MS)));
}

#[tokio::test]
async fn a_topic_that_names_a_codec_stores_its_batches_in_it() {
    let world = World::new();
    let topic = world.topic("t", &[("compression.type", "zstd")]).await;
    let text = "the same again and again; ".repeat(50);
    world.append(&topic, plain(&[&text])).await.unwrap();
    assert_eq!(world.stored(&topic, 0).await[0].header().codec, Codec::Zstd);
    assert_eq!(world.committed(&topic).await, [text]);
}

#[tokio::test]
async fn batches_of_one_request_have_bytes_of_their_own_before_the_writer_gets_them() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let batch = plain(&["a"]);
    let mut frame = Bytes::from([&batch[..], &batch[..]].concat());
    let (first, second) = (frame.split_to(batch.len()), frame);
    let last = second.as_ptr();
    let first = world.broker.check_batch(&topic, 0, first, START_MS).await.unwrap();
    let second = world.broker.check_batch(&topic, 1, second, START_MS).await.unwrap();
    assert!(first.batch.bytes().is_unique() && second.batch.bytes().is_unique());
    assert_eq!(second.batch.bytes().as_ptr(), last, "nobody else is left, so it stays where it is");
}

#[tokio::test]
async fn a_large_batch_is_checked_beside_the_networks_threads_with_the_same_result() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let text = "x".repeat(600_000);
    assert_eq!(world.append(&topic, plain(&[&text])).await.unwrap(), at(0));
    let mut damaged = plain(&[&text]).to_vec();
    damaged[300_000] ^= 1;
    assert!(matches!(world.append(&topic, damaged.into()).await, Err(AppendError::Corrupt(_))));
}

#[tokio::test]
async fn a_request_over_the_bound_of_admission_is_refused_whole() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let bound = world.broker.admission().limit();
    let permit = world.broker.admission().admit(bound - 1024).unwrap();
    let results =
        world.broker.append(request(&topic, vec![plain(&["a"]), plain(&["x".repeat(2_000).as_str()])])).await;
    for result in results.results {
        assert!(matches!(result, Err(AppendError::Overloaded { .. })), "{result:?}");
    }
    drop(permit);
    assert_eq!(world.append(&topic, plain(&["a"])).await.unwrap(), at(0));
    assert_eq!(world.broker.admission().in_flight(), 0);
}

#[tokio::test]
async fn a_producer_that_is_silent_for_a_day_is_forgotten_also_on_disk() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    world.clock.advance_ms(20 * 3_600_000);
    world.append(&topic, sequenced(BERT, 0, &["b"])).await.unwrap();
    assert_eq!(world.broker.expire_producers().await, Ok(0));
    world.clock.advance_ms(4 * 3_600_000);
    assert_eq!(world.broker.expire_producers().await, Ok(1));
    for world in [world.after_a_kill(), world] {
        let topic = world.known("t");
        let known: Vec<_> =
            world.broker.producers(&topic, 0).unwrap().iter().map(|p| p.producer.id).collect();
        assert_eq!(known, [BERT.id]);
        assert_eq!(world.append(&topic, sequenced(ANNA, 9, &["c"])).await.unwrap(), at(2), "it begins anew");
    }
}

#[tokio::test]
async fn a_full_partition_forgets_the_producer_that_is_silent_longest_or_refuses_the_new_one() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let producers = &world.broker.0.producers;
    let log = topic.log(0).unwrap();
    let most = PRODUCERS_PER_PARTITION_MAX as i64;
    for id in 0..most {
        let stamp = Stamp { producer_id: id, epoch: 0, first: 0, last: 0 };
        let window = Window::with(None, &stamp, Stored { base: Some(0), append_time: None });
        producers.take_in(log, id, &Row { window, updated_ms: START_MS - (id + 1) % most });
    }
    let new = Producer { id: most, epoch: 0 };
    let refused = world.append(&topic, sequenced(new, 0, &["a"])).await.unwrap_err();
    assert!(matches!(refused, AppendError::ProducersFull { remembered } if remembered as i64 == most));

    world.clock.advance_ms(15 * 60_000);
    world.append(&topic, sequenced(new, 0, &["a"])).await.unwrap();
    let list = producers.of(log).list();
    assert_eq!(list.len() as i64, most);
    assert!(!list.iter().any(|p| p.producer_id == most - 2), "the one that was silent longest is gone");
}
