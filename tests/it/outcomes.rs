//! Answers that need a server in a certain state: full, stopping, with a transform that fails.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

/// A request whose body has not come yet, of which the server has said that it waits for it.
fn begun(server: &Server, length: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "POST /v1/topics/t/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = [0; 25];
    stream.read_exact(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&answer));
    Ok(stream)
}

#[tokio::test]
async fn a_body_over_the_budget_is_refused_until_there_is_room() -> Result<()> {
    // With 256 MiB of memory 80 MiB are for bodies; five of the largest fill it.
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let held = (0..5).map(|_| begun(&server, 16 << 20)).collect::<Result<Vec<_>>>()?;
    let refused = server.post("/v1/topics/t/records", &json!({ "value": 1 })).await?.expect(503)?;
    let problem = refused.json()?;
    assert_eq!((&problem["code"], &problem["side_effects"]), (&json!("overloaded"), &json!("none")));
    assert!(refused.header("retry-after").parse::<u32>()? >= 1);

    for stream in held {
        stream.shutdown(Shutdown::Both)?;
    }
    let mut status = 503;
    for _ in 0..2_000 {
        status = server.post("/v1/topics/t/records", &json!({ "value": 1 })).await?.status;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status, 200, "the share of a client that has gone comes back");
    Ok(())
}

#[tokio::test]
async fn of_a_write_that_fails_the_outcome_is_unknown_and_a_repetition_stores_it_once() -> Result<()> {
    let mut server = Server::start_with_files_of(8 << 10).await?;
    server.topic("t", 1).await?;
    // Text that does not shrink.
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (seed >> 25) as u8 % 90)
    };
    let text: String = (0..512 << 10).map(|_| letter()).filter(|c| !"\"\\".contains(*c)).collect();
    let produce = async |server: &Server, n: u64| {
        let request =
            server.request(Method::POST, "/v1/topics/t/records").header("idempotency-key", n.to_string());
        server.send(request.json(&json!({ "records": [{ "key": n.to_string(), "value": text }] }))).await
    };
    let (mut n, mut answer) = (0, produce(&server, 0).await?);
    while answer.status == 200 {
        ensure!(n < 1_000, "the files took everything");
        n += 1;
        answer = produce(&server, n).await?;
    }
    let problem = answer.expect(503)?.json()?;
    let told = (&problem["code"], &problem["side_effects"], &problem["retryable"]);
    assert_eq!(told, (&json!("outcome_unknown"), &json!("unknown"), &json!(true)), "{problem:#}");
    assert!(!server.ended().await?.success(), "it does not go on with what it does not know");

    let server = server.restart().await?;
    for again in [n, n, n + 1] {
        produce(&server, again).await?.expect(200)?;
    }
    let mut found = Vec::new();
    for offset in 0..=n + 1 {
        let path = format!("/v1/topics/t/partitions/0/records?offset={offset}&limit=1");
        let page = server.get(&path).await?.expect(200)?.json()?;
        let record = &page["records"][0];
        ensure!(record["offset"] == offset && record["value"] == text, "what is at {offset} is not whole");
        found.push(record["key"].as_str().context("a key")?.parse::<u64>()?);
    }
    assert_eq!(found, (0..=n + 1).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_stop_waits_for_a_produce_that_has_begun() -> Result<()> {
    let mut server = Server::start().await?;
    server.topic("t", 1).await?;
    let body = br#"{"value":1}"#;
    let mut stream = begun(&server, body.len())?;
    server.terminate()?;
    // The door is closed for others once the stop has begun.
    while TcpStream::connect(server.address()).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    assert!(server.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn nothing_goes_past_a_transform_that_fails_unless_its_deployment_says_open() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("redact-json").await?.expect(201)?;
    let spec = |on_fault: &str| {
        json!({
            "kind": "inline", "module": "redact-json", "input": { "topics": ["t"] }, "on_fault": on_fault,
            "limits": { "output": { "bytes": "1" } }
        })
    };
    server.put("/v1/deployments/redact", &spec("closed")).await?.expect(201)?;
    let record = json!({ "value": { "email": "ada@example.org" } });
    let refused = server.post("/v1/topics/t/records", &record).await?.expect(503)?;
    let problem = refused.json()?;
    assert_eq!((&problem["code"], &problem["side_effects"]), (&json!("transform_failed"), &json!("none")));
    assert!(refused.header("retry-after").parse::<u32>()? >= 1);
    let stored = async || -> Result<Value> {
        let page = server.get("/v1/topics/t/records").await?.expect(200)?.json()?;
        Ok(page["records"].as_array().context("records")?.len().into())
    };
    assert_eq!(stored().await?, 0);

    server.put("/v1/deployments/redact", &spec("open")).await?.expect(200)?;
    server.post("/v1/topics/t/records", &record).await?.expect(200)?;
    assert_eq!(stored().await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_etag_lets_one_of_two_changes_through() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("word-count").await?.expect(201)?;
    let spec = |order: u32| {
        json!({
            "kind": "processor", "module": "word-count", "input": { "topics": ["t"] },
            "params": { "order": order.to_string() },
            "output": { "default": "out", "create_topics": { "partitions": 1 } }
        })
    };
    let created = server.put("/v1/deployments/wc", &spec(1)).await?.expect(201)?;
    let etag = created.header("etag").to_owned();
    let change = async |method: Method, etag: &str| {
        let request = server.request(method, "/v1/deployments/wc").header("if-match", etag);
        server.send(request.json(&spec(2))).await
    };
    let changed = change(Method::PUT, &etag).await?.expect(200)?;
    change(Method::PUT, &etag).await?.expect(412)?;
    let delete =
        |etag: &str| server.request(Method::DELETE, "/v1/deployments/wc").header("if-match", etag.to_owned());
    server.send(delete(&etag)).await?.expect(412)?;
    server.send(delete(changed.header("etag"))).await?.expect(204)?;
    Ok(())
}
