//! Transactions from a producer's side and a reader's: together or not at all, one producer at a time, over stops and
//! kills, and in time.

use futures_util::FutureExt as _;

use super::*;
use crate::broker::tests::{World, again, at, sequenced, transactional};
use crate::broker::{
    AppendError, Appended, Initialize, Isolation, TopicHandle, TransactionError, TransactionOf,
};

use crate::groups::machine::OffsetCommitter;
use crate::groups::{FetchOffsets, GroupError, GroupId, NewOffset};

const SECOND: i64 = 1_000;

fn v1(id: &str) -> Option<TransactionOf> {
    Some(TransactionOf { id: id.to_owned(), joins: false })
}

fn v2(id: &str) -> Option<TransactionOf> {
    Some(TransactionOf { id: id.to_owned(), joins: true })
}

/// A topic `t`, and the producer of the transactional id `a`.
async fn started() -> (World, Arc<TopicHandle>, Producer) {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let a = world.init("a").await.unwrap();
    (world, topic, a)
}

fn refusal<T: std::fmt::Debug>(result: Result<T, AppendError>) -> TransactionError {
    match result.unwrap_err() {
        AppendError::Transaction(error) => error,
        other => panic!("{other}"),
    }
}

impl World {
    async fn add(&self, id: &str, producer: Producer, topic: &TopicHandle) -> Result<(), TransactionError> {
        self.broker.add_partitions(id, producer, vec![(topic.id(), 0)]).await
    }

    async fn write(
        &self,
        topic: &Arc<TopicHandle>,
        producer: Producer,
        sequence: i32,
        of: Option<TransactionOf>,
    ) -> Result<Appended, AppendError> {
        let value = format!("{}.{}.{sequence}", producer.id, producer.epoch);
        self.append_in(topic, 0, transactional(producer, sequence, &[&value]), of).await
    }

    async fn commit(&self, id: &str, producer: Producer) -> Result<Producer, TransactionError> {
        self.broker.end_transaction(id, producer, Outcome::Commit, false).await
    }

    async fn abort(&self, id: &str, producer: Producer) -> Result<Producer, TransactionError> {
        self.broker.end_transaction(id, producer, Outcome::Abort, false).await
    }

    fn phase(&self, id: &str) -> Phase {
        self.broker.0.transactions.find(id).unwrap().held.lock().transaction.phase
    }
}

#[tokio::test]
async fn records_of_a_transaction_are_seen_together_when_it_commits_and_never_when_it_aborts() {
    let world = World::new();
    let (t, u) = (world.topic("t", &[]).await, world.topic("u", &[]).await);
    let a = world.init("a").await.unwrap();
    for topic in [&t, &u] {
        world.add("a", a, topic).await.unwrap();
        world.write(topic, a, 0, v1("a")).await.unwrap();
    }
    assert_eq!(world.committed(&t).await, [] as [&str; 0]);
    assert_eq!(world.commit("a", a).await, Ok(a));
    let first = format!("{}.0.0", a.id);
    assert_eq!(
        (world.committed(&t).await, world.committed(&u).await),
        (vec![first.clone()], vec![first.clone()])
    );

    world.add("a", a, &t).await.unwrap();
    world.write(&t, a, 1, v1("a")).await.unwrap();
    assert_eq!(world.abort("a", a).await, Ok(a));
    assert_eq!(world.committed(&t).await, [first.as_str()]);
    assert_eq!(world.seen(&t, 0, Isolation::Uncommitted).await, [first, format!("{}.0.1", a.id)]);
    assert_eq!(world.abort("a", a).await, Ok(a), "the repetition of a request whose answer was lost");
    assert_eq!(
        world.commit("a", a).await,
        Err(TransactionError::Phase { asked: "committed", phase: Phase::Aborted })
    );
}

#[tokio::test]
async fn only_partitions_of_the_open_transaction_can_be_written_to() {
    let (world, topic, a) = started().await;
    assert_eq!(
        refusal(world.write(&topic, a, 0, v1("a")).await),
        TransactionError::NotAdded { partition: 0 }
    );
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    let unknown = refusal(world.write(&topic, a, 1, v1("b")).await);
    assert_eq!(unknown, TransactionError::UnknownId("b".into()));
    let nameless = world.write(&topic, a, 1, None).await.unwrap_err();
    assert!(matches!(nameless, AppendError::NoTransactionalId));
    let outside = world.append(&topic, sequenced(a, 1, &["x"])).await;
    assert_eq!(refusal(outside), TransactionError::Outside { producer_id: a.id });
    world.commit("a", a).await.unwrap();
    assert_eq!(
        refusal(world.write(&topic, a, 1, v1("a")).await),
        TransactionError::NotAdded { partition: 0 }
    );
    assert_eq!(
        world.write(&topic, a, 0, v1("a")).await.unwrap(),
        again(0),
        "a repetition is answered as such"
    );
}

#[tokio::test]
async fn a_new_instance_fences_the_old_one_and_aborts_what_it_left_open() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let old = world.init("a").await.unwrap();
    world.add("a", old, &topic).await.unwrap();
    world.write(&topic, old, 0, v1("a")).await.unwrap();

    let new = world.init("a").await.unwrap();
    assert_eq!(new, Producer { id: old.id, epoch: old.epoch + 1 });
    assert_eq!(topic.log(0).unwrap().open_transactions(), []);
    let fenced = TransactionError::Fenced { found: old.epoch, current: new.epoch };
    assert_eq!(refusal(world.write(&topic, old, 1, v1("a")).await), fenced);
    assert_eq!(world.commit("a", old).await, Err(fenced.clone()));
    assert_eq!(world.add("a", old, &topic).await, Err(fenced));

    world.add("a", new, &topic).await.unwrap();
    world.write(&topic, new, 0, v1("a")).await.unwrap();
    world.commit("a", new).await.unwrap();
    assert_eq!(world.committed(&topic).await, [format!("{}.1.0", new.id)]);
}

#[tokio::test]
async fn producers_without_transactions_get_ids_of_their_own_also_after_a_kill() {
    let world = World::new();
    let init = async |world: &World| {
        let request = Initialize { transactional_id: None, timeout_ms: 0, asked: None };
        world.broker.init_producer(request).await.unwrap()
    };
    let (first, second) = (init(&world).await, init(&world).await);
    assert_eq!((first.epoch, second.id), (0, first.id + 1));
    let killed = world.after_a_kill();
    assert!(init(&killed).await.id > second.id);
}

#[tokio::test]
async fn timeouts_and_ids_out_of_range_are_refused() {
    let world = World::new();
    let init = async |id: &str, timeout_ms| {
        let transactional_id = Some(id.to_owned());
        world.broker.init_producer(Initialize { transactional_id, timeout_ms, asked: None }).await
    };
    for asked_ms in [0, -1, 900_001] {
        assert_eq!(init("a", asked_ms).await, Err(TransactionError::Timeout { asked_ms, most_ms: 900_000 }));
    }
    assert_eq!(init("", 1).await, Err(TransactionError::EmptyId));
    assert!(init("a", 900_000).await.is_ok());
}

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_stop_and_after_a_kill() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let (a, b) = (world.init("a").await.unwrap(), world.init("b").await.unwrap());
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    // This one has no row but its data.
    world.write(&topic, b, 0, v2("b")).await.unwrap();
    for world in [world.after_a_kill(), world.reopen()] {
        let topic = world.known("t");
        assert_eq!(world.committed(&topic).await, [] as [&str; 0]);
        assert_eq!(world.write(&topic, a, 1, v1("a")).await.unwrap(), at(2));
        assert_eq!(world.write(&topic, b, 1, v2("b")).await.unwrap(), at(3));
        world.commit("a", a).await.unwrap();
        let next = world.broker.end_transaction("b", b, Outcome::Abort, true).await.unwrap();
        assert_eq!(next, Producer { id: b.id, epoch: 1 });
        assert_eq!(world.committed(&topic).await, [format!("{}.0.0", a.id), format!("{}.0.1", a.id)]);

        let world = world.after_a_kill();
        assert_eq!((world.phase("a"), world.phase("b")), (Phase::Committed, Phase::Aborted));
        assert_eq!(world.commit("a", a).await, Ok(a), "the answer was lost with the kill");
    }
}

#[tokio::test]
async fn version_two_joins_by_writing_bumps_at_the_end_and_fences_late_batches() {
    let (world, topic, a) = started().await;
    let late = world.append_in(&topic, 1, transactional(a, 3, &["x"]), v2("a")).await;
    assert!(matches!(late, Err(AppendError::Sequence(_))), "nothing came before it, so it is not the first");
    world.write(&topic, a, 0, v2("a")).await.unwrap();
    let end = |producer, outcome| world.broker.end_transaction("a", producer, outcome, true);
    let next = end(a, Outcome::Commit).await.unwrap();
    assert_eq!(next, Producer { id: a.id, epoch: 1 });
    assert_eq!(end(a, Outcome::Commit).await, Ok(next), "asked again with the old epoch");
    let late = refusal(world.write(&topic, a, 1, v2("a")).await);
    assert_eq!(late, TransactionError::Fenced { found: 0, current: 1 });
    world.write(&topic, next, 0, v2("a")).await.unwrap();
    let third = end(next, Outcome::Abort).await.unwrap();
    assert_eq!(end(third, Outcome::Abort).await.unwrap().epoch, 3, "nothing in it, and aborted all the same");
    assert_eq!(world.committed(&topic).await, [format!("{}.0.0", a.id)]);
}

#[tokio::test]
async fn while_an_end_is_under_way_everyone_else_is_told_to_come_again() {
    let (world, topic, a) = started().await;
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    let in_front = topic.lanes().take([0]);
    let mut ending = Box::pin(world.commit("a", a));
    assert!(ending.as_mut().now_or_never().is_none());
    // The change runs in a task of its own.
    while world.broker.transaction("a").unwrap().status.name() != "PrepareCommit" {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.commit("a", a).await, Err(TransactionError::Concurrent));
    assert_eq!(world.add("a", a, &topic).await, Err(TransactionError::Concurrent));
    assert_eq!(world.init("a").await, Err(TransactionError::Concurrent));
    let mut late = Box::pin(world.write(&topic, a, 1, v1("a")));
    assert!(late.as_mut().now_or_never().is_none(), "it stands in line behind the markers");
    drop(in_front);
    assert_eq!(ending.await, Ok(a));
    let late = refusal(late.await);
    assert!(
        matches!(late, TransactionError::Concurrent | TransactionError::NotAdded { .. }),
        "it came after the end: {late}"
    );
    assert_eq!(world.committed(&topic).await, [format!("{}.0.0", a.id)]);
    assert_eq!(topic.log(0).unwrap().open_transactions(), []);
}

#[tokio::test]
async fn a_batch_that_was_let_in_before_the_end_is_part_of_the_transaction() {
    let (world, topic, a) = started().await;
    world.add("a", a, &topic).await.unwrap();
    let in_front = topic.lanes().take([0]);
    let mut writing = Box::pin(world.write(&topic, a, 0, v1("a")));
    assert!(writing.as_mut().now_or_never().is_none());
    let mut ending = Box::pin(world.commit("a", a));
    assert!(ending.as_mut().now_or_never().is_none());
    drop(in_front);
    // Whichever of the two the coordinator sees first: nothing stays open, nothing is half in.
    let (written, ended) = tokio::join!(writing, ending);
    assert_eq!(ended, Ok(a));
    assert_eq!(topic.log(0).unwrap().open_transactions(), []);
    assert_eq!(world.committed(&topic).await.len(), usize::from(written.is_ok()));
}

#[tokio::test]
async fn who_asks_for_an_end_and_goes_away_gets_it_all_the_same() {
    let (world, topic, a) = started().await;
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    let in_front = topic.lanes().take([0]);
    let mut ending = Box::pin(world.commit("a", a));
    assert!(ending.as_mut().now_or_never().is_none());
    drop((ending, in_front));
    topic.log(0).unwrap().wait_stable_past(0).await;
    assert_eq!(world.committed(&topic).await.len(), 1);
    while world.broker.transaction("a").unwrap().status.name() != "CompleteCommit" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let (a, b) = (world.init("a").await.unwrap(), world.init("b").await.unwrap());
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    world.clock.advance_ms(30 * SECOND);
    world.write(&topic, b, 0, v2("b")).await.unwrap();
    world.clock.advance_ms(30 * SECOND - 1);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 0);
    world.clock.advance_ms(1);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 1);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 0);

    let fenced = TransactionError::Fenced { found: 0, current: 1 };
    assert_eq!(world.commit("a", a).await, Err(fenced.clone()));
    assert_eq!(refusal(world.write(&topic, a, 1, v1("a")).await), fenced);
    world.broker.end_transaction("b", b, Outcome::Commit, true).await.unwrap();
    assert_eq!(world.committed(&topic).await, [format!("{}.0.0", b.id)]);
    assert_eq!(world.init("a").await.unwrap().epoch, 2);
}

#[tokio::test]
async fn the_time_of_a_transaction_begins_anew_with_a_start() {
    let (world, topic, a) = started().await;
    world.write(&topic, a, 0, v2("a")).await.unwrap();
    world.clock.advance_ms(59 * SECOND);
    let world = world.reopen();
    world.clock.advance_ms(59 * SECOND);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 0);
    world.clock.advance_ms(SECOND);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 1);
    assert_eq!(world.known("t").log(0).unwrap().open_transactions(), []);
}

#[tokio::test]
async fn a_topic_that_is_deleted_does_not_keep_its_transactions_from_ending() {
    let world = World::new();
    let (t, u) = (world.topic("t", &[]).await, world.topic("u", &[]).await);
    let a = world.init("a").await.unwrap();
    for topic in [&t, &u] {
        world.add("a", a, topic).await.unwrap();
        world.write(topic, a, 0, v1("a")).await.unwrap();
    }
    world.broker.delete_topic("u", false, None).await.unwrap();
    let partitions = world.broker.transaction("a").unwrap().partitions;
    assert_eq!(partitions.into_keys().map(|t| t.to_string()).collect::<Vec<_>>(), ["t"]);
    // One of the same name is another topic.
    let again = world.topic("u", &[]).await;
    assert_eq!(world.commit("a", a).await, Ok(a));
    assert_eq!((world.committed(&t).await.len(), again.log(0).unwrap().tail()), (1, 0));
}

#[tokio::test]
async fn an_id_that_nobody_uses_for_a_week_is_forgotten_also_on_disk() {
    let day = 24 * 3_600 * SECOND;
    let world = World::new();
    let topic = world.topic("t", &[]).await;
    let (_, b) = (world.init("a").await.unwrap(), world.init("b").await.unwrap());
    world.clock.advance_ms(4 * day);
    world.add("b", b, &topic).await.unwrap();
    world.commit("b", b).await.unwrap();
    world.clock.advance_ms(3 * day);
    assert_eq!(world.broker.expire_transactional_ids().await, Ok(1));
    for world in [world.after_a_kill(), world] {
        let ids: Vec<_> = world.broker.transactions().into_iter().map(|t| t.id).collect();
        assert_eq!(ids, ["b"]);
        assert_eq!(world.init("a").await.unwrap().epoch, 0, "another producer");
    }
}

#[tokio::test]
async fn what_is_shown_is_where_it_stands() {
    let (world, topic, a) = started().await;
    let status = || world.broker.transaction("a").unwrap().status.name();
    assert_eq!(status(), "Empty");
    world.clock.advance_ms(5);
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    let view = world.broker.transaction("a").unwrap();
    assert_eq!((view.producer, view.timeout_ms, status()), (a, 60_000, "Ongoing"));
    assert_eq!(view.started_ms, Some(crate::broker::tests::START_MS + 5));
    assert_eq!(view.partitions.values().collect::<Vec<_>>(), [&vec![0]]);
    let details = world.broker.producers(&topic, 0).unwrap();
    assert_eq!(details.len(), 1);
    assert_eq!((details[0].producer, details[0].last_sequence, details[0].open_since), (a, 0, Some(0)));
    world.commit("a", a).await.unwrap();
    assert_eq!(status(), "CompleteCommit");
    assert_eq!(world.broker.producers(&topic, 0).unwrap()[0].open_since, None);
    assert_eq!(world.broker.transaction("b"), Err(TransactionError::UnknownId("b".into())));
}

#[tokio::test]
async fn an_operator_ends_a_transaction_that_nobody_else_would() {
    let (world, topic, a) = started().await;
    world.write(&topic, a, 0, v2("a")).await.unwrap();
    // The id is lost, as after a restore of the topic alone.
    let entry = world.broker.0.transactions.find("a").unwrap();
    world.broker.0.transactions.forget(&entry);
    let old = Producer { epoch: a.epoch - 1, ..a };
    let fenced = world.broker.write_marker(&topic, 0, old, Outcome::Abort).await;
    assert_eq!(fenced, Err(TransactionError::Fenced { found: -1, current: 0 }));
    assert_eq!(world.broker.write_marker(&topic, 3, a, Outcome::Abort).await, Ok(None));
    assert_eq!(world.broker.write_marker(&topic, 0, a, Outcome::Abort).await, Ok(Some(())));
    assert_eq!(topic.log(0).unwrap().open_transactions(), []);
    assert_eq!(world.committed(&topic).await, [] as [&str; 0]);
}

/// What a group has committed for partition 0 of `t`; an error while that is not stable.
async fn offset_of(world: &World, stable: bool) -> Result<Option<i64>, GroupError> {
    let asked = FetchOffsets {
        group: GroupId::new("g"),
        member: None,
        topics: Some(vec![("t".into(), vec![0])]),
        require_stable: stable,
    };
    let mut topics = world.broker.groups().fetch_offsets(&asked)?;
    let found = topics.remove(0).partitions.remove(0).committed?;
    Ok(found.map(|committed| committed.offset))
}

async fn keep_offset(
    world: &World,
    producer: Producer,
    offset: i64,
    of: Option<TransactionOf>,
) -> Result<(), TransactionOffsetsError> {
    let request = TransactionOffsets {
        transaction: of.unwrap(),
        producer,
        group: GroupId::new("g"),
        who: OffsetCommitter { member_id: "".into(), instance_id: None, generation: -1 },
        offsets: vec![NewOffset {
            topic: world.known("t").name().clone(),
            topic_id: world.known("t").id(),
            partition: 0,
            offset,
            leader_epoch: -1,
            metadata: "".into(),
        }],
    };
    let results = world.broker.add_offsets(request).await?;
    assert_eq!(results, [Ok(())]);
    Ok(())
}

#[tokio::test]
async fn offsets_of_a_group_are_in_force_with_the_commit_and_not_before() {
    let (world, topic, a) = started().await;
    let refused = TransactionOffsetsError::Transaction(TransactionError::GroupNotAdded("g".into()));
    assert_eq!(keep_offset(&world, a, 5, v1("a")).await, Err(refused));

    world.broker.add_group("a", a, "g".to_owned()).await.unwrap();
    world.add("a", a, &topic).await.unwrap();
    world.write(&topic, a, 0, v1("a")).await.unwrap();
    keep_offset(&world, a, 5, v1("a")).await.unwrap();
    assert_eq!(offset_of(&world, false).await, Ok(None));
    assert_eq!(offset_of(&world, true).await, Err(GroupError::Unstable));
    world.commit("a", a).await.unwrap();
    assert_eq!(offset_of(&world, true).await, Ok(Some(5)));

    world.broker.add_group("a", a, "g".to_owned()).await.unwrap();
    keep_offset(&world, a, 9, v1("a")).await.unwrap();
    world.abort("a", a).await.unwrap();
    assert_eq!(offset_of(&world, true).await, Ok(Some(5)));
}

#[tokio::test]
async fn pending_offsets_outlive_a_kill_and_end_with_their_transaction() {
    let world = World::new();
    world.topic("t", &[]).await;
    let a = world.init("a").await.unwrap();
    keep_offset(&world, a, 7, v2("a")).await.unwrap();
    for (outcome, expected) in [(Outcome::Commit, Some(7)), (Outcome::Abort, None)] {
        let killed = world.after_a_kill();
        assert_eq!(killed.phase("a"), Phase::Ongoing);
        assert_eq!(offset_of(&killed, false).await, Ok(None));
        killed.broker.end_transaction("a", a, outcome, true).await.unwrap();
        assert_eq!(offset_of(&killed, true).await, Ok(expected));
        assert_eq!(offset_of(&killed.after_a_kill(), true).await, Ok(expected));
    }
    world.clock.advance_ms(60 * SECOND);
    assert_eq!(world.broker.abort_timed_out_transactions().await, 1);
    assert_eq!(offset_of(&world, true).await, Ok(None));
}
