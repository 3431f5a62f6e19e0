//! Which records are late, what holds the watermark back, and that batches do not matter.

use proptest::prelude::*;

use super::*;
use crate::model::Record;

fn time(spec: serde_json::Value, inputs: usize) -> TaskTime {
    let spec: TimeSpec = serde_json::from_value(spec).unwrap();
    TaskTime::new(Some(&spec), None, vec![None; inputs], 0)
}

fn records(times: &[i64]) -> Vec<Record> {
    times.iter().map(|timestamp| Record { timestamp: *timestamp, ..Record::default() }).collect()
}

fn inputs(records: &[Record]) -> Vec<Input<'_>> {
    (0..)
        .zip(records)
        .map(|(offset, r)| Input { topic: 0, partition: 0, offset, record: r.view(0) })
        .collect()
}

fn offsets(inputs: &[Input<'_>]) -> Vec<u64> {
    inputs.iter().map(|input| input.offset).collect()
}

#[test]
fn a_record_is_judged_by_those_before_it() {
    let time = time(serde_json::json!({ "out_of_order": 5, "late": "drop" }), 1);
    let records = records(&[10, 5, 20, 14, 15, -1, 30]);
    let inputs = inputs(&records);
    let judged = time.judge(0, &inputs);
    assert_eq!(
        offsets(&judged.kept),
        [0, 1, 2, 4, 5, 6],
        "14 is behind 20 - 5; without a time nothing is late"
    );
    assert_eq!((judged.late, judged.aside.len(), judged.after.watermark()), (1, 0, Some(25)));
    assert_eq!(time.cut(0, &inputs), 7, "what is dropped makes no cut");
}

#[test]
fn late_records_go_aside_or_are_counted_and_handed_over() {
    let records = records(&[20, 14, 13, 8]);
    let inputs = inputs(&records);
    let aside = time(serde_json::json!({ "lateness": "7ms", "late": { "output": "late" } }), 1);
    let judged = aside.judge(0, &inputs);
    assert_eq!((offsets(&judged.kept), offsets(&judged.aside), judged.late), (vec![0, 1, 2], vec![3], 1));
    let update = time(serde_json::json!({}), 1);
    let judged = update.judge(0, &inputs);
    assert_eq!((judged.kept.len(), judged.late), (4, 3));
    assert!(matches!(judged.kept, Cow::Borrowed(_)), "nothing is copied");
    assert_eq!(update.cut(0, &inputs), 1, "the code knows of no watermark at 20");
    assert_eq!(judged.after.cut(0, &inputs[1..]), 3, "now it does");
}

#[test]
fn a_record_that_is_too_far_ahead_of_the_clock_moves_nothing() {
    let mut time = time(serde_json::json!({ "ahead": "1s", "late": "drop" }), 1);
    time.at(10_000);
    let records = records(&[10_500, 11_001, 10_499, 11_000, 20_000, 10_999]);
    let inputs = inputs(&records);
    let judged = time.judge(0, &inputs);
    assert_eq!(offsets(&judged.kept), [0, 1, 3, 4], "those ahead are handed over");
    assert_eq!((judged.late, judged.ahead, judged.after.watermark()), (2, 2, Some(11_000)));
    time = judged.after;
    time.at(20_000);
    assert_eq!(time.judge(0, &inputs[4..]).after.watermark(), Some(20_000), "its time has come");
}

#[test]
fn the_slowest_input_holds_it_back_until_it_is_idle() {
    let mut time = time(serde_json::json!({ "idle": "10ms" }), 2);
    let (first, early) = (records(&[100]), records(&[40]));
    time = time.judge(0, &inputs(&first)).after;
    assert_eq!((time.watermark(), time.next_tick()), (None, Some(10)));
    time.read(0, 5);
    assert!(!time.tick(9, |_| true));
    assert!(!time.tick(10, |index| index == 0), "records wait in the other one");
    assert!(time.tick(10, |_| true), "the one that never had a record does not hold it back any more");
    assert_eq!((time.watermark(), time.next_tick()), (Some(100), Some(15)));
    time.read(1, 12);
    let early = inputs(&early);
    let judged = time.judge(1, &early);
    assert_eq!((judged.late, judged.after.watermark()), (1, Some(100)), "it does not go back");
}

#[test]
fn records_of_an_internal_topic_move_nothing_and_are_never_passed_over() {
    let time = time(serde_json::json!({ "late": "drop" }), 1);
    let (own, handed) = (records(&[100]), records(&[40, 900]));
    let time = time.judge(0, &inputs(&own)).after;
    let handed = inputs(&handed);
    let judged = time.judge(1, &handed);
    assert_eq!((judged.kept.len(), judged.late, judged.after.watermark()), (2, 1, Some(100)));
    assert_eq!(time.cut(1, &handed), 2);
}

#[test]
fn what_is_still_to_be_read_of_internal_topics_holds_the_watermark_back() {
    let time = time(serde_json::json!({ "late": "drop", "idle": "10ms" }), 1).with_internal(1);
    let (own, handed, early) = (records(&[100, 99]), records(&[59, 60, 99]), records(&[200]));
    let (own, handed, early) = (inputs(&own), inputs(&handed), inputs(&early));
    let judged = time.judge(0, &own);
    assert_eq!((judged.late, judged.kept.len()), (1, 1), "its own records are late by themselves");
    let mut time = judged.after;
    assert_eq!((time.steps()[0], time.watermark()), (Some(100), None));
    assert!(time.hand(1, Some(60)));
    assert_eq!(time.judge(1, &handed).late, 1);
    assert!(time.hand(1, Some(300)));
    assert_eq!(time.watermark(), Some(100), "its own inputs hold it back as well");
    assert_eq!(time.next_tick(), Some(10));
    assert!(time.tick(10, |_| true));
    assert_eq!((time.steps()[0], time.watermark()), (Some(100), Some(300)), "until nothing comes there");
    time.read(0, 11);
    let judged = time.judge(0, &early);
    assert_eq!((judged.late, judged.after.watermark()), (0, Some(300)));
}

#[test]
fn of_two_internal_topics_both_are_waited_for() {
    let mut time = time(serde_json::json!({}), 1).with_internal(2);
    let own = records(&[100]);
    time = time.judge(0, &inputs(&own)).after;
    assert!(!time.hand(1, Some(90)), "what was read there may have been handed on");
    assert_eq!(time.watermark(), None);
    assert!(time.hand(2, Some(80)));
    assert_eq!((time.watermark(), &time.steps()[..3]), (Some(80), &[Some(100), Some(90), Some(80)][..]));
}

#[test]
fn a_restart_knows_how_far_the_inputs_have_come() {
    let spec: TimeSpec = serde_json::from_value(serde_json::json!({ "late": "drop" })).unwrap();
    let time = TaskTime::new(Some(&spec), Some(60), [Some(100)], 0).with_internal(2);
    assert_eq!((&time.steps()[..3], time.watermark()), (&[Some(100), Some(60), Some(60)][..], Some(60)));
    let early = records(&[99]);
    assert_eq!(time.judge(0, &inputs(&early)).late, 1);
}

#[test]
fn which_of_all_is_idle_first_does_not_matter() {
    let ends = [[0, 1], [1, 0]].map(|order| {
        let mut time = time(serde_json::json!({ "idle": "10ms" }), 2);
        for (index, at) in [(0, 100), (1, 50)] {
            let records = records(&[at]);
            time = time.judge(index, &inputs(&records)).after;
        }
        time.read(order[0], 0);
        time.read(order[1], 5);
        time.tick(10, |_| true);
        time.tick(15, |_| true);
        time.watermark()
    });
    assert_eq!(ends, [Some(100); 2]);
}

proptest! {
    /// However the records are cut into calls, the same ones are late, and the code knows it of each.
    #[test]
    fn batches_change_nothing(
        times in prop::collection::vec(0_i64..60, 1..40), cuts in prop::collection::vec(1_usize..9, 40),
        out_of_order in 0_i64..10, drops: bool,
    ) {
        let late = if drops { "drop" } else { "update" };
        let spec = serde_json::json!({ "out_of_order": out_of_order, "late": late });
        let records = records(&times);
        let inputs = inputs(&records);
        let whole = time(spec.clone(), 1).judge(0, &inputs);
        let mut now = time(spec, 1);
        let (mut rest, mut kept, mut late) = (&inputs[..], Vec::new(), 0);
        let mut greatest = None;
        for most in cuts {
            let count = now.cut(0, &rest[..most.min(rest.len())]);
            let (run, after) = rest.split_at(count);
            rest = after;
            let judged = now.judge(0, run);
            for input in judged.kept.iter() {
                let at = input.record.timestamp;
                let behind = greatest.is_some_and(|greatest| at < greatest - out_of_order);
                prop_assert_eq!(now.watermark().is_some_and(|w| at < w), behind, "what `now` tells the code");
                greatest = greatest.max(Some(at));
            }
            kept.extend(offsets(&judged.kept));
            late += judged.late;
            now = judged.after;
        }
        if rest.is_empty() {
            prop_assert_eq!((kept, late), (offsets(&whole.kept), whole.late));
            prop_assert_eq!(now.watermark(), whole.after.watermark());
        }
    }
}
