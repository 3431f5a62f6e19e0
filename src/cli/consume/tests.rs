//! Ends of reading, and what records look like.

use serde_json::json;

use super::super::output::harmless;
use super::*;

fn args(partition: Option<u32>) -> Consume {
    Consume {
        topic: "t".into(),
        from: Position::Earliest,
        to: None,
        limit: None,
        follow: false,
        group: None,
        partition,
        filter: Filter::default(),
        through: Through::default(),
        format: Encoding::Json,
    }
}

fn page(offsets: std::ops::Range<u64>, high_watermark: u64) -> Value {
    let end = offsets.end;
    let records: Vec<_> = offsets
        .map(|o| json!({"partition": 0, "offset": o, "timestamp": 100 + o, "key": "k", "value_base64": "aGk="}))
        .collect();
    json!({"records": records, "next_offset": end, "next_cursor": "c", "high_watermark": high_watermark})
}

fn take(reader: &mut Reader, page: &Value) -> (String, bool) {
    let mut out = Vec::new();
    let template = Shape::Template(Template::parse("%o ").unwrap());
    let text = page.to_string();
    let goes_on = reader.take_page(&serde_json::from_str(&text).unwrap(), &template, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), goes_on)
}

#[test]
fn records_pass_through_as_they_came() {
    let text = r#"{"records":[{"offset":0,"timestamp":1,"value":{"z":1.50,"a":12345678901234567890123}}],"next_cursor":"c"}"#;
    let mut out = Vec::new();
    let page = serde_json::from_str(text).unwrap();
    Reader::new(args(None), 0).take_page(&page, &Shape::Line, &mut out).unwrap();
    let expected = "{\"offset\":0,\"timestamp\":1,\"value\":{\"z\":1.50,\"a\":12345678901234567890123}}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_partition_is_read_to_the_high_watermark_of_the_first_page() {
    let mut reader = Reader::new(args(Some(0)), 0);
    assert_eq!(take(&mut reader, &page(0..2, 3)), ("0 1 ".into(), true));
    assert_eq!(take(&mut reader, &page(2..9, 9)), ("2 ".into(), false));
}

#[test]
fn all_partitions_are_read_until_an_empty_page() {
    let mut reader = Reader::new(args(None), 0);
    assert!(take(&mut reader, &page(0..2, 2)).1);
    assert!(!take(&mut reader, &page(2..2, 2)).1);
}

#[test]
fn all_partitions_are_read_to_where_they_ended_when_reading_began() {
    let mut reader = Reader::new(args(None), 0);
    assert!(reader.end_call().is_some());
    let mut last = page(0..2, 2);
    last["complete"] = json!(true);
    assert_eq!(take(&mut reader, &last), ("0 1 ".into(), false));
    assert!(Reader::new(args(Some(0)), 0).end_call().is_none(), "a page of one partition says where it ends");
    assert!(Reader::new(Consume { follow: true, ..args(None) }, 0).end_call().is_none());
}

#[test]
fn a_follower_goes_on_after_an_empty_page() {
    let mut reader = Reader::new(Consume { follow: true, ..args(None) }, 0);
    assert!(take(&mut reader, &page(0..0, 0)).1);
}

#[test]
fn limit_and_time_end_the_reading() {
    let mut reader = Reader::new(Consume { limit: Some(2), ..args(Some(0)) }, 0);
    assert_eq!(take(&mut reader, &page(0..5, 5)), ("0 1 ".into(), false));
    let to = Some(Position::Time("103".into()));
    let mut reader = Reader::new(Consume { to, ..args(Some(0)) }, 0);
    assert_eq!(take(&mut reader, &page(0..5, 5)), ("0 1 2 ".into(), false));
}

#[test]
fn records_read_text_base64_and_repeated_headers() {
    let record = Record::read(
        "t",
        &json!({"partition": 1, "offset": 2, "timestamp": 3, "key": "a", "value": {"x": 1},
            "headers": {"h": ["1", {"base64": "aGk="}], "n": null}}),
    );
    assert_eq!(record.value.as_deref(), Some(b"{\"x\":1}".as_slice()));
    assert_eq!(record.headers, "h=1,h=hi,n=");
    assert_eq!(Record::read("t", &json!({"value": null})).value, None);
}

#[test]
fn a_terminal_is_not_spoken_to_by_records() {
    let record = r#"{"partition":0,"offset":1,"timestamp":0,"key":null,"value":"a\u001b[31mb\tü\u0007"}"#;
    let mut out = Vec::new();
    render("t", record, &Shape::Human, &mut out).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert_eq!(harmless(&line), "0:1  1970-01-01T00:00:00.000Z  null  a\\u{1b}[31mb\tü\\u{7}\n");
}

#[test]
fn a_filtered_read_goes_on_behind_empty_pages_until_it_stands() {
    let filter = Filter { key: Some("k".into()), ..Filter::default() };
    let mut reader = Reader::new(Consume { filter, ..args(None) }, 0);
    let page = |cursor: &str| json!({"records": [], "next_cursor": cursor, "scanned": 10, "matched": 0});
    assert!(take(&mut reader, &page("a")).1);
    assert!(take(&mut reader, &page("b")).1);
    assert!(!take(&mut reader, &page("b")).1);
    assert_eq!((reader.scanned, reader.shown), (30, 0));
}
