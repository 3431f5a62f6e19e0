//! Producing and reading over HTTP, as a client sees it.

mod acks;
mod cloud_events;
mod filters;

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

#[tokio::test]
async fn a_repetition_that_comes_while_the_first_is_under_way_is_told_so() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("redact-json").await?.expect(201)?;
    let spec = json!({ "kind": "inline", "module": "redact-json", "input": { "topics": ["t"] }, "limits": { "cpu": "10s" } });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    // Enough for the first to be under way when the others come.
    let records: Vec<_> = (0..2_000).map(|n| json!({ "value": { "n": n, "email": "a@b.c" } })).collect();
    let body = json!({ "records": records });
    let mut stored = 0;
    for attempt in 0..100 {
        let send = || {
            let request = server.request(Method::POST, "/v1/topics/t/records");
            server.send(request.header("idempotency-key", format!("k{attempt}")).json(&body))
        };
        let answers = futures_util::future::try_join_all((0..8).map(|_| send())).await?;
        stored += records.len();
        let mut told = 0;
        for answer in answers {
            match answer.status {
                200 => {}
                409 => {
                    let problem = answer.json()?;
                    let code = (&problem["code"], &problem["retryable"]);
                    assert_eq!(code, (&json!("idempotency_in_flight"), &json!(true)), "{problem:#}");
                    told += 1;
                }
                other => anyhow::bail!("{other}: {}", answer.text()),
            }
        }
        if told > 0 {
            let end = server.get("/v1/topics/t").await?.json()?["partitions"][0]["high_watermark"].clone();
            assert_eq!(end, stored, "each key has stored once");
            return Ok(());
        }
    }
    anyhow::bail!("no request met another one with its key")
}
