//! Sources through the public interface: polled by the server, records and cursor in one commit.

#![expect(clippy::disallowed_methods, reason = "the one outside is no part of the server")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::Server;

/// A deployment of the guest that counts.
fn ticker(params: &Value, more: &Value) -> Value {
    let mut spec = json!({
        "kind": "source", "module": "ticker", "source": { "interval": "100ms" }, "params": params,
        "output": { "default": "numbers", "create_topics": { "partitions": 3 } },
        "on_error": { "max_retries": 1, "backoff": "1ms" }
    });
    spec.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    spec
}

async fn server() -> Result<Server> {
    let server = Server::start().await?;
    server.upload("ticker").await?.expect(201)?;
    Ok(server)
}

/// What lies in the topic, as numbers in order, with each record's partition and key.
async fn numbers(server: &Server) -> Result<Vec<(u64, u64, Value)>> {
    let answer = server.get("/v1/topics/numbers/records?limit=1000").await?.expect(200)?.json()?;
    let records = answer["records"].as_array().context("records")?;
    let number = |r: &Value| Some((r["value"].as_u64()?, r["partition"].as_u64()?, r["key"].clone()));
    let mut numbers: Vec<_> = records.iter().map(number).collect::<Option<_>>().context("numbers")?;
    numbers.sort_by_key(|number| number.0);
    Ok(numbers)
}

fn values(numbers: &[(u64, u64, Value)]) -> Vec<u64> {
    numbers.iter().map(|number| number.0).collect()
}

/// Looks until the source stands at a cursor.
async fn until_at(server: &Server, cursor: &str) -> Result<Value> {
    server.until("/v1/deployments/src", |d| d["tasks"][0]["source"]["cursor"] == cursor).await
}

#[tokio::test]
async fn every_number_comes_once_over_kills_in_the_middle() -> Result<()> {
    let mut server = server().await?;
    let spec = ticker(&json!({ "batch": 7, "until": 400, "more": true }), &json!({}));
    server.put("/v1/deployments/src", &spec).await?.expect(201)?;
    for seen in [50, 150, 250] {
        let far = |d: &Value| {
            let cursor = d["tasks"][0]["source"]["cursor"].as_str().and_then(|c| c.parse::<u64>().ok());
            cursor.is_some_and(|cursor| cursor >= seen)
        };
        server.until("/v1/deployments/src", far).await?;
        server = server.restart().await?;
    }
    let view = until_at(&server, "400").await?;
    assert_eq!((&view["kind"], &view["state"]), (&json!("source"), &json!("running")), "{view:#}");
    assert_eq!(view["tasks"][0]["source"]["cursor_bytes"], 3, "{view:#}");
    let numbers = numbers(&server).await?;
    assert_eq!(values(&numbers), (0..400).collect::<Vec<_>>());

    let keyless: std::collections::BTreeSet<_> =
        numbers.iter().filter(|n| n.2.is_null()).map(|n| n.1).collect();
    assert!(keyless.len() > 1, "records without a key take another partition with each poll: {keyless:?}");
    let metrics = server.get("/metrics").await?.expect(200)?.text();
    assert!(metrics.contains("millstream_deployment_polls_total{deployment=\"src\"}"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_key_lies_where_every_client_looks_for_it() -> Result<()> {
    let server = server().await?;
    server
        .put("/v1/deployments/src", &ticker(&json!({ "batch": 9, "until": 9 }), &json!({})))
        .await?
        .expect(201)?;
    until_at(&server, "9").await?;
    let numbers = numbers(&server).await?;
    let records: Vec<_> =
        numbers.iter().filter(|n| !n.2.is_null()).map(|n| json!({ "key": n.2, "value": null })).collect();
    let placed = server.post("/v1/topics/numbers/records", &json!({ "records": records })).await?;
    let placed = placed.expect(200)?.json()?;
    let placed: Vec<_> =
        placed["results"].as_array().context("results")?.iter().map(|r| r["partition"].clone()).collect();
    let polled: Vec<_> = numbers.iter().filter(|n| !n.2.is_null()).map(|n| json!(n.1)).collect();
    assert_eq!(polled, placed);
    Ok(())
}

#[tokio::test]
async fn a_paused_source_keeps_its_cursor_and_can_be_rewound() -> Result<()> {
    let server = server().await?;
    server.put("/v1/deployments/src", &ticker(&json!({ "until": 3 }), &json!({}))).await?.expect(201)?;
    until_at(&server, "3").await?;
    let verb = |verb: &str| format!("/v1/deployments/src/{verb}");
    let paused = server.post(&verb("pause"), &json!({})).await?.expect(202)?.json()?;
    assert_eq!(paused["tasks"][0]["source"]["cursor"], "3", "{paused:#}");

    let latest = server.post(&verb("rewind"), &json!({ "to": "latest" })).await?.expect(409)?.json()?;
    assert_eq!(latest["code"], "deployment_kind_mismatch", "{latest:#}");
    assert!(latest["detail"].as_str().unwrap_or_default().contains("a source reads no log"), "{latest}");
    let set = json!({ "to": { "cursor": "1" } });
    let plan = server.post(&(verb("rewind") + "?dry_run=true"), &set).await?.expect(200)?.json()?;
    assert_eq!(plan["cursor"], json!({ "from": "3", "to": "1" }), "{plan:#}");
    assert_eq!(server.get("/v1/deployments/src").await?.json()?["tasks"][0]["source"]["cursor"], "3");

    server.post(&verb("rewind"), &set).await?.expect(200)?;
    server.post(&verb("resume"), &json!({})).await?.expect(202)?;
    until_at(&server, "3").await?;
    assert_eq!(values(&numbers(&server).await?), [0, 1, 1, 2, 2]);

    let plan = server.post(&verb("rewind"), &json!({ "to": "earliest" })).await?.expect(200)?.json()?;
    assert_eq!(plan["cursor"], json!({ "from": "3", "to": null }), "{plan:#}");
    until_at(&server, "3").await?;
    assert_eq!(values(&numbers(&server).await?), [0, 0, 1, 1, 1, 2, 2, 2]);

    let delete = server.request(reqwest::Method::DELETE, "/v1/deployments/src?state=keep");
    server.send(delete).await?.expect(204)?;
    server.put("/v1/deployments/src", &ticker(&json!({ "until": 4 }), &json!({}))).await?.expect(201)?;
    until_at(&server, "4").await?;
    assert_eq!(values(&numbers(&server).await?).len(), 9, "it has gone on at the cursor that was kept");
    Ok(())
}

#[tokio::test]
async fn a_poll_that_fails_follows_on_error() -> Result<()> {
    let server = server().await?;
    let params = json!({ "until": 9, "panic": 2 });
    server.put("/v1/deployments/src", &ticker(&params, &json!({}))).await?.expect(201)?;
    let failed = server.until("/v1/deployments/src", |d| d["state"] == "failed").await?;
    assert_eq!(
        (&failed["last_error"]["code"], &failed["last_error"]["attempt"]),
        (&json!("trap"), &json!(2))
    );
    assert_eq!(failed["tasks"][0]["source"]["cursor"], "2", "what came before is committed");

    let skip = json!({ "on_error": { "policy": "skip", "max_retries": 0, "backoff": "1ms" } });
    server.put("/v1/deployments/src", &ticker(&params, &skip)).await?.expect(200)?;
    let skipping =
        server.until("/v1/deployments/src", |d| d["totals"]["skipped"].as_u64() >= Some(2)).await?;
    assert_eq!(skipping["tasks"][0]["source"]["cursor"], "2", "{skipping:#}");

    // It asks for time more often than max_retries, and goes on once it is ready.
    server
        .put("/v1/deployments/src", &ticker(&json!({ "until": 9, "retry": 2 }), &json!({})))
        .await?
        .expect(200)?;
    let errors = |d: &Value| d["totals"]["errors"].as_u64() >= Some(4);
    let retrying = server.until("/v1/deployments/src", errors).await?;
    assert_eq!((&retrying["state"], &retrying["last_error"]["code"]), (&json!("retrying"), &json!("retry")));
    server.put("/v1/deployments/src", &ticker(&json!({ "until": 9 }), &json!({}))).await?.expect(200)?;
    until_at(&server, "9").await?;
    assert_eq!(values(&numbers(&server).await?), (0..9).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn nothing_is_stored_of_a_poll_with_a_record_that_the_topic_does_not_take() -> Result<()> {
    let server = server().await?;
    let compacted = json!({ "partitions": 3, "config": { "cleanup.policy": "compact" } });
    server.put("/v1/topics/numbers", &compacted).await?.expect(201)?;
    // The numbers 0 and 3 have no key.
    let spec = ticker(&json!({ "batch": 4, "until": 8 }), &json!({}));
    server.put("/v1/deployments/src", &spec).await?.expect(201)?;
    let failed = server.until("/v1/deployments/src", |d| d["state"] == "failed").await?;
    let error = &failed["last_error"];
    assert_eq!((&error["code"], &error["attempt"]), (&json!("fatal"), &json!(2)), "{failed:#}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("`numbers`") && message.contains("key"), "{message}");
    assert_eq!(failed["tasks"][0]["source"]["cursor"], Value::Null, "{failed:#}");
    assert_eq!(values(&numbers(&server).await?), [0; 0]);

    let kept = json!({ "config": { "cleanup.policy": "delete" } });
    let change = server.request(reqwest::Method::PATCH, "/v1/topics/numbers").json(&kept);
    server.send(change).await?.expect(200)?;
    server.post("/v1/deployments/src/restart", &json!({})).await?.expect(202)?;
    until_at(&server, "8").await?;
    assert_eq!(values(&numbers(&server).await?), (0..8).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_spec_that_fits_no_source_is_refused() -> Result<()> {
    let server = server().await?;
    let refused = async |spec: Value| -> Result<Vec<Value>> {
        let answer = server.put("/v1/deployments/src", &spec).await?.expect(422)?.json()?;
        let errors = answer["errors"].as_array().context("errors")?;
        Ok(errors.iter().map(|e| e["pointer"].clone()).collect())
    };
    let letters = json!({ "on_error": { "policy": "dead_letter" }, "source": { "interval": "10ms" } });
    assert_eq!(refused(ticker(&json!({}), &letters)).await?, ["/source/interval", "/on_error/policy"]);
    assert_eq!(refused(ticker(&json!({}), &json!({ "input": { "topics": ["a"] } }))).await?, ["/input"]);
    let processor = json!({ "kind": "processor", "module": "ticker" });
    assert_eq!(refused(processor).await?, ["/input"]);

    server.topic("in", 1).await?;
    let processor = json!({ "kind": "processor", "module": "ticker", "input": { "topics": ["in"] } });
    let kind = server.put("/v1/deployments/src", &processor).await?.expect(422)?.json()?;
    assert!(kind["detail"].as_str().unwrap_or_default().contains("exports `source`"), "{kind}");

    server.put("/v1/deployments/src", &ticker(&json!({ "until": 1 }), &json!({}))).await?.expect(201)?;
    let state = server.get("/v1/deployments/src/stores").await?.expect(409)?.json()?;
    assert_eq!(state["code"], "deployment_has_no_state");
    Ok(())
}

/// A server on loopback with numbered items. It answers what follows `since`, five at a time, and every fourth request with
/// 503; with an `If-None-Match` that fits it answers 304.
struct Outside {
    address: std::net::SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Outside {
    async fn start(items: u64) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    let answer = if number % 4 == 3 {
                        status("503 Service Unavailable")
                    } else {
                        answer(&head, items)
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Ok(Self { address, requests })
    }

    fn deployment(&self, params: &Value) -> Value {
        let mut params = params.clone();
        params["url"] = format!("http://{}/items", self.address).into();
        json!({
            "kind": "source", "module": "http-poll-source", "source": { "interval": "100ms" }, "params": params,
            "grants": { "http": [{ "url": format!("http://{}", self.address), "private": true }] },
            "output": { "default": "items", "create_topics": { "partitions": 2 } },
            "on_error": { "backoff": "1ms" }
        })
    }
}

async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn answer(head: &str, items: u64) -> String {
    if head.to_lowercase().contains("if-none-match: \"v1\"") {
        return status("304 Not Modified");
    }
    let since = head.split_once("?since=").and_then(|(_, rest)| rest.split_whitespace().next());
    let first = since.and_then(|since| since.parse::<u64>().ok()).map_or(0, |since| since + 1);
    let page: Vec<_> =
        (first..items.min(first + 5)).map(|id| json!({ "id": id, "name": format!("n{id}") })).collect();
    let body = json!({ "items": page }).to_string();
    format!(
        "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn items(server: &Server) -> Result<Vec<u64>> {
    let answer = server.get("/v1/topics/items/records?limit=1000").await?.expect(200)?.json()?;
    let records = answer["records"].as_array().context("records")?;
    let mut ids: Vec<_> =
        records.iter().map(|r| r["value"]["id"].as_u64()).collect::<Option<_>>().context("ids")?;
    ids.sort_unstable();
    Ok(ids)
}

#[tokio::test]
async fn what_is_fetched_over_http_comes_once_over_kills_and_failures() -> Result<()> {
    let outside = Outside::start(200).await?;
    let mut server = Server::start().await?;
    server.upload("http-poll-source").await?.expect(201)?;
    let params = json!({ "records": "/items", "key": "/id", "since-field": "/id", "page": 5 });
    server.put("/v1/deployments/src", &outside.deployment(&params)).await?.expect(201)?;
    for seen in [30, 90] {
        let far = |d: &Value| {
            let cursor = d["tasks"][0]["source"]["cursor"].as_str().unwrap_or_default().to_owned();
            let cursor: Value = serde_json::from_str(&cursor).unwrap_or_default();
            cursor["since"].as_str().and_then(|since| since.parse::<u64>().ok()) >= Some(seen)
        };
        server.until("/v1/deployments/src", far).await?;
        server = server.restart().await?;
    }
    let last = |d: &Value| {
        d["tasks"][0]["source"]["cursor"].as_str().is_some_and(|cursor| cursor.contains("\"since\":\"199\""))
    };
    server.until("/v1/deployments/src", last).await?;
    assert_eq!(items(&server).await?, (0..200).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn an_answer_that_has_not_changed_brings_nothing() -> Result<()> {
    let outside = Outside::start(3).await?;
    let server = Server::start().await?;
    server.upload("http-poll-source").await?.expect(201)?;
    server
        .put("/v1/deployments/src", &outside.deployment(&json!({ "records": "/items" })))
        .await?
        .expect(201)?;
    server.until("/v1/deployments/src", |d| d["tasks"][0]["source"]["polls"].as_u64() >= Some(8)).await?;
    assert!(outside.requests.load(Ordering::SeqCst) >= 7);
    assert_eq!(items(&server).await?, [0, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_reached() -> Result<()> {
    let outside = Outside::start(3).await?;
    let server = Server::start().await?;
    server.upload("http-poll-source").await?.expect(201)?;
    let mut spec = outside.deployment(&json!({ "records": "/items" }));
    spec["grants"] = json!({ "http": ["https://api.example.com"] });
    spec["on_error"] = json!({ "max_retries": 0 });
    server.put("/v1/deployments/src", &spec).await?.expect(201)?;
    let failed = server.until("/v1/deployments/src", |d| d["state"] == "failed").await?;
    let message = failed["last_error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("grants.http"), "{failed:#}");
    assert_eq!(outside.requests.load(Ordering::SeqCst), 0);

    let missing = json!({ "kind": "source", "module": "http-poll-source", "output": { "default": "items" } });
    let told = server.put("/v1/deployments/other", &missing).await?.expect(422)?.json()?;
    assert_eq!(told["errors"][0]["pointer"], "/params/url", "{told:#}");
    Ok(())
}
