//! Shadow runs through the public interface: what is compared, what is told, when they end, and that nothing is
//! published.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

const SHADOW: &str = "/v1/deployments/totals/shadow";

/// A server whose deployment `totals` counts the topic `in` by key, and has counted 40 records.
async fn counting() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 2).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.upload("word-count").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    });
    server.put("/v1/deployments/totals", &spec).await?.expect(201)?;
    produce(&server, 0..40).await?;
    Ok(server)
}

/// Produces, and waits until the deployment has taken everything.
async fn produce(server: &Server, range: std::ops::Range<u64>) -> Result<()> {
    let (start, end) = (range.start, range.end);
    let records: Vec<_> =
        range.map(|n| json!({ "key": format!("k{}", n % 5), "value": { "amount": n } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200)?;
    let taken = |d: &Value| {
        let offsets = d["tasks"].as_array().into_iter().flatten();
        let offset = |t: &Value| t["positions"][0]["offset"].as_u64().unwrap_or(0);
        offsets.map(offset).sum::<u64>() >= end
    };
    server.until("/v1/deployments/totals", taken).await.with_context(|| format!("{start}..{end}"))?;
    Ok(())
}

async fn published(server: &Server) -> Result<usize> {
    let out = server.get("/v1/topics/out/records?limit=1000").await?.expect(200)?.json()?;
    Ok(out["records"].as_array().context("records")?.len())
}

#[tokio::test]
async fn the_same_code_over_a_copy_of_the_state_makes_no_difference() -> Result<()> {
    let server = counting().await?;
    let begun = server.post(SHADOW, &json!({ "records": 30 })).await?.expect(202)?.json()?;
    assert_eq!(
        (&begun["running"], &begun["module"]),
        (&json!(true), &json!("count-by-key@0.1.0")),
        "{begun:#}"
    );
    produce(&server, 40..80).await?;
    let done = server.until(SHADOW, |s| s["running"] == false).await?;
    let counts = (&done["records_compared"], &done["equal"], &done["different"]);
    assert_eq!(counts, (&json!(30), &json!(30), &json!(0)), "{done:#}");
    assert!(done["ended_by"].as_str().context("ended_by")?.contains("as many records"), "{done:#}");
    assert!(done["candidate"]["cpu_us_per_record"].as_f64().context("cpu")? > 0.0, "{done:#}");
    assert_eq!(published(&server).await?, 80, "the shadow publishes nothing");
    let key = server.get("/v1/deployments/totals/stores/totals/keys/k1").await?.expect(200)?.json()?;
    assert_eq!(key["count"], 16, "the shadow counts for itself alone");
    Ok(())
}

#[tokio::test]
async fn other_code_is_told_apart_by_outputs_and_state() -> Result<()> {
    let server = counting().await?;
    let body = json!({ "module": "word-count", "state": "empty", "from": "earliest", "records": 40 });
    server.post(SHADOW, &body).await?.expect(202)?;
    server.until(SHADOW, |s| s["running"] == false).await?;
    let done = server.until(SHADOW, |s| s["state_differences"] != json!([])).await?;
    assert_eq!((&done["equal"], &done["different"]), (&json!(0), &json!(40)), "{done:#}");
    let first = &done["differences"][0];
    assert_eq!(first["topic"], "in", "{done:#}");
    assert_eq!(first["expected"]["outputs"][0]["topic"], "out", "{done:#}");
    assert_ne!(first["expected"]["outputs"], first["found"]["outputs"]);
    let state = &done["state_differences"][0];
    assert_ne!(state["before"], state["after"], "{done:#}");
    assert_eq!(done["more_state_differences"], true, "twenty are shown");
    assert_eq!(published(&server).await?, 40);

    server.send(server.request(Method::DELETE, SHADOW)).await?.expect(204)?;
    server.get(SHADOW).await?.expect(404)?;
    server.send(server.request(Method::DELETE, SHADOW)).await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn a_change_of_its_deployment_ends_a_shadow_run_and_says_so() -> Result<()> {
    let server = counting().await?;
    server.post(SHADOW, &json!({})).await?.expect(202)?;
    let again = server.post(SHADOW, &json!({})).await?.expect(409)?.json()?;
    assert_eq!(again["code"], "shadow_conflict", "{again:#}");
    let long = server.post(SHADOW, &json!({ "duration": "2h" })).await?.expect(422)?.json()?;
    assert_eq!((&long["code"], &long["errors"][0]["pointer"]), (&json!("invalid_body"), &json!("/duration")));
    let rewind = json!({ "to": "earliest", "state": "clear" });
    server.post("/v1/deployments/totals/rewind", &rewind).await?.expect(200)?;
    let ended = server.get(SHADOW).await?.expect(200)?.json()?;
    assert!(ended["ended_by"].as_str().context("ended_by")?.contains("revision 2"), "{ended:#}");

    let refused = [(json!({ "module": "nobody" }), 422), (json!({ "duration": "soon" }), 422)];
    for (body, status) in refused {
        server.post(SHADOW, &body).await?.expect(status)?;
    }
    server.post(SHADOW, &json!({})).await?.expect(202)?;
    let server = server.restart().await?;
    server.get(SHADOW).await?.expect(404)?;
    server.until("/v1/deployments/totals", |d| d["totals"]["lag"] == 0 && d["state"] == "running").await?;
    let key = server.get("/v1/deployments/totals/stores/totals/keys/k1").await?.expect(200)?.json()?;
    assert_eq!(key["count"], 8, "a kill during a shadow run changes nothing");
    Ok(())
}

#[tokio::test]
async fn a_transforms_shadow_hears_what_is_produced() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("redact-json").await?.expect(201)?;
    let spec = json!({
        "kind": "inline", "module": "redact-json", "input": { "topics": ["in"] }, "params": { "fields": "email" }
    });
    server.put("/v1/deployments/totals", &spec).await?.expect(201)?;
    server.post(SHADOW, &json!({ "params": { "fields": "email,ip" }, "records": 3 })).await?.expect(202)?;
    let body = json!({ "records": [
        { "value": { "email": "a@b" } }, { "value": { "ip": "1.2.3.4" } }, { "value": { "n": 1 } },
    ] });
    server.post("/v1/topics/in/records", &body).await?.expect(200)?;
    let done = server.until(SHADOW, |s| s["running"] == false).await?;
    assert_eq!((&done["equal"], &done["different"]), (&json!(2), &json!(1)), "{done:#}");
    let difference = &done["differences"][0];
    assert_eq!(difference["offset"], 1, "{done:#}");
    assert_eq!(difference["found"]["outputs"][0]["value"]["ip"], "***", "{done:#}");
    let stored = server.get("/v1/topics/in/records").await?.expect(200)?.json()?;
    assert_eq!(stored["records"][1]["value"]["ip"], "1.2.3.4", "what is stored is the live one's");
    assert_eq!(stored["records"].as_array().context("records")?.len(), 3);
    Ok(())
}
