//! Sources through the public interface: polled by the server, records and cursor in one commit.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

/// A deployment of the guest that counts.
fn ticker(params: Value, more: Value) -> Value {
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
    let spec = ticker(json!({ "batch": 7, "until": 400, "more": true }), json!({}));
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
        .put("/v1/deployments/src", &ticker(json!({ "batch": 9, "until": 9 }), json!({})))
        .await?
        .expect(201)?;
    until_at(&server, "9").await?;
    let numbers = numbers(&server).await?;
    let records: Vec<_> = numbers.iter().filter(|n| !n.2.is_null()).map(|n| json!({ "key": n.2 })).collect();
    let placed = server.post("/v1/topics/numbers/records", &json!({ "records": records })).await?;
    let placed = placed.expect(200)?.json()?;
    let placed: Vec<_> =
        placed["records"].as_array().context("records")?.iter().map(|r| r["partition"].clone()).collect();
    let polled: Vec<_> = numbers.iter().filter(|n| !n.2.is_null()).map(|n| json!(n.1)).collect();
    assert_eq!(polled, placed);
    Ok(())
}

#[tokio::test]
async fn a_paused_source_keeps_its_cursor_and_can_be_rewound() -> Result<()> {
    let server = server().await?;
    server.put("/v1/deployments/src", &ticker(json!({ "until": 3 }), json!({}))).await?.expect(201)?;
    until_at(&server, "3").await?;
    let verb = |verb: &str| format!("/v1/deployments/src/{verb}");
    let paused = server.post(&verb("pause"), &json!({})).await?.expect(202)?.json()?;
    assert_eq!(paused["tasks"][0]["source"]["cursor"], "3", "{paused:#}");

    let latest = server.post(&verb("rewind"), &json!({ "to": "latest" })).await?.expect(409)?.json()?;
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
    server.put("/v1/deployments/src", &ticker(json!({ "until": 4 }), json!({}))).await?.expect(201)?;
    until_at(&server, "4").await?;
    assert_eq!(values(&numbers(&server).await?).len(), 9, "it has gone on at the cursor that was kept");
    Ok(())
}

#[tokio::test]
async fn a_poll_that_fails_follows_on_error() -> Result<()> {
    let server = server().await?;
    let params = json!({ "until": 9, "panic": 2 });
    server.put("/v1/deployments/src", &ticker(params.clone(), json!({}))).await?.expect(201)?;
    let failed = server.until("/v1/deployments/src", |d| d["state"] == "failed").await?;
    assert_eq!(
        (&failed["last_error"]["code"], &failed["last_error"]["attempt"]),
        (&json!("trap"), &json!(2))
    );
    assert_eq!(failed["tasks"][0]["source"]["cursor"], "2", "what came before is committed");

    let skip = json!({ "on_error": { "policy": "skip", "max_retries": 0, "backoff": "1ms" } });
    server.put("/v1/deployments/src", &ticker(params, skip)).await?.expect(200)?;
    let skipping =
        server.until("/v1/deployments/src", |d| d["totals"]["skipped"].as_u64() >= Some(2)).await?;
    assert_eq!(skipping["tasks"][0]["source"]["cursor"], "2", "{skipping:#}");

    // It asks for time more often than max_retries, and goes on once it is ready.
    server
        .put("/v1/deployments/src", &ticker(json!({ "until": 9, "retry": 2 }), json!({})))
        .await?
        .expect(200)?;
    let errors = |d: &Value| d["totals"]["errors"].as_u64() >= Some(4);
    let retrying = server.until("/v1/deployments/src", errors).await?;
    assert_eq!((&retrying["state"], &retrying["last_error"]["code"]), (&json!("retrying"), &json!("retry")));
    server.put("/v1/deployments/src", &ticker(json!({ "until": 9 }), json!({}))).await?.expect(200)?;
    until_at(&server, "9").await?;
    assert_eq!(values(&numbers(&server).await?), (0..9).collect::<Vec<_>>());
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
    assert_eq!(refused(ticker(json!({}), letters)).await?, ["/source/interval", "/on_error/policy"]);
    assert_eq!(refused(ticker(json!({}), json!({ "input": { "topics": ["a"] } }))).await?, ["/input"]);
    let processor = json!({ "kind": "processor", "module": "ticker" });
    assert_eq!(refused(processor).await?, ["/input"]);

    server.topic("in", 1).await?;
    let processor = json!({ "kind": "processor", "module": "ticker", "input": { "topics": ["in"] } });
    let kind = server.put("/v1/deployments/src", &processor).await?.expect(422)?.json()?;
    assert!(kind["detail"].as_str().unwrap_or_default().contains("exports `source`"), "{kind}");

    server.put("/v1/deployments/src", &ticker(json!({ "until": 1 }), json!({}))).await?.expect(201)?;
    let state = server.get("/v1/deployments/src/stores").await?.expect(409)?.json()?;
    assert_eq!(state["code"], "deployment_has_no_state");
    Ok(())
}
