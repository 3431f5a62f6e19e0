use millstream_sdk::Input;
use millstream_sdk::testing::{self, input, process, state_calls, store};

use super::*;

fn event_of(user: &str, item: u32, offset: u64) -> Input {
    let value = format!(r#"{{"user":{user},"item":{item},"timestamp":{offset}}}"#);
    Input { offset, ..input(value) }
}

fn open() -> ItemCf {
    ItemCf::open().expect("the parameters are valid")
}

fn values(outputs: &[Output]) -> Vec<String> {
    let text = |output: &Output| match &output.value {
        millstream_sdk::Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outputs.iter().map(text).collect()
}

/// Two users met 1 and 2, one of them 3 as well.
fn taught() -> Vec<Input> {
    let events = [("7", 1), ("7", 2), ("\"b\"", 1), ("\"b\"", 2), ("7", 3)];
    events.iter().zip(0..).map(|(&(user, item), offset)| event_of(user, item, offset)).collect()
}

#[test]
fn the_list_follows_the_rules_and_serves_queries() {
    testing::set_param("keep", "0");
    let outputs = process(&mut open(), &taught()).expect("no fault");
    // For b after 1, 2: C[1][3] / √(2·1) + C[2][3] / √(2·1) = 2 / √2, but 3 came later; for 7 nothing is left.
    assert_eq!(values(&outputs)[3], r#"{"user":"b","items":[]}"#);
    let outputs = process(&mut open(), &[event_of("8", 1, 5)]).expect("no fault");
    let list = r#"{"user":8,"items":[{"item":2,"score":0.8165},{"item":3,"score":0.5774}]}"#;
    assert_eq!(values(&outputs), [list]);
    assert_eq!(store("recommendations")[b"8".as_slice()], list.as_bytes());
}

#[test]
fn a_prediction_is_made_before_learning_and_only_where_the_rules_allow() {
    testing::set_param("emit", "prediction");
    let outputs = process(&mut open(), &taught()).expect("no fault");
    // First events of users and items met for the first time have none.
    assert_eq!(values(&outputs), [r#"{"user":"b","item":2,"offset":3,"predicted":[2]}"#]);
    assert_eq!((outputs[0].source, &outputs[0].key), (Some(3), &millstream_sdk::Content::Bytes(b"b".into())));
}

#[test]
fn batches_and_restarts_change_nothing() {
    let events: Vec<Input> = (0..600)
        .map(|n: u64| {
            let item = (n * n * 31 + n * 7) % 97;
            event_of(&(n % 13).to_string(), item as u32, n)
        })
        .collect();
    let run = |size: usize, restart: bool| {
        testing::reset();
        testing::set_param("keep", "8");
        let mut processor = open();
        let mut outputs = Vec::new();
        for batch in events.chunks(size) {
            if restart {
                processor = open();
            }
            outputs.extend(values(&process(&mut processor, batch).expect("no fault")));
        }
        (outputs, ["counts", "histories", "recommendations"].map(store))
    };
    let whole = run(600, false);
    assert!(run(1, true) == whole);
    assert!(run(50, false) == whole);
    assert!(run(7, true) == whole);
}

#[test]
fn a_batch_takes_one_call_per_store_each_way() {
    let mut processor = open();
    process(&mut processor, &taught()).expect("no fault");
    let first = state_calls();
    process(&mut processor, &taught()).expect("no fault");
    // Rows and counts are in memory by now; histories are read.
    assert_eq!((first, state_calls() - first), (8, 5));
}

#[test]
fn rows_are_written_when_their_events_grow_old_and_nothing_is_lost() {
    let event = |n: u64| event_of(&(n % 7).to_string(), ((n * n * 31 + n * 7) % 197) as u32, n);
    let run = |restarts: &[u64]| {
        testing::reset();
        testing::set_param("keep", "20");
        let mut processor = open();
        let (mut outputs, mut changes, mut rows) = (Vec::new(), 0, store("rows"));
        for n in 0..4500 {
            if restarts.contains(&n) {
                processor = open();
            }
            outputs.extend(values(&process(&mut processor, &[event(n)]).expect("no fault")));
            if n % 100 == 99 {
                let now = store("rows");
                changes += now.iter().filter(|(id, row)| rows.get(*id) != Some(*row)).count();
                rows = now;
            }
        }
        (outputs, changes)
    };
    let (outputs, changes) = run(&[]);
    let recent: usize = store("recent").values().map(Vec::len).sum();
    // Each event changes half of the hundred rows.
    assert!((90..4500).contains(&changes) && recent < 257 << 10, "{changes} {recent}");
    assert!(run(&[1, 2600, 2601, 3700, 4499]).0 == outputs);
}

#[test]
fn bad_records_are_faults_of_their_own() {
    let fault = |value: &str| match process(&mut open(), &[event_of("1", 1, 0), input(value)]) {
        Err(Fault::At(1, why)) => why,
        other => panic!("{other:?}"),
    };
    let no_id = "an item id from 0 to 4294967295";
    let expected = format!("the value is no event: invalid value: integer `4294967296`, expected {no_id}");
    assert!(fault(r#"{"user":1,"item":4294967296}"#).starts_with(&expected));
    assert!(fault(r#"{"user":1}"#).starts_with("the value is no event: missing field `item`"));
    assert!(fault(r#"{"user":true,"item":1}"#).contains("expected a string or a whole number"));
    assert_eq!(fault(r#"{"user":"","item":1}"#), "the value is no event: `user` must have 1 to 1024 bytes");
    let null = process(&mut open(), &[Input::default()]);
    assert_eq!(null, Err(Fault::At(0, "the value is null".into())));
    assert_eq!(store("counts").len(), 0);
}
