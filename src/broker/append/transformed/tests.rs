//! Batches of clients through transforms: what is stored, what the client hears, and what its producer and its
//! transaction know of it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::broker::inline::Stage;
use crate::broker::tests::{START_MS, World, again, at, plain, sequenced, transactional};
use crate::broker::{AppendEntry, AppendRequest, Appended, Isolation, NewRecord, ProduceRequest, Records};
use crate::model::Offset;
use crate::model::batch::Codec;
use crate::model::deployment::{Deployment, Desired};
use crate::model::module::{Digest, Version};
use crate::model::transaction::{Outcome, Producer};
use crate::wasm::tests::Guest;
use crate::wasm::{LogLevel, LogSink};

const ANNA: Producer = Producer { id: 41, epoch: 3 };

/// The second record is dropped, the third becomes two, all others are kept.
const MIX: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 524) (i32.const 1))
    (i32.store8 (i32.const 536) (i32.const 2))
    (i32.store (i32.const 540) (i32.const 600)) (i32.store (i32.const 544) (i32.const 2))";
/// The first record is dropped.
const DROP: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 512) (i32.const 1))";
/// The second record is rejected.
const REJECT: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 524) (i32.const 3))
    (i32.store (i32.const 528) (i32.const 1024)) (i32.store (i32.const 532) (i32.const 3))";
/// The first record goes to the route `alerts`.
const ROUTE: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store (i32.const 516) (i32.const 600)) (i32.store (i32.const 520) (i32.const 1))
    (i32.store8 (i32.const 608) (i32.const 1))
    (i32.store (i32.const 612) (i32.const 1024)) (i32.store (i32.const 616) (i32.const 6))";

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

/// A transform of topic `t`.
fn stage(body: &str, data: &str, more: &Value) -> Arc<Stage> {
    let mut spec = json!({ "name": "f", "kind": "inline", "module": "m", "input": { "topics": ["t"] } });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let deployment = Deployment {
        id: 1,
        spec: serde_json::from_value(spec).unwrap(),
        version: Version::parse("1.0.0").unwrap(),
        digest: Digest::of(b"m"),
        revision: 1,
        generation: 1,
        desired: Desired::Running,
        tasks: 0,
        start: Vec::new(),
        created_ms: 0,
        migration: None,
        updated_ms: 0,
    };
    let rest = format!("(data (i32.const 1024) \"{data}\")");
    let component = Guest { body, rest: &rest, ..Guest::default() }.component();
    Arc::new(Stage::new(deployment, Ok(component), Box::new(|_| Arc::new(Silent))))
}

impl World {
    /// Puts a transform in force for topic `t`.
    fn transform(&self, body: &str, data: &str, more: &Value) {
        let name = TopicName::parse("t").unwrap();
        self.broker.set_chain(&name, Chain::new(vec![stage(body, data, more)]));
    }
}

/// The first record gets no key.
const UNKEY: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store (i32.const 516) (i32.const 600)) (i32.store (i32.const 520) (i32.const 1))
    (i32.store8 (i32.const 620) (i32.const 1))";

#[tokio::test]
async fn what_a_transform_makes_for_a_compacted_topic_has_a_key() {
    let world = World::new();
    let topic = world.topic("t", &[("cleanup.policy", "compact")]).await;
    world.transform(UNKEY, "", &json!({}));
    match world.append(&topic, sequenced(ANNA, 0, &["a", "b"])).await.unwrap_err() {
        AppendError::Invalid { records, .. } => {
            assert_eq!(records.iter().map(|r| r.index).collect::<Vec<_>>(), [0]);
        }
        other => panic!("{other}"),
    }
    assert_eq!(topic.log(0).unwrap().tail(), 0);
}

/// Offsets and values of what lies in partition 0, batch by batch.
async fn stored(world: &World, topic: &Arc<TopicHandle>) -> Vec<(RecordBatch, Vec<(Offset, String)>)> {
    let content = |batch: RecordBatch| {
        let payload = batch.payload(1 << 22).unwrap();
        let record = |record: crate::model::RecordView<'_>| {
            let value = String::from_utf8_lossy(record.value.unwrap()).chars().take(3).collect::<String>();
            (batch.header().base_offset + Offset::from(record.offset_delta), value)
        };
        let records = payload.records().map(|r| record(r.unwrap())).collect();
        (batch, records)
    };
    let batches = world.stored(topic, 0).await.into_iter();
    batches.filter(|batch| !batch.header().control).map(content).collect()
}

fn named(records: &[(Offset, &str)]) -> Vec<(Offset, String)> {
    records.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

fn packed(producer: Producer, base_sequence: i32, values: &[&str], codec: Codec) -> bytes::Bytes {
    let mut builder = BatchBuilder::new();
    let Producer { id, epoch } = producer;
    builder.producer(ProducerStamp { id, epoch, base_sequence, transactional: false });
    for value in values {
        builder.push(START_MS, None, Some(value.as_bytes()), []);
    }
    builder.finish(codec).unwrap().bytes().clone()
}

#[tokio::test]
async fn a_dropped_record_leaves_its_offset_free_and_the_sequence_goes_on() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.transform(MIX, "", &json!({}));
    let batch = sequenced(ANNA, 0, &["a", "b", "c", "d"]);
    assert_eq!(world.append(&topic, batch.clone()).await.unwrap(), at(0));
    assert_eq!(world.append(&topic, batch).await.unwrap(), again(0));
    assert_eq!(world.append(&topic, sequenced(ANNA, 4, &["e"])).await.unwrap(), at(5));
    let stored = stored(&world, &topic).await;
    assert_eq!(stored[0].1, named(&[(0, "a"), (2, "c"), (3, "c"), (4, "d")]));
    assert_eq!(stored[1].1, named(&[(5, "e")]));
    let header = stored[0].0.header();
    let stamp = ProducerStamp { id: 41, epoch: 3, base_sequence: 0, transactional: false };
    assert_eq!((header.producer(), header.count), (Some(stamp), 4));
    assert_eq!(world.broker.producers(&topic, 0).unwrap()[0].last_sequence, 4);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_left_is_remembered_also_over_a_kill() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.transform(DROP, "", &json!({}));
    let nothing = Appended { base_offset: None, ..at(0) };
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap(), nothing);
    assert_eq!(world.append(&topic, sequenced(ANNA, 1, &["b", "c"])).await.unwrap(), at(0));
    assert_eq!(stored(&world, &topic).await[0].1, named(&[(1, "c")]), "b has left its offset free");
    let world = world.after_a_kill();
    let topic = world.known("t");
    let first = world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    assert_eq!(first, Appended { duplicate: true, ..nothing });
    assert_eq!(topic.log(0).unwrap().tail(), 2);
}

#[tokio::test]
async fn every_codec_goes_through_and_stays_what_it_was() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let world = World::new();
        let topic = world.topic("t", &[]).await;
        world.transform(MIX, "", &json!({}));
        let long = ["a", "b", "c", "d"].map(|letter| letter.repeat(500));
        let values = long.each_ref().map(String::as_str);
        assert_eq!(world.append(&topic, packed(ANNA, 0, &values, codec)).await.unwrap(), at(0), "{codec:?}");
        let stored = stored(&world, &topic).await;
        assert_eq!(stored[0].0.header().codec, codec);
        assert_eq!(stored[0].1, named(&[(0, "aaa"), (2, "ccc"), (3, "ccc"), (4, "ddd")]), "{codec:?}");
    }
}

#[tokio::test]
async fn a_rejected_record_fails_its_batch_and_gives_the_sequence_back() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.transform(REJECT, "bad", &json!({}));
    let entry = |partition, batch| AppendEntry { topic: topic.clone(), partition, batch };
    let entries = vec![
        entry(0, sequenced(ANNA, 0, &["a", "b"])),
        entry(0, sequenced(ANNA, 2, &["c"])),
        entry(1, plain(&["d"])),
    ];
    let results = world.broker.append(AppendRequest { entries, ..AppendRequest::default() }).await.results;
    match results[0].as_ref().unwrap_err() {
        AppendError::Rejected { deployment, records } => {
            assert_eq!((deployment.as_str(), records.len()), ("f", 1));
            assert_eq!((records[0].index, records[0].reason.as_str()), (1, "bad"));
        }
        other => panic!("{other}"),
    }
    let later = results[1].as_ref();
    assert_eq!(*later.unwrap(), at(0), "nothing is known of the producer, so it may begin anywhere");
    assert_eq!(*results[2].as_ref().unwrap(), at(0));

    let results = {
        let entries = vec![entry(0, sequenced(ANNA, 3, &["a", "b"])), entry(0, sequenced(ANNA, 5, &["c"]))];
        world.broker.append(AppendRequest { entries, ..AppendRequest::default() }).await.results
    };
    assert!(matches!(results[0], Err(AppendError::Rejected { .. })));
    assert!(matches!(results[1], Err(AppendError::Sequence(_))), "the one before it was not stored");
    assert_eq!(world.append(&topic, sequenced(ANNA, 3, &["a"])).await.unwrap(), at(1));
}

#[tokio::test]
async fn what_grows_over_the_limit_becomes_several_batches_of_which_the_first_has_the_sequence() {
    let world = World::new();
    let topic = world.topic("t", &[("max.message.bytes", "2048")]).await;
    world.transform(MIX, "", &json!({}));
    let large = "c".repeat(900);
    world.append(&topic, sequenced(ANNA, 0, &["a", "b", &large, &"d".repeat(900)])).await.unwrap();
    let stored = stored(&world, &topic).await;
    let sequences: Vec<_> = stored.iter().map(|(batch, _)| batch.header().base_sequence).collect();
    assert_eq!(sequences, [0, -1]);
    assert_eq!(stored[0].1, named(&[(0, "a"), (2, "ccc"), (3, "ccc")]));
    assert_eq!(stored[1].1, named(&[(4, "ddd")]));
    assert_eq!(world.append(&topic, sequenced(ANNA, 4, &["e"])).await.unwrap(), at(5));
}

#[tokio::test]
async fn routes_and_dead_letters_of_a_transaction_are_part_of_it() {
    for (body, data, other) in [(ROUTE, "alerts", "u"), (REJECT, "bad", "f.dlq")] {
        let world = World::new();
        let (topic, outside) = (world.topic("t", &[]).await, world.topic(other, &[]).await);
        let routes = json!({ "output": { "routes": { "alerts": "u" } }, "on_reject": "dead_letter" });
        world.transform(body, data, &routes);
        let all = async |isolation| {
            let mut seen = Vec::new();
            for partition in 0..3 {
                seen.extend(world.seen(&outside, partition, isolation).await);
            }
            seen
        };
        let write = async |producer: Producer, outcome| {
            let of = TransactionOf { id: "x".into(), joins: true };
            let batch = transactional(producer, 0, &["a", "b"]);
            world.append_in(&topic, 0, batch, Some(of)).await.unwrap();
            world.broker.end_transaction("x", producer, outcome, true).await.unwrap()
        };
        let producer = world.init("x").await.unwrap();
        let next = write(producer, Outcome::Abort).await;
        assert_eq!((all(Isolation::Committed).await.len(), all(Isolation::Uncommitted).await.len()), (0, 1));
        write(next, Outcome::Commit).await;
        assert_eq!(all(Isolation::Committed).await.len(), 1);
        for log in outside.logs().iter().chain(topic.logs()) {
            assert_eq!(log.open_transactions(), []);
        }
        for partition in 0..3 {
            for batch in world.stored(&outside, partition).await {
                let header = batch.header();
                assert_eq!((header.base_sequence, header.transactional), (-1, true));
                assert_eq!(header.producer_id, producer.id);
            }
        }
    }
}

/// Numbers of the records that a refusal names.
fn blamed(refused: Result<Appended, AppendError>) -> Vec<u32> {
    match refused {
        Err(AppendError::Invalid { records, .. } | AppendError::Timestamp { records }) => {
            records.iter().map(|record| record.index).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_transform_does_not_bring_records_without_keys_into_a_compacted_topic() {
    let world = World::new();
    let topic = world.topic("t", &[("cleanup.policy", "compact")]).await;
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap(), at(0));
    world.transform(UNKEY, "", &json!({}));
    assert_eq!(blamed(world.append(&topic, sequenced(ANNA, 1, &["b", "c"])).await), [0]);

    let mut records = Records::new(topic.clone(), 0, START_MS);
    let record = NewRecord {
        partition: Some(0),
        timestamp: Some(START_MS),
        key: Some(b"k"[..].into()),
        value: Some(b"d"[..].into()),
        headers: Vec::new(),
    };
    records.push(&record).unwrap();
    let keyless = NewRecord { key: None, ..record };
    let refused = records.push(&keyless).unwrap_err();
    assert!(matches!(refused, ProduceError::KeyMissing { index: 1, .. }), "{refused}");
    let request = ProduceRequest { records, idempotency: None, expected_offsets: Vec::new() };
    let refused = world.broker.produce(request).await.unwrap_err();
    assert!(matches!(refused, ProduceError::KeyMissing { index: 0, .. }), "{refused}");
    assert_eq!(topic.log(0).unwrap().tail(), 1, "none of them was stored");
}

#[tokio::test]
async fn a_route_into_a_compacted_topic_needs_a_key_too() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let other = world.topic("u", &[("cleanup.policy", "compact")]).await;
    let keyless = ROUTE.replace(
        "(i32.const 608) (i32.const 1)",
        "(i32.const 608) (i32.const 1)) (i32.store8 (i32.const 620) (i32.const 1)",
    );
    world.transform(&keyless, "alerts", &json!({ "output": { "routes": { "alerts": "u" } } }));
    assert_eq!(blamed(world.append(&topic, sequenced(ANNA, 0, &["a", "b"])).await), [0]);
    assert_eq!(other.logs().iter().map(|log| log.tail()).sum::<u64>() + topic.log(0).unwrap().tail(), 0);
}

#[tokio::test]
async fn a_transform_keeps_to_the_topics_bounds_on_time() {
    let world = World::new();
    let topic = world.topic("t", &[("message.timestamp.before.max.ms", "1000")]).await;
    world.transform(MIX, "", &json!({}));
    let values = ["a", "b", "c"];
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &values)).await.unwrap(), at(0));
    let late = format!(
        "{UNKEY} (i32.store8 (i32.const 648) (i32.const 1)) (i64.store (i32.const 656) (i64.const {}))",
        START_MS - 2000
    );
    world.transform(&late, "", &json!({}));
    assert_eq!(blamed(world.append(&topic, sequenced(ANNA, 3, &values)).await), [0]);
}

#[tokio::test]
async fn a_record_that_is_routed_away_counts_for_its_producers_sequence() {
    let world = World::new();
    let (topic, other) = (world.topic("t", &[]).await, world.topic("u", &[]).await);
    world.transform(ROUTE, "alerts", &json!({ "output": { "routes": { "alerts": "u" } } }));
    let nothing = Appended { base_offset: None, ..at(0) };
    assert_eq!(world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap(), nothing);
    let again = world.append(&topic, sequenced(ANNA, 0, &["a"])).await.unwrap();
    assert!(again.duplicate);
    let tails: Vec<_> = other.logs().iter().map(|log| log.tail()).collect();
    assert_eq!(tails.iter().sum::<u64>(), 1, "{tails:?}: it was routed once");
    assert_ne!(other.id().0, Uuid::nil());
}

#[tokio::test]
async fn a_fault_fails_the_batch_unless_the_deployment_says_open() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.transform("unreachable", "", &json!({}));
    match world.append(&topic, plain(&["a"])).await.unwrap_err() {
        AppendError::TransformFailed { deployment, source, .. } => {
            assert_eq!((deployment.as_str(), source.code()), ("f", "trap"));
        }
        other => panic!("{other}"),
    }
    assert_eq!(topic.log(0).unwrap().tail(), 0, "nothing goes past a transform that fails");

    world.transform("unreachable", "", &json!({ "on_fault": "open" }));
    assert_eq!(world.append(&topic, plain(&["a"])).await.unwrap(), at(0));
    assert_eq!(stored(&world, &topic).await[0].1, named(&[(0, "a")]));
}

/// The first record of an instance's first batch is kept, that of every later one is dropped.
const ONCE: &str = "
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))
    (i32.store8 (i32.const 512) (i32.load8_u (i32.const 2048)))
    (i32.store8 (i32.const 2048) (i32.const 1))";

#[tokio::test]
async fn an_instance_goes_with_the_batch_that_was_not_stored() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.transform(ONCE, "", &json!({}));
    let produce = async |expected_offsets| {
        let mut records = Records::new(topic.clone(), 0, START_MS);
        let value = Some(b"a"[..].into());
        let (key, headers) = (None, Vec::new());
        records
            .push(&NewRecord { partition: Some(0), timestamp: Some(START_MS), key, value, headers })
            .unwrap();
        world.broker.produce(ProduceRequest { records, idempotency: None, expected_offsets }).await
    };
    let refused = produce(vec![(0, 7)]).await.unwrap_err();
    assert!(matches!(refused, ProduceError::ExpectedOffset { .. }), "{refused}");
    produce(Vec::new()).await.unwrap();
    assert_eq!(topic.log(0).unwrap().tail(), 1, "a new instance has seen nothing");
    produce(Vec::new()).await.unwrap();
    assert_eq!(topic.log(0).unwrap().tail(), 1, "the instance is kept when its batch was stored");

    // The transform behind it refuses: the batch that both have seen is not stored.
    let stages = vec![stage(ONCE, "", &json!({})), stage(REJECT, "bad", &json!({ "name": "g", "order": 9 }))];
    world.broker.set_chain(topic.name(), Chain::new(stages));
    let refused = world.append(&topic, plain(&["a", "b"])).await.unwrap_err();
    assert!(matches!(refused, AppendError::Rejected { .. }), "{refused}");
    assert_eq!(world.append(&topic, plain(&["c"])).await.unwrap(), at(1));
}

#[tokio::test]
async fn transforms_run_in_their_order_each_on_what_the_one_before_left() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    for (drop, reject, rejected) in [(1, 2, 2), (2, 1, 1)] {
        let stages = vec![
            stage(DROP, "", &json!({ "name": "drop", "order": drop })),
            stage(REJECT, "bad", &json!({ "name": "reject", "order": reject })),
        ];
        world.broker.set_chain(topic.name(), Chain::new(stages));
        match world.append(&topic, plain(&["a", "b", "c"])).await.unwrap_err() {
            AppendError::Rejected { records, .. } => {
                assert_eq!(records[0].index, rejected, "drop {drop}, reject {reject}");
            }
            other => panic!("{other}"),
        }
    }
}
