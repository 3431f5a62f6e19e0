//! What is left after a crash or damage: the directory is copied while it is open, changed, and opened again.

use super::super::{directory, guard};
use super::*;

/// The write-ahead log files, oldest first.
fn wal_files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("db")).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_acknowledged_commit_survives_a_crash_whole() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    for i in 0..50u32 {
        let mut commit = Commit::new();
        commit.append(&logs[0], batch(&[&i.to_string()]));
        commit.append(&logs[1], batch(&[&i.to_string()]));
        commit.put_state(b"count".to_vec(), i.to_string().into());
        world.storage.commit(commit).await.unwrap();
    }
    let copy = world.crashed_copy();
    let storage = open(copy.path());
    let recovered = storage.logs(logs[0].topic_id());
    let expected: Vec<_> = (0..50).map(|i| i.to_string()).collect();
    for log in &recovered {
        assert_eq!(values(&storage.read(log, 0, 1 << 20).await.unwrap()), expected);
    }
    assert_eq!(storage.state().value(b"count").unwrap().unwrap(), "49");
    assert_eq!(storage.warnings(), [""; 0]);
}

#[tokio::test]
async fn a_torn_tail_takes_back_whole_commits_only() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    for i in 0..50u32 {
        let mut commit = Commit::new();
        commit.append(&logs[0], batch(&[&i.to_string()]));
        commit.append(&logs[1], batch(&[&i.to_string()]));
        commit.put_state(b"count".to_vec(), (i + 1).to_string().into());
        world.storage.commit(commit).await.unwrap();
    }
    for cut in [1, 100, 1_000, 5_000] {
        let copy = world.crashed_copy();
        let wal = wal_files(copy.path()).pop().unwrap();
        let length = std::fs::metadata(&wal).unwrap().len();
        std::fs::File::options().write(true).open(&wal).unwrap().set_len(length - cut).unwrap();
        let storage = open(copy.path());
        let recovered = storage.logs(logs[0].topic_id());
        let tail = recovered[0].tail();
        assert!((1..50).contains(&tail), "{tail}");
        assert_eq!(recovered[1].tail(), tail);
        let count = storage.state().value(b"count").unwrap().unwrap();
        assert_eq!(count, tail.to_string(), "state and records are of one commit");
        let read = values(&storage.read(&recovered[0], 0, 1 << 20).await.unwrap());
        assert_eq!(read, (0..tail).map(|i| i.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn damage_to_what_was_synced_is_reported_by_the_guard() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    for i in 0..100u32 {
        world.append(&log, batch(&[&i.to_string()])).await;
    }
    {
        let mut last = world.storage.shared().guard.last.lock();
        world.storage.shared().write_guard(&mut last, None);
    }
    let copy = world.crashed_copy();
    let wal = wal_files(copy.path()).pop().unwrap();
    let mut bytes = std::fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].fill(0xa5);
    std::fs::write(&wal, bytes).unwrap();

    let storage = open(copy.path());
    let tail = storage.logs(log.topic_id())[0].tail();
    assert!(tail < 100);
    let expected = format!(
        "topic `orders` has lost records that were synced; partition 0 ends at {tail} instead of 100"
    );
    assert_eq!(storage.warnings(), [expected]);
}

#[tokio::test]
async fn a_guard_that_cannot_be_read_is_reported_and_written_anew() {
    let world = World::new();
    world.topic("orders", 1, &[]).await;
    world.storage.close();
    let copy = world.crashed_copy();
    std::fs::write(copy.path().join("guard"), "nonsense").unwrap();
    let storage = open(copy.path());
    let expected = "the log-end guard cannot be read, so losses would not show: it is damaged";
    assert_eq!(storage.warnings(), [expected]);
    storage.close();
    drop(storage);
    assert_eq!(guard::read(&copy.path().join("guard")).unwrap()[0].name, "orders");
}

#[tokio::test]
async fn a_deletion_is_no_loss() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    {
        let mut last = world.storage.shared().guard.last.lock();
        world.storage.shared().write_guard(&mut last, None);
    }
    world.storage.delete_topic(log.topic_id()).await.unwrap();
    let copy = world.crashed_copy();
    assert_eq!(open(copy.path()).warnings(), [""; 0]);
}

#[tokio::test]
async fn a_damaged_database_is_refused_with_its_topic_and_a_cure_that_works() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    for _ in 0..20 {
        world.append(&log, large(10_000)).await;
    }
    {
        let mut last = world.storage.shared().guard.last.lock();
        world.storage.shared().write_guard(&mut last, None);
    }
    // The topic's family reaches the disk by itself; what the log says of the others is then damaged.
    let db = world.storage.db();
    db.inner().flush_cf(&db.topic_family(&log.family).unwrap()).unwrap();
    let copy = world.crashed_copy();
    let wal = wal_files(copy.path()).remove(0);
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes[50_000..50_016].fill(0xa5);
    std::fs::write(&wal, bytes).unwrap();

    let refused = Storage::open(options(copy.path(), Clock::system())).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("`orders`"), "{refused}");
    let accept = directory::accept_loss_file(copy.path());
    assert!(refused.to_string().contains(&accept.display().to_string()), "{refused}");

    std::fs::write(&accept, "").unwrap();
    let storage = open(copy.path());
    assert!(!accept.exists(), "accepted once");
    assert_eq!(storage.logs(log.topic_id()).len(), 1);
}
