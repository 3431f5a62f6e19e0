//! State that expires, through the public interface.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

fn spec(ttl: Option<&str>) -> Value {
    let mut store = json!({ "name": "totals" });
    if let Some(ttl) = ttl {
        store["ttl"] = json!(ttl);
    }
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }, "state": { "stores": [store] }
    })
}

async fn serve(ttl: Option<&str>) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/totals", &spec(ttl)).await?.expect(201)?;
    Ok(server)
}

async fn count(server: &Server, keys: std::ops::Range<u32>) -> Result<String> {
    let records: Vec<_> = keys.map(|n| json!({ "key": format!("k{n}"), "value": { "amount": 1 } })).collect();
    let stored =
        server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200)?.json()?;
    let last = stored["results"].as_array().and_then(|list| list.last()).context("a result")?;
    Ok(format!("after=in:0:{}&wait=60s", last["offset"]))
}

const STORE: &str = "/v1/deployments/totals/stores/totals";

#[tokio::test]
async fn entries_expire_unseen_and_are_removed_also_over_a_kill() -> Result<()> {
    let server = serve(Some("1s")).await?;
    let after = count(&server, 0..3_000).await?;
    server.get(&format!("{STORE}/keys/k7?{after}")).await?;
    // They are gone a second after their last write, and removed in pieces by the task, whoever looks.
    let server = server.restart().await?;
    let stores = |page: &Value| page["items"][0]["keys"] == 0 && page["items"][0]["bytes"] == 0;
    server.until("/v1/deployments/totals/stores", stores).await?;
    server.get(&format!("{STORE}/keys/k7")).await?.expect(404)?;
    let entries = server.get(&format!("{STORE}/entries")).await?.expect(200)?.json()?;
    assert_eq!(entries["items"], json!([]));

    // The code begins anew with what it has forgotten.
    let longer = spec(Some("7d"));
    server.put("/v1/deployments/totals", &longer).await?.expect(200)?;
    let after = count(&server, 7..8).await?;
    let value = server.get(&format!("{STORE}/keys/k7?{after}")).await?.expect(200)?.json()?;
    assert_eq!(value["count"], 1);
    let shown = server.get("/v1/deployments/totals").await?.json()?;
    assert_eq!(shown["spec"]["state"]["stores"][0]["ttl"], "7d");
    Ok(())
}

#[tokio::test]
async fn a_ttl_is_given_to_a_store_only_while_it_holds_no_keys() -> Result<()> {
    let server = serve(None).await?;
    let after = count(&server, 0..2).await?;
    let value = server.get(&format!("{STORE}/keys/k1?{after}")).await?.expect(200)?.json()?;
    let refused = server.put("/v1/deployments/totals", &spec(Some("1h"))).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "store_is_filled");
    assert!(
        refused["detail"].as_str().is_some_and(|d| d.contains("`totals` holds keys without a ttl")),
        "{refused}"
    );
    // Nothing has changed.
    assert_eq!(server.get(&format!("{STORE}/keys/k1")).await?.json()?, value);

    let delete = server.request(Method::DELETE, "/v1/deployments/totals");
    server.send(delete).await?.expect(204)?;
    server.put("/v1/deployments/totals", &spec(Some("1h"))).await?.expect(201)?;
    server.get(&format!("{STORE}/keys/k1?after=in:0:1&wait=60s")).await?.expect(200)?;
    server.put("/v1/deployments/totals", &spec(None)).await?.expect(409)?;
    server.put("/v1/deployments/totals", &spec(Some("2h"))).await?.expect(200)?;
    server.get(&format!("{STORE}/keys/k1?after=in:0:1&wait=60s")).await?.expect(200)?;
    let wrong = server.put("/v1/deployments/totals", &spec(Some("10ms"))).await?.expect(422)?.json()?;
    assert_eq!(wrong["errors"][0]["pointer"], "/state/stores/0/ttl");
    Ok(())
}
