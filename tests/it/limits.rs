//! Limits of deployments and the operator's ceiling over them.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

fn counter() -> Value {
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    })
}

async fn produce(server: &Server, keys: u64) -> Result<()> {
    let records: Vec<_> = (0..keys).map(|n| json!({ "key": format!("k{n}"), "value": { "n": n } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

#[tokio::test]
async fn a_deployment_above_the_ceiling_is_refused_and_one_stored_before_goes_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "[limits]\nlog_lines = 500\n")?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    let mut spec = counter();
    spec["limits"] = json!({ "memory": "128MiB", "log_lines": 501 });
    let refused = server.put("/v1/deployments/d", &spec).await?.expect(422)?.json()?;
    assert_eq!(refused["errors"][0]["pointer"], "/limits/log_lines", "{refused:#}");
    let expected = "501, this server allows at most 500 (`limits.log_lines` in its settings)";
    assert_eq!(refused["errors"][0]["detail"], expected);
    spec["limits"]["log_lines"] = json!(500);
    let made = server.put("/v1/deployments/d", &spec).await?.expect(201)?.json()?;
    assert_eq!(made["spec"]["limits"]["wall"], "30s", "defaults are shown: {made:#}");
    assert_eq!(made["spec"]["state"]["max_keys"], 100_000_000);

    std::fs::write(&settings, "[limits]\nmemory = \"64MiB\"\ndeployments = 1\n")?;
    let server = server.restart().await?;
    produce(&server, 3).await?;
    let view = server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 3).await?;
    let notes = view["notes"].to_string();
    assert!(notes.contains("/limits/memory is 128MiB, this server allows at most 64MiB"), "{notes}");
    server.put("/v1/deployments/d", &spec).await?.expect(200)?;
    spec["params"] = json!({ "a": "b" });
    server.put("/v1/deployments/d", &spec).await?.expect(422)?;
    let full = server.put("/v1/deployments/e", &counter()).await?.json()?;
    assert!(full["detail"].to_string().contains("`limits.deployments`"), "{full:#}");
    Ok(())
}

#[tokio::test]
async fn state_has_a_limit_of_keys_that_is_named_when_it_is_passed() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    let mut spec = counter();
    spec["state"] = json!({ "max_keys": 3 });
    spec["on_error"] = json!({ "policy": "stop", "max_retries": 0 });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    produce(&server, 5).await?;
    let failed = server.until("/v1/deployments/d", |d| d["state"] == "failed").await?;
    assert_eq!(failed["tasks"][0]["positions"][0]["offset"], 3, "{failed:#}");
    let error = &failed["last_error"];
    assert_eq!(error["code"], "state_limit", "{error:#}");
    let message = error["message"].to_string();
    assert!(message.contains("state of 4 keys, at most 3 are allowed (`state.max_keys`)"), "{message}");

    spec["state"]["max_keys"] = json!(5);
    server.put("/v1/deployments/d", &spec).await?.expect(200)?;
    server.until("/v1/deployments/d", |d| d["totals"]["lag"] == 0 && d["state"] == "running").await?;
    Ok(())
}

#[tokio::test]
async fn partitions_take_turns_when_a_deployment_may_have_one_instance() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 4).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.upload("validate-json").await?.expect(201)?;
    let mut spec = counter();
    spec["limits"] = json!({ "instances": 1 });
    server.put("/v1/deployments/counts", &spec).await?.expect(201)?;
    let inline = json!({
        "kind": "inline", "module": "validate-json", "input": { "topics": ["in"] }, "limits": { "instances": 1 },
        "params": { "required": "n" }
    });
    let checked = server.put("/v1/deployments/checks", &inline).await?;
    assert_eq!(checked.status, 201, "{}", checked.text());
    for _ in 0..5 {
        produce(&server, 40).await?;
    }
    let view = server.until("/v1/deployments/counts", |d| d["totals"]["records_in"] == 200).await?;
    let alive = |task: &&Value| task["memory_bytes"] != 0;
    let tasks = view["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(tasks.iter().filter(alive).count() <= 1, "{view:#}");
    assert_eq!(server.get("/v1/deployments/checks").await?.json()?["totals"]["records_in"], 200);
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_busy_with_others_fails_no_deployment() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "[limits]\nnode_instances = 1\n")?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    for guest in ["count-by-key", "redact-json"] {
        server.upload(guest).await?.expect(201)?;
    }
    for topic in ["in", "a", "b"] {
        server.topic(topic, 1).await?;
    }
    let inline = |topic: &str| {
        json!({
            "kind": "inline", "module": "redact-json", "input": { "topics": [topic] },
            "params": { "fields": "email" }, "on_fault": "open",
        })
    };
    server.put("/v1/deployments/first", &inline("a")).await?.expect(201)?;
    server.put("/v1/deployments/second", &inline("b")).await?.expect(201)?;
    let mut spec = counter();
    spec["on_error"] = json!({ "policy": "stop", "max_retries": 0, "backoff": "10ms" });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;

    let record = json!({ "records": [{ "value": { "email": "a@b.c" } }] });
    // It keeps the node's one instance.
    server.post("/v1/topics/a/records", &record).await?.expect(200)?;
    let refused = server.post("/v1/topics/b/records", &record).await?.expect(503)?.json()?;
    assert_eq!(refused["code"], "overloaded", "open does not let records pass it: {refused:#}");
    produce(&server, 3).await?;
    let waits = server.until("/v1/deployments/d", |d| d["last_error"]["code"] == "node_busy").await?;
    assert_eq!(waits["state"], "retrying", "{waits:#}");

    server.send(server.request(Method::DELETE, "/v1/deployments/first")).await?.expect(204)?;
    server.until("/v1/deployments/d", |d| d["totals"]["lag"] == 0 && d["state"] == "running").await?;
    Ok(())
}

#[tokio::test]
async fn every_ceiling_is_named_with_its_setting_and_holds_at_every_door() -> Result<()> {
    let cases = [
        ("memory = \"32MiB\"", "/limits/memory", json!({ "limits": { "memory": "33MiB" } }), "memory"),
        ("cpu = \"1s\"", "/limits/cpu", json!({ "limits": { "cpu": "2s" } }), "cpu"),
        ("wall = \"2s\"", "/limits/wall", json!({ "limits": { "wall": "3s" } }), "wall"),
        ("instances = 2", "/limits/instances", json!({ "limits": { "instances": 3 } }), "instances"),
        ("log_lines = 7", "/limits/log_lines", json!({ "limits": { "log_lines": 8 } }), "log_lines"),
        (
            "output_bytes = \"1MiB\"",
            "/limits/output/bytes",
            json!({ "limits": { "output": { "bytes": "2MiB" } } }),
            "output_bytes",
        ),
        (
            "output_records = 10",
            "/limits/output/records",
            json!({ "limits": { "output": { "records": 11 } } }),
            "output_records",
        ),
        (
            "state_bytes = \"1MiB\"",
            "/state/max_bytes",
            json!({ "state": { "max_bytes": "2MiB" } }),
            "state_bytes",
        ),
        ("state_keys = 5", "/state/max_keys", json!({ "state": { "max_keys": 6 } }), "state_keys"),
        ("state_timers = 5", "/state/max_timers", json!({ "state": { "max_timers": 6 } }), "state_timers"),
    ];
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings.toml");
    let lines: Vec<_> = cases.iter().map(|(setting, ..)| *setting).collect();
    std::fs::write(&settings, format!("[limits]\n{}\n", lines.join("\n")))?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    // Whoever asks for nothing gets what is allowed.
    let made = server.put("/v1/deployments/d", &counter()).await?.expect(201)?.json()?;
    for (_, pointer, ..) in &cases {
        assert!(!made["spec"].pointer(pointer).context(*pointer)?.is_null(), "{pointer}: {made:#}");
    }
    for (_, pointer, more, setting) in &cases {
        let mut spec = counter();
        spec.as_object_mut().context("a spec")?.extend(more.as_object().context("members")?.clone());
        let answers = [
            server.put("/v1/deployments/e", &spec).await?,
            server.put("/v1/deployments/e?dry_run=true", &spec).await?,
            server.send(server.request(Method::PATCH, "/v1/deployments/d").json(more)).await?,
        ];
        for answer in answers {
            let refused = answer.expect(422)?.json()?;
            assert_eq!(refused["code"], "invalid_deployment", "{refused:#}");
            let problems = refused["errors"].as_array().context("places")?;
            assert_eq!(problems.len(), 1, "{refused:#}");
            let detail = problems[0]["detail"].to_string();
            assert_eq!(problems[0]["pointer"], *pointer);
            assert!(detail.contains("this server allows at most"), "{detail}");
            assert!(detail.contains(&format!("`limits.{setting}` in its settings")), "{detail}");
        }
    }
    let kept = server.get("/v1/deployments/d").await?.json()?;
    assert_eq!(kept["revision"], 1, "{kept:#}");
    Ok(())
}
