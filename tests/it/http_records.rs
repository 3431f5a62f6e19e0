//! Producing and reading over HTTP, as a client sees it.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

#[tokio::test]
async fn what_is_produced_reads_back_and_survives_a_kill() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let body = json!({ "records": [
        { "key": "u", "value": { "n": 1 }, "headers": { "h": ["1", { "base64": "/w==" }], "n": null }, "timestamp": 5 },
        { "key_base64": "/w==", "value_base64": "/g==" },
        { "key": "u", "value": null },
    ] });
    let stored = server.post("/v1/topics/t/records", &body).await?.expect(200)?.json()?;
    let offsets: Vec<_> =
        stored["results"].as_array().context("a list")?.iter().map(|r| r["offset"].clone()).collect();
    assert_eq!(offsets, [json!(0), json!(1), json!(2)]);

    let server = server.restart().await?;
    let page = server.get("/v1/topics/t/partitions/0/records").await?.expect(200)?.json()?;
    assert_eq!(
        (&page["next_offset"], &page["high_watermark"], &page["log_start_offset"]),
        (&json!(3), &json!(3), &json!(0))
    );
    let first = json!({
        "partition": 0, "offset": 0, "timestamp": 5, "key": "u", "value": { "n": 1 },
        "headers": { "h": ["1", { "base64": "/w==" }], "n": null }
    });
    assert_eq!(page["records"][0], first);
    assert_eq!(
        (&page["records"][1]["key_base64"], &page["records"][1]["value_base64"]),
        (&json!("/w=="), &json!("/g=="))
    );
    assert!(page["records"][1]["decode_error"].is_string());
    assert_eq!(page["records"][2]["value"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn an_idempotency_key_stores_once_and_answers_twice() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    let send = |server: &Server, body: Value| {
        server.request(Method::POST, "/v1/topics/t/records").header("idempotency-key", "order-1").json(&body)
    };
    let body = json!({ "key": "a", "value": 1 });
    let first = server.send(send(&server, body.clone())).await?.expect(200)?.json()?;
    let server = server.restart().await?;
    let again = server.send(send(&server, body)).await?.expect(200)?.json()?;
    assert_eq!(first["results"], again["results"]);
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&Value::Null, &json!(true)));
    let other = server.send(send(&server, json!({ "key": "a", "value": 2 }))).await?.expect(422)?.json()?;
    assert_eq!(other["code"], "idempotency_key_reused");
    let read = server.get("/v1/topics/t/records").await?.json()?;
    assert_eq!(read["records"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_cursor_reads_all_partitions_without_gap_or_repeat() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 4).await?;
    let records: Vec<_> =
        (0..100).map(|n| json!({ "key": format!("k{n}"), "value": n, "timestamp": n })).collect();
    server.post("/v1/topics/t/records", &json!({ "records": records })).await?.expect(200)?;

    let (mut seen, mut query) = (Vec::new(), "limit=7".to_owned());
    loop {
        let page = server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(200)?.json()?;
        let records = page["records"].as_array().context("a list")?.clone();
        if records.is_empty() {
            break;
        }
        seen.extend(records.iter().filter_map(|r| r["value"].as_i64()));
        query = format!("limit=7&cursor={}", page["next_cursor"].as_str().context("a cursor")?);
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>(), "merged by timestamp");

    let until = server.get("/v1/topics/t/records?until=30").await?.expect(200)?.json()?;
    assert_eq!((until["records"].as_array().map(Vec::len), &until["complete"]), (Some(30), &json!(true)));
    // Where that read stands is an end as well, also when there is more.
    let end = until["next_cursor"].as_str().context("a cursor")?;
    let again = server.get(&format!("/v1/topics/t/records?until={end}")).await?.expect(200)?.json()?;
    assert_eq!((&again["records"], &again["complete"]), (&until["records"], &json!(true)));
    server.get("/v1/topics/t/records?until=AAAA").await?.expect(400)?;
    let back = server.get("/v1/topics/t/records?timestamp=95&format=text").await?.json()?;
    assert_eq!(back["records"][0]["value"], "95");
    Ok(())
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_record() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 3).await?;
    let poll = async { server.get("/v1/topics/t/records?wait=30s").await?.expect(200)?.json() };
    let produce = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.post("/v1/topics/t/records", &json!({ "key": "a", "value": 1 })).await?.expect(200)
    };
    let (page, _) = tokio::try_join!(poll, produce)?;
    assert_eq!(page["records"][0]["value"], 1);
    let empty =
        server.get("/v1/topics/t/partitions/0/records?offset=latest&wait=1").await?.expect(200)?.json()?;
    assert_eq!(empty["records"], json!([]));
    Ok(())
}

/// Reads a stream until it holds the text.
async fn read_until(response: &mut reqwest::Response, text: &str) -> Result<String> {
    let mut seen = String::new();
    while !seen.contains(text) {
        let chunk = tokio::time::timeout(Duration::from_secs(20), response.chunk()).await??;
        seen.push_str(&String::from_utf8_lossy(&chunk.with_context(|| format!("ended after {seen}"))?));
    }
    Ok(seen)
}

#[tokio::test]
async fn events_resume_behind_the_last_one_and_end_with_the_server() -> Result<()> {
    let mut server = Server::start().await?;
    server.topic("t", 2).await?;
    let produce = |n: u32| json!({ "key": format!("k{n}"), "value": format!("v{n}"), "timestamp": n });
    server.post("/v1/topics/t/records", &produce(1)).await?.expect(200)?;
    let listen = |id: &str| {
        let request =
            server.request(Method::GET, "/v1/topics/t/records").header("accept", "text/event-stream");
        request.header("last-event-id", id).send()
    };
    let mut stream = listen("").await?;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let seen = read_until(&mut stream, "\"v1\"}\n\n").await?;
    let id = seen.lines().find_map(|l| l.strip_prefix("id: ")).context("an id")?.to_owned();
    drop(stream);

    server.post("/v1/topics/t/records", &produce(2)).await?.expect(200)?;
    let mut stream = listen(&id).await?;
    let seen = read_until(&mut stream, "\"v2\"}\n\n").await?;
    assert!(!seen.contains("\"v1\""), "{seen}");

    server.topic("gone", 1).await?;
    let request =
        server.request(Method::GET, "/v1/topics/gone/records").header("accept", "text/event-stream");
    let mut refused = request.send().await?;
    let id = refused.headers()["x-request-id"].to_str()?.to_owned();
    server.request(Method::DELETE, "/v1/topics/gone").send().await?.error_for_status()?;
    let seen = read_until(&mut refused, "topic_not_found").await?;
    assert!(seen.contains("event: error") && seen.contains(&format!("\"instance\":\"{id}\"")), "{seen}");

    server.terminate()?;
    let farewell = read_until(&mut stream, "retry: ").await?;
    assert!(!farewell.contains("event: error"), "{farewell}");
    drop(stream);
    assert!(server.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn lines_are_streamed_in_and_followed_out() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 4).await?;
    let lines: String = (0..5_000).map(|n| format!("{{\"user\":{},\"n\":{n}}}\n", n % 10)).collect();
    let request = server
        .request(Method::POST, "/v1/topics/t/events?key_path=/user")
        .header("content-type", "application/jsonl");
    let summary = server.send(request.body(lines)).await?.expect(200)?.json()?;
    assert_eq!((&summary["stored"], &summary["failed"]), (&json!(5_000), &json!(0)));
    let sum: u64 = summary["partitions"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|p| p["records"].as_u64())
        .sum();
    assert_eq!(sum, 5_000);

    let mut stream = server.request(Method::GET, "/v1/topics/t/records?follow=true").send().await?;
    assert_eq!(stream.headers()["content-type"], "application/x-ndjson");
    let seen = read_until(&mut stream, "\"n\":4999}").await?;
    let mut last = [-1i64; 4];
    for line in seen.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let partition = usize::try_from(record["partition"].as_u64().context("a partition")?)?;
        let offset = record["offset"].as_i64().context("an offset")?;
        assert_eq!(offset, last[partition] + 1, "in order, without gap");
        last[partition] = offset;
    }
    Ok(())
}

#[tokio::test]
async fn bodies_may_be_compressed_and_large_answers_are() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    // gzip of {"value":"hi"}, made with `gzip -9`
    let packed = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0x56, 0x2a, 0x4b, 0xcc, 0x29, 0x4d, 0x55, 0xb2, 0x52, 0xca,
        0xc8, 0x54, 0xaa, 5, 0, 0x7e, 0xba, 0x57, 0x62, 0x0e, 0, 0, 0,
    ];
    let request = server.request(Method::POST, "/v1/topics/t/records").header("content-encoding", "gzip");
    let answer =
        server.send(request.header("content-type", "application/json").body(packed.to_vec())).await?;
    answer.expect(200)?;
    let page = server.get("/v1/topics/t/records").await?.json()?;
    assert_eq!(page["records"][0]["value"], "hi");

    let request = server.request(Method::GET, "/openapi.json").header("accept-encoding", "zstd");
    let answer = server.send(request).await?.expect(200)?;
    assert_eq!(answer.header("content-encoding"), "zstd");
    assert_eq!(answer.body[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    Ok(())
}

/// A request of a producer that numbers its records.
fn numbered(
    server: &Server,
    path: &str,
    id: &Value,
    epoch: i16,
    seq: i64,
    body: &Value,
) -> reqwest::RequestBuilder {
    let request = server.request(Method::POST, path).header("producer-id", id.to_string());
    request.header("producer-epoch", epoch).header("producer-seq", seq).json(body)
}

#[tokio::test]
async fn numbered_records_are_stored_once_and_in_order_also_over_a_restart() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    let made = server.send(server.request(Method::POST, "/v1/producers")).await?.expect(201)?.json()?;
    let (id, epoch) = (&made["producer_id"], 0);
    assert_eq!(made["producer_epoch"], 0);
    let path = "/v1/topics/t/partitions/1/records";
    let two = json!({ "records": [{ "value": 1 }, { "value": 2 }] });
    let first = server.send(numbered(&server, path, id, epoch, 0, &two)).await?.expect(200)?.json()?;
    let stored = |offset: u64, count: u32, duplicate: bool, next_seq: u32| json!({ "partition": 1, "offset": offset, "count": count, "duplicate": duplicate, "next_seq": next_seq });
    assert_eq!(first, stored(0, 2, false, 2));
    let gap = server.send(numbered(&server, path, id, epoch, 3, &two)).await?.expect(409)?.json()?;
    assert_eq!((&gap["code"], &gap["expected_seq"]), (&json!("out_of_order_sequence"), &json!(2)));

    let server = server.restart().await?;
    let again = server.send(numbered(&server, path, id, epoch, 0, &two)).await?.expect(200)?.json()?;
    assert_eq!(again, stored(0, 2, true, 2));
    let one = json!({ "value": 3 });
    let next = server.send(numbered(&server, path, id, epoch, 2, &one)).await?.expect(200)?.json()?;
    assert_eq!(next, stored(2, 1, false, 3));
    // Another partition has numbers of its own, and bare values have them too.
    let other = server.send(numbered(&server, "/v1/topics/t/events?partition=0", id, epoch, 0, &one)).await?;
    assert_eq!(other.expect(200)?.json()?["offset"], 0);

    let newer = server.send(numbered(&server, path, id, 1, 0, &one)).await?.expect(200)?.json()?;
    assert_eq!(newer, stored(3, 1, false, 1));
    let fenced = server.send(numbered(&server, path, id, 0, 3, &one)).await?.expect(409)?.json()?;
    assert_eq!(fenced["code"], "producer_fenced");
    let page = server.get(path).await?.expect(200)?.json()?;
    let values: Vec<_> =
        page["records"].as_array().context("records")?.iter().map(|r| r["value"].clone()).collect();
    assert_eq!(values, [1, 2, 3, 3]);
    Ok(())
}

#[tokio::test]
async fn the_topic_says_whose_time_counts_and_which_times_it_takes() -> Result<()> {
    let server = Server::start().await?;
    let config = json!({ "partitions": 1, "config": { "message.timestamp.type": "LogAppendTime" } });
    server.put("/v1/topics/ours", &config).await?.expect(201)?;
    let old = json!({ "value": 1, "timestamp": 5 });
    let stored = server.post("/v1/topics/ours/records", &old).await?.expect(200)?.json()?;
    let at = stored["results"][0]["timestamp"].as_i64().context("a time")?;
    assert!(at > 1_700_000_000_000, "{at}");
    let line = server
        .request(Method::POST, "/v1/topics/ours/records")
        .header("content-type", "application/x-ndjson");
    server.send(line.body(old.to_string())).await?.expect(200)?;
    let page = server.get("/v1/topics/ours/records").await?.expect(200)?.json()?;
    for record in page["records"].as_array().context("records")? {
        assert!(record["timestamp"].as_i64().is_some_and(|time| time >= at), "{record}");
    }

    let bounds = json!({ "partitions": 1, "config": { "message.timestamp.before.max.ms": "3600000" } });
    server.put("/v1/topics/recent", &bounds).await?.expect(201)?;
    for timestamp in [5, 32_503_680_000_000_i64] {
        let record = json!({ "records": [{ "value": 0 }, { "value": 1, "timestamp": timestamp }] });
        let refused = server.post("/v1/topics/recent/records", &record).await?.expect(422)?.json()?;
        assert_eq!(
            (&refused["code"], &refused["errors"][0]["pointer"]),
            (&json!("invalid_record"), &json!("/records/1"))
        );
    }
    server.post("/v1/topics/recent/records", &json!({ "value": 1 })).await?.expect(200)?;
    Ok(())
}

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
    assert_eq!((&first[1]["line"], &first[1]["code"]), (&json!(3), &json!("invalid_record")));
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
    let codes: Vec<_> = json_lines(&values.text())?.iter().map(|l| l["code"].clone()).collect();
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
            assert_eq!((&answer["line"], &answer["code"]), (&json!(next), &json!("malformed_json")));
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
    let last = json_lines(&read_until(&mut response, "\"error\"").await?)?;
    assert_eq!((&last[0]["line"], &last[0]["code"]), (&json!(2), &json!("topic_not_found")));
    assert_eq!(last[1]["error"]["code"], "topic_not_found");
    assert_eq!(last[1]["error"]["instance"], response.headers()["x-request-id"].to_str()?);
    Ok(())
}

/// A hundred records in four partitions: value n under `k{n % 10}`, from `web` if n is even.
async fn hundred(server: &Server, topic: &str) -> Result<()> {
    server.topic(topic, 4).await?;
    let record = |n: u32| {
        let source = if n.is_multiple_of(2) { "web" } else { "app" };
        json!({ "key": format!("k{}", n % 10), "value": { "n": n }, "headers": { "source": source }, "timestamp": n })
    };
    let records: Vec<_> = (0..100).map(record).collect();
    server.post(&format!("/v1/topics/{topic}/records"), &json!({ "records": records })).await?.expect(200)?;
    Ok(())
}

fn numbers(page: &Value) -> Vec<i64> {
    page["records"].as_array().into_iter().flatten().filter_map(|r| r["value"]["n"].as_i64()).collect()
}

#[tokio::test]
async fn a_filter_finds_what_it_names_and_counts_what_it_looked_at() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    let read =
        async |query: &str| server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(200)?.json();
    let by_key = read("key=k3").await?;
    assert_eq!(numbers(&by_key), [3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);
    assert_eq!((&by_key["scanned"], &by_key["matched"]), (&json!(100), &json!(10)));
    assert_eq!(numbers(&read("key_base64=azM=&contains=3%7D").await?), numbers(&by_key));
    assert_eq!(numbers(&read("header.source=web&contains=%22n%22:7&until=75").await?), [70, 72, 74]);
    assert_eq!(read("key=k3&until=75").await?["complete"], true);
    let none = read("key=k3&header.source=web").await?;
    assert_eq!((&none["scanned"], &none["matched"], &none["records"]), (&json!(100), &json!(0), &json!([])));

    for (query, says) in [
        ("key=a&key_base64=YQ==", "exclude each other"),
        ("contains=", "is empty"),
        ("scan_limit=5", "is for reads with a filter"),
        ("header.a=1&header.a=2", "stands twice"),
    ] {
        let refused = server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(400)?;
        assert!(refused.text().contains(says), "{}", refused.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_filtered_read_goes_on_where_its_budget_or_its_page_ended() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    for budget in ["scan_limit=7", "limit=1", "scan_limit=13&limit=2"] {
        let (mut seen, mut scanned, mut cursor, mut pages) = (Vec::new(), 0, String::new(), 0);
        loop {
            let page = server
                .get(&format!("/v1/topics/t/records?key=k3&{budget}{cursor}"))
                .await?
                .expect(200)?
                .json()?;
            let looked = page["scanned"].as_u64().context("a count")?;
            assert_eq!(page["matched"].as_u64(), Some(numbers(&page).len() as u64));
            if looked == 0 {
                break;
            }
            (scanned, pages) = (scanned + looked, pages + 1);
            seen.extend(numbers(&page));
            cursor = format!("&cursor={}", page["next_cursor"].as_str().context("a cursor")?);
        }
        assert_eq!((seen, scanned), ((0..10).map(|n| 10 * n + 3).collect(), 100), "{budget}");
        assert!(pages >= 8, "{budget}: {pages} pages");
    }

    server.topic("one", 1).await?;
    let records: Vec<_> =
        (0..20).map(|n| json!({ "key": format!("k{}", n % 10), "value": { "n": n } })).collect();
    server.post("/v1/topics/one/records", &json!({ "records": records })).await?.expect(200)?;
    let page = server.get("/v1/topics/one/partitions/0/records?key=k3&limit=1").await?.expect(200)?.json()?;
    assert_eq!((numbers(&page), &page["next_offset"], &page["scanned"]), (vec![3], &json!(4), &json!(4)));
    let page =
        server.get("/v1/topics/one/partitions/0/records?key=k3&offset=4&scan_limit=5").await?.json()?;
    assert_eq!(
        (numbers(&page), &page["next_offset"], &page["high_watermark"]),
        (vec![], &json!(9), &json!(20))
    );
    Ok(())
}

#[tokio::test]
async fn a_long_poll_with_a_filter_waits_for_what_it_names() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    let poll = async { server.get("/v1/topics/t/records?wait=30s&key=wanted").await?.expect(200)?.json() };
    let produce = async {
        for n in 0..20 {
            let key = if n == 19 { "wanted".to_owned() } else { format!("other{n}") };
            server
                .post("/v1/topics/t/records", &json!({ "key": key, "value": { "n": n } }))
                .await?
                .expect(200)?;
        }
        Ok(())
    };
    let (page, ()) = tokio::try_join!(poll, produce)?;
    assert_eq!(numbers(&page), [19]);
    let empty = server.get("/v1/topics/t/records?wait=1&key=nobody").await?.expect(200)?.json()?;
    assert_eq!((&empty["scanned"], &empty["matched"]), (&json!(20), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn live_streams_take_filters_and_resume_behind_what_they_passed_over() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    let path = "/v1/topics/t/records?key=k3";
    let events = |id: &str| {
        let request = server.request(Method::GET, path).header("accept", "text/event-stream");
        request.header("last-event-id", id).send()
    };
    let seen = read_until(&mut events("").await?, "{\"n\":93}").await?;
    assert_eq!(seen.matches("\"n\":").count(), 10, "{seen}");
    let id = seen.lines().filter_map(|l| l.strip_prefix("id: ")).next_back().context("an id")?.to_owned();

    let next = json!({ "key": "k3", "value": { "n": 103 } });
    server.post("/v1/topics/t/records", &next).await?.expect(200)?;
    let seen = read_until(&mut events(&id).await?, "{\"n\":103}").await?;
    assert_eq!(seen.matches("\"n\":").count(), 1, "{seen}");

    let mut lines =
        server.request(Method::GET, &format!("{path}&follow=true&offset=earliest")).send().await?;
    let seen = read_until(&mut lines, "{\"n\":103}").await?;
    assert_eq!(seen.lines().count(), 11, "{seen}");
    let one = "/v1/topics/t/partitions/0/records?follow=true&contains=%22n%22:5";
    let mut lines = server.request(Method::GET, one).send().await?;
    let partition: Value =
        server.get("/v1/topics/t/partitions/0/records?contains=%22n%22:5").await?.json()?;
    let last = numbers(&partition).pop().context("partition 0 has one of them")?;
    let seen = read_until(&mut lines, &format!("{{\"n\":{last}}}")).await?;
    assert_eq!(seen.lines().count(), numbers(&partition).len());
    Ok(())
}

const EVENT: &str = "application/cloudevents+json";
const EVENTS: &str = "application/cloudevents-batch+json";

fn typed(server: &Server, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    server.request(Method::POST, path).header("content-type", kind).body(body)
}

#[tokio::test]
async fn cloud_events_of_every_mode_are_stored_alike_and_read_back() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let path = "/v1/topics/t/events";
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": "order", "partitionkey": "u1",
            "time": "2026-01-02T03:04:05Z", "attempt": 3, "datacontenttype": "application/json", "data": { "n": 1 }
        })
    };
    server.send(typed(&server, path, EVENT, event("1").to_string())).await?.expect(200)?;
    let batch = json!([event("2"), event("3")]).to_string();
    let stored = server.send(typed(&server, path, EVENTS, batch)).await?.expect(200)?.json()?;
    assert_eq!(stored["results"].as_array().map(Vec::len), Some(2));
    let mut binary = typed(&server, path, "application/json", "{\"n\":1}");
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "4"),
        ("source", "/shop"),
        ("type", "order"),
        ("partitionkey", "u1"),
        ("time", "2026-01-02T03:04:05Z"),
        ("attempt", "3"),
    ] {
        binary = binary.header(format!("ce-{name}"), value);
    }
    server.send(binary).await?.expect(200)?;
    server.post("/v1/topics/t/records", &json!({ "value": "no event" })).await?.expect(200)?;

    let page = server.get("/v1/topics/t/records").await?.expect(200)?.json()?;
    let records = page["records"].as_array().context("records")?;
    for (index, record) in records[..4].iter().enumerate() {
        assert_eq!((&record["key"], &record["value"]), (&json!("u1"), &json!({ "n": 1 })), "{record}");
        let expected = json!({
            "ce_specversion": "1.0", "ce_id": (index + 1).to_string(), "ce_source": "/shop", "ce_type": "order",
            "ce_partitionkey": "u1", "ce_time": "2026-01-02T03:04:05Z", "ce_attempt": "3",
            "content-type": "application/json"
        });
        assert_eq!(record["headers"], expected);
    }

    let read = server.request(Method::GET, "/v1/topics/t/partitions/0/records").header("accept", EVENTS);
    let answer = server.send(read).await?.expect(200)?;
    let heads = ["content-type", "x-next-offset", "x-records-left-out"].map(|name| answer.header(name));
    assert_eq!(heads, [EVENTS, "5", "1"]);
    let mut expected = event("1");
    expected["attempt"] = json!("3");
    assert_eq!((&answer.json()?[0], answer.json()?.as_array().map(Vec::len)), (&expected, Some(4)));
    let merged = server.request(Method::GET, "/v1/topics/t/records?header.ce_id=3").header("accept", EVENTS);
    let answer = server.send(merged).await?.expect(200)?;
    assert_eq!((&answer.json()?[0]["id"], answer.json()?.as_array().map(Vec::len)), (&json!("3"), Some(1)));
    assert!(!answer.header("x-next-cursor").is_empty());
    Ok(())
}

#[tokio::test]
async fn events_that_are_none_are_refused_whole_with_every_place() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let path = "/v1/topics/t/events";
    let good = json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t" });
    let bad =
        json!({ "specversion": "0.3", "id": "", "type": "t", "Big": 1, "data": 1, "data_base64": "AA==" });
    let batch = json!([good, bad, 7]).to_string();
    let refused = server.send(typed(&server, path, EVENTS, batch)).await?.expect(422)?.json()?;
    let mut places: Vec<_> = refused["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .filter_map(|e| e["pointer"].as_str())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["/1/Big", "/1/data_base64", "/1/id", "/1/source", "/1/specversion", "/2"]);
    let binary = typed(&server, path, "text/plain", "x").header("ce-specversion", "1.0").header("ce-id", "1");
    let refused = server.send(binary).await?.expect(422)?.json()?;
    assert_eq!(
        (&refused["code"], &refused["errors"][0]["pointer"]),
        (&json!("invalid_record"), &json!("/source"))
    );
    server.send(typed(&server, path, "application/cloudevents+avro", "x")).await?.expect(415)?;
    server
        .send(typed(&server, "/v1/topics/t/events?key_path=/a", EVENT, good.to_string()))
        .await?
        .expect(400)?;
    let page = server.get("/v1/topics/t/records").await?.expect(200)?.json()?;
    assert_eq!(page["records"], json!([]), "nothing was stored");

    let keyed = |id: &str| {
        let request =
            typed(&server, path, "text/plain", "x").header("idempotency-key", "k").header("ce-type", "t");
        request.header("ce-specversion", "1.0").header("ce-source", "/s").header("ce-id", id)
    };
    server.send(keyed("1")).await?.expect(200)?;
    assert_eq!(server.send(keyed("1")).await?.expect(200)?.json()?["duplicate"], true);
    server.send(keyed("2")).await?.expect(422)?;
    Ok(())
}
