use millstream_sdk::testing::{self, keyed, process};
use millstream_sdk::{Content, Input};

use super::*;

fn open(params: &[(&str, &str)]) -> EnrichJoin {
    testing::reset();
    testing::set_inputs(&["orders", "customers"]);
    for (name, value) in [("table", "customers")].iter().chain(params) {
        testing::set_param(name, value);
    }
    EnrichJoin::open().expect("the parameters are valid")
}

fn order(key: &str, value: &str) -> Input {
    keyed(key, value)
}

fn customer(key: &str, value: Option<&str>) -> Input {
    Input { topic: 1, value: value.map(|value| value.as_bytes().to_vec()), ..keyed(key, "") }
}

fn values(outputs: Vec<Output>) -> Vec<String> {
    let text = |output: Output| match output.value {
        Content::Bytes(bytes) => String::from_utf8(bytes).expect("text"),
        other => format!("{other:?}"),
    };
    outputs.into_iter().map(text).collect()
}

#[test]
fn a_record_gets_the_newest_row_of_its_key() {
    let mut join = open(&[]);
    let batch = [
        customer("a", Some(r#"{"name":"Ann","n":9}"#)),
        order("a", r#"{"n":1}"#),
        customer("a", Some(r#"{"name":"Anna"}"#)),
        order("a", r#"{"n":2}"#),
    ];
    let outputs = process(&mut join, &batch).expect("no fault");
    assert_eq!(outputs.iter().map(|o| o.source).collect::<Vec<_>>(), [Some(1), Some(3)]);
    assert_eq!(values(outputs), [r#"{"n":1,"name":"Ann"}"#, r#"{"n":2,"name":"Anna"}"#]);
}

#[test]
fn what_comes_before_its_row_waits_for_it_also_over_restarts() {
    let mut join = open(&[("into", "customer")]);
    let first = Input { timestamp: 5, ..order("a", r#"{"n":1}"#) };
    assert_eq!(process(&mut join, &[first, order("a", r#"{"n":2}"#), customer("a", None)]), Ok(vec![]));
    let mut join = EnrichJoin::open().expect("the parameters are valid");
    let outputs = process(&mut join, &[customer("a", Some(r#"{"x":1}"#))]).expect("no fault");
    assert_eq!((outputs[0].timestamp, outputs[0].source), (Some(5), None));
    assert_eq!(values(outputs), [r#"{"n":1,"customer":{"x":1}}"#, r#"{"n":2,"customer":{"x":1}}"#]);
    // A row that was deleted is waited for anew.
    let batch = [customer("a", None), order("a", r#"{"n":3}"#)];
    assert_eq!(process(&mut join, &batch), Ok(vec![]));
}

#[test]
fn without_a_row_a_record_is_kept_or_dropped_as_asked() {
    let alone = [order("a", r#"{"n":1}"#)];
    let kept = process(&mut open(&[("missing", "keep")]), &alone).expect("no fault");
    assert_eq!(kept, [Output::new().source(0)]);
    assert_eq!(process(&mut open(&[("missing", "drop")]), &alone), Ok(vec![]));
}

#[test]
fn what_cannot_be_joined_is_a_fault_of_its_record() {
    let mut join = open(&[("wait-max", "1")]);
    let full = process(&mut join, &[order("a", "{}"), order("a", "{}")]);
    assert_eq!(full, Err(Fault::At(1, "1 records of its key, of 2 bytes, wait for a row already".into())));
    assert!(matches!(process(&mut join, &[order("a", "[]")]), Err(Fault::At(0, _))));
    assert!(matches!(process(&mut join, &[testing::input("{}")]), Err(Fault::At(0, _))));
    testing::set_param("table", "nothing");
    let refused = EnrichJoin::open().err().expect("it is no input");
    assert!(refused.contains("orders, customers"), "{refused}");
}

#[test]
fn what_waits_for_a_row_is_bounded_in_bytes() {
    let large = |key: &str| order(key, &format!(r#"{{"text":"{}"}}"#, "x".repeat(100 << 10)));
    let mut join = open(&[("wait-max", "1000")]);
    assert_eq!(process(&mut join, &[large("a"), large("a"), large("b")]), Ok(vec![]));
    let full = process(&mut join, &[large("b"), large("a")]).unwrap_err();
    let Fault::At(1, why) = full else { panic!("{full:?}") };
    assert_eq!(
        why,
        format!("2 records of its key, of {} bytes, wait for a row already", 2 * ((100 << 10) + 11))
    );
    // As the host does after a fault: what was committed is what there is.
    let mut join = EnrichJoin::open().expect("the parameters are valid");
    assert_eq!(
        process(&mut join, &[large("b"), order("a", "{}")]),
        Ok(vec![]),
        "there is room for small ones"
    );
    assert!(testing::store("rows").values().all(|row| row.len() <= WAIT_BYTES_MAX + 1000));
    let outputs = process(&mut join, &[customer("a", Some("{}"))]).expect("no fault");
    assert_eq!(outputs.len(), 3);
}
