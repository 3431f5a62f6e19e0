//! Lines to envelopes, and the sum of summaries.

use super::*;
use crate::cli::args::Command;
use crate::cli::fake;

fn args() -> Produce {
    Produce {
        topic: "t".into(),
        file: None,
        ndjson: false,
        key: None,
        key_path: None,
        headers: Vec::new(),
        partition: None,
        format: None,
        acks: Acks::Summary,
        batch: 1_000,
    }
}

fn body(args: &Produce, lines: &[&[u8]]) -> Result<String, String> {
    let mut batch = Batch::default();
    for (i, line) in lines.iter().enumerate() {
        args.add_line(&mut batch, line, i as u64 + 1).map_err(|f| f.report(false).unwrap())?;
    }
    Ok(String::from_utf8(batch.body).unwrap())
}

#[test]
fn a_line_is_its_text_unless_said_otherwise() {
    assert_eq!(body(&args(), &[b"{\"a\": 1}"]), Ok("{\"value\":\"{\\\"a\\\": 1}\"}\n".into()));
    assert_eq!(body(&args(), &[b"\xff"]), Ok("{\"value_base64\":\"/w==\"}\n".into()));
    let json = Produce { format: Some(Encoding::Json), ..args() };
    assert_eq!(body(&json, &[b"{\"a\": 1}"]), Ok("{\"value\":{\"a\": 1}}\n".into()));
}

#[test]
fn keys_come_from_the_flag_or_from_the_value() {
    let fixed = Produce { key: Some("k".into()), ..args() };
    assert_eq!(body(&fixed, &[b"v"]), Ok("{\"key\":\"k\",\"value\":\"v\"}\n".into()));
    let path = Produce { key_path: Some("/user".into()), format: Some(Encoding::Json), ..args() };
    assert_eq!(body(&path, &[b"{\"user\":7}"]), Ok("{\"key\":\"7\",\"value\":{\"user\":7}}\n".into()));
    assert_eq!(body(&path, &[b"{}"]), Err("error: line 1: nothing at /user\n".into()));
}

#[test]
fn headers_stand_on_every_record() {
    let args = Produce { headers: vec![("source".into(), "web".into())], ..args() };
    let expected = "{\"value\":\"v\",\"headers\":{\"source\":[\"web\"]}}\n\n";
    assert_eq!(body(&args, &[b"v", b"  "]), Ok(expected.into()));
}

#[test]
fn whole_records_pass_untouched() {
    let args = Produce { ndjson: true, ..args() };
    assert_eq!(body(&args, &[b"{\"value\": 1}", b"", b"{}"]), Ok("{\"value\": 1}\n\n{}\n".into()));
}

#[test]
fn summaries_add_up() {
    let mut totals = Totals::default();
    totals.add(10, &json!({"stored": 7, "dropped": 1, "failed": 2}));
    totals.add(5, &json!({}));
    let expected = Totals { sent: 15, stored: 12, dropped: 1, dead_lettered: 0, rejected: 2, requests: 2 };
    assert_eq!(totals, expected);
}

#[test]
fn lines_longer_than_the_limit_are_refused_before_they_are_kept() {
    let long = vec![b'x'; LINE_BYTES_MAX + 10];
    let (sender, _receiver) = mpsc::channel(4);
    let error = read_lines(Box::new(std::io::Cursor::new(long)), &sender).unwrap_err();
    assert_eq!(error, format!("line 1 has more than {LINE_BYTES_MAX} bytes"));
}

#[test]
fn answers_to_lines_have_the_numbers_of_the_input_and_are_counted() {
    let answers = br#"{"line":1,"partition":0,"offset":7,"status":"stored"}
{"line":2,"partition":0,"status":"stored","offset":8,"count":3}
{"line":3,"status":"failed","error":{"code":"invalid_record","status":422}}
{"line":4,"partition":0,"status":"dropped"}
"#;
    let (mut totals, mut out) = (Totals::default(), Vec::new());
    totals.add_lines(4, 101, answers, &mut out).map_err(|f| f.report(false)).unwrap();
    let sums = (totals.stored, totals.rejected, totals.dropped, totals.dead_lettered);
    assert_eq!(sums, (4, 1, 1, 0));
    let lines: Vec<Value> =
        out.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.iter().map(|l| l["line"].clone()).collect::<Vec<_>>(), [101, 102, 103, 104]);

    let ended = br#"{"error":{"code":"disk_full","status":503,"detail":"no room"}}"#;
    let failure = totals.add_lines(1, 105, ended, &mut out).unwrap_err();
    assert!(failure.report(false).unwrap().contains("no room"));
}

async fn produced(session: Session, command: Command) -> Result<(), u8> {
    let Command::Produce(args) = command else { unreachable!() };
    run(&session, args).await.map_err(|failure| failure.code())
}

#[tokio::test]
async fn without_a_record_a_missing_topic_and_a_missing_server_are_found_out() {
    let nothing = ["produce", "t", "--file", "/dev/null"];
    for (status, code) in [("404 Not Found", Err(3)), ("200 OK", Ok(()))] {
        let (asked, done) = fake::answered(status, &nothing, produced).await;
        assert_eq!((asked.as_str(), done), ("GET /v1/topics/t HTTP/1.1", code), "{status}");
    }
    let (session, command) = fake::typed(&nothing);
    assert_eq!(produced(session, command).await, Err(6), "nobody listens");
}
