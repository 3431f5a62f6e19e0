//! Views over a broker's logs, without doors.

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::*;
use crate::broker::read::Cursor;
use crate::broker::tests::{START_MS, World, transactional};
use crate::broker::{Isolation, OffsetSpec, Page, ReadError, ReadLimits, TopicHandle, TransactionOf};
use crate::model::batch::{BatchBuilder, Codec, RecordBatch};
use crate::model::transaction::Outcome;
use crate::storage;
use crate::wasm::tests::{Guest, example};

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

fn batch(values: &[&str], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (n, value) in (0..).zip(values) {
        builder.push(START_MS + n, Some(b"k"), Some(value.as_bytes()), []);
    }
    builder.finish(codec).unwrap().bytes().clone()
}

fn view(component: Component, on_trouble: OnTrouble) -> Arc<View> {
    let of = ViewOf {
        called: "view `v`".into(),
        module: "m@1.0.0".into(),
        source: TopicName::parse("t").unwrap(),
        params: BTreeMap::new(),
        limits: GuestLimits::default(),
        on_trouble,
    };
    Arc::new(View::standing(of, Ok(component), Box::new(|_| Arc::new(Silent))))
}

/// Keeps everything and aborts on the record at offset 2.
fn keeps_all_but_two() -> Component {
    let body = r"(local $i i32)
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
            (if (i64.eq (i64.load offset=8 (i32.add (local.get $in) (i32.mul (local.get $i) (i32.const 56))))
                    (i64.const 2))
                (then (unreachable)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.store (i32.const 260) (i32.const 512))
        (i32.store (i32.const 264) (local.get $len))";
    Guest { body, ..Guest::default() }.component()
}

async fn page(world: &World, topic: &TopicHandle, from: Offset) -> Result<Page, ReadError> {
    let (wait, isolation) = (Duration::ZERO, Isolation::Committed);
    world.broker.read(topic, 0, from, ReadLimits { records: 100, bytes: 1 << 20, wait, isolation }).await
}

fn shown(page: &Page) -> Vec<(Offset, String)> {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    page.records.iter().map(|(offset, record)| (*offset, text(record.value.as_ref().unwrap()))).collect()
}

async fn look(world: &World, topic: &TopicHandle, from: Offset, room: usize) -> Seen {
    let (view, log) = (topic.view().unwrap(), topic.log(0).unwrap());
    let mut scan = Scan::one_of(1);
    let look = Look { from, room, isolation: Isolation::Uncommitted };
    world.broker.look(topic, view, log, look, &mut scan).await.unwrap()
}

#[tokio::test]
async fn the_record_that_aborts_the_code_is_found_and_its_neighbours_are_shown() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, batch(&["a", "b", "c", "d", "e"], Codec::None)).await.unwrap();
    let code = keeps_all_but_two();

    let skipping = view(code.clone(), OnTrouble::Skip);
    let through = topic.through(skipping.clone());
    let all = page(&world, &through, 0).await.unwrap();
    assert_eq!(shown(&all).iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!((all.next_offset, all.scanned, all.skipped), (5, 5, 1));
    assert_eq!(skipping.last_trouble().unwrap().offset, 2);

    let through = topic.through(view(code, OnTrouble::Stop));
    let before = page(&world, &through, 0).await.unwrap();
    assert_eq!((before.records.len(), before.next_offset), (2, 2));
    let error = page(&world, &through, 2).await.unwrap_err();
    assert!(matches!(error, ReadError::View { offset: 2, .. }), "{error:?}");
    assert_eq!(page(&world, &through, 3).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn a_search_that_takes_too_long_goes_on_at_the_next_look() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, batch(&["a", "b", "c", "d", "e"], Codec::None)).await.unwrap();
    let of = view(keeps_all_but_two(), OnTrouble::Stop).of().clone();
    let pool = Pool::new(1, Arc::new(Semaphore::new(1)));
    let log: Sinks = Box::new(|_| Arc::new(Silent));
    let hasty = Arc::new(View::new(of, Ok(keeps_all_but_two()), log, pool, Duration::ZERO));
    let through = topic.through(hasty.clone());

    // One call fails in each look, until there is something to show.
    for suspects in [0..5, 0..3] {
        let error = page(&world, &through, 0).await.unwrap_err();
        assert!(matches!(error, ReadError::ViewClosed { source: Fault::Busy(_), .. }), "{error:?}");
        assert_eq!(hasty.suspects.lock().get(&0), Some(&suspects));
    }
    let before = page(&world, &through, 0).await.unwrap();
    assert_eq!((before.records.len(), before.next_offset), (2, 2));
    let error = page(&world, &through, 2).await.unwrap_err();
    assert!(matches!(error, ReadError::View { offset: 2, .. }), "{error:?}");
    assert_eq!(hasty.suspects.lock().get(&0), Some(&(2..3)), "the next reader asks it alone");
    assert!(hasty.is_news(0, 2) && !hasty.is_news(0, 2) && hasty.is_news(1, 2));
}

#[tokio::test]
async fn a_look_that_finds_no_instance_is_paid_for_as_well() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, batch(&["a"], Codec::None)).await.unwrap();
    let of = view(keeps_all_but_two(), OnTrouble::Stop).of().clone();
    let closed = Arc::new(Semaphore::new(0));
    closed.close();
    let pool = Pool::new(1, closed);
    let busy =
        Arc::new(View::new(of, Ok(keeps_all_but_two()), Box::new(|_| Arc::new(Silent)), pool, Duration::MAX));
    let (through, log) = (topic.through(busy.clone()), topic.log(0).unwrap());
    let mut scan = Scan::one_of(1);
    let before = scan;
    let look = Look { from: 0, room: 1, isolation: Isolation::Uncommitted };
    world.broker.look(&through, &busy, log, look, &mut scan).await.unwrap_err();
    assert_ne!(scan, before);
}

#[tokio::test]
async fn what_is_kept_whole_is_the_batch_itself_and_what_is_not_keeps_offsets_codec_and_times() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let long = "x".repeat(300);
    let values = ["heartbeat", &long, "heartbeat", &long, "heartbeat"];
    world.append(&topic, batch(&values, Codec::Zstd)).await.unwrap();
    let through = topic.through(view(example("template"), OnTrouble::Stop));

    let seen = look(&world, &through, 0, 1 << 20).await;
    let [made] = seen.batches.as_slice() else { panic!("one batch, not {}", seen.batches.len()) };
    let parsed = RecordBatch::parse(made.bytes().clone()).unwrap();
    let header = parsed.header();
    assert_eq!(
        (header.base_offset, header.next_offset(), header.count, header.codec),
        (0, 4, 2, Codec::Zstd)
    );
    assert_eq!((header.producer_id, header.max_timestamp, seen.next), (-1, START_MS + 3, 5));
    let payload = parsed.payload(1 << 20).unwrap();
    let records: Vec<_> =
        payload.records().map(|r| r.unwrap()).map(|r| (r.offset_delta, r.timestamp)).collect();
    assert_eq!(records, [(1, START_MS + 1), (3, START_MS + 3)]);
    // The offset behind the last record is told by a marker.
    let told = seen.with_marker(0);
    let marker = told.batches.last().unwrap().header();
    assert_eq!((marker.control, marker.base_offset, marker.next_offset()), (true, 4, 5));

    let seen = look(&world, &topic.through(view(keeps_all_but_two(), OnTrouble::Skip)), 0, 1).await;
    assert_eq!(seen.next, 5, "a look takes whole calls");
    let other = world.topic("u", &[]).await;
    world.append(&other, batch(&["a", "b"], Codec::None)).await.unwrap();
    let kept = look(&world, &other.through(view(keeps_all_but_two(), OnTrouble::Skip)), 0, 1).await;
    let stored = world.broker.visible(other.log(0).unwrap(), 0, 1 << 20, Isolation::Committed).await.unwrap();
    assert_eq!(kept.batches[0].bytes().as_ptr(), stored.batches[0].bytes().as_ptr());
}

#[tokio::test]
async fn code_that_cannot_be_loaded_closes_the_view() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    world.append(&topic, batch(&["a"], Codec::None)).await.unwrap();
    let broken = Arc::new(View::standing(
        view(keeps_all_but_two(), OnTrouble::Skip).of().clone(),
        Err(Fault::Open("no".into())),
        Box::new(|_| Arc::new(Silent)),
    ));
    let error = page(&world, &topic.through(broken), 0).await.unwrap_err();
    assert!(matches!(error, ReadError::ViewClosed { source: Fault::Open(_), .. }), "{error:?}");
}

#[tokio::test]
async fn a_reader_whose_records_are_all_dropped_goes_on_behind_what_was_looked_at() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let beats = vec!["heartbeat"; 1_000];
    for _ in 0..5 {
        world.append(&topic, batch(&beats, Codec::None)).await.unwrap();
    }
    let standing = view(example("template"), OnTrouble::Stop);
    let through = topic.through(standing.clone());
    let all = page(&world, &through, 0).await.unwrap();
    assert_eq!((all.records.len(), all.next_offset, all.scanned), (0, 5_000, 5_000));
    let end = world.broker.resolve_offset(&through, 0, OffsetSpec::Latest).await.unwrap();
    assert_eq!(end, 5_000);
    assert_eq!(standing.idle_instances(), 1, "it waits for the next reader");
}

#[tokio::test]
async fn aborted_records_and_markers_never_reach_the_code() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let producer = world.init("a").await.unwrap();
    let joins = Some(TransactionOf { id: "a".to_owned(), joins: true });
    world.append_in(&topic, 0, transactional(producer, 0, &["lost"]), joins).await.unwrap();
    world.broker.end_transaction("a", producer, Outcome::Abort, true).await.unwrap();
    world.append(&topic, batch(&["b"], Codec::None)).await.unwrap();

    let through = topic.through(view(example("template"), OnTrouble::Stop));
    let committed = page(&world, &through, 0).await.unwrap();
    assert_eq!((shown(&committed), committed.scanned), (vec![(2, "B".to_owned())], 1));
    let all = look(&world, &through, 0, 1 << 20).await;
    assert_eq!((all.scanned, all.batches.len(), all.next), (2, 2, 3));
    assert!(all.batches.iter().all(|batch| !batch.header().transactional && !batch.header().control));
}

/// Puts a view of `t` in force under the name `v`.
async fn put_in_force(world: &World, view: Arc<View>) -> Arc<TopicHandle> {
    let (name, source) = (TopicName::parse("v").unwrap(), view.of().source.clone());
    world.broker.reserve_view(&name, &source).await.unwrap();
    world.broker.set_view(Named { name, number: 1, revision: 1, created_ms: 0, source, view: Some(view) });
    world.broker.readable("v").unwrap()
}

#[tokio::test]
async fn a_read_that_waits_goes_on_with_new_code_and_ends_with_its_view() {
    let world = World::new();
    let source = world.topic("t", &[]).await;
    let through = put_in_force(&world, view(keeps_all_but_two(), OnTrouble::Stop)).await;
    let (wait, isolation) = (Duration::from_secs(600), Isolation::Committed);
    let limits = ReadLimits { records: 100, bytes: 1 << 20, wait, isolation };

    let mut one = Box::pin(world.broker.read(&through, 0, 0, limits));
    let mut cursor = Cursor::default();
    let mut all = Box::pin(world.broker.read_all(&through, &mut cursor, limits));
    assert!(one.as_mut().now_or_never().is_none() && all.as_mut().now_or_never().is_none());
    put_in_force(&world, view(example("template"), OnTrouble::Stop)).await;
    // New code is no record: they wait on.
    assert!(one.as_mut().now_or_never().is_none() && all.as_mut().now_or_never().is_none());
    world.append(&source, batch(&["a"], Codec::None)).await.unwrap();
    assert_eq!(shown(&one.await.unwrap()), [(0, "A".to_owned())]);
    assert_eq!(all.await.unwrap().records[0].2.value.as_deref(), Some(b"A".as_slice()));

    let mut one = Box::pin(world.broker.read(&through, 0, 1, limits));
    let mut cursor = Cursor(vec![1]);
    let mut all = Box::pin(world.broker.read_all(&through, &mut cursor, limits));
    assert!(one.as_mut().now_or_never().is_none() && all.as_mut().now_or_never().is_none());
    world.broker.remove_view(through.name()).await;
    let gone = storage::ReadError::TopicGone { topic: through.id() };
    for error in [one.await.unwrap_err(), all.await.unwrap_err()] {
        assert!(
            matches!(&error, ReadError::Storage { topic, source, .. } if topic == through.name() && *source == gone),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_view_whose_source_comes_and_goes_is_not_replaced_by_that() {
    let world = World::new();
    world.topic("t", &[]).await;
    let standing = view(example("template"), OnTrouble::Stop);
    put_in_force(&world, standing.clone()).await;
    world.broker.delete_topic("t", true, None).await.unwrap();
    assert!(world.broker.readable_named("v").is_none() && !standing.is_replaced());
    world.topic("t", &[]).await;
    let shown = world.broker.readable("v").unwrap();
    assert!(Arc::ptr_eq(shown.view().unwrap(), &standing) && !standing.is_replaced());
}
