//! What envelopes mean, and every way in which they are refused.

use super::*;
use crate::model::limits::REQUEST_RECORDS_MAX;

const RULES: Rules = Rules { format: Format::Json, partition: None, partitions: 4, record_bytes_max: 2000 };

fn read(json: &'static str, rules: Rules) -> Result<NewRecord<'static>, FieldError> {
    serde_json::from_str::<Entry<'_>>(json).unwrap().into_record(&rules)
}

fn refusal(json: &'static str) -> String {
    let error = read(json, RULES).unwrap_err();
    format!("{} {}", error.pointer, error.detail)
}

#[test]
fn a_value_is_stored_as_it_was_written_without_space() {
    let got =
        read(r#"{"key":"u","value": {"n": 1.50, "s": "a b"},"timestamp":9,"partition":3}"#, RULES).unwrap();
    assert_eq!(got.partition, Some(3));
    assert_eq!(got.key.as_deref(), Some(&b"u"[..]));
    assert_eq!(got.value.as_deref(), Some(&br#"{"n":1.50,"s":"a b"}"#[..]));
    assert_eq!(got.timestamp, Some(9));
}

#[test]
fn keys_and_values_without_escapes_are_not_copied() {
    let record = read(r#"{"key":"user-1","value":[1,2],"headers":{"a":"1"}}"#, RULES).unwrap();
    assert!(matches!(record.key, Some(Cow::Borrowed(b"user-1"))), "{record:?}");
    assert!(matches!(record.value, Some(Cow::Borrowed(b"[1,2]"))), "{record:?}");
    assert!(matches!(record.headers[0], (Cow::Borrowed("a"), Some(Cow::Borrowed(b"1")))), "{record:?}");
}

#[test]
fn null_is_a_tombstone_and_absence_is_an_error() {
    assert_eq!(read(r#"{"value":null}"#, RULES).unwrap().value, None);
    assert_eq!(read(r#"{"value_base64":null}"#, RULES).unwrap().value, None);
    assert_eq!(refusal(r#"{"key":"u"}"#), " has no `value`; write \"value\": null for a tombstone");
}

#[test]
fn text_and_base64_formats_say_what_they_want() {
    let text = Rules { format: Format::Text, ..RULES };
    assert_eq!(read(r#"{"value":"a\u0041"}"#, text).unwrap().value.as_deref(), Some(&b"aA"[..]));
    assert_eq!(read(r#"{"value":1}"#, text).unwrap_err().pointer, "/value");
    let base64 = Rules { format: Format::Base64, ..RULES };
    assert_eq!(read(r#"{"value_base64":"AQI="}"#, base64).unwrap().value.as_deref(), Some(&[1u8, 2][..]));
    assert_eq!(read(r#"{"value":"x"}"#, base64).unwrap_err().pointer, "/value");
    assert!(refusal(r#"{"value_base64":"?"}"#).starts_with("/value_base64 is not base64"));
}

#[test]
fn headers_come_as_an_object_or_as_pairs_and_keep_duplicates() {
    let header = |name: &'static str, value: Option<&'static [u8]>| -> NewHeader<'static> {
        (name.into(), value.map(Cow::Borrowed))
    };
    let expected =
        vec![header("a", Some(b"1")), header("a", Some(b"2")), header("b", None), header("c", Some(&[255]))];
    for json in [
        r#"{"value":1,"headers":{"a":["1","2"],"b":null,"c":{"base64":"/w=="}}}"#,
        r#"{"value":1,"headers":[["a","1"],["a","2"],["b",null],["c",{"base64":"/w=="}]]}"#,
        r#"{"value":1,"headers":{"a":"1","a":"2","b":null,"c":{"base64":"/w=="}}}"#,
    ] {
        assert_eq!(read(json, RULES).unwrap().headers, expected, "{json}");
    }
}

#[test]
fn contradictions_are_refused_with_their_place() {
    assert!(refusal(r#"{"value":1,"value_base64":"AQ=="}"#).starts_with("/value_base64 "));
    assert!(refusal(r#"{"key":"a","key_base64":"AQ==","value":1}"#).starts_with("/key_base64 "));
    assert_eq!(refusal(r#"{"value":1,"partition":4}"#), "/partition is 4, must be < 4");
    assert!(refusal(r#"{"value":1,"timestamp":-1}"#).starts_with("/timestamp -1"));
    let path = Rules { partition: Some(1), ..RULES };
    assert_eq!(read(r#"{"value":1,"partition":2}"#, path).unwrap_err().pointer, "/partition");
    assert_eq!(read(r#"{"value":1}"#, path).unwrap().partition, Some(1));
}

#[test]
fn a_record_over_the_topics_limit_is_refused() {
    let body = format!(r#"{{"value":"{}"}}"#, "x".repeat(2000));
    let error = serde_json::from_str::<Entry<'_>>(&body).unwrap().into_record(&RULES).unwrap_err();
    assert!(error.detail.contains("max.message.bytes"), "{error:?}");
}

#[test]
fn the_first_member_tells_a_batch_from_a_record() {
    assert!(is_batch(b" {\n \"records\": []}"));
    assert!(is_batch(br#"{"expected_offsets":{}}"#));
    assert!(!is_batch(br#"{"value":{"records":1}}"#));
    assert!(!is_batch(b"[]"));
}

#[test]
fn every_wrong_place_of_a_batch_is_named() {
    let body = br#"{"records":[{"value":1},{"value":1,"partition":"x"},{"vale":1,"timestamp":"now"},7]}"#;
    let places: Vec<_> = diagnose(body, true).into_iter().map(|e| e.pointer).collect();
    assert_eq!(places, ["/records/1/partition", "/records/2/timestamp", "/records/2/vale", "/records/3"]);
}

#[test]
fn no_more_of_a_body_is_held_than_a_request_may_have() {
    let batch = format!(r#"{{"records":[{}]}}"#, vec!["{}"; 3 * REQUEST_RECORDS_MAX].join(","));
    let batch: Batch<'_> = serde_json::from_str(&batch).unwrap();
    assert_eq!(batch.records.len(), REQUEST_RECORDS_MAX + 1);

    let pairs = vec![r#"["a",null]"#; 3 * RECORD_HEADERS_MAX].join(",");
    let values = vec!["null"; 3 * RECORD_HEADERS_MAX].join(",");
    for headers in [format!("[{pairs}]"), format!(r#"{{"a":[{values}],"b":null}}"#)] {
        let body = format!(r#"{{"value":1,"headers":{headers}}}"#);
        let entry: Entry<'_> = serde_json::from_str(&body).unwrap();
        assert!(entry.headers.0.len() <= 2 * (RECORD_HEADERS_MAX + 1), "{headers:.40}");
        assert_eq!(entry.into_record(&RULES).unwrap_err().detail, "more than 100 headers");
    }
}

#[test]
fn as_many_wrong_members_are_named_as_an_answer_may_hold() {
    let members: Vec<_> = (0..3 * ERRORS_MAX).map(|n| format!(r#""m{n}":1"#)).collect();
    let body = format!("{{{}}}", members.join(","));
    assert_eq!(diagnose(body.as_bytes(), false).len(), ERRORS_MAX);
}
