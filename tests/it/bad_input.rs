//! Bad requests, each with the exact status and code that it gets. Whatever is sent, the answer is a problem document,
//! and the server goes on.

mod cases;

use std::io::{Read as _, Write as _};

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use super::support::Server;
#[tokio::test]
async fn every_bad_request_gets_its_own_code() -> Result<()> {
    let server = Server::start().await?;
    prepare(&server).await?;
    let cases = cases::all();
    assert!(cases.len() >= 60, "{} cases", cases.len());

    let mut wrong = Vec::new();
    for case in &cases {
        let (method, path) = case.request.split_once(' ').expect("a method and a path");
        let mut request = server.request(method.parse()?, path).body(case.body.clone());
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        let answer = server.send(request).await?;
        let problem = answer.json().unwrap_or_default();
        let found = (answer.status, problem["code"].as_str().unwrap_or_default());
        let page = format!("/problems/{}", case.code.replace('_', "-"));
        let is_problem = answer.header("content-type") == "application/problem+json"
            && problem["instance"].as_str() == Some(answer.header("x-request-id"))
            && problem["type"] == page.as_str();
        if found != (case.status, case.code) || !is_problem {
            let body: String = String::from_utf8_lossy(&case.body).chars().take(80).collect();
            let (status, code) = (case.status, case.code);
            wrong.push(format!("{} {body}\n  expected {status} {code}, got {}", case.request, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}

/// What some of the cases need: topics, modules, and deployments of both kinds.
async fn prepare(server: &Server) -> Result<()> {
    for topic in ["t", "text", "valid"] {
        server.topic(topic, 4).await?;
    }
    let small = json!({ "partitions": 1, "config": { "max.message.bytes": 1024 } });
    server.put("/v1/topics/small", &small).await?.expect(201)?;
    let keyed = json!({ "partitions": 1, "config": { "cleanup.policy": "compact" } });
    server.put("/v1/topics/keyed", &keyed).await?.expect(201)?;
    for module in ["word-count", "validate-json"] {
        server.upload(module).await?.expect(201)?;
    }
    let words = json!({
        "kind": "processor", "module": "word-count",
        "input": { "topics": ["text"] }, "output": { "default": "counts", "create_topics": { "partitions": 1 } },
        "state": { "stores": [{ "name": "counts" }] }
    });
    server.put("/v1/deployments/wc", &words).await?.expect(201)?;
    let validate = json!({
        "kind": "inline", "module": "validate-json", "input": { "topics": ["valid"] },
        "params": { "required": "user,item" }
    });
    server.put("/v1/deployments/validate", &validate).await?.expect(201)?;
    Ok(())
}

/// What reqwest would not send.
#[tokio::test]
async fn heads_that_are_no_heads_are_refused_too() -> Result<()> {
    let server = Server::start().await?;
    let long_header = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-long: {}\r\n\r\n",
        "a".repeat(70_000)
    );
    let long_path =
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "a".repeat(20_000));
    let cases = [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400, "invalid_header"),
        (
            "GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            400,
            "invalid_header",
        ),
        (long_header.as_str(), 431, "headers_too_large"),
        (long_path.as_str(), 414, "uri_too_long"),
        (
            "BREW /v1/topics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            405,
            "method_not_allowed",
        ),
    ];
    for (head, status, code) in cases {
        let answer = raw(&server, head)?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.60}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{head:.60}: {answer}");
    }
    for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"] {
        let answer = raw(&server, nonsense)?;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{nonsense:?}: {answer}");
    }
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}

/// Sends bytes and reads what comes until the server hangs up.
fn raw(server: &Server, head: &str) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    // A reset after the answer is the server's right.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A line that fails does not stop the others, and is named.
#[tokio::test]
async fn bad_lines_fail_alone() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    let body = "{\"value\":1}\nnot json\n\n{\"vlue\":1}\n{\"value\":2,\"partition\":7}\n{\"value\":3}";
    let request =
        server.request(Method::POST, "/v1/topics/t/records").header("content-type", "application/x-ndjson");
    let summary = server.send(request.body(body)).await?.expect(200)?.json()?;
    assert_eq!(
        (&summary["lines"], &summary["stored"], &summary["failed"]),
        (&json!(5), &json!(2), &json!(3))
    );
    let failures: Vec<_> =
        summary["errors"].as_array().expect("a list").iter().map(|e| (&e["line"], &e["code"])).collect();
    let (malformed, invalid) = (json!("malformed_json"), json!("invalid_record"));
    assert_eq!(failures, [(&json!(2), &malformed), (&json!(4), &invalid), (&json!(5), &invalid)]);
    Ok(())
}
