//! What compaction removes, what it keeps, and what readers see of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::cleaner::{entries_max, round};
use super::super::reader;
use super::super::writer::Sink;
use super::transactions::{abort, commit as commit_marker};
use super::*;
use crate::model::batch::{BatchHeader, ProducerStamp};

const COMPACT: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0"),
    ("delete.retention.ms", "60000"),
];

/// A batch of keys with their values; `None`: a tombstone. Of a transaction if there is a producer.
fn keyed(producer: Option<i64>, records: &[(&str, Option<&str>)]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    if let Some(id) = producer {
        builder.producer(ProducerStamp { id, epoch: 0, base_sequence: 0, transactional: true });
    }
    for (key, value) in records {
        builder.push(0, Some(key.as_bytes()), value.map(str::as_bytes), []);
    }
    builder.finish(Codec::Lz4).unwrap()
}

fn put(key: &str, value: &str) -> RecordBatch {
    keyed(None, &[(key, Some(value))])
}

impl World {
    /// Appends each batch to a segment of its own.
    async fn segments(&self, log: &Arc<Log>, batches: impl IntoIterator<Item = RecordBatch>) {
        for batch in batches {
            self.append(log, batch).await;
            self.clock.advance_ms(1_000);
        }
    }

    fn compact(&self) {
        round(self.storage.shared(), entries_max(MEMORY));
    }

    /// Offset, key and value (`-` for a tombstone, `|` for a marker) of all that is in the log.
    fn records(&self, log: &Arc<Log>) -> Vec<String> {
        let mut found = Vec::new();
        let mut from = log.start();
        while from < log.tail() {
            let batches = reader::read_disk(self.storage.db(), log, from, 1 << 20).unwrap();
            for batch in &batches {
                let header = batch.header();
                let payload = batch.payload(1 << 24).unwrap();
                for record in payload.records().map(Result::unwrap) {
                    let offset = header.base_offset + u64::from(record.offset_delta);
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let value = record.value.map_or("-".to_owned(), text);
                    let shown =
                        if header.control { "|".to_owned() } else { text(record.key.unwrap()) + &value };
                    found.push(format!("{offset}{shown}"));
                }
            }
            from = batches.last().unwrap().header().next_offset();
        }
        found
    }

    /// The same through the front door, from `from` on.
    async fn offsets_read(&self, log: &Arc<Log>, from: Offset) -> Vec<(Offset, Offset)> {
        let batches = self.storage.read(log, from, 1 << 20).await.unwrap();
        batches.iter().map(|b| (b.header().base_offset, b.header().next_offset())).collect()
    }
}

#[tokio::test]
async fn the_newest_record_of_every_key_stays_at_its_offset() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let batches = [
        keyed(None, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]),
        put("c", "1"),
        keyed(None, &[("b", Some("2")), ("c", Some("2")), ("d", Some("1"))]),
        put("active", "1"),
        put("active", "2"),
    ];
    world.segments(&log, batches).await;
    let before = log.bytes();
    world.compact();
    assert_eq!(world.records(&log), ["2a2", "4b2", "5c2", "6d1", "7active1", "8active2"]);
    assert!(log.bytes() < before);
    assert_eq!((log.start(), log.tail()), (0, 9));
    world.compact();
    assert_eq!(world.records(&log).len(), 6, "the active segment and the one before it hold one key");
}

#[tokio::test]
async fn readers_pass_over_gaps_and_memory_says_what_the_disk_says() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let batches = [put("a", "1"), put("a", "2"), put("b", "1"), put("a", "3"), put("b", "2"), put("z", "1")];
    world.segments(&log, batches).await;
    world.compact();
    for from in 0..=3 {
        assert_eq!(world.offsets_read(&log, from).await, [(3, 4), (4, 5), (5, 6)], "from {from}");
    }
    assert_eq!(world.offsets_read(&log, 5).await, [(5, 6)]);
    assert_eq!(world.storage.offset_for_time(&log, 0, 6).await, Ok(Some((3, 0))));
    assert_eq!(world.storage.max_timestamp(&log, 6).await, Ok(Some((3, 0))));
}

#[tokio::test]
async fn a_tombstone_stays_until_its_horizon_and_goes_without_new_records() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    world.segments(&log, [put("a", "1"), put("b", "1"), keyed(None, &[("a", None)]), put("z", "1")]).await;
    world.compact();
    assert_eq!(world.records(&log), ["1b1", "2a-", "3z1"]);
    world.clock.advance_ms(59_000);
    world.compact();
    assert_eq!(world.records(&log), ["1b1", "2a-", "3z1"]);

    let id = log.topic_id();
    drop(log);
    let world = world.reopen();
    // The clock of the reopened world is past the horizon.
    let log = world.storage.logs(id).remove(0);
    world.compact();
    assert_eq!(world.records(&log), ["1b1", "3z1"], "the horizon is remembered");
    assert_eq!(world.offsets_read(&log, 2).await, [(2, 3), (3, 4)], "the end of what is cleaned shows");
    assert_eq!(log.bytes(), bytes_stored(&world, &log));
}

#[tokio::test]
async fn aborted_records_go_at_once_and_their_markers_later() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let batches = [
        put("a", "1"),
        keyed(Some(7), &[("a", Some("aborted")), ("b", Some("aborted"))]),
        keyed(Some(8), &[("c", Some("1"))]),
        abort(7),
        commit_marker(8),
        put("d", "1"),
        put("z", "1"),
    ];
    world.segments(&log, batches).await;
    world.compact();
    assert_eq!(
        world.records(&log),
        ["0a1", "3c1", "4|", "5|", "6d1", "7z1"],
        "an aborted record hides nothing"
    );
    assert_eq!(world.storage.aborted(&log, 0, 8).await.unwrap().len(), 1);

    world.segments(&log, [put("c", "2"), put("y", "1")]).await;
    world.compact();
    assert_eq!(
        world.records(&log),
        ["0a1", "4|", "5|", "6d1", "7z1", "8c2", "9y1"],
        "the abort has a horizon now"
    );
    world.clock.advance_ms(60_000);
    world.compact();
    assert_eq!(
        world.records(&log),
        ["0a1", "5|", "6d1", "7z1", "8c2", "9y1"],
        "the commit got its horizon later"
    );
    assert_eq!(world.storage.aborted(&log, 0, 10).await, Ok(vec![]));
    world.clock.advance_ms(60_000);
    world.compact();
    assert_eq!(world.records(&log), ["0a1", "6d1", "7z1", "8c2", "9y1"]);
    assert_eq!(log.bytes(), bytes_stored(&world, &log));
}

#[tokio::test]
async fn an_open_transaction_stops_compaction_in_front_of_it() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let batches =
        [put("a", "1"), put("a", "2"), keyed(Some(7), &[("b", Some("1"))]), put("a", "3"), put("z", "1")];
    world.segments(&log, batches).await;
    world.compact();
    assert_eq!(world.records(&log), ["1a2", "2b1", "3a3", "4z1"]);
    world.segments(&log, [commit_marker(7), put("b", "2"), put("y", "1")]).await;
    world.compact();
    assert_eq!(world.records(&log), ["3a3", "4z1", "5|", "6b2", "7y1"]);
}

/// Bytes of all batches of the log.
fn bytes_stored(world: &World, log: &Arc<Log>) -> u64 {
    let mut bytes = 0;
    reader::each_batch(world.storage.db(), log, log.start()..log.tail(), |batch| {
        bytes += batch.len() as u64;
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    bytes
}

/// A key and its new value, or its deletion.
type Update = (String, Option<String>);

/// Random updates and deletions with a fold of them.
fn updates(seed: u64, count: usize, keys: u64) -> (Vec<Update>, BTreeMap<String, String>) {
    let (mut state, mut all, mut folded) = (seed, Vec::new(), BTreeMap::new());
    for i in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("k{}", (state >> 33) % keys);
        let value = ((state >> 20) % 8 != 0).then(|| format!("v{i}"));
        match &value {
            Some(value) => folded.insert(key.clone(), value.clone()),
            None => folded.remove(&key),
        };
        all.push((key, value));
    }
    (all, folded)
}

/// What a reader of the whole log learns of each key.
fn folded(world: &World, log: &Arc<Log>) -> BTreeMap<String, String> {
    fold(world, log, |_| true)
}

fn fold(world: &World, log: &Arc<Log>, counts: impl Fn(&BatchHeader) -> bool) -> BTreeMap<String, String> {
    let mut folded = BTreeMap::new();
    reader::each_batch(world.storage.db(), log, log.start()..log.tail(), |value| {
        let batch = reader::parse(log, value)?;
        if batch.header().control || !counts(batch.header()) {
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        for record in batch.payload(1 << 24).unwrap().records().map(Result::unwrap) {
            let key = String::from_utf8_lossy(record.key.unwrap()).into_owned();
            match record.value {
                Some(value) => folded.insert(key, String::from_utf8_lossy(value).into_owned()),
                None => folded.remove(&key),
            };
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    folded
}

#[tokio::test]
async fn a_small_map_takes_several_passes_and_a_restart_between_pieces_does_no_harm() {
    let seed = 0x5eed;
    let (all, expected) = updates(seed, 4_000, 300);
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    for chunk in all.chunks(40) {
        let records: Vec<_> = chunk.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        world.append(&log, keyed(None, &records)).await;
        world.clock.advance_ms(300);
    }
    assert_eq!(folded(&world, &log), expected, "seed {seed}");
    assert!(log.ledger.lock().closed.len() > 20);
    // As after a crash in a pass: pieces are committed, its end is not.
    round(world.storage.shared(), 100);
    let cleaned = *log.cleaned.lock();
    let copy = world.crashed_copy();
    assert_eq!(folded(&world, &log), expected);
    world.clock.advance_ms(100_000);
    world.segments(&log, [put("y", "1"), put("z", "1")]).await;
    world.compact();
    let mut with_more = expected.clone();
    with_more.extend([("y".to_owned(), "1".to_owned()), ("z".to_owned(), "1".to_owned())]);
    assert_eq!(folded(&world, &log), with_more);
    let left = world.records(&log).len();
    assert!(left < expected.len() + 60, "{left} records of {} keys", expected.len());
    assert_eq!(log.bytes(), bytes_stored(&world, &log));
    assert!(log.ledger.lock().closed.len() < 5, "small segments have become one");

    let storage = open(copy.path());
    let again = World { storage, clock: Clock::manual(0).1, dir: copy };
    let log = again.storage.logs(log.topic_id()).remove(0);
    assert_eq!(*log.cleaned.lock(), cleaned);
    assert_eq!(folded(&again, &log), expected);
    again.compact();
    assert_eq!(folded(&again, &log), expected);
    assert_eq!(log.bytes(), bytes_stored(&again, &log));
}

/// Takes so many writes, then fails.
struct Limited(Arc<AtomicUsize>);

impl Sink for Limited {
    fn write(&mut self, db: &Db, batch: rocksdb::WriteBatch, sync: bool) -> Result<(), String> {
        if self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err("the power is gone".into());
        }
        WriteAheadLog::default().write(db, batch, sync)
    }

    fn sync(&mut self, db: &Db) -> Result<(), String> {
        WriteAheadLog::default().sync(db)
    }
}

#[tokio::test]
async fn a_crash_between_the_pieces_of_a_pass_does_no_harm() {
    let (all, expected) = updates(11, 1_000, 100);
    for writes in [0, 1, 2, 5, 9] {
        let (dir, left) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(usize::MAX)));
        let (clock, moved) = Clock::manual(1_000_000);
        let roomy = || Ok(disk::Space { free: 1 << 40, total: 1 << 41 });
        let sink = Limited(left.clone());
        let storage = open::open(options(dir.path(), clock), sink, Box::new(roomy)).unwrap();
        let world = World { storage, clock: moved, dir };
        let log = world.topic("users", 1, &COMPACT).await.remove(0);
        for (i, chunk) in all.chunks(20).enumerate() {
            let records: Vec<_> = chunk.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
            let producer = (i % 3 == 0).then_some(7);
            world.append(&log, keyed(producer, &records)).await;
            if producer.is_some() {
                world.append(&log, commit_marker(7)).await;
                world.append(&log, keyed(Some(8), &[("k1", Some("aborted"))])).await;
                world.append(&log, abort(8)).await;
            }
            world.clock.advance_ms(400);
        }
        left.store(writes, Ordering::SeqCst);
        world.compact();
        assert!(log.is_uncleanable.load(Ordering::Relaxed), "{writes} writes are not the whole pass");

        let copy = world.crashed_copy();
        let again = World { storage: open(copy.path()), clock: Clock::manual(0).1, dir: copy };
        let log = again.storage.logs(log.topic_id()).remove(0);
        assert_eq!(log.cleaned.lock().dirty_from, 0);
        for _ in 0..2 {
            assert_eq!(committed(&again, &log).await, expected, "after {writes} writes");
            assert_eq!(log.bytes(), bytes_stored(&again, &log));
            again.compact();
        }
        assert!(log.cleaned.lock().dirty_from > 0);
    }
}

/// What a reader of committed records learns of each key.
async fn committed(world: &World, log: &Arc<Log>) -> BTreeMap<String, String> {
    let aborted = world.storage.aborted(log, 0, log.stable()).await.unwrap();
    fold(world, log, |header| {
        let is_aborted = |txn: &AbortedTxn| {
            txn.producer_id == header.producer_id
                && (txn.first_offset..txn.last_offset).contains(&header.base_offset)
        };
        !aborted.iter().any(is_aborted)
    })
}

#[tokio::test]
async fn producers_go_on_while_a_log_is_compacted() {
    let (all, expected) = updates(7, 6_000, 200);
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let storage = world.storage.clone();
    let done = Arc::new(AtomicBool::new(false));
    let ended = done.clone();
    let cleaner = crate::runtime::tasks::spawn_blocking("cleaner", move || {
        while !ended.load(Ordering::Relaxed) {
            round(storage.shared(), 64);
        }
    });
    for chunk in all.chunks(20) {
        let records: Vec<_> = chunk.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        world.append(&log, keyed(None, &records)).await;
        world.clock.advance_ms(500);
    }
    done.store(true, Ordering::Relaxed);
    cleaner.await.unwrap();
    world.compact();
    assert_eq!(folded(&world, &log), expected);
    assert_eq!((log.tail(), log.bytes()), (6_000, bytes_stored(&world, &log)));
    assert!(world.records(&log).len() < 600, "{}", world.records(&log).len());
}

#[tokio::test]
async fn a_compacted_log_is_not_cut_by_time_unless_its_policy_says_so() {
    let world = World::new();
    let mut config = COMPACT.to_vec();
    config.push(("retention.ms", "8000"));
    let kept = world.topic("kept", 1, &config).await.remove(0);
    config[0].1 = "compact,delete";
    let cut = world.topic("cut", 1, &config).await.remove(0);
    for log in [&kept, &cut] {
        for value in ["1", "2", "3"] {
            let now = world.storage.shared().clock.now_ms();
            let mut builder = BatchBuilder::new();
            builder.push(now, Some(value.as_bytes()), Some(b"x"), []);
            world.append(log, builder.finish(Codec::None).unwrap()).await;
            world.clock.advance_ms(2_000);
        }
    }
    world.compact();
    world.clock.advance_ms(60_000);
    super::super::retention::enforce(world.storage.shared());
    assert_eq!((kept.start(), cut.start()), (0, 3));
    assert_eq!(world.records(&kept).len(), 3);
}

#[tokio::test]
async fn a_policy_changes_at_once() {
    let world = World::new();
    let mut users = topic("users", 1, &COMPACT);
    users.config.set("cleanup.policy", "delete").unwrap();
    let log = world.storage.create_topic(users.clone()).await.unwrap().remove(0);
    world.segments(&log, [put("a", "1"), put("a", "2"), put("z", "1")]).await;
    world.compact();
    assert_eq!(world.records(&log).len(), 3);
    users.config.set("cleanup.policy", "compact").unwrap();
    world.storage.update_topic(users.clone()).await.unwrap();
    world.compact();
    assert_eq!(world.records(&log), ["1a2", "2z1"]);
    world.segments(&log, [put("a", "3"), put("z", "2")]).await;
    users.config.set("cleanup.policy", "delete").unwrap();
    world.storage.update_topic(users).await.unwrap();
    world.compact();
    assert_eq!(world.records(&log).len(), 4);
}

#[tokio::test]
async fn records_deleted_by_hand_stay_deleted_when_the_rest_is_compacted() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let batches = [
        keyed(None, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]),
        put("a", "2"),
        put("a", "3"),
        put("z", "1"),
    ];
    world.segments(&log, batches).await;
    world.storage.delete_records(&log, 2).await.unwrap();
    world.compact();
    assert_eq!(log.start(), 2);
    assert_eq!(world.records(&log), ["1b1", "2c1", "4a3", "5z1"], "a batch is given whole");
    assert_eq!(log.bytes(), bytes_stored(&world, &log));
    world.storage.delete_records(&log, 5).await.unwrap();
    world.compact();
    assert_eq!(world.records(&log), ["5z1"]);
    assert_eq!(log.bytes(), bytes_stored(&world, &log));
}

#[tokio::test]
async fn compaction_frees_the_disk() {
    let world = World::new();
    let log = world.topic("users", 1, &COMPACT).await.remove(0);
    let noise: Vec<u8> = (0..1u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for i in 0..120 {
        let mut builder = BatchBuilder::new();
        // One key of every eight is never seen again, so that no file dies whole.
        let key = if i % 8 == 0 { format!("kept {i}") } else { "changed".to_owned() };
        builder.push(0, Some(key.as_bytes()), Some(&noise), []);
        world.append(&log, builder.finish(Codec::None).unwrap()).await;
        world.clock.advance_ms(300);
    }
    world.compact();
    assert!(log.bytes() < 24 << 20, "{}", log.bytes());
    // Of the files, the older half is written anew: an eighth of 60 MiB stays of it, beside the younger 60.
    world.blob_files_shrink_below(80 << 20).await;
    let left = world.records(&log).len();
    assert!((17..22).contains(&left), "{left}");
}
