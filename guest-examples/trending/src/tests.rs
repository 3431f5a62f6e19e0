use std::collections::HashMap;

use millstream_sdk::Input;
use millstream_sdk::testing::{self, keyed, process, store};

use super::*;

fn open(params: &[(&str, &str)]) -> Trending {
    testing::reset();
    for (name, value) in params {
        testing::set_param(name, value);
    }
    Trending::open().expect("the parameters are valid")
}

fn seen(item: &str, timestamp: i64) -> Input {
    Input { timestamp, ..keyed(item, "") }
}

fn top() -> Value {
    serde_json::from_slice(&store("top")[b"top".as_slice()]).expect("JSON")
}

/// Items of which few are frequent.
fn skewed(count: u64) -> Vec<Input> {
    let mut state = 11_u64;
    let item = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let number = (state >> 33) % 1_000;
        seen(&(number * number / 3_000).to_string(), 0)
    };
    (0..count).map(item).collect()
}

#[test]
fn the_most_frequent_come_first() {
    let mut trending = open(&[("top", "2"), ("half-life", "0s")]);
    let outputs = process(&mut trending, &[seen("a", 5), seen("b", 6), seen("b", 7), seen("c", 3)]);
    let list = r#"{"as_of":7,"items":[{"item":"b","weight":2.000,"error":0.000},{"item":"a","weight":1.000,"error":0.000}]}"#;
    assert_eq!(outputs, Ok(vec![Output::new().key("top").value(list).timestamp(7)]));
    assert_eq!(store("top")[b"top".as_slice()], list.as_bytes());
    assert_eq!(process(&mut trending, &[seen("b", 7)]), Ok(vec![]), "the same two in the same order");
}

#[test]
fn what_was_counts_for_less() {
    let mut trending = open(&[("half-life", "1m")]);
    process(&mut trending, &[seen("old", 0), seen("old", 0), seen("old", 0), seen("new", 120_000)])
        .expect("fine");
    let items = top()["items"].clone();
    assert_eq!((&items[0]["item"], &items[0]["weight"]), (&"new".into(), &1.0.into()));
    assert_eq!((&items[1]["item"], &items[1]["weight"]), (&"old".into(), &0.75.into()));
    // So late that a new epoch begins.
    process(&mut trending, &[seen("newer", 120_000 + 100 * 60_000), seen("new", 120_000)]).expect("fine");
    let items = top()["items"].clone();
    assert_eq!((&items[0]["item"], &items[0]["weight"]), (&"newer".into(), &1.0.into()));
    assert_eq!((&items[1]["item"], &items[1]["weight"]), (&"new".into(), &0.0.into()));
}

#[test]
fn frequent_items_are_never_missed_and_never_counted_too_low() {
    let events = skewed(20_000);
    let mut exact = HashMap::<String, f64>::new();
    for event in &events {
        let item = String::from_utf8(event.key.clone().unwrap_or_default()).expect("text");
        *exact.entry(item).or_default() += 1.0;
    }
    let mut trending = open(&[("counters", "50"), ("top", "50"), ("half-life", "0s")]);
    for batch in events.chunks(100) {
        process(&mut trending, batch).expect("no fault");
    }
    let top = top();
    let items = top["items"].as_array().expect("a list");
    assert!(exact.len() > 100 && items.len() == 50, "{} items test little", exact.len());
    for listed in items {
        let count = exact[listed["item"].as_str().expect("text")];
        let [weight, error] = ["weight", "error"].map(|name| listed[name].as_f64().expect("a number"));
        assert!(weight - error <= count && count <= weight, "{listed}: {count}");
    }
    let is_listed = |item: &str| items.iter().any(|listed| listed["item"] == item);
    let frequent: Vec<_> = exact.iter().filter(|(_, count)| **count > 20_000.0 / 50.0).collect();
    assert!(!frequent.is_empty());
    assert!(frequent.iter().all(|(item, _)| is_listed(item)), "{frequent:?}");
    assert_eq!(store("counters").len(), 50, "and no more");
}

#[test]
fn batches_and_restarts_change_nothing() {
    let mut events = skewed(2_000);
    for (n, event) in (0..).zip(&mut events) {
        event.timestamp = n * 40_000;
    }
    let run = |size: usize, restart: bool| {
        let mut trending = open(&[("counters", "20"), ("half-life", "5m")]);
        for batch in events.chunks(size) {
            if restart {
                trending = Trending::open().expect("the parameters are valid");
            }
            process(&mut trending, batch).expect("no fault");
        }
        ["top", "counters", "clock"].map(store)
    };
    let whole = run(2_000, false);
    assert!(run(1, false) == whole);
    assert!(run(7, true) == whole);
}

#[test]
fn items_may_be_fields_of_values() {
    let mut trending = open(&[("field", "page")]);
    let batch = [r#"{"page":"/a"}"#, r#"{"page":7}"#].map(testing::input);
    process(&mut trending, &batch).expect("no fault");
    assert_eq!(store("counters").keys().collect::<Vec<_>>(), [b"/a".as_slice(), b"7"]);
    let bad = process(&mut trending, &[testing::input(r#"{"path":1}"#)]);
    assert_eq!(bad, Err(Fault::At(0, "the value has no text or number `page`".into())));
    let mut keyed_only = open(&[]);
    assert!(matches!(process(&mut keyed_only, &[testing::input("x")]), Err(Fault::At(0, _))));
}

#[test]
fn a_new_epoch_of_the_most_counters_fits_into_a_commit() {
    let mut trending = open(&[("counters", "100000"), ("half-life", "1m")]);
    let item = |n: usize| format!("{n:0>width$}", width = ITEM_BYTES_MAX);
    let longer = [seen("short", 0), seen(&item(0).replace('0', "00"), 0)];
    let why = format!("an item of {} bytes, expected 1 to {ITEM_BYTES_MAX}", 2 * ITEM_BYTES_MAX);
    assert_eq!(process(&mut trending, &longer), Err(Fault::At(1, why)));

    let all: Vec<_> = (0..100_000).map(|n| seen(&item(n), 0)).collect();
    process(&mut trending, &all).expect("no fault");
    let before = store("counters");
    assert_eq!(before.len(), 100_000);
    // All weights are scaled, so all rows are written in the batch of this one, which weighs 1 again.
    process(&mut trending, &[seen(&item(0), 100 * 60_000)]).expect("no fault");
    let after = store("counters");
    assert_eq!(before.iter().filter(|(item, row)| after[*item] != **row).count(), 99_999);
    // A commit holds 64 MiB, and beside key and value some bytes that say whose a row is.
    let bytes: usize = after.iter().map(|(item, row)| item.len() + row.len() + 100).sum();
    assert!(bytes < 64 << 20, "{bytes}");
}
