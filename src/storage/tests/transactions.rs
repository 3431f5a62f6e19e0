//! Transactions as logs derive them from their batches: what is stable, what was aborted, and what restarts keep.

use futures_util::FutureExt as _;

use super::*;
use crate::model::batch::ProducerStamp;
use crate::model::batch::control::{MarkerKind, marker};

/// A batch of one transaction's records.
pub(super) fn transactional(producer_id: i64, values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.producer(ProducerStamp { id: producer_id, epoch: 0, base_sequence: 0, transactional: true });
    for value in values {
        builder.push(0, None, Some(value.as_bytes()), []);
    }
    builder.finish(Codec::None).unwrap()
}

pub(super) fn commit(producer_id: i64) -> RecordBatch {
    marker(MarkerKind::Commit, producer_id, 0, 0, 0)
}

pub(super) fn abort(producer_id: i64) -> RecordBatch {
    marker(MarkerKind::Abort, producer_id, 0, 0, 0)
}

fn txn(producer_id: i64, first_offset: Offset, last_offset: Offset) -> AbortedTxn {
    AbortedTxn { producer_id, first_offset, last_offset }
}

#[tokio::test]
async fn the_stable_offset_waits_for_the_earliest_open_transaction() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let steps = [
        (transactional(1, &["a", "b"]), 0),
        (batch(&["-"]), 0),
        (transactional(2, &["c"]), 0),
        (transactional(1, &["d"]), 0),
        (commit(1), 3),
        (batch(&["-"]), 3),
        (abort(2), 8),
        (commit(3), 9),
        (batch(&["-"]), 10),
    ];
    for (batch, stable) in steps {
        let next = world.append(&log, batch).await.next;
        assert_eq!(log.ends(), Ends { tail: next, stable });
    }
}

#[tokio::test]
async fn one_commit_ends_a_transaction_in_all_its_partitions() {
    let world = World::new();
    let logs = world.topic("orders", 3, &[]).await;
    for log in &logs {
        world.append(log, transactional(1, &["a"])).await;
    }
    let mut end = Commit::new();
    for log in &logs {
        end.append(log, abort(1));
    }
    world.storage.commit(end).await.unwrap();
    for log in &logs {
        assert_eq!((log.stable(), log.tail()), (2, 2));
        assert_eq!(world.storage.aborted(log, 0, 2).await, Ok(vec![txn(1, 0, 1)]));
    }
}

#[tokio::test]
async fn aborted_transactions_are_found_where_they_overlap_sorted_by_their_beginning() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    // 0 a of 1 | 1 b of 2 | 2 B | 3 c of 3 | 4 A | 5 C commits | 6 d of 4 | 7 D | 8 e of 5, open
    let batches = [
        transactional(1, &["a"]),
        transactional(2, &["b"]),
        abort(2),
        transactional(3, &["c"]),
        abort(1),
        commit(3),
        transactional(4, &["d"]),
        abort(4),
        transactional(5, &["e"]),
    ];
    for batch in batches {
        world.append(&log, batch).await;
    }
    assert_eq!(log.stable(), 8);
    let (one, two, four) = (txn(1, 0, 4), txn(2, 1, 2), txn(4, 6, 7));
    let cases = [
        (0, 8, vec![one, two, four]),
        (0, 1, vec![one]),
        (0, 2, vec![one, two]),
        (2, 3, vec![one, two]),
        (3, 6, vec![one]),
        (4, 6, vec![one]),
        (5, 6, vec![]),
        (5, 8, vec![four]),
        (8, 9, vec![]),
        (3, 3, vec![]),
    ];
    for (from, to, expected) in cases {
        assert_eq!(world.storage.aborted(&log, from, to).await, Ok(expected), "{from}..{to}");
    }
}

#[tokio::test]
async fn transactions_survive_a_crash_and_a_restart() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[]).await;
    world.append(&logs[0], transactional(1, &["a"])).await;
    world.append(&logs[0], transactional(2, &["b", "c"])).await;
    world.append(&logs[0], abort(1)).await;
    world.append(&logs[1], transactional(2, &["d"])).await;
    let id = logs[0].topic_id();
    let copy = world.crashed_copy();
    drop(logs);
    let world = world.reopen();

    for storage in [open(copy.path()), world.storage.clone()] {
        let logs = storage.logs(id);
        assert_eq!(logs[0].ends(), Ends { tail: 4, stable: 1 });
        assert_eq!(logs[1].ends(), Ends { tail: 1, stable: 0 });
        assert_eq!(storage.aborted(&logs[0], 0, 4).await, Ok(vec![txn(1, 0, 3)]));
        assert_eq!(storage.aborted(&logs[1], 0, 1).await, Ok(vec![]));
        let mut end = Commit::new();
        end.append(&logs[0], commit(2));
        end.append(&logs[1], abort(2));
        storage.commit(end).await.unwrap();
        assert_eq!((logs[0].stable(), logs[1].stable()), (5, 2));
        assert_eq!(storage.aborted(&logs[1], 0, 2).await, Ok(vec![txn(2, 0, 1)]));
        storage.close();
        drop((logs, storage));
    }
    let storage = open(copy.path());
    let logs = storage.logs(id);
    assert_eq!((logs[0].stable(), logs[1].stable()), (5, 2), "the end is stored as well");
    assert_eq!(storage.aborted(&logs[1], 0, 2).await, Ok(vec![txn(2, 0, 1)]));
}

#[tokio::test]
async fn a_torn_tail_takes_back_a_marker_with_its_effects() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    world.append(&log, transactional(1, &["a"])).await;
    let whole = world.crashed_copy();
    world.append(&log, abort(1)).await;
    drop(world);
    let storage = open(whole.path());
    let log = storage.logs(log.topic_id()).remove(0);
    assert_eq!(log.ends(), Ends { tail: 1, stable: 0 });
    assert_eq!(storage.aborted(&log, 0, 1).await, Ok(vec![]));
}

#[tokio::test]
async fn who_waits_for_what_is_stable_is_woken_by_the_marker_alone() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    let mut waiting = Box::pin(log.wait_stable_past(0));
    let mut changes = log.watch();
    world.append(&log, transactional(1, &["a"])).await;
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(*changes.borrow_and_update(), Ends { tail: 1, stable: 0 });
    world.append(&log, commit(1)).await;
    waiting.await;
    assert_eq!(*changes.borrow_and_update(), Ends { tail: 2, stable: 2 });

    let waiting = log.wait_stable_past(2);
    world.storage.delete_topic(log.topic_id()).await.unwrap();
    waiting.await;
}

#[tokio::test]
async fn retention_leaves_open_transactions_and_takes_the_index_of_aborted_ones_with_it() {
    let world = World::new();
    let log = world.topic("orders", 1, &[("retention.ms", "8000")]).await.remove(0);
    for batch in [transactional(1, &["a"]), abort(1), transactional(2, &["b"])] {
        world.append(&log, batch).await;
        world.clock.advance_ms(3_000);
    }
    world.clock.advance_ms(60_000);
    super::super::retention::enforce(world.storage.shared());
    assert_eq!((log.start(), log.stable(), log.tail()), (2, 2, 3));
    let rows = || tables::aborted::ends(world.storage.db()).unwrap().len();
    assert_eq!(rows(), 0);

    world.append(&log, commit(2)).await;
    world.clock.advance_ms(60_000);
    super::super::retention::enforce(world.storage.shared());
    assert_eq!((log.start(), log.stable(), log.tail()), (4, 4, 4));
}

#[tokio::test]
async fn the_rows_of_transactions_go_with_their_topic() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    for batch in [transactional(1, &["a"]), abort(1), transactional(2, &["b"])] {
        world.append(&log, batch).await;
    }
    world.storage.delete_topic(log.topic_id()).await.unwrap();
    assert_eq!(tables::aborted::ends(world.storage.db()).unwrap().len(), 0);
    assert_eq!(tables::open_transactions::load_all(world.storage.db()).unwrap().len(), 0);
}

#[tokio::test]
async fn a_topic_whose_files_are_given_up_has_no_transactions() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    for batch in [transactional(1, &["a"]), abort(1), transactional(2, &["b"])] {
        world.append(&log, batch).await;
    }
    world.storage.db().drop_family(&log.family).unwrap();
    world.storage.close();
    let copy = world.crashed_copy();
    std::fs::write(directory::accept_loss_file(copy.path()), "").unwrap();
    for _ in 0..2 {
        let storage = open(copy.path());
        let log = storage.logs(log.topic_id()).remove(0);
        assert_eq!((log.start(), log.ends()), (3, Ends { tail: 3, stable: 3 }));
        assert_eq!(tables::open_transactions::load_all(storage.db()).unwrap().len(), 0);
        storage.close();
    }
}
