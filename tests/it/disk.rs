//! A disk that is nearly full, as the reserve in the settings says.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn at_the_reserve_what_adds_is_refused_and_the_rest_goes_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "")?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    server.topic("t", 1).await?;
    server.topic("other", 1).await?;
    let record = json!({ "records": [{ "key": "k", "value": 1 }] });
    server.post("/v1/topics/t/records", &record).await?.expect(200)?;

    // More than any disk has.
    std::fs::write(&settings, "[disk]\nreserve = \"1000000000GiB\"\n")?;
    let server = server.restart().await?;
    let log = std::fs::read_to_string(server.folder().join("log"))?;
    assert!(log.contains("disk.reserve is more than the whole disk"), "{log}");
    let refused = [
        server.post("/v1/topics/t/records", &record).await?,
        server.put("/v1/topics/new", &json!({ "partitions": 1 })).await?,
        server
            .send(
                server
                    .request(Method::POST, "/v1/topics/t/records")
                    .header("idempotency-key", "a")
                    .json(&record),
            )
            .await?,
    ];
    for answer in refused {
        let answer = answer.expect(503)?;
        assert!(!answer.header("retry-after").is_empty(), "{}", answer.text());
        let problem = answer.json()?;
        assert_eq!(
            (&problem["code"], &problem["retryable"]),
            (&json!("disk_full"), &json!(true)),
            "{problem:#}"
        );
    }
    let lines =
        server.request(Method::POST, "/v1/topics/t/records").header("content-type", "application/x-ndjson");
    let answer = server.send(lines.body("{\"value\":1}\n")).await?;
    assert!(answer.text().contains("disk_full"), "{}", answer.text());

    // Readers and groups go on, and what is deleted makes room.
    let page = server.get("/v1/topics/t/partitions/0/records").await?.expect(200)?.json()?;
    assert_eq!(page["records"].as_array().context("records")?.len(), 1);
    let pull = json!({ "topics": ["t"], "start": "earliest", "wait": "20s" });
    let pulled = server.post("/v1/groups/g/pull", &pull).await?.expect(200)?.json()?;
    assert_eq!(pulled["records"].as_array().context("records")?.len(), 1, "{pulled:#}");
    let commit = json!({ "member": pulled["member"], "offsets": pulled["next_commit"]["offsets"] });
    server.post("/v1/groups/g/commit", &commit).await?.expect(204)?;
    assert_eq!(server.get("/v1/groups/g").await?.json()?["offsets"][0]["committed"], 1);
    server.send(server.request(Method::DELETE, "/v1/topics/other")).await?.expect(204)?;

    std::fs::write(&settings, "")?;
    let server = server.restart().await?;
    assert_eq!(server.get("/v1/groups/g").await?.json()?["offsets"][0]["committed"], 1);
    let again =
        server.request(Method::POST, "/v1/topics/t/records").header("idempotency-key", "a").json(&record);
    let stored = server.send(again).await?.expect(200)?.json()?;
    assert!(stored.to_string().contains("\"offset\":1"), "nothing of the refused ones is stored: {stored:#}");
    Ok(())
}
