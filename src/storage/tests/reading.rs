//! Reads by offset and by time, from memory and from disk.

use futures_util::FutureExt as _;

use super::super::reader;
use super::*;

#[tokio::test]
async fn memory_and_disk_give_the_same_batches() {
    let world = World::new();
    let log = &world.topic("orders", 3, &[]).await[1];
    for i in 0..40 {
        let values: Vec<String> = (0..=i % 5).map(|j| format!("{i}.{j}")).collect();
        world.append(log, batch(&values.iter().map(String::as_str).collect::<Vec<_>>())).await;
    }
    for from in 0..log.tail() {
        for bytes_max in [0, 300, 1 << 20] {
            let memory = reader::read_memory(log, from, bytes_max).unwrap().unwrap();
            let disk = reader::read_disk(world.storage.db(), log, from, bytes_max).unwrap();
            assert_eq!(memory, disk, "from {from}, at most {bytes_max} bytes");
            let header = *disk[0].header();
            assert!(header.base_offset <= from && from < header.next_offset());
        }
    }
}

#[tokio::test]
async fn a_read_stays_within_the_log_and_its_partition() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    world.append(&logs[0], batch(&["a"])).await;
    world.append(&logs[1], batch(&["b"])).await;
    assert_eq!(world.values(&logs[0], 0).await, ["a"]);
    assert_eq!(world.values(&logs[0], 1).await, [""; 0], "at the tail");
    let beyond = world.storage.read(&logs[0], 2, 1).await.unwrap_err();
    assert_eq!(beyond, ReadError::OutOfRange { asked: 2, start: 0, tail: 1 });
    assert_eq!(reader::read_disk(world.storage.db(), &logs[0], 0, 1 << 20).unwrap().len(), 1);
}

#[tokio::test]
async fn large_batches_that_left_memory_come_from_disk() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    for _ in 0..24 {
        world.append(log, large(1 << 20)).await;
    }
    assert!(reader::read_memory(log, 0, 1).unwrap().is_none());
    assert!(reader::read_memory(log, 23, 1).unwrap().is_some());
    let first = world.storage.read(log, 0, 1).await.unwrap();
    assert_eq!((first.len(), first[0].header().base_offset), (1, 0));
    assert_eq!(RecordBatch::parse(first[0].bytes().clone()).unwrap(), first[0], "the checksum holds");
}

#[tokio::test]
async fn who_waits_for_an_offset_is_woken_by_its_commit() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let mut waiting = Box::pin(log.wait_past(0));
    assert!(waiting.as_mut().now_or_never().is_none());
    world.append(&log, batch(&["a"])).await;
    waiting.await;
    assert_eq!(world.values(&log, 0).await, ["a"]);
}

#[tokio::test]
async fn who_waits_on_a_deleted_topic_is_woken_and_told() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let mut waiting = Box::pin(log.wait_past(0));
    assert!(waiting.as_mut().now_or_never().is_none());
    world.storage.delete_topic(log.topic_id()).await.unwrap();
    waiting.await;
    let topic = log.topic_id();
    assert_eq!(world.storage.read(&log, 0, 1).await, Err(ReadError::TopicGone { topic }));
    let mut commit = Commit::new();
    commit.append(&log, batch(&["late"]));
    assert_eq!(world.storage.commit(commit).await, Err(CommitError::TopicGone { topic }));
}

#[tokio::test]
async fn a_time_finds_the_first_record_at_or_after_it() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let find = async |at| world.storage.offset_for_time(log, at, log.tail()).await.unwrap();
    assert_eq!(find(0).await, None);
    world.append(log, timed(&[(100, "a"), (300, "b"), (200, "c")], Codec::None)).await;
    world.append(log, timed(&[(50, "d"); 20], Codec::Lz4)).await;
    let packed: Vec<_> = (0..100).map(|i| (250 + i, "the same text again and again")).collect();
    let packed = timed(&packed, Codec::Lz4);
    assert_eq!(packed.header().codec, Codec::Lz4);
    world.append(log, packed).await;

    let cases =
        [(i64::MIN, (0, 100)), (100, (0, 100)), (101, (1, 300)), (300, (1, 300)), (301, (23 + 51, 301))];
    for (at, expected) in cases {
        assert_eq!(find(at).await, Some(expected), "{at}");
    }
    assert_eq!(find(350).await, None);
    assert_eq!(world.storage.offset_for_time(log, 301, 23).await, Ok(None), "not before the given end");
}

#[tokio::test]
async fn a_time_is_found_across_segments() {
    let world = World::new();
    let config = [("retention.bytes", "8388608"), ("retention.ms", "-1")];
    let log = world.topic("orders", 1, &config).await.remove(0);
    for i in 0..6 {
        world.append(&log, large(700_000)).await;
        world.append(&log, timed(&[(1_000 * (i + 1), "mark")], Codec::None)).await;
    }
    assert!(log.ledger.lock().closed.len() >= 3);
    let world = world.reopen();
    let log = world.storage.logs(log.topic_id()).remove(0);
    let tail = log.tail();
    assert_eq!(world.storage.offset_for_time(&log, 3_500, tail).await, Ok(Some((7, 4_000))));
    assert_eq!(world.storage.offset_for_time(&log, 6_000, tail).await, Ok(Some((11, 6_000))));
    assert_eq!(world.storage.max_timestamp(&log, tail).await, Ok(Some((11, 6_000))));
    assert_eq!(world.storage.max_timestamp(&log, 8).await, Ok(Some((7, 4_000))));
    assert_eq!(world.storage.delete_records(&log, 12).await, Ok(12));
    assert_eq!(world.storage.max_timestamp(&log, tail).await, Ok(None));
}

#[tokio::test]
async fn the_largest_timestamp_belongs_to_the_first_record_that_has_it() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let latest = async |end| world.storage.max_timestamp(log, end).await.unwrap();
    assert_eq!(latest(0).await, None);
    for codec in [Codec::None, Codec::Lz4] {
        world.append(log, timed(&[(100, "a"), (300, "b"), (300, "c"), (200, "d")], codec)).await;
    }
    world.append(log, timed(&[(400, "e"), (50, "f")], Codec::None)).await;
    let cases = [(4, (1, 300)), (8, (1, 300)), (10, (8, 400)), (99, (8, 400))];
    for (end, expected) in cases {
        assert_eq!(latest(end).await, Some(expected), "{end}");
    }
    world.storage.delete_records(log, 2).await.unwrap();
    assert_eq!(latest(8).await, Some((2, 300)), "what is deleted does not count");
    assert_eq!(world.storage.offset_for_time(log, 0, 10).await, Ok(Some((2, 300))));
}

#[tokio::test]
async fn a_panic_on_a_reader_thread_is_an_error_and_the_thread_lives_on() {
    let world = World::new();
    for _ in 0..3 {
        let result: Result<(), _> = world.storage.on_reader(|_| panic!("made to fail")).await;
        assert_eq!(result, Err(ReadError::Closed));
    }
    assert_eq!(world.storage.on_reader(|_| 7).await, Ok(7));
}
