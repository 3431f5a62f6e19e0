//! Records to lines and back, and what a difference looks like.

use bytes::Bytes;

use super::*;
use crate::model::Record;

fn round_trip(line_in: &str) -> String {
    let (_, sample) = samples(line_in, &[]).unwrap().remove(0);
    line(&Entry::Stored { source: None, route: None, record: sample.record, timestamp: None })
}

#[test]
fn a_line_that_is_written_is_read_as_the_same_record() {
    for text in [
        r#"{"key":"a","value":{"n":1.0,"b":[true]}}"#,
        r#"{"value":"text in JSON"}"#,
        r#"{"value_text":"no JSON"}"#,
        r#"{"value_text":"null"}"#,
        r#"{"value_text":"{ \"spaced\": 1 }"}"#,
        r#"{"value":null}"#,
        r#"{"value_base64":"/w=="}"#,
        r#"{"key_base64":"/w==","value":1}"#,
        r#"{"value":1,"headers":{"b":["x",null],"a":{"base64":"/w=="}}}"#,
    ] {
        assert_eq!(round_trip(text), text);
    }
    assert_eq!(round_trip(r#" {"value": {"a": 1}} "#), r#"{"value":{"a":1}}"#);
}

#[test]
fn routes_timestamps_rejections_and_errors_have_their_members() {
    let record = Record { value: Some(Bytes::from_static(b"1")), ..Record::default() };
    let stored = Entry::Stored { source: None, route: Some("alerts".into()), record, timestamp: Some(7) };
    assert_eq!(line(&stored), r#"{"topic":"alerts","value":1,"timestamp":7}"#);
    assert_eq!(line(&Entry::Rejected("no \"id\"".into())), r#"{"reject":"no \"id\""}"#);
    assert_eq!(line(&Entry::Failed("bad".into())), r#"{"error":"bad"}"#);
}

#[test]
fn places_are_taken_from_the_line_or_counted() {
    let topics = ["a".to_owned(), "b".to_owned()];
    let text = "{\"value\":1}\n\n{\"topic\":\"b\",\"partition\":3,\"offset\":9,\"timestamp\":5,\"value\":2}\n{\"value\":3}\n";
    let samples = samples(text, &topics).unwrap();
    let places: Vec<_> =
        samples.iter().map(|(n, s)| (*n, s.topic, s.partition, s.offset, s.record.timestamp)).collect();
    assert_eq!(places, [(1, 0, 0, 0, 0), (3, 1, 3, 9, 5), (4, 0, 0, 2, 0)]);
}

#[test]
fn a_wrong_line_is_named() {
    let why = |text: &str| samples(text, &["a".to_owned()]).unwrap_err();
    assert!(why("{\"value\":1}\n{\"valu\":1}").starts_with("line 2: unknown field `valu`"));
    assert_eq!(why(r#"{"topic":"c","value":1}"#), "line 1: `c` is no input of deploy.yaml; it has a");
    assert!(why(r#"{"value":1,"value_text":"x"}"#).contains("give one of"));
    assert!(why(r#"{"value":1,"headers":{"a":1}}"#).contains("a header is a string"));
}

#[test]
fn a_difference_stands_between_equal_lines() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(diff(&lines("a b"), &lines("a b")), None);
    let expected = lines("1 2 3 4 5 x 6 7");
    let found = lines("1 2 3 4 5 6 y 7 8");
    let shown = "    … 3 equal\n    4\n    5\n  - x\n    6\n  + y\n    7\n  + 8\n";
    assert_eq!(diff(&expected, &found).unwrap(), shown);
    assert_eq!(diff(&[], &lines("a")).unwrap(), "  + a\n");
}
