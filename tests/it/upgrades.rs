//! The life of a deployment through the public interface: revisions and what they say of the past, upgrades, rollbacks, migration.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::{Server, prebuilt};

fn counter() -> Value {
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 2 } }
    })
}

async fn produce(server: &Server, count: u64) -> Result<()> {
    let records: Vec<_> =
        (0..count).map(|n| json!({ "key": format!("k{n}"), "value": { "amount": n } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

/// The kept revisions, newest first.
async fn revisions(server: &Server, name: &str) -> Result<Vec<Value>> {
    let mut page = server.get(&format!("/v1/deployments/{name}/revisions")).await?.expect(200)?.json()?;
    match page["items"].take() {
        Value::Array(items) => Ok(items),
        other => anyhow::bail!("no items: {other}"),
    }
}

/// Sum of the offsets from which a revision holds.
fn records_before(revision: &Value) -> u64 {
    let positions = revision["positions"].as_array().into_iter().flatten();
    positions.filter_map(|p| p["offset"].as_u64()).sum()
}

#[tokio::test]
async fn every_change_of_a_processor_is_a_revision_with_its_positions() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 2).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/d", &counter()).await?.expect(201)?;
    produce(&server, 10).await?;
    server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 10).await?;
    server.post("/v1/deployments/d/pause", &json!({})).await?.expect(202)?;
    let mut spec = counter();
    spec["params"] = json!({ "a/b": 7 });
    server.put("/v1/deployments/d", &spec).await?.expect(200)?;
    let back = json!({ "to": "earliest", "state": "clear" });
    server.post("/v1/deployments/d/rewind", &back).await?.expect(200)?;
    let server = server.restart().await?;

    let all = revisions(&server, "d").await?;
    let said: Vec<_> = all.iter().map(|r| (r["revision"].as_u64(), r["action"].as_str())).collect();
    let expected = [
        (Some(4), Some("rewound")),
        (Some(3), Some("applied")),
        (Some(2), Some("paused")),
        (Some(1), Some("applied")),
    ];
    assert_eq!(said, expected, "{all:#?}");
    assert_eq!(all.iter().map(records_before).collect::<Vec<_>>(), [0, 10, 10, 0]);
    assert_eq!(all[0]["state"], "clear");
    assert_eq!(all[1]["changes"], json!([{ "pointer": "/spec/params", "from": null, "to": { "a/b": "7" } }]));
    assert_eq!(all[2]["changes"], json!([{ "pointer": "/desired", "from": "running", "to": "paused" }]));

    let one = server.get("/v1/deployments/d/revisions/3").await?.expect(200)?.json()?;
    assert_eq!(one["spec"]["params"]["a/b"], "7", "{one:#}");
    let none = server.get("/v1/deployments/d/revisions/9").await?.expect(404)?.json()?;
    assert_eq!(none["code"], "revision_not_found");
    assert!(none["detail"].as_str().unwrap_or_default().contains("1 to 4 are kept"), "{none}");
    let page = server.get("/v1/deployments/d/revisions?limit=3").await?.expect(200)?.json()?;
    let token = page["next_page_token"].as_str().context("a token")?;
    let rest =
        server.get(&format!("/v1/deployments/d/revisions?page_token={token}")).await?.expect(200)?.json()?;
    assert_eq!(rest["items"][0]["revision"], 1, "{rest:#}");
    Ok(())
}

#[tokio::test]
async fn the_newest_fifty_revisions_are_kept_and_go_with_the_deployment() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/d", &counter()).await?.expect(201)?;
    for _ in 0..26 {
        server.post("/v1/deployments/d/pause", &json!({})).await?.expect(202)?;
        server.post("/v1/deployments/d/resume", &json!({})).await?.expect(202)?;
    }
    let all = revisions(&server, "d").await?;
    let ends =
        (all.first().context("first")?["revision"].clone(), all.last().context("last")?["revision"].clone());
    assert_eq!((all.len(), ends), (50, (json!(53), json!(4))));
    assert_eq!(all[49].get("changes"), None, "nobody knows what came before");
    let delete = server.request(reqwest::Method::DELETE, "/v1/deployments/d");
    server.send(delete).await?.expect(204)?;
    server.get("/v1/deployments/d/revisions").await?.expect(404)?;
    server.put("/v1/deployments/d", &counter()).await?.expect(201)?;
    assert_eq!(revisions(&server, "d").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_transforms_revision_names_the_offsets_from_which_it_holds() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 2).await?;
    server.upload("validate-json").await?.expect(201)?;
    let check = |field: &str| json!({ "kind": "inline", "module": "validate-json", "input": { "topics": ["in"] }, "params": { "required": field } });
    produce(&server, 8).await?;
    server.put("/v1/deployments/check", &check("amount")).await?.expect(201)?;
    produce(&server, 4).await?;
    server.put("/v1/deployments/check", &check("sum")).await?.expect(200)?;
    assert_eq!(server.post("/v1/topics/in/records", &json!({ "value": { "amount": 1 } })).await?.status, 422);
    let all = revisions(&server, "check").await?;
    assert_eq!(all.iter().map(records_before).collect::<Vec<_>>(), [12, 8], "{all:#?}");
    Ok(())
}

/// The guest with another stamp, which makes it another version.
async fn upload_stamped(server: &Server, guest: &str, n: u32) -> Result<()> {
    let mut bytes = prebuilt(guest)?;
    let (old, new) = (b"STAMP-0000000000", format!("STAMP-{n:010}"));
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    anyhow::ensure!(!places.is_empty(), "{guest} has no stamp");
    for at in places {
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    upload(server, guest, &format!("1.0.{n}"), bytes).await
}

async fn upload(server: &Server, module: &str, version: &str, bytes: Vec<u8>) -> Result<()> {
    let path = format!("/v1/modules/{module}?version={version}");
    let request = server.request(reqwest::Method::PUT, &path).header("content-type", "application/wasm");
    server.send(request.body(bytes)).await?.expect(201).map(drop)
}

async fn upgrade(server: &Server, name: &str, body: Value) -> Result<crate::support::Answer> {
    server.post(&format!("/v1/deployments/{name}/upgrade"), &body).await
}

/// Values of a topic with one partition, as text.
async fn values(server: &Server, topic: &str) -> Result<Vec<String>> {
    let page = server
        .get(&format!("/v1/topics/{topic}/records?limit=1000&format=text"))
        .await?
        .expect(200)?
        .json()?;
    let records = page["records"].as_array().context("records")?;
    Ok(records.iter().filter_map(|r| r["value"].as_str()).map(str::to_owned).collect())
}

#[tokio::test]
async fn an_upgrade_of_a_processor_switches_at_its_offset_and_a_rollback_goes_back() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    upload_stamped(&server, "stamp-counter", 1).await?;
    upload_stamped(&server, "stamp-counter", 2).await?;
    let spec = json!({ "kind": "processor", "module": "stamp-counter@1.0.1", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } } });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    produce(&server, 3).await?;
    server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 3).await?;

    let body = json!({ "module": "stamp-counter@1.0.2" });
    let dry = server.post("/v1/deployments/d/upgrade?dry_run=true", &body).await?.expect(200)?.json()?;
    assert_eq!(dry["changes"][0]["pointer"], "/module", "{dry:#}");
    let upgraded = upgrade(&server, "d", body.clone()).await?.expect(200)?.json()?;
    assert_eq!((&upgraded["module"], &upgraded["revision"]), (&json!("stamp-counter@1.0.2"), &json!(2)));
    produce(&server, 2).await?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 5).await?;
    let request = server.request(reqwest::Method::POST, "/v1/deployments/d/rollback").json(&json!({}));
    server.send(request.header("if-match", "\"1\"")).await?.expect(412)?;
    // Without a body it is the one before.
    let bare = server.request(reqwest::Method::POST, "/v1/deployments/d/rollback");
    let back = server.send(bare).await?.expect(200)?.json()?;
    assert_eq!((&back["module"], &back["revision"]), (&json!("stamp-counter@1.0.1"), &json!(3)));
    produce(&server, 1).await?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 6).await?;

    let stamped = |n: u32, seen: u32| format!("STAMP-{n:010}:{seen}:{seen}");
    let expected = [stamped(1, 0), stamped(1, 1), stamped(1, 2), stamped(2, 3), stamped(2, 4), stamped(1, 5)];
    assert_eq!(values(&server, "out").await?, expected);
    let all = revisions(&server, "d").await?;
    assert_eq!(all.iter().map(records_before).collect::<Vec<_>>(), [5, 3, 0]);
    assert_eq!((&all[0]["action"], &all[0]["of"]), (&json!("rolled_back"), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn what_cannot_take_over_is_refused_and_what_ran_runs_on() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    for (module, version, guest) in
        [("n", "1.0.0", "text-counter"), ("n", "2.0.0", "number-counter"), ("stamp", "1.0.0", "stamp")]
    {
        upload(&server, module, version, prebuilt(guest)?).await?;
    }
    let spec = json!({ "kind": "processor", "module": "n@1.0.0", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    let inline = json!({ "kind": "inline", "module": "stamp", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/i", &inline).await?.expect(201)?;

    let cases = [
        ("d", json!({ "module": "n@3.0.0" }), 422, "invalid_deployment"),
        ("d", json!({ "module": "n@2.0.0", "params": { "refuse": true } }), 422, "module_not_ready"),
        ("d", json!({ "module": "n@1.0.0", "state": "migrate" }), 422, "migrate_missing"),
        ("i", json!({ "module": "n@2.0.0" }), 422, "module_kind_mismatch"),
        ("i", json!({ "module": "stamp", "state": "clear" }), 409, "deployment_kind_mismatch"),
        ("none", json!({ "module": "n@2.0.0" }), 404, "deployment_not_found"),
        ("d", json!({ "module": "n@2.0.0", "params": { "refuse": [] } }), 422, "invalid_body"),
    ];
    for (name, body, status, code) in cases {
        let refused = upgrade(&server, name, body.clone()).await?;
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
        assert_eq!(refused.json()?["code"], code, "{body}");
    }
    let nothing = server.post("/v1/deployments/d/rollback", &json!({})).await?.expect(404)?.json()?;
    assert_eq!(nothing["code"], "revision_not_found", "{nothing:#}");
    produce(&server, 2).await?;
    let view = server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 2).await?;
    assert_eq!((&view["module"], &view["revision"]), (&json!("n@1.0.0"), &json!(1)));
    Ok(())
}

/// A server whose deployment `d` has counted the keys k0 to k9 in text.
async fn counted_in_text() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    upload(&server, "n", "1.0.0", prebuilt("text-counter")?).await?;
    upload(&server, "n", "2.0.0", prebuilt("number-counter")?).await?;
    let spec = json!({ "kind": "processor", "module": "n@1.0.0", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    produce(&server, 10).await?;
    server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 10).await?;
    Ok(server)
}

/// The bytes of a count.
async fn count_of(server: &Server, key: &str) -> Result<Vec<u8>> {
    Ok(server.get(&format!("/v1/deployments/d/stores/counts/keys/{key}")).await?.expect(200)?.body)
}

#[tokio::test]
async fn a_migration_goes_on_where_it_stood_and_the_state_does_not_go_back() -> Result<()> {
    let server = counted_in_text().await?;
    let stumbling = json!({ "module": "n@2.0.0", "state": "migrate", "params": { "stumble": "k4" } });
    upgrade(&server, "d", stumbling).await?.expect(200)?;
    let failed = server.until("/v1/deployments/d", |d| d["state"] == "failed").await?;
    assert_eq!(failed["last_error"]["code"], "migrate_failed", "{failed:#}");
    let message = failed["last_error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("version 1.0.0") && message.contains("stumbled at k4"), "{message}");

    // Two steps are committed: k0 to k3 are numbers, the others are text as before.
    let server = server.restart().await?;
    server.until("/v1/deployments/d", |d| d["state"] == "failed").await?;
    assert_eq!(count_of(&server, "k3").await?, 1u64.to_le_bytes());
    assert_eq!(count_of(&server, "k4").await?, b"1");
    let refused = server.post("/v1/deployments/d/rollback", &json!({})).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "state_cannot_go_back", "{refused:#}");
    let other = upgrade(&server, "d", json!({ "module": "n@1.0.0" })).await?.expect(409)?.json()?;
    assert_eq!(other["code"], "migration_pending", "{other:#}");

    produce(&server, 10).await?;
    let on = json!({ "module": "n@2.0.0", "state": "migrate", "params": { "stumble": null } });
    upgrade(&server, "d", on).await?.expect(200)?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 20).await?;
    for n in 0..10 {
        assert_eq!(count_of(&server, &format!("k{n}")).await?, 2u64.to_le_bytes(), "k{n}");
    }
    let refused = server.post("/v1/deployments/d/rollback", &json!({ "revision": 1 })).await?.expect(409)?;
    assert_eq!(refused.json()?["code"], "state_cannot_go_back");
    let cleared = json!({ "revision": 1, "state": "clear" });
    server.post("/v1/deployments/d/rollback", &cleared).await?.expect(200)?;
    produce(&server, 1).await?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 21).await?;
    assert_eq!(count_of(&server, "k0").await?, b"1", "begun anew behind the record that it had read last");
    Ok(())
}

#[tokio::test]
async fn a_processor_in_the_packed_form_migrates_too() -> Result<()> {
    let server = counted_in_text().await?;
    upload(&server, "n", "3.0.0", prebuilt("packed-counter")?).await?;
    let body = json!({ "module": "n@3.0.0", "state": "migrate" });
    upgrade(&server, "d", body).await?.expect(200)?;
    produce(&server, 10).await?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 20).await?;
    for n in 0..10 {
        assert_eq!(count_of(&server, &format!("k{n}")).await?, 2u64.to_le_bytes(), "k{n}");
    }
    Ok(())
}

#[tokio::test]
async fn a_migration_that_has_not_begun_is_rolled_back() -> Result<()> {
    let server = counted_in_text().await?;
    let stumbling = json!({ "module": "n@2.0.0", "state": "migrate", "params": { "stumble": "k0" } });
    upgrade(&server, "d", stumbling).await?.expect(200)?;
    server.until("/v1/deployments/d", |d| d["state"] == "failed").await?;
    server.post("/v1/deployments/d/rollback", &json!({})).await?.expect(200)?;
    produce(&server, 10).await?;
    server.until("/v1/deployments/d", |d| d["tasks"][0]["positions"][0]["offset"] == 20).await?;
    assert_eq!(count_of(&server, "k7").await?, b"2");
    Ok(())
}

#[tokio::test]
async fn a_rollback_runs_the_version_of_its_revision_and_says_when_it_is_gone() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    upload_stamped(&server, "stamp", 1).await?;
    let spec = json!({ "kind": "inline", "module": "stamp", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/i", &spec).await?.expect(201)?;
    upload_stamped(&server, "stamp", 2).await?;
    upgrade(&server, "i", json!({ "module": "stamp" })).await?.expect(200)?;
    server.post("/v1/topics/in/records", &json!({ "value": "a" })).await?.expect(200)?;
    server.post("/v1/deployments/i/rollback", &json!({})).await?.expect(200)?;
    server.post("/v1/topics/in/records", &json!({ "value": "b" })).await?.expect(200)?;
    assert_eq!(values(&server, "in").await?, ["STAMP-0000000002:\"a\"", "STAMP-0000000001:\"b\""]);

    let delete = server.request(reqwest::Method::DELETE, "/v1/modules/stamp/versions/1.0.2");
    server.send(delete).await?.expect(204)?;
    let gone = server.post("/v1/deployments/i/rollback", &json!({})).await?.expect(404)?.json()?;
    assert_eq!(gone["code"], "module_not_found", "{gone:#}");
    let detail = gone["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("revision 2 ran version 1.0.2") && detail.contains("was deleted"), "{detail}");
    Ok(())
}
