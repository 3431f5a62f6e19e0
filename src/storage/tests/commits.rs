//! What becomes of commits: order, groups, refusals, failures, durability.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rocksdb::WriteBatch;

use super::super::disk::Space;
use super::super::writer::Sink;
use super::*;
use crate::model::topic::Durability;

/// Counts syncs; fails when told to.
#[derive(Clone, Default)]
struct Watched {
    syncs: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Sink for Watched {
    fn write(&mut self, db: &Db, batch: WriteBatch, sync: bool) -> Result<(), String> {
        if self.fails.load(Ordering::SeqCst) {
            return Err("no space left on device".into());
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.syncs.fetch_add(usize::from(sync), Ordering::SeqCst);
        WriteAheadLog::default().write(db, batch, sync)
    }

    fn sync(&mut self, db: &Db) -> Result<(), String> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        WriteAheadLog::default().sync(db)
    }
}

fn roomy() -> disk::Probe {
    Box::new(|| Ok(Space { free: 1 << 40, total: 1 << 41 }))
}

fn watched() -> (World, Watched) {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Watched::default());
    let (clock, moved) = Clock::manual(1_000_000);
    let storage = open::open(options(dir.path(), clock), sink.clone(), roomy()).unwrap();
    (World { storage, clock: moved, dir }, sink)
}

#[tokio::test]
async fn batches_are_placed_in_the_order_of_submission() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    let mut pending = Vec::new();
    for i in 0..500 {
        let mut commit = Commit::new();
        commit.append(&logs[0], batch(&[&format!("{i}a"), &format!("{i}b")]));
        commit.append(&logs[1], batch(&[&i.to_string()]));
        commit.append(&logs[0], batch(&[&format!("{i}c")]));
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    for (i, pending) in (0..).zip(pending) {
        let expected = [
            Placed { base: 3 * i, next: 3 * i + 2 },
            Placed { base: i, next: i + 1 },
            Placed { base: 3 * i + 2, next: 3 * i + 3 },
        ];
        assert_eq!(pending.receipt().await.unwrap().placed, expected);
    }
    let expected: Vec<_> = (0..500).flat_map(|i| ["a", "b", "c"].map(|x| format!("{i}{x}"))).collect();
    assert_eq!(world.values(&logs[0], 0).await, expected);
    assert_eq!((logs[0].tail(), logs[1].tail()), (1500, 500));
}

#[tokio::test]
async fn many_waiting_commits_become_few_writes() {
    let (world, sink) = watched();
    let logs = world.topic("orders", 1, &[]).await;
    let before = sink.writes.load(Ordering::SeqCst);
    let mut pending = Vec::new();
    for _ in 0..1_000 {
        let mut commit = Commit::new();
        commit.append(&logs[0], batch(&["x"]));
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    for pending in pending {
        pending.receipt().await.unwrap();
    }
    let writes = sink.writes.load(Ordering::SeqCst) - before;
    assert!(writes < 500, "{writes} writes for 1,000 commits");
}

#[tokio::test]
async fn a_wrong_expectation_refuses_the_whole_commit() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    world.append(&logs[0], batch(&["a"])).await;

    let mut commit = Commit::new();
    commit.append(&logs[1], batch(&["b"]));
    commit.put_state(b"key".to_vec(), "value".into());
    commit.expect(&logs[0], 0);
    let refused = world.storage.commit(commit).await.unwrap_err();
    let topic = logs[0].topic_id();
    assert_eq!(refused, CommitError::Expected { topic, partition: 0, expected: 0, actual: 1 });
    assert_eq!(logs[1].tail(), 0);
    assert_eq!(world.storage.state().value(b"key"), Ok(None));
}

#[tokio::test]
async fn expectations_see_commits_that_are_not_acknowledged_yet() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let mut pending = Vec::new();
    for i in 0..50 {
        let mut commit = Commit::new();
        commit.expect(log, i);
        commit.append(log, batch(&["x"]));
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    for pending in pending {
        pending.receipt().await.unwrap();
    }
    assert_eq!(log.tail(), 50);
}

#[tokio::test]
async fn late_rows_know_the_offsets_and_are_not_made_for_a_refused_commit() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let put = |commit: &mut Commit, key: &[u8]| {
        tables::idempotency::put(commit, key.to_vec(), |placed| placed[0].next.to_string().into_bytes());
    };
    let mut commit = Commit::new();
    commit.append(log, batch(&["a", "b"]));
    put(&mut commit, b"k1");
    world.storage.commit(commit).await.unwrap();
    let mut refused = Commit::new();
    refused.append(log, batch(&["c"]));
    refused.expect(log, 7);
    put(&mut refused, b"k2");
    world.storage.commit(refused).await.unwrap_err();

    let rows = || tables::idempotency::load_all(&world.storage).unwrap();
    assert_eq!(rows(), [(b"k1".to_vec(), b"2".to_vec())]);
    let mut commit = Commit::new();
    tables::idempotency::delete(&mut commit, b"k1");
    world.storage.commit(commit).await.unwrap();
    assert_eq!(rows(), []);
}

#[tokio::test]
async fn what_is_held_is_dropped_before_the_outcome_is_told() {
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    for expected in [0, 99] {
        let dropped = Arc::new(AtomicBool::new(false));
        let mut commit = Commit::new();
        commit.hold(Held(dropped.clone()));
        commit.expect(log, expected);
        let _ = world.storage.commit(commit).await;
        assert!(dropped.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn only_a_commit_that_was_made_says_so() {
    let (world, sink) = watched();
    let log = &world.topic("orders", 1, &[]).await[0];
    let made = Arc::new(AtomicUsize::new(0));
    let commit = |expected: u64| {
        let mut commit = Commit::new();
        commit.append(log, batch(&["x"]));
        commit.expect(log, expected);
        let made = made.clone();
        commit.when_made(move || {
            made.fetch_add(1, Ordering::SeqCst);
        });
        commit
    };
    world.storage.commit(commit(0)).await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 1);
    world.storage.commit(commit(0)).await.unwrap_err();
    assert_eq!(made.load(Ordering::SeqCst), 1, "refused");
    sink.fails.store(true, Ordering::SeqCst);
    world.storage.commit(commit(1)).await.unwrap_err();
    assert_eq!(made.load(Ordering::SeqCst), 1, "the outcome is unknown");
}

#[tokio::test]
async fn what_follows_a_commit_happens_in_the_order_of_commits_and_not_for_a_refused_one() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let happened = Arc::new(Mutex::new(Vec::new()));
    let mut pending = Vec::new();
    for i in 0..100u64 {
        let mut commit = Commit::new();
        commit.append(log, batch(&["x"]));
        if i % 2 == 1 {
            commit.expect(log, 9_999);
        }
        let (happened, log) = (happened.clone(), log.clone());
        commit.when_made(move || happened.lock().push((i, log.tail() > i / 2)));
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    for pending in pending {
        let _ = pending.receipt().await;
    }
    let expected: Vec<_> = (0..100).step_by(2).map(|i| (i, true)).collect();
    assert_eq!(*happened.lock(), expected);
}

#[tokio::test]
async fn a_failed_write_poisons_the_writer() {
    let (world, sink) = watched();
    let log = &world.topic("orders", 1, &[]).await[0];
    world.append(log, batch(&["kept"])).await;
    sink.fails.store(true, Ordering::SeqCst);

    let mut pending = Vec::new();
    for _ in 0..3 {
        let mut commit = Commit::new();
        commit.append(log, batch(&["lost"]));
        if let Ok(waiting) = world.storage.submit(commit).await {
            pending.push(waiting);
        }
    }
    for pending in pending {
        assert_eq!(pending.receipt().await, Err(CommitError::Unknown("no space left on device".into())));
    }
    let mut failed = world.storage.failed();
    let cause = failed.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(cause.as_deref(), Some("no space left on device"));
    assert_eq!(world.storage.commit(Commit::new()).await, Err(CommitError::Closed));
    assert_eq!(log.tail(), 1, "nothing becomes visible after the failure");
    assert_eq!(world.values(log, 0).await, ["kept"]);
}

#[tokio::test]
async fn a_panic_in_the_writer_poisons_it() {
    let world = World::new();
    let mut commit = Commit::new();
    tables::idempotency::put(&mut commit, b"k".to_vec(), |_| panic!("made to fail"));
    let unknown = CommitError::Unknown("the writer has stopped".into());
    assert_eq!(world.storage.commit(commit).await, Err(unknown));
    let mut failed = world.storage.failed();
    let cause = failed.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(cause.as_deref(), Some("the writer panicked"));
}

#[tokio::test]
async fn only_what_asks_for_it_is_synced_at_once() {
    let (world, sink) = watched();
    let fsync = &world.topic("a", 1, &[]).await[0];
    let os = &world.topic("b", 1, &[("durability", "os")]).await[0];
    let syncs = async |build: &dyn Fn(&mut Commit)| {
        let before = sink.syncs.load(Ordering::SeqCst);
        let mut commit = Commit::new();
        build(&mut commit);
        world.storage.commit(commit).await.unwrap();
        sink.syncs.load(Ordering::SeqCst) - before
    };
    let state = |c: &mut Commit| c.put_state(b"k".to_vec(), "v".into());
    assert_eq!(
        syncs(&|c| {
            c.append(fsync, batch(&["x"]));
        })
        .await,
        1
    );
    assert_eq!(
        syncs(&|c| {
            c.append(os, batch(&["x"]));
        })
        .await,
        0
    );
    assert_eq!(syncs(&state).await, 1);
    assert_eq!(
        syncs(&|c| {
            state(c);
            c.durability(Durability::Os);
        })
        .await,
        0
    );
    assert_eq!(
        syncs(&|c| {
            c.append(os, batch(&["x"]));
            state(c);
        })
        .await,
        0
    );
    assert_eq!(
        syncs(&|c| {
            c.append(fsync, batch(&["x"]));
            c.durability(Durability::Os);
        })
        .await,
        1
    );
}

#[tokio::test]
async fn os_durability_is_synced_within_a_second_or_so() {
    let (world, sink) = watched();
    let log = &world.topic("b", 1, &[("durability", "os")]).await[0];
    let before = sink.syncs.load(Ordering::SeqCst);
    world.append(log, batch(&["x"])).await;
    assert_eq!(log.durable(), 0);
    for _ in 0..100 {
        if log.durable() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((log.durable(), sink.syncs.load(Ordering::SeqCst) - before), (1, 1));
}

#[tokio::test]
async fn a_full_disk_refuses_what_adds_and_takes_what_deletes() {
    let free = Arc::new(AtomicU64::new(1 << 40));
    let probe = free.clone();
    let dir = tempfile::tempdir().unwrap();
    let (clock, moved) = Clock::manual(1_000_000);
    let probe: disk::Probe =
        Box::new(move || Ok(Space { free: probe.load(Ordering::SeqCst), total: 1 << 41 }));
    let storage = open::open(options(dir.path(), clock), WriteAheadLog::default(), probe).unwrap();
    let world = World { storage, clock: moved, dir };
    let logs = world.topic("orders", 1, &[("retention.ms", "10000")]).await;
    world.append(&logs[0], batch(&["old"])).await;

    free.store(1 << 30, Ordering::SeqCst);
    world.storage.shared().disk.observe();
    let reserve = (1 << 41) / 20;
    let full = CommitError::DiskFull { free: 1 << 30, reserve };
    assert_eq!(world.storage.disk(), DiskStatus { total: 1 << 41, free: 1 << 30, reserve, full: true });
    let mut commit = Commit::new();
    commit.append(&logs[0], batch(&["x"]));
    assert_eq!(world.storage.commit(commit).await, Err(full.clone()));
    let created = world.storage.create_topic(topic("other", 1, &[])).await;
    assert_eq!(created.unwrap_err(), Error::Commit(full));

    let mut shorter = world.storage.topics().remove(0);
    shorter.config.set("retention.ms", "9000").unwrap();
    world.storage.update_topic(shorter.clone()).await.unwrap();
    shorter.partitions = 2;
    assert!(world.storage.update_topic(shorter).await.is_err());
    assert_eq!(world.values(&logs[0], 0).await, ["old"], "reads go on");
    let mut commit = Commit::new();
    commit.delete_state_range(vec![0], vec![1]);
    world.storage.commit(commit).await.unwrap();
    world.clock.advance_ms(20_000);
    super::super::retention::enforce(world.storage.shared());
    assert_eq!((logs[0].start(), logs[0].tail()), (1, 1), "retention goes on");
    world.storage.delete_topic(logs[0].topic_id()).await.unwrap();
}

#[tokio::test]
async fn a_closed_storage_has_made_what_was_submitted_and_takes_nothing_more() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let mut commit = Commit::new();
    commit.append(&log, batch(&["x"]));
    let pending = world.storage.submit(commit).await.unwrap();
    world.storage.close();
    assert_eq!(pending.receipt().await.unwrap().placed, [Placed { base: 0, next: 1 }]);
    assert_eq!(world.storage.commit(Commit::new()).await, Err(CommitError::Closed));
    assert_eq!(world.storage.on_reader(|_| ()).await, Err(ReadError::Closed));
}

#[tokio::test]
async fn after_a_refused_link_of_a_chain_nothing_of_it_is_made() {
    let world = World::new();
    let gone = world.topic("gone", 1, &[]).await;
    let log = &world.topic("orders", 1, &[]).await[0];
    world.storage.delete_topic(gone[0].topic_id()).await.unwrap();

    let (chain, other) = (Chain::default(), Chain::default());
    let mut pending = Vec::new();
    for (chain, to, value) in [
        (Some(&chain), log, "before"),
        (Some(&chain), &gone[0], "refused"),
        (Some(&chain), log, "behind it"),
        (Some(&other), log, "of another chain"),
        (None, log, "of none"),
    ] {
        let mut commit = Commit::new();
        commit.append(to, batch(&[value]));
        if let Some(chain) = chain {
            commit.link(chain);
        }
        pending.push(world.storage.submit(commit).await.unwrap());
    }
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(pending.receipt().await.map(drop));
    }
    let refused = || Err(CommitError::TopicGone { topic: gone[0].topic_id() });
    assert_eq!(outcomes, [Ok(()), refused(), refused(), Ok(()), Ok(())]);
    assert_eq!(world.values(log, 0).await, ["before", "of another chain", "of none"]);

    let mut later = Commit::new();
    later.append(log, batch(&["much later"]));
    later.link(&chain);
    assert_eq!(world.storage.commit(later).await.map(drop), refused());
}

#[tokio::test]
async fn a_closed_fence_shuts_out_what_waits_and_what_comes() {
    let world = World::new();
    let log = &world.topic("orders", 1, &[]).await[0];
    let (fence, other) = (Fence::default(), Fence::default());
    let submit = async |fence: Option<&Fence>, value| {
        let mut commit = Commit::new();
        commit.append(log, batch(&[value]));
        if let Some(fence) = fence {
            commit.behind(fence);
        }
        world.storage.submit(commit).await.unwrap().receipt().await.map(drop)
    };
    assert_eq!(submit(Some(&fence), "before").await, Ok(()));
    fence.close();
    assert_eq!(submit(Some(&fence), "behind it").await, Err(CommitError::Fenced));
    assert_eq!(submit(Some(&other), "behind another").await, Ok(()));
    assert_eq!(submit(None, "behind none").await, Ok(()));
    assert_eq!(world.values(log, 0).await, ["before", "behind another", "behind none"]);
}
