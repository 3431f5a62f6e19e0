//! What retention deletes, and what it leaves.

use super::super::reader;
use super::super::retention::enforce;
use super::*;

#[tokio::test]
async fn time_retention_moves_the_start_and_keeps_the_rest() {
    let world = World::new();
    let log = world.topic("orders", 1, &[("retention.ms", "8000")]).await.remove(0);
    for value in ["a", "b", "c"] {
        let now = world.storage.shared().clock.now_ms();
        world.append(&log, timed(&[(now, value)], Codec::None)).await;
        world.clock.advance_ms(3_000);
    }
    enforce(world.storage.shared());
    assert_eq!((log.start(), log.tail()), (1, 3));
    assert_eq!(world.values(&log, 1).await, ["b", "c"]);
    let below = world.storage.read(&log, 0, 1).await.unwrap_err();
    assert_eq!(below, ReadError::OutOfRange { asked: 0, start: 1, tail: 3 });

    world.clock.advance_ms(60_000);
    enforce(world.storage.shared());
    assert_eq!((log.start(), log.tail(), log.bytes()), (3, 3, 0));
    assert_eq!(world.append(&log, batch(&["d"])).await.base, 3, "offsets go on");
    let id = log.topic_id();
    drop(log);
    let world = world.reopen();
    let log = world.storage.logs(id).remove(0);
    assert_eq!((log.start(), log.tail()), (3, 4));
    assert_eq!(world.values(&log, 3).await, ["d"]);
}

#[tokio::test]
async fn size_retention_frees_the_disk() {
    let world = World::new();
    let config = [("retention.bytes", "16777216"), ("retention.ms", "-1")];
    let log = world.topic("orders", 1, &config).await.remove(0);
    for _ in 0..160 {
        world.append(&log, large(1 << 20)).await;
    }
    enforce(world.storage.shared());
    assert!(log.start() >= 140, "{log:?}");
    assert!(log.bytes() >= 16 << 20 && log.bytes() < 20 << 20, "{}", log.bytes());

    // Blob files of 32 MiB go as a whole; more than the last of them may still hold what is kept.
    world.blob_files_shrink_below(96 << 20).await;
    assert_eq!(world.storage.read(&log, log.start(), 1).await.unwrap()[0].header().base_offset, log.start());
}

#[tokio::test]
async fn a_log_that_is_written_while_retention_works_loses_nothing_new() {
    let world = World::new();
    let log = world.topic("orders", 1, &[("retention.ms", "8000")]).await.remove(0);
    world.append(&log, batch(&["old"])).await;
    world.clock.advance_ms(9_000);
    // The trim and the append may be one group: whichever comes first, the new record stays.
    let mut append = Commit::new();
    append.append(&log, timed(&[(i64::MAX, "new")], Codec::None));
    let pending = world.storage.submit(append).await.unwrap();
    enforce(world.storage.shared());
    pending.receipt().await.unwrap();
    assert_eq!(world.values(&log, 1).await, ["new"]);
}

/// Bytes of the batches that are there, as they are counted when the log is read whole.
async fn bytes_stored(world: &World, log: &Arc<Log>) -> u64 {
    let (start, mut bytes) = (log.start(), 0);
    let mut from = start;
    while from < log.tail() {
        let batches = reader::read_disk(world.storage.db(), log, from, 1 << 20).unwrap();
        bytes += batches.iter().map(|batch| batch.bytes().len() as u64).sum::<u64>();
        from = batches.last().unwrap().header().next_offset();
    }
    bytes
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_and_stay_deleted() {
    let world = World::new();
    let config = [("retention.bytes", "8388608"), ("retention.ms", "-1")];
    let log = world.topic("orders", 1, &config).await.remove(0);
    for i in 0..6u32 {
        world.append(&log, large(700_000)).await;
        world.append(&log, batch(&[&format!("{i}a"), &format!("{i}b")])).await;
    }
    assert!(log.ledger.lock().closed.len() >= 3);
    let delete = async |log: &Arc<Log>, to| world.storage.delete_records(log, to).await;

    assert_eq!(delete(&log, 8).await, Ok(8), "in the middle of a batch, in the middle of a segment");
    assert_eq!(log.bytes(), bytes_stored(&world, &log).await);
    assert_eq!(world.storage.read(&log, 8, 1).await.unwrap()[0].header().base_offset, 7);
    let below = world.storage.read(&log, 7, 1).await.unwrap_err();
    assert_eq!(below, ReadError::OutOfRange { asked: 7, start: 8, tail: 18 });
    assert_eq!(delete(&log, 3).await, Ok(8), "it does not come back");
    assert_eq!(delete(&log, 9).await, Ok(9), "the rest of the batch");
    assert_eq!(log.bytes(), bytes_stored(&world, &log).await);
    let beyond = delete(&log, 19).await;
    assert_eq!(beyond, Err(Error::Read(ReadError::OutOfRange { asked: 19, start: 9, tail: 18 })));
    assert_eq!(delete(&log, 17).await, Ok(17), "in the active segment");
    assert_eq!(log.bytes(), bytes_stored(&world, &log).await);

    let (id, bytes) = (log.topic_id(), log.bytes());
    drop(log);
    let world = world.reopen();
    let log = world.storage.logs(id).remove(0);
    assert_eq!((log.start(), log.tail(), log.bytes()), (17, 18, bytes));
    assert_eq!(world.values(&log, 17).await, ["5a", "5b"]);
    assert_eq!(world.storage.delete_records(&log, 18).await, Ok(18));
    assert_eq!((log.start(), log.tail(), log.bytes()), (18, 18, 0));
    assert_eq!(world.append(&log, batch(&["next"])).await, Placed { base: 18, next: 19 });
    assert_eq!(log.bytes(), bytes_stored(&world, &log).await);
}

#[tokio::test]
async fn records_of_an_open_transaction_are_not_deleted() {
    use super::transactions::transactional;

    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    world.append(&log, batch(&["a"])).await;
    world.append(&log, transactional(1, &["b"])).await;
    assert_eq!(world.storage.delete_records(&log, 2).await, Ok(1));
    assert_eq!((log.start(), log.stable(), log.tail()), (1, 1, 2));
}

#[tokio::test]
async fn retention_goes_on_where_records_were_deleted_by_hand() {
    let world = World::new();
    let log = world.topic("orders", 1, &[("retention.ms", "8000")]).await.remove(0);
    for value in ["a", "b", "c"] {
        let now = world.storage.shared().clock.now_ms();
        world.append(&log, timed(&[(now, value), (now, value)], Codec::None)).await;
        world.clock.advance_ms(3_000);
    }
    assert_eq!(world.storage.delete_records(&log, 1).await, Ok(1));
    enforce(world.storage.shared());
    assert_eq!(log.start(), 2);
    assert_eq!(log.bytes(), bytes_stored(&world, &log).await);
    world.clock.advance_ms(60_000);
    enforce(world.storage.shared());
    assert_eq!((log.start(), log.bytes()), (6, 0));
}

#[tokio::test]
async fn appends_during_deletions_are_counted_right() {
    let world = World::new();
    let log = world.topic("orders", 1, &[("retention.bytes", "8388608")]).await.remove(0);
    let mut pending = Vec::new();
    for i in 0..40 {
        let mut commit = Commit::new();
        commit.append(&log, large(100_000));
        pending.push(world.storage.submit(commit).await.unwrap());
        if i % 5 == 4 {
            world.storage.delete_records(&log, log.tail()).await.unwrap();
        }
    }
    for pending in pending {
        pending.receipt().await.unwrap();
    }
    assert_eq!((log.tail(), log.bytes()), (40, bytes_stored(&world, &log).await));
}
