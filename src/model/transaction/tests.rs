//! Each rule by an example; then any sequence of requests, of which only the newest producer gets anywhere.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const MINUTE: u32 = 60_000;

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

/// Initialised once: producer 7, epoch 0.
fn fresh() -> Transaction {
    Transaction::new(7, MINUTE, 0).initialize(None, MINUTE, None, 0).unwrap().next
}

fn at_epoch(epoch: i16) -> Transaction {
    Transaction { producer: producer(7, epoch), ..fresh() }
}

fn open(mut transaction: Transaction, bumps: bool) -> Transaction {
    transaction.add([(TopicId(Uuid::from_u128(1)), 0)], Some("g"), bumps, 100);
    transaction
}

fn made(end: Result<End, RuleError>) -> Change {
    match end.unwrap() {
        End::Make(change) => *change,
        End::Already => panic!("it was not ended before"),
    }
}

#[test]
fn each_initialisation_bumps_the_epoch_and_fences_the_one_before() {
    let second = fresh().initialize(None, MINUTE, None, 1).unwrap().next;
    assert_eq!(second.producer, producer(7, 1));
    assert_eq!(second.check(producer(7, 0)), Err(RuleError::Fenced { found: 0, current: 1 }));
    assert_eq!(second.check(producer(8, 1)), Err(RuleError::Mapping { found: 8 }));
    assert_eq!(second.check(producer(7, 1)), Ok(()));
}

#[test]
fn initialising_aborts_the_open_transaction_with_a_marker_that_fences() {
    let change = open(fresh(), false).initialize(None, MINUTE, None, 1).unwrap();
    assert_eq!(change.ends, Some((Outcome::Abort, producer(7, 1))));
    assert_eq!(change.next.producer, producer(7, 1));
    assert_eq!((change.next.phase, change.next.partitions.len()), (Phase::Empty, 0));
}

#[test]
fn who_goes_on_after_an_error_gets_the_next_epoch_and_the_same_one_when_it_asks_again() {
    let bumped = fresh().initialize(Some(producer(7, 0)), MINUTE, None, 1).unwrap().next;
    assert_eq!((bumped.producer, bumped.last_epoch), (producer(7, 1), 0));
    let again = bumped.initialize(Some(producer(7, 0)), MINUTE, None, 2).unwrap().next;
    assert_eq!(again.producer, producer(7, 1));

    let replaced = bumped.initialize(None, MINUTE, None, 3).unwrap().next;
    let late = replaced.initialize(Some(producer(7, 0)), MINUTE, None, 4);
    assert_eq!(late, Err(RuleError::Fenced { found: 0, current: 2 }));
}

#[test]
fn a_fenced_producer_that_asks_to_go_on_does_not_abort_its_successors_transaction() {
    let successor = open(at_epoch(3), false);
    let asked = successor.initialize(Some(producer(7, 2)), MINUTE, None, 1);
    assert_eq!(asked, Err(RuleError::Fenced { found: 2, current: 3 }));
}

#[test]
fn when_the_epochs_are_used_up_a_new_id_takes_over() {
    let last = at_epoch(i16::MAX - 1);
    assert_eq!(last.initialize(None, MINUTE, None, 1), Err(RuleError::NeedsId));
    let rotated = last.initialize(Some(producer(7, i16::MAX - 1)), MINUTE, Some(9), 1).unwrap().next;
    assert_eq!((rotated.producer, rotated.previous_id), (producer(9, 0), 7));
    let again = rotated.initialize(Some(producer(7, i16::MAX - 1)), MINUTE, Some(10), 2).unwrap().next;
    assert_eq!(again.producer, producer(9, 0));

    // One epoch is left, and the abort of what is open takes it.
    let change = open(at_epoch(i16::MAX - 2), false).initialize(None, MINUTE, Some(9), 1).unwrap();
    assert_eq!(change.ends, Some((Outcome::Abort, producer(7, i16::MAX - 1))));
    assert_eq!(change.next.producer, producer(9, 0));
}

#[test]
fn version_one_ends_with_the_same_epoch_and_may_be_repeated() {
    let change = made(open(fresh(), false).end(producer(7, 0), Outcome::Commit, false, None, 1));
    assert_eq!(change.ends, Some((Outcome::Commit, producer(7, 0))));
    let done = change.next;
    assert_eq!((done.producer, done.phase), (producer(7, 0), Phase::Committed));
    assert_eq!(done.end(producer(7, 0), Outcome::Commit, false, None, 2), Ok(End::Already));
    assert_eq!(
        done.end(producer(7, 0), Outcome::Abort, false, None, 2),
        Err(RuleError::Phase { asked: "aborted", phase: Phase::Committed })
    );
}

#[test]
fn version_two_bumps_the_epoch_with_each_end_and_knows_a_repetition_by_the_old_one() {
    let change = made(open(fresh(), true).end(producer(7, 0), Outcome::Commit, true, None, 1));
    assert_eq!(change.ends, Some((Outcome::Commit, producer(7, 1))));
    let done = change.next;
    assert_eq!(done.producer, producer(7, 1));
    assert_eq!(done.end(producer(7, 0), Outcome::Commit, true, None, 2), Ok(End::Already));
    assert_eq!(
        done.end(producer(7, 0), Outcome::Abort, true, None, 2),
        Err(RuleError::Phase { asked: "aborted", phase: Phase::Committed })
    );
    // With the new epoch it is another transaction, and an empty one at that.
    let empty = made(done.end(producer(7, 1), Outcome::Abort, true, None, 3));
    assert_eq!((empty.next.producer, empty.next.phase), (producer(7, 2), Phase::Aborted));
    assert_eq!(
        done.end(producer(7, 1), Outcome::Commit, true, None, 3),
        Err(RuleError::Phase { asked: "committed", phase: Phase::Committed })
    );
}

#[test]
fn version_two_changes_ids_at_the_last_epoch_and_still_knows_the_repetition() {
    let last = open(at_epoch(i16::MAX - 1), true);
    let by = producer(7, i16::MAX - 1);
    assert_eq!(last.end(by, Outcome::Commit, true, None, 1), Err(RuleError::NeedsId));
    let change = made(last.end(by, Outcome::Commit, true, Some(9), 1));
    assert_eq!(change.ends, Some((Outcome::Commit, producer(7, i16::MAX))));
    assert_eq!(change.next.producer, producer(9, 0));
    assert_eq!(change.next.end(by, Outcome::Commit, true, None, 2), Ok(End::Already));
}

#[test]
fn nothing_that_is_not_open_can_be_committed() {
    assert_eq!(
        fresh().end(producer(7, 0), Outcome::Commit, false, None, 1),
        Err(RuleError::Phase { asked: "committed", phase: Phase::Empty })
    );
    assert_eq!(
        fresh().end(producer(7, 0), Outcome::Abort, false, None, 1),
        Err(RuleError::Phase { asked: "aborted", phase: Phase::Empty })
    );
}

#[test]
fn a_transaction_times_out_when_its_time_is_over_and_its_producer_is_fenced() {
    let open = open(fresh(), false);
    assert_eq!(open.time_out(100 + i64::from(MINUTE) - 1), None);
    let change = open.time_out(100 + i64::from(MINUTE)).unwrap();
    assert_eq!(change.ends, Some((Outcome::Abort, producer(7, 1))));
    assert_eq!((change.next.phase, change.next.last_epoch), (Phase::Aborted, NO_EPOCH));
    assert_eq!(
        change.next.end(producer(7, 0), Outcome::Commit, false, None, 1),
        Err(RuleError::Fenced { found: 0, current: 1 })
    );
    let asked = change.next.initialize(Some(producer(7, 0)), MINUTE, None, 1);
    assert_eq!(asked, Err(RuleError::Fenced { found: 0, current: 1 }));
    assert_eq!(fresh().time_out(i64::MAX), None);
}

#[test]
fn rows_read_back_and_other_bytes_are_refused() {
    let row = open(at_epoch(5), true);
    assert_eq!(Transaction::decode(&row.encode()).unwrap(), row);
    let mut other = row.encode();
    other[0] = 9;
    let error = Transaction::decode(&other).unwrap_err();
    assert_eq!(error.to_string(), "transaction row: unknown format 9, expected 1");
    assert_eq!(Transaction::decode(&[]).unwrap_err().to_string(), "transaction row: empty");
}

#[derive(Debug, Clone)]
enum Step {
    Initialize,
    GoOn,
    Add,
    End(Outcome),
    TimeOut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Initialize),
        Just(Step::GoOn),
        Just(Step::Add),
        Just(Step::Add),
        Just(Step::End(Outcome::Commit)),
        Just(Step::End(Outcome::Abort)),
        Just(Step::TimeOut),
    ]
}

proptest! {
    /// No producer that was in force before comes back, and no transaction stays open over a change of producers.
    #[test]
    fn producers_only_go_forward(
        steps in prop::collection::vec(step(), 1..60),
        bumps: bool,
        start in prop_oneof![Just(0i16), (i16::MAX - 6)..=(i16::MAX - 1)],
    ) {
        let mut id = 100;
        let mut now = 0;
        let mut state = at_epoch(start);
        let mut past: Vec<Producer> = Vec::new();
        for step in steps {
            now += i64::from(MINUTE);
            id += 1;
            let before = state.clone();
            let by = state.producer;
            let change = match step {
                Step::Initialize => state.initialize(None, MINUTE, Some(id), now).ok(),
                Step::GoOn => state.initialize(Some(by), MINUTE, Some(id), now).ok(),
                Step::Add => {
                    // One whose epochs are used up was fenced, and has to begin anew.
                    if by.epoch < i16::MAX {
                        state.add([(TopicId(Uuid::from_u128(2)), 3)], None, bumps, now);
                    }
                    None
                }
                Step::End(outcome) => match state.end(by, outcome, bumps, Some(id), now) {
                    Ok(End::Make(change)) => Some(*change),
                    Ok(End::Already) | Err(_) => None,
                },
                Step::TimeOut => state.time_out(now),
            };
            if let Some(change) = change {
                prop_assert_eq!(change.ends.is_some(), before.phase == Phase::Ongoing || bumps && change.ends.is_some());
                if let Some((_, marker)) = change.ends {
                    prop_assert_eq!(marker.id, by.id);
                    prop_assert!(marker.epoch >= by.epoch);
                }
                state = change.next;
                prop_assert!(state.partitions.is_empty() && state.phase != Phase::Ongoing);
            }
            if state.producer != by {
                past.push(by);
                prop_assert!(!past.contains(&state.producer));
                prop_assert!(state.producer.id != by.id || state.producer.epoch == by.epoch + 1);
            }
            for old in &past {
                prop_assert!(state.check(*old).is_err());
            }
        }
    }
}
