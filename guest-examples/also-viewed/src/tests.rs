use millstream_sdk::Input;
use millstream_sdk::testing::{self, input, process, state_calls, store};

use super::*;

fn event_of(session: &str, item: u32, offset: u64) -> Input {
    Input { offset, ..input(format!(r#"{{"session":{session},"item":{item}}}"#)) }
}

fn open() -> AlsoViewed {
    AlsoViewed::open().expect("the parameters are valid")
}

fn values(outputs: &[Output]) -> Vec<String> {
    let text = |output: &Output| match &output.value {
        millstream_sdk::Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outputs.iter().map(text).collect()
}

#[test]
fn lists_follow_the_rules_and_serve_queries() {
    let batch = [event_of("1", 10, 0), event_of("1", 20, 1), event_of("1", 30, 2), event_of("\"x\"", 10, 3)];
    let outputs = process(&mut open(), &batch).expect("no fault");
    let items = r#""item":10,"items":[{"item":20,"weight":1.0000},{"item":30,"weight":0.2500}]"#;
    assert_eq!(values(&outputs)[3], format!(r#"{{"session":"x",{items}}}"#));
    assert_eq!(values(&outputs)[2], r#"{"session":1,"item":30,"items":[]}"#);
    assert_eq!(store("also_viewed")[b"10".as_slice()], format!("{{{items}}}").as_bytes());
    assert_eq!(state_calls(), 5);
}

#[test]
fn a_prediction_is_made_before_learning_and_needs_an_item_before() {
    testing::set_param("emit", "prediction");
    let batch = [event_of("1", 10, 0), event_of("1", 20, 1), event_of("2", 10, 2), event_of("2", 20, 3)];
    let outputs = process(&mut open(), &batch).expect("no fault");
    let expected = [
        r#"{"session":1,"item":20,"offset":1,"predicted":[]}"#,
        r#"{"session":2,"item":20,"offset":3,"predicted":[20]}"#,
    ];
    assert_eq!(values(&outputs), expected);
}

#[test]
fn only_the_last_twenty_items_teach() {
    let batch: Vec<Input> = (0..22).map(|n| event_of("1", n, u64::from(n))).collect();
    process(&mut open(), &batch).expect("no fault");
    let row = Row::decode(&store("rows")[b"0".as_slice()], 0).expect("a row");
    assert_eq!(row.best(100).len(), 20);
    assert_eq!(row.best(100)[19], (20, 1.0 / 400.0));
}

#[test]
fn batches_and_restarts_change_nothing() {
    let item = |n: u64| ((n * n * 31 + n * 7) % 97) as u32;
    let events: Vec<Input> = (0..600).map(|n| event_of(&(n % 13).to_string(), item(n), n)).collect();
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
        (outputs, ["rows", "sessions", "also_viewed"].map(store))
    };
    let whole = run(600, false);
    assert!(run(1, true) == whole);
    assert!(run(50, false) == whole);
    assert!(run(7, true) == whole);
}

#[test]
fn two_stages_come_to_the_same_rows() {
    let item = |n: u64| ((n * n * 31 + n * 7) % 97) as u32;
    let events: Vec<Input> = (0..600).map(|n| event_of(&(n % 13).to_string(), item(n), n)).collect();
    testing::set_param("keep", "0");
    process(&mut open(), &events).expect("no fault");
    let whole = ["rows", "sessions", "also_viewed"].map(store);

    testing::reset();
    for (name, value) in [("keep", "0"), ("emit", "none")] {
        testing::set_param(name, value);
    }
    testing::set_inputs(&["views", "pairs"]);
    testing::set_outputs(&["pairs"]);
    let mut staged = open();
    for batch in events.chunks(50) {
        let pairs = process(&mut staged, batch).expect("no fault");
        let pair = |output: Output| {
            assert_eq!(output.topic.as_deref(), Some("pairs"));
            let (millstream_sdk::Content::Bytes(key), millstream_sdk::Content::Bytes(value)) =
                (output.key, output.value)
            else {
                panic!("a pair has both");
            };
            Input { topic: 1, ..testing::keyed(key, value) }
        };
        let pairs: Vec<Input> = pairs.into_iter().map(pair).collect();
        assert_eq!(process(&mut staged, &pairs).expect("no fault"), []);
    }
    assert!(["rows", "sessions", "also_viewed"].map(store) == whole);
    let broken = Input { topic: 1, ..testing::keyed("7", [5, 21]) };
    assert_eq!(process(&mut staged, &[broken]), Err(Fault::At(0, "no pairs of this version".into())));
}

#[test]
fn two_stages_predict_nothing() {
    testing::set_param("emit", "prediction");
    testing::set_inputs(&["views", "pairs"]);
    testing::set_outputs(&["pairs"]);
    let refused = AlsoViewed::open().err().expect("it has no row at hand");
    assert!(refused.contains("prediction"), "{refused}");
}

#[test]
fn bad_records_are_faults_of_their_own() {
    let fault = process(&mut open(), &[event_of("1", 1, 0), input("{}")]);
    let why = "the value is no event: missing field `session` at line 1 column 2";
    assert_eq!(fault, Err(Fault::At(1, why.into())));
    assert_eq!(store("sessions").len(), 0);
}
