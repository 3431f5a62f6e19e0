//! Topics, modules, deployments, state and logs over HTTP, from nothing to an answer.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{self, Server};

#[tokio::test]
async fn a_topic_lives_its_life() -> Result<()> {
    let server = Server::start().await?;
    let new = json!({ "name": "t", "partitions": 2, "config": { "retention.ms": 60000 } });
    let created = server.post("/v1/topics", &new).await?.expect(201)?;
    assert_eq!((created.header("location"), created.header("etag")), ("/v1/topics/t", "\"1\""));
    let same = json!({ "partitions": 2, "config": { "retention.ms": "60000" } });
    server.put("/v1/topics/t", &same).await?.expect(200)?;

    let change = |path: &str, tag: &str, body: Value| {
        server.request(Method::PATCH, path).header("if-match", tag).json(&body)
    };
    let more = json!({ "partitions": 3, "config": { "retention.ms": null, "durability": "os" } });
    let dry =
        server.send(change("/v1/topics/t?dry_run=true", "\"1\"", more.clone())).await?.expect(200)?.json()?;
    assert_eq!(dry["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(server.get("/v1/topics/t").await?.json()?["revision"], 1);
    let changed = server.send(change("/v1/topics/t", "\"1\"", more)).await?.expect(200)?.json()?;
    assert_eq!((&changed["revision"], &changed["config"]), (&json!(2), &json!({ "durability": "os" })));
    server.send(change("/v1/topics/t", "\"1\"", json!({}))).await?.expect(412)?;

    let config = server.get("/v1/topics/t/config").await?.json()?;
    let durability = config["items"].as_array().context("a list")?.iter().find(|c| c["name"] == "durability");
    let durability = durability.context("the setting")?;
    assert_eq!(
        (&durability["value"], &durability["default"], &durability["source"]),
        (&json!("os"), &json!("fsync"), &json!("topic"))
    );

    let names = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|t| t["name"].as_str().map(str::to_owned))
            .collect()
    };
    server.topic("u", 1).await?;
    assert_eq!(names(&server.get("/v1/topics").await?.json()?), ["t", "u"]);
    assert_eq!(names(&server.get("/v1/topics?prefix=u").await?.json()?), ["u"]);
    assert!(
        names(&server.get("/v1/topics?internal=true").await?.json()?)
            .contains(&"__millstream_logs".to_owned())
    );
    server.send(server.request(Method::DELETE, "/v1/topics/t")).await?.expect(204)?;
    server.get("/v1/topics/t").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn words_are_counted_from_upload_to_query() -> Result<()> {
    let server = Server::start().await?;
    server.topic("text", 2).await?;

    let uploaded = server.upload("word-count").await?.expect(201)?.json()?;
    assert_eq!((&uploaded["version"], &uploaded["kind"]), (&json!("0.1.0"), &json!("processor-packed")));
    server.upload("word-count").await?.expect(200)?;
    let wit = server.get("/v1/modules/word-count/versions/0.1.0/wit").await?.expect(200)?;
    assert!(wit.text().contains("world"), "{}", wit.text());
    let bytes = server.get("/v1/modules/word-count/versions/latest/wasm").await?.expect(200)?;
    assert_eq!(bytes.body.len() as u64, uploaded["size"].as_u64().context("a size")?);

    let spec = json!({
        "kind": "processor", "module": "word-count", "input": { "topics": ["text"] },
        "output": { "default": "counts", "create_topics": { "partitions": 1 } }
    });
    let dry = server.put("/v1/deployments/wc?dry_run", &spec).await?.expect(200)?.json()?;
    assert_eq!((&dry["created"], &dry["changed"]), (&json!(true), &json!(true)));
    server.get("/v1/deployments/wc").await?.expect(404)?;
    let applied = server.put("/v1/deployments/wc", &spec).await?.expect(201)?;
    assert_eq!(applied.header("etag"), "\"1\"");
    assert_eq!(server.put("/v1/deployments/wc", &spec).await?.expect(200)?.json()?["revision"], 1);
    server.until("/v1/deployments/wc", |d| d["state"] == "running").await?;

    let stored = server
        .post("/v1/topics/text/records?format=text", &json!({ "value": "One two one", "partition": 1 }))
        .await?;
    let offset = stored.expect(200)?.json()?["results"][0]["offset"].as_u64().context("an offset")?;
    let key = format!("/v1/deployments/wc/stores/counts/keys/one?after=text:1:{offset}&wait=20s");
    let one = server.get(&key).await?.expect(200)?;
    assert_eq!(one.text(), "2");
    assert_eq!(one.header("x-state-position"), "text:1:1");
    let again = server.request(Method::GET, &key).header("if-none-match", one.header("etag"));
    server.send(again).await?.expect(304)?;
    let get = json!({ "keys": ["two", "three"] });
    let many =
        server.post("/v1/deployments/wc/stores/counts/get?partition=1", &get).await?.expect(200)?.json()?;
    assert_eq!(
        many["items"],
        json!([{ "found": true, "key": "two", "value": 1 }, { "found": false, "key": "three" }])
    );
    let first = server.get("/v1/deployments/wc/stores/counts/entries?limit=1").await?.expect(200)?.json()?;
    assert_eq!(first["items"], json!([{ "partition": 1, "key": "one", "value": 2 }]));
    let token = first["next_page_token"].as_str().context("a token")?;
    let second =
        server.get(&format!("/v1/deployments/wc/stores/counts/entries?page_token={token}")).await?.json()?;
    assert_eq!(second["items"], json!([{ "partition": 1, "key": "two", "value": 1 }]));
    let stores = server.get("/v1/deployments/wc/stores").await?.json()?;
    assert_eq!((&stores["items"][0]["name"], &stores["items"][0]["keys"]), (&json!("counts"), &json!(2)));

    let rewind = json!({ "to": "earliest", "state": "clear" });
    let plan = server.post("/v1/deployments/wc/rewind?dry_run=true", &rewind).await?.expect(200)?.json()?;
    assert_eq!(plan["replayed"], 1);
    let paused = server.post("/v1/deployments/wc/pause", &json!({})).await?.expect(202)?.json()?;
    assert_eq!((&paused["desired"], &paused["state"]), (&json!("paused"), &json!("paused")));
    server
        .post("/v1/deployments/wc/rewind", &json!({ "to": "earliest", "state": "clear" }))
        .await?
        .expect(200)?;
    server.get("/v1/deployments/wc/stores/counts/keys/one?partition=1").await?.expect(404)?;
    server.post("/v1/deployments/wc/resume", &json!({})).await?.expect(202)?;
    assert_eq!(server.get(&key).await?.expect(200)?.text(), "2");

    let patch = server.request(Method::PATCH, "/v1/deployments/wc").json(&json!({ "params": { "x": 1 } }));
    let patched = server.send(patch).await?.expect(200)?.json()?;
    assert_eq!(patched["spec"]["params"]["x"], "1");
    server.send(server.request(Method::DELETE, "/v1/deployments/wc")).await?.expect(204)?;
    server.send(server.request(Method::DELETE, "/v1/modules/word-count")).await?.expect(204)?;
    server.get("/v1/modules/word-count").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn an_upload_can_be_a_job() -> Result<()> {
    let server = Server::start().await?;
    let bytes = support::prebuilt("redact-json")?;
    let request = server.request(Method::PUT, "/v1/modules/r").header("prefer", "respond-async").body(bytes);
    let accepted = server.send(request).await?.expect(202)?;
    let job = server.until(accepted.header("location"), |job| job["state"] != "running").await?;
    assert_eq!((&job["state"], &job["module"]["name"]), (&json!("succeeded"), &json!("r")));

    // No path of a module stands in the way of a name.
    let named = server.upload_as("validate", "redact-json").await?.expect(201)?.json()?;
    assert_eq!(named["name"], "validate");
    server.get("/v1/modules/validate").await?.expect(200)?;

    let request =
        server.request(Method::PUT, "/v1/modules/bad").header("prefer", "respond-async").body("not wasm");
    let accepted = server.send(request).await?.expect(202)?;
    let job = server.until(accepted.header("location"), |job| job["state"] != "running").await?;
    assert_eq!((&job["state"], &job["problem"]["code"]), (&json!("failed"), &json!("invalid_module")));
    Ok(())
}

#[tokio::test]
async fn a_transform_runs_on_produce_and_its_verdicts_are_shown() -> Result<()> {
    let server = Server::start().await?;
    server.topic("events", 1).await?;
    server.upload("validate-json").await?.expect(201)?;
    let spec = json!({
        "kind": "inline", "module": "validate-json", "input": { "topics": ["events"] },
        "params": { "required": "user" }, "on_reject": "dead_letter"
    });
    server.put("/v1/deployments/check", &spec).await?.expect(201)?;
    let body = json!({ "records": [{ "value": { "user": 1 } }, { "value": { "item": 2 } }] });
    let results = server.post("/v1/topics/events/records", &body).await?.expect(200)?.json()?;
    assert_eq!(
        (&results["results"][0]["status"], &results["results"][1]["status"]),
        (&json!("stored"), &json!("dead_lettered"))
    );
    let letters = server.get("/v1/topics/check.dlq/records").await?.expect(200)?.json()?;
    assert_eq!(letters["records"][0]["value"], json!({ "item": 2 }));
    assert_eq!(server.get("/v1/deployments/check").await?.json()?["totals"]["dead_letters"], 1);
    server.get("/v1/deployments/check/logs").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_document_describes_every_route_and_code() -> Result<()> {
    let server = Server::start().await?;
    let document = server.get("/openapi.json").await?.expect(200)?.json()?;
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{}", document["openapi"]);
    let paths = document["paths"].as_object().context("paths")?;
    assert!(paths.len() >= 25, "{} paths", paths.len());
    for (path, item) in paths {
        for (method, operation) in item.as_object().context("a path")? {
            assert!(operation["responses"]["500"].is_object(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
        .as_array()
        .context("codes")?;
    for code in codes {
        let page = format!("/problems/{}", code.as_str().context("text")?.replace('_', "-"));
        let page = server.get(&page).await?.expect(200)?;
        assert!(page.text().contains("What to do"), "{}", page.text());
    }
    // No reference leads nowhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn operators_see_health_version_metrics_and_a_page() -> Result<()> {
    let server = Server::start().await?;
    assert_eq!(server.get("/healthz").await?.expect(200)?.text(), "ok\n");
    let ready = server.get("/readyz?verbose").await?.expect(200)?.json()?;
    assert_eq!((&ready["ready"], &ready["checks"]["storage"]["ok"]), (&json!(true), &json!(true)));
    let version = server.get("/version").await?.expect(200)?.json()?;
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["engine"].as_str().is_some_and(|e| e.starts_with("wasmtime ")), "{version}");
    let cluster = server.get("/v1/cluster").await?.expect(200)?.json()?;
    assert_eq!(cluster["listeners"]["http"], server.address().to_string());
    assert!(cluster["cluster_id"].as_str().is_some_and(|id| !id.is_empty()), "{cluster}");
    let config = server.get("/v1/config").await?.expect(200)?.json()?;
    let setting = |name: &str| {
        let all = config["settings"].as_array().into_iter().flatten();
        all.filter(|s| s["name"] == name).map(|s| s["origin"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(setting("http.addr"), ["the command line"]);
    assert_eq!(setting("drain").len(), 1);
    let page = server.get("/").await?.expect(200)?;
    assert!(page.text().contains(&format!("curl -X PUT http://{}/v1/topics/clicks", server.address())));
    let html =
        server.send(server.request(Method::GET, "/").header("accept", "text/html")).await?.expect(200)?;
    assert!(html.header("content-type").starts_with("text/html"));
    server.get("/v1/topics/none").await?.expect(404)?;
    let metrics = server.get("/metrics").await?.expect(200)?.text();
    let line = "millstream_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/topics/{topic}\",status=\"404\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    Ok(())
}
