//! What retention deletes, and what it leaves.

use super::super::retention::enforce;
use super::*;

fn disk_usage(dir: &Path) -> u64 {
    let usage = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            disk_usage(&entry.path())
        } else {
            entry.metadata().unwrap().len()
        }
    };
    std::fs::read_dir(dir).unwrap().map(usage).sum()
}

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
    let before = disk_usage(&world.dir.path().join("db"));
    enforce(world.storage.shared());
    assert!(log.start() >= 140, "{log:?}");
    assert!(log.bytes() >= 16 << 20 && log.bytes() < 20 << 20, "{}", log.bytes());

    // Files go in the background, blob files of 32 MiB and more as a whole.
    let mut after = before;
    for _ in 0..100 {
        after = disk_usage(&world.dir.path().join("db"));
        if after + (64 << 20) < before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(after + (64 << 20) < before, "{before} bytes before, {after} after");
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
