//! Code that takes its time to open: others are deployed, changed and deleted meanwhile, and what it was opened for is looked
//! at again before it runs. How long it takes, a server of the test decides.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use millstream::model::limits::OPENS_MAX;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::{Answer, Server};

/// Whom code asks before it starts.
struct Gate {
    url: String,
    /// a permit for each that has asked
    asked: Arc<Semaphore>,
    /// a permit for each that may go on
    open: Arc<Semaphore>,
}

type Permits = (Arc<Semaphore>, Arc<Semaphore>);

async fn answer(State((asked, open)): State<Permits>, RawQuery(again): RawQuery) -> StatusCode {
    if again.is_none() {
        asked.add_permits(1);
    }
    match tokio::time::timeout(Duration::from_secs(1), open.acquire()).await {
        Ok(Ok(permit)) => {
            permit.forget();
            StatusCode::OK
        }
        Ok(Err(_)) => StatusCode::GONE,
        Err(_) => StatusCode::ACCEPTED,
    }
}

impl Gate {
    #[expect(clippy::disallowed_methods, reason = "whom it asks is no part of the server")]
    async fn new() -> Result<Self> {
        let (asked, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let routes = Router::new().route("/", get(answer)).with_state((asked.clone(), open.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, asked, open })
    }

    /// Waits until one has asked.
    async fn until_asked(&self) -> Result<()> {
        self.asked.acquire().await?.forget();
        Ok(())
    }

    /// A sink that begins to open.
    async fn put(&self, server: &Server, path: &str) -> Result<JoinHandle<Result<Answer>>> {
        self.put_with(server, path, "none").await
    }

    /// The same with a parameter more.
    #[expect(clippy::disallowed_methods, reason = "a request of the test")]
    async fn put_with(&self, server: &Server, path: &str, which: &str) -> Result<JoinHandle<Result<Answer>>> {
        let spec = json!({
            "kind": "sink", "module": "asking-sink", "input": { "topics": ["in"] },
            "params": { "url": self.url, "which": which }, "grants": { "http": [self.url] }, "limits": { "wall": "5m" }
        });
        let request = server.request(reqwest::Method::PUT, path).json(&spec);
        let sent = tokio::spawn(async move {
            let answer = request.send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
        });
        self.until_asked().await?;
        Ok(sent)
    }
}

fn counter() -> Value {
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    })
}

async fn prepared() -> Result<(Server, Gate)> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    for guest in ["asking-sink", "count-by-key"] {
        server.upload(guest).await?.expect(201)?;
    }
    Ok((server, Gate::new().await?))
}

/// Dry runs that hold every place there is for code that opens.
async fn fill(server: &Server, gate: &Gate) -> Result<Vec<JoinHandle<Result<Answer>>>> {
    let mut opening = Vec::new();
    for n in 0..OPENS_MAX {
        opening.push(gate.put(server, &format!("/v1/deployments/slow{n}?dry_run=true")).await?);
    }
    Ok(opening)
}

async fn delete(server: &Server, name: &str) -> Result<Answer> {
    server.send(server.request(reqwest::Method::DELETE, &format!("/v1/deployments/{name}"))).await
}

#[tokio::test]
async fn other_deployments_are_changed_while_code_opens() -> Result<()> {
    let (server, gate) = prepared().await?;
    let slow = gate.put(&server, "/v1/deployments/slow").await?;
    let dry = gate.put(&server, "/v1/deployments/dry?dry_run=true").await?;

    server.put("/v1/deployments/a", &counter()).await?.expect(201)?;
    server.put("/v1/deployments/b", &counter()).await?.expect(201)?;
    server.post("/v1/deployments/a/pause", &json!({})).await?.expect(202)?;
    delete(&server, "b").await?.expect(204)?;
    assert!(!slow.is_finished() && !dry.is_finished());
    server.get("/v1/deployments/slow").await?.expect(404)?;

    gate.open.add_permits(100);
    assert_eq!(slow.await??.expect(201)?.json()?["revision"], 1);
    dry.await??.expect(200)?;
    server.get("/v1/deployments/dry").await?.expect(404)?;
    let all = server.get("/v1/deployments").await?.expect(200)?.json()?;
    let names: Vec<_> = all["items"].as_array().context("items")?.iter().map(|d| d["name"].clone()).collect();
    assert_eq!(names, ["a", "slow"]);
    Ok(())
}

#[tokio::test]
async fn partitions_that_are_added_while_code_opens_are_read() -> Result<()> {
    let (server, gate) = prepared().await?;
    let slow = gate.put(&server, "/v1/deployments/slow").await?;
    let wider = server.request(reqwest::Method::PATCH, "/v1/topics/in").json(&json!({ "partitions": 3 }));
    server.send(wider).await?.expect(200)?;
    gate.open.add_permits(100);
    let made = slow.await??.expect(201)?.json()?;
    assert_eq!(made["tasks"].as_array().map(Vec::len), Some(3), "{made:#}");
    let records: Vec<_> = (0..3).map(|n| json!({ "partition": n, "value": n })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200)?;
    server.until("/v1/deployments/slow", |d| d["totals"]["records_in"] == 3).await?;
    Ok(())
}

#[tokio::test]
async fn of_two_that_change_a_deployment_at_once_the_later_one_opens_its_code_again() -> Result<()> {
    let (server, gate) = prepared().await?;
    let one = gate.put_with(&server, "/v1/deployments/slow", "one").await?;
    let two = gate.put_with(&server, "/v1/deployments/slow", "two").await?;
    gate.open.add_permits(100);
    let answers = [one.await??, two.await??];
    let mut told = Vec::new();
    for answer in answers {
        let view = answer.json()?;
        told.push((answer.status, view["revision"].as_u64(), view["spec"]["params"]["which"].clone()));
    }
    told.sort_by_key(|(_, revision, _)| *revision);
    assert_eq!((told[0].0, told[0].1, told[1].0, told[1].1), (201, Some(1), 200, Some(2)), "{told:?}");
    gate.until_asked().await?;
    let now = server.get("/v1/deployments/slow").await?.expect(200)?.json()?;
    assert_eq!(now["spec"]["params"]["which"], told[1].2, "the later one is in force: {now:#}");
    Ok(())
}

#[tokio::test]
async fn a_module_that_is_deleted_while_its_code_opens_is_not_deployed() -> Result<()> {
    let (server, gate) = prepared().await?;
    let slow = gate.put(&server, "/v1/deployments/slow").await?;
    let unused = server.request(reqwest::Method::DELETE, "/v1/modules/asking-sink");
    server.send(unused).await?.expect(204)?;
    gate.open.add_permits(100);
    let refused = slow.await??.expect(422)?.json()?;
    assert_eq!(refused["errors"][0]["pointer"], "/module", "{refused:#}");
    server.get("/v1/deployments/slow").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn code_that_finds_no_place_to_open_is_refused() -> Result<()> {
    let (server, gate) = prepared().await?;
    let opening = fill(&server, &gate).await?;
    for path in ["/v1/deployments/a", "/v1/deployments/a?dry_run=true"] {
        let refused = server.put(path, &counter()).await?.expect(503)?;
        assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
        assert_eq!(refused.json()?["code"], "overloaded");
    }
    assert!(opening.iter().all(|dry| !dry.is_finished()), "those that hold the places go on");
    server.get("/v1/deployments/a").await?.expect(404)?;

    gate.open.add_permits(100);
    for dry in opening {
        dry.await??.expect(200)?;
    }
    server.put("/v1/deployments/a", &counter()).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_ends_with_its_request() -> Result<()> {
    let (server, gate) = prepared().await?;
    // Whom they ask never lets them go on: only their clients can end them before their five minutes are over.
    for dry in fill(&server, &gate).await? {
        dry.abort();
    }
    let ended = async {
        loop {
            let put = server.put("/v1/deployments/a", &counter()).await?;
            if put.status != 503 {
                return put.expect(201);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ended).await.context("the places are still taken")??;
    Ok(())
}
