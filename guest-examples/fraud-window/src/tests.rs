use millstream_sdk::testing::{self, keyed, move_watermark, process};
use millstream_sdk::{Content, Input};

use super::*;

fn open(params: &[(&str, &str)]) -> FraudWindow {
    testing::reset();
    for (name, value) in [("window", "10s"), ("hop", "5s")].iter().chain(params) {
        testing::set_param(name, value);
    }
    FraudWindow::open().expect("the parameters are valid")
}

fn paid(card: &str, amount: u64, timestamp: i64) -> Input {
    Input { timestamp, ..keyed(card, format!(r#"{{"amount":{amount}}}"#)) }
}

fn values(outputs: Vec<Output>) -> Vec<String> {
    let text = |output: Output| match output.value {
        Content::Bytes(bytes) => String::from_utf8(bytes).expect("text"),
        other => format!("{other:?}"),
    };
    outputs.into_iter().map(text).collect()
}

#[test]
fn each_window_above_a_bound_is_an_alert_of_its_own() {
    let mut windows = open(&[("count-max", "2")]);
    let payments = [paid("a", 5, 1_000), paid("a", 6, 6_000), paid("a", 7, 9_000), paid("b", 900, 2_000)];
    assert_eq!(process(&mut windows, &payments), Ok(vec![]));
    let alerts = move_watermark(&mut windows, 10_000).expect("no fault");
    assert_eq!((alerts[0].timestamp, alerts.len()), (Some(9_999), 1));
    assert_eq!(values(alerts), [r#"{"card":"a","start":0,"end":10000,"count":3,"sum":18}"#]);
    // Only two of them are in the window from 5 to 15 s, until one more comes.
    assert_eq!(process(&mut windows, &[paid("a", 1, 14_999)]), Ok(vec![]));
    let alerts = move_watermark(&mut windows, 60_000).expect("no fault");
    assert_eq!(values(alerts), [r#"{"card":"a","start":5000,"end":15000,"count":3,"sum":14}"#]);
    assert!(testing::store("spent").is_empty(), "what is over is gone");
}

#[test]
fn a_sum_counts_alone_or_beside_the_number() {
    let payments = [paid("a", 60, 1), paid("a", 41, 2), paid("b", 100, 3)];
    for params in [&[("sum-max", "100")][..], &[("sum-max", "100"), ("count-max", "5")]] {
        let mut windows = open(params);
        process(&mut windows, &payments).expect("no fault");
        let alerts = move_watermark(&mut windows, 5_000).expect("no fault");
        assert_eq!(values(alerts), [r#"{"card":"a","start":-5000,"end":5000,"count":2,"sum":101}"#]);
    }
}

#[test]
fn what_is_no_payment_is_a_fault_of_its_record() {
    let mut windows = open(&[("count-max", "0")]);
    for (bad, word) in [
        (Input { timestamp: 1, ..keyed("a", r#"{"amount":-1}"#) }, "amount"),
        (Input { timestamp: 1, ..testing::input(r#"{"amount":1}"#) }, "card"),
        (Input { timestamp: -1, ..keyed("a", r#"{"amount":1}"#) }, "time"),
    ] {
        match process(&mut windows, &[paid("a", 1, 1), bad]) {
            Err(Fault::At(1, why)) if why.contains(word) || why.contains("no payment") => {}
            other => panic!("{word}: {other:?}"),
        }
    }
    testing::reset();
    assert!(FraudWindow::open().is_err(), "no bound is given");
}
