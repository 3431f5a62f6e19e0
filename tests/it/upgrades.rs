//! The life of a deployment through the public interface: revisions, and what they say of the past.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

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
