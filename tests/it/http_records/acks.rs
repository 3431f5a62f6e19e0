//! Lines that are answered one by one while the body still arrives.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::read_until;
use crate::support::Server;

/// A body that is written piece by piece.
fn open_body() -> (tokio::sync::mpsc::Sender<String>, reqwest::Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel::<String>(16);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, reqwest::Body::wrap_stream(pieces))
}

fn acked(server: &Server, path: &str) -> reqwest::RequestBuilder {
    let request = server.request(Method::POST, path).header("content-type", "application/x-ndjson");
    request.header("accept", "application/x-ndjson")
}

fn json_lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[tokio::test]
async fn every_line_is_answered_while_the_body_still_arrives() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let (sender, body) = open_body();
    let mut response = acked(&server, "/v1/topics/t/records").body(body).send().await?;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/x-ndjson".parse()?)
    );

    sender.send("{\"value\": 1}\n\n{\"valu\": 2}\n{\"value\"".into()).await?;
    let first = json_lines(&read_until(&mut response, "invalid_record").await?)?;
    assert_eq!(first[0], json!({ "line": 1, "partition": 0, "offset": 0, "status": "stored" }));
    let failed = (&first[1]["line"], &first[1]["status"], &first[1]["error"]["code"]);
    assert_eq!(failed, (&json!(3), &json!("failed"), &json!("invalid_record")));
    assert_eq!(first.len(), 2, "{first:?}");

    sender.send(": 3}\n{\"value\": 4}".into()).await?;
    let third = json_lines(&read_until(&mut response, "}\n").await?)?;
    assert_eq!(third, [json!({ "line": 4, "partition": 0, "offset": 1, "status": "stored" })]);
    drop(sender);
    let last = json_lines(&read_until(&mut response, "}\n").await?)?;
    assert_eq!(last, [json!({ "line": 5, "partition": 0, "offset": 2, "status": "stored" })]);
    assert!(response.chunk().await?.is_none(), "the answers end with the body");

    let keyed =
        acked(&server, "/v1/topics/t/records").header("idempotency-key", "k").body("{\"value\": 1}\n");
    let refused = server.send(keyed).await?.expect(400)?.json()?;
    assert_eq!(refused["code"], "invalid_header");
    let values = server.send(acked(&server, "/v1/topics/t/events").body("7\nx\n8\n")).await?.expect(200)?;
    let codes: Vec<_> = json_lines(&values.text())?.iter().map(|l| l["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!("malformed_json"), Value::Null]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_read_no_further() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let (sender, body) = open_body();
    let request = acked(&server, "/v1/topics/t/records").body(body);
    let mut response = request.send().await?;
    // A line of two bytes has an answer of five hundred: after the answers to some hundred thousand lines every buffer on
    // the way is full, and then those for the lines.
    let piece = "x\n".repeat(32 << 10);
    let mut sent = 0;
    while let Ok(taken) = tokio::time::timeout(Duration::from_secs(3), sender.send(piece.clone())).await {
        taken.context("the request ended early")?;
        sent += piece.len();
        anyhow::ensure!(sent < 400 << 20, "the server reads on although nobody takes its answers");
    }
    let resident = server.resident_bytes()?;
    assert!(resident < 700 << 20, "{resident} bytes are resident");

    // What was held back is there, in order.
    let (mut next, mut open) = (1, Vec::new());
    while next < 300_000 {
        let chunk = tokio::time::timeout(Duration::from_secs(60), response.chunk()).await??;
        open.extend_from_slice(&chunk.context("the answers end early")?);
        let whole = open.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        for line in open[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let answer: Value = serde_json::from_slice(line)?;
            assert_eq!((&answer["line"], &answer["error"]["code"]), (&json!(next), &json!("malformed_json")));
            next += 1;
        }
        open.drain(..whole);
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_whose_topic_goes_answers_its_lines_and_says_why_it_ends() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let (sender, body) = open_body();
    let mut response = acked(&server, "/v1/topics/t/records").body(body).send().await?;
    sender.send("{\"value\": 1}\n".into()).await?;
    read_until(&mut response, "stored").await?;
    server.send(server.request(Method::DELETE, "/v1/topics/t")).await?.expect(204)?;
    sender.send("{\"value\": 2}\n".into()).await?;
    let last = json_lines(&read_until(&mut response, "\n{\"error\"").await?)?;
    assert_eq!((&last[0]["line"], &last[0]["error"]["code"]), (&json!(2), &json!("topic_not_found")));
    assert_eq!(last[1]["error"]["code"], "topic_not_found");
    assert_eq!(last[1]["error"]["instance"], response.headers()["x-request-id"].to_str()?);
    Ok(())
}
