//! The rules one by one, then against a producer that sends at random; rows that read back.

use proptest::prelude::*;

use super::*;

const ID: i64 = 7;

fn stamp(epoch: i16, first: i32, count: u32) -> Stamp {
    Stamp { producer_id: ID, epoch, first, last: advance(first, count - 1) }
}

fn window(epoch: i16, batches: &[(i32, u32)]) -> Window<u32> {
    let mut window = Window::new(epoch);
    for (index, (first, count)) in (0..).zip(batches) {
        window = Window::with(Some(&window), &stamp(epoch, *first, *count), index);
    }
    window
}

fn out_of_order(found: i32, expected: i32) -> Result<Verdict<u32>, SequenceError> {
    Err(SequenceError::OutOfOrder { producer_id: ID, found, expected })
}

#[test]
fn an_unknown_producer_may_begin_anywhere_unless_it_has_to_be_new() {
    assert_eq!(Window::<u32>::check(None, &stamp(3, 17, 1), false), Ok(Verdict::Next));
    assert_eq!(Window::<u32>::check(None, &stamp(3, 17, 1), true), out_of_order(17, 0));
    assert_eq!(Window::<u32>::check(None, &stamp(3, 0, 1), true), Ok(Verdict::Next));
}

#[test]
fn the_next_batch_begins_after_the_last_one() {
    let known = window(0, &[(0, 10)]);
    let check = |first| Window::check(Some(&known), &stamp(0, first, 2), false);
    assert_eq!(check(10), Ok(Verdict::Next));
    assert_eq!(check(11), out_of_order(11, 10));
    assert_eq!(check(9), out_of_order(9, 10));
}

#[test]
fn each_of_the_last_five_batches_is_known_again_and_the_sixth_is_not() {
    let known = window(0, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    let check = |first| Window::check(Some(&known), &stamp(0, first, 1), false);
    for index in 1..=5 {
        assert_eq!(check(index as i32), Ok(Verdict::Duplicate(index)));
    }
    assert_eq!(check(0), out_of_order(0, 6));
}

#[test]
fn a_batch_that_only_overlaps_a_known_one_is_out_of_order() {
    let known = window(0, &[(0, 10)]);
    assert_eq!(Window::check(Some(&known), &stamp(0, 0, 9), false), out_of_order(0, 10));
}

#[test]
fn after_the_last_sequence_comes_zero_also_within_a_batch() {
    let known = window(0, &[(i32::MAX - 1, 2)]);
    assert_eq!(Window::check(Some(&known), &stamp(0, 0, 1), false), Ok(Verdict::Next));
    let wrapped = stamp(0, i32::MAX, 3);
    assert_eq!(wrapped.last, 1);
    let known = Window::with(Some(&window(0, &[(i32::MAX - 1, 1)])), &wrapped, 9);
    assert_eq!(Window::check(Some(&known), &stamp(0, 2, 1), false), Ok(Verdict::Next));
    assert_eq!(Window::check(Some(&known), &wrapped, false), Ok(Verdict::Duplicate(9)));
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let known = window(4, &[(0, 10)]);
    assert_eq!(Window::check(Some(&known), &stamp(5, 10, 1), false), out_of_order(10, 0));
    assert_eq!(Window::check(Some(&known), &stamp(5, 0, 10), false), Ok(Verdict::Next));
    let newer = Window::with(Some(&known), &stamp(5, 0, 10), 1);
    assert_eq!((newer.epoch(), newer.ranges().len()), (5, 1));
    assert_eq!(
        Window::check(Some(&newer), &stamp(4, 0, 10), false),
        Err(SequenceError::Fenced { producer_id: ID, found: 4, current: 5 })
    );
}

#[test]
fn a_known_epoch_without_batches_begins_at_zero() {
    let known = Window::<u32>::new(2);
    assert_eq!(Window::check(Some(&known), &stamp(2, 1, 1), false), out_of_order(1, 0));
    assert_eq!(Window::check(Some(&known), &stamp(2, 0, 1), false), Ok(Verdict::Next));
}

#[test]
fn a_row_of_another_format_or_length_is_refused() {
    let row = Row { window: window(1, &[(0, 1)]).resolve(|_| Some(STORED)), updated_ms: 5 }.encode();
    let mut other = row.clone();
    other[0] = 2;
    assert_eq!(Row::decode(&other), Err(RowError { length: 36, format: Some(2) }));
    assert_eq!(Row::decode(&row[..35]), Err(RowError { length: 35, format: Some(1) }));
    assert_eq!(Row::decode(&[]), Err(RowError { length: 0, format: None }));
    let mut long = row;
    long.extend_from_slice(&[0; 4]);
    assert_eq!(Row::decode(&long), Err(RowError { length: 40, format: Some(1) }));
}

const STORED: Stored = Stored { base: Some(9), append_time: None };

fn stored() -> impl Strategy<Value = Stored> {
    let base = prop::option::of(0..i64::MAX as u64);
    (base, prop::option::of(0..i64::MAX)).prop_map(|(base, append_time)| Stored { base, append_time })
}

proptest! {
    #[test]
    fn rows_read_back(
        epoch: i16,
        updated_ms: i64,
        batches in prop::collection::vec((0..i32::MAX, 0..i32::MAX, stored()), 0..=WINDOW),
    ) {
        let ranges = batches.into_iter().map(|(first, last, outcome)| Range { first, last, outcome }).collect();
        let row = Row { window: Window { epoch, ranges }, updated_ms };
        prop_assert_eq!(Row::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn no_bytes_make_reading_a_row_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Row::decode(&bytes);
    }

    /// Whatever is repeated, skipped or sent by an old instance: what is accepted has no gap and no repetition.
    #[test]
    fn accepted_batches_follow_on_each_other(
        start in prop_oneof![0..10i32, i32::MAX - 50..=i32::MAX],
        steps in prop::collection::vec((-8..3i64, 1..20u32), 1..60),
    ) {
        let mut sent: Vec<Stamp> = vec![stamp(0, start, 3)];
        let mut known = Window::with(None, &sent[0], 0usize);
        for (back, count) in steps {
            let last = sent.len() as i64 - 1;
            let next = advance(sent[last as usize].last, 1);
            let tried = match back {
                0 => stamp(0, next, count),
                1.. => stamp(0, advance(next, back as u32), count),
                // An earlier one again.
                _ => sent[(last + back + 1).max(0) as usize],
            };
            match Window::check(Some(&known), &tried, false) {
                Ok(Verdict::Next) => {
                    prop_assert_eq!(tried.first, next);
                    known = Window::with(Some(&known), &tried, sent.len());
                    sent.push(tried);
                }
                Ok(Verdict::Duplicate(index)) => {
                    prop_assert_eq!(sent[index], tried);
                    prop_assert!(index + WINDOW >= sent.len());
                }
                Err(SequenceError::OutOfOrder { expected, .. }) => {
                    prop_assert_eq!(expected, next);
                    prop_assert!(tried.first != next);
                    prop_assert!(!sent.iter().rev().take(WINDOW).any(|s| *s == tried));
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
