//! Problems that take more than a bad request: those of time, and of a stop. A full disk, a write whose outcome is not known,
//! and a request that meets another with its key cannot be brought about from outside.

#![expect(clippy::disallowed_methods, reason = "a client's waiting is no part of the server")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

fn connect(server: &Server) -> Result<TcpStream> {
    let stream = TcpStream::connect(server.address())?;
    // Longer than any wait of the server in these tests.
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(stream)
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_to_who_begins_with_it() -> Result<()> {
    let server = Server::start().await?;
    let mut stream = connect(&server)?;
    let frame = |kind: u8, flags: u8, id: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, id], payload].concat()
    };
    // Entries of HPACK's static table: GET is 2, http is 6; path is 4 and authority 1, with values of their own.
    let text = |name: u8, value: &str| [&[name, value.len() as u8][..], value.as_bytes()].concat();
    let head = [&[0x82, 0x86][..], &text(0x04, "/healthz"), &text(0x01, server.address())].concat();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&frame(4, 0, 0, &[]))?;
    // The headers end, and so does the stream.
    stream.write_all(&frame(1, 0x5, 1, &head))?;
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header)?;
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        ensure!(
            header[3] != 3 && header[3] != 7,
            "the stream or the connection is given up: {header:?} {payload:?}"
        );
        if header[3] == 1 {
            // :status 200 is entry 8.
            assert!(payload.contains(&0x88), "{payload:?}");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let mut stream = connect(&server)?;
    let head = format!(
        "POST /v1/topics/t/records HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.address()
    );
    stream.write_all(head.as_bytes())?;
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("retryable") {
            match stream.read(&mut piece)? {
                0 => break,
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        anyhow::Ok(String::from_utf8(answer)?)
    });
    let answer = answer.await??;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("\"code\":\"request_timeout\""),
        "{answer}"
    );
    Ok(())
}

#[tokio::test]
async fn a_request_that_waits_is_told_when_the_server_stops() -> Result<()> {
    let mut server = Server::start().await?;
    server.topic("t", 1).await?;
    let body = json!({ "topics": ["t"], "wait": "60s" });
    let pull = server.request(Method::POST, "/v1/groups/g/pull").json(&body).send();
    let waiting = tokio::spawn(pull);
    server.until("/v1/groups/g", |group| group["state"] == "Stable").await?;
    server.terminate()?;
    let answer = waiting.await??;
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str()?), (503, "1"));
    let problem: Value = answer.json().await?;
    assert_eq!((&problem["code"], &problem["retryable"]), (&json!("draining"), &json!(true)));
    ensure!(server.ended().await?.success(), "the server ends well");
    Ok(())
}

#[tokio::test]
async fn a_pull_that_is_given_up_unanswered_gives_its_member_back() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let body = json!({ "topics": ["t"], "wait": "60s", "session_timeout": "10m" });
    let pull = server.request(Method::POST, "/v1/groups/g/pull").json(&body).send();
    let waiting = tokio::spawn(pull);
    server.until("/v1/groups/g", |group| group["state"] == "Stable").await?;
    waiting.abort();
    // Its session would last ten minutes more.
    let is_left = |group: &Value| group["members"] == json!([]) || group["code"] == "group_not_found";
    server.until("/v1/groups/g", is_left).await?;
    let record = json!({ "value": 1 });
    server.post("/v1/topics/t/records", &record).await?.expect(200)?;
    let next =
        server.post("/v1/groups/g/pull", &json!({ "topics": ["t"], "wait": "30s" })).await?.expect(200)?;
    assert_eq!(next.json()?["records"].as_array().map(Vec::len), Some(1), "{}", next.text());
    Ok(())
}
