//! CloudEvents in all their modes.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;

use crate::support::Server;

const EVENT: &str = "application/cloudevents+json";
const EVENTS: &str = "application/cloudevents-batch+json";

fn typed(server: &Server, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    server.request(Method::POST, path).header("content-type", kind).body(body)
}

#[tokio::test]
async fn cloud_events_of_every_mode_are_stored_alike_and_read_back() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let path = "/v1/topics/t/events";
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": "order", "partitionkey": "u1",
            "time": "2026-01-02T03:04:05Z", "attempt": 3, "datacontenttype": "application/json", "data": { "n": 1 }
        })
    };
    server.send(typed(&server, path, EVENT, event("1").to_string())).await?.expect(200)?;
    let batch = json!([event("2"), event("3")]).to_string();
    let stored = server.send(typed(&server, path, EVENTS, batch)).await?.expect(200)?.json()?;
    assert_eq!(stored["results"].as_array().map(Vec::len), Some(2));
    let mut binary = typed(&server, path, "application/json", "{\"n\":1}");
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "4"),
        ("source", "/shop"),
        ("type", "order"),
        ("partitionkey", "u1"),
        ("time", "2026-01-02T03:04:05Z"),
        ("attempt", "3"),
    ] {
        binary = binary.header(format!("ce-{name}"), value);
    }
    server.send(binary).await?.expect(200)?;
    server.post("/v1/topics/t/records", &json!({ "value": "no event" })).await?.expect(200)?;

    let page = server.get("/v1/topics/t/records").await?.expect(200)?.json()?;
    let records = page["records"].as_array().context("records")?;
    for (index, record) in records[..4].iter().enumerate() {
        assert_eq!((&record["key"], &record["value"]), (&json!("u1"), &json!({ "n": 1 })), "{record}");
        let expected = json!({
            "ce_specversion": "1.0", "ce_id": (index + 1).to_string(), "ce_source": "/shop", "ce_type": "order",
            "ce_partitionkey": "u1", "ce_time": "2026-01-02T03:04:05Z", "ce_attempt": "3",
            "content-type": "application/json"
        });
        assert_eq!(record["headers"], expected);
    }

    let read = server.request(Method::GET, "/v1/topics/t/partitions/0/records").header("accept", EVENTS);
    let answer = server.send(read).await?.expect(200)?;
    let heads = ["content-type", "x-next-offset", "x-records-left-out"].map(|name| answer.header(name));
    assert_eq!(heads, [EVENTS, "5", "1"]);
    let mut expected = event("1");
    expected["attempt"] = json!("3");
    assert_eq!((&answer.json()?[0], answer.json()?.as_array().map(Vec::len)), (&expected, Some(4)));
    let merged = server.request(Method::GET, "/v1/topics/t/records?header.ce_id=3").header("accept", EVENTS);
    let answer = server.send(merged).await?.expect(200)?;
    assert_eq!((&answer.json()?[0]["id"], answer.json()?.as_array().map(Vec::len)), (&json!("3"), Some(1)));
    assert!(!answer.header("x-next-cursor").is_empty());
    Ok(())
}

#[tokio::test]
async fn events_that_are_none_are_refused_whole_with_every_place() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let path = "/v1/topics/t/events";
    let good = json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t" });
    let bad =
        json!({ "specversion": "0.3", "id": "", "type": "t", "Big": 1, "data": 1, "data_base64": "AA==" });
    let batch = json!([good, bad, 7]).to_string();
    let refused = server.send(typed(&server, path, EVENTS, batch)).await?.expect(422)?.json()?;
    let mut places: Vec<_> = refused["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .filter_map(|e| e["pointer"].as_str())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["/1/Big", "/1/data_base64", "/1/id", "/1/source", "/1/specversion", "/2"]);
    let binary = typed(&server, path, "text/plain", "x").header("ce-specversion", "1.0").header("ce-id", "1");
    let refused = server.send(binary).await?.expect(422)?.json()?;
    assert_eq!(
        (&refused["code"], &refused["errors"][0]["pointer"]),
        (&json!("invalid_record"), &json!("/source"))
    );
    server.send(typed(&server, path, "application/cloudevents+avro", "x")).await?.expect(415)?;
    server
        .send(typed(&server, "/v1/topics/t/events?key_path=/a", EVENT, good.to_string()))
        .await?
        .expect(400)?;
    let page = server.get("/v1/topics/t/records").await?.expect(200)?.json()?;
    assert_eq!(page["records"], json!([]), "nothing was stored");

    let keyed = |id: &str| {
        let request =
            typed(&server, path, "text/plain", "x").header("idempotency-key", "k").header("ce-type", "t");
        request.header("ce-specversion", "1.0").header("ce-source", "/s").header("ce-id", id)
    };
    server.send(keyed("1")).await?.expect(200)?;
    assert_eq!(server.send(keyed("1")).await?.expect(200)?.json()?["duplicate"], true);
    server.send(keyed("2")).await?.expect(422)?;
    Ok(())
}
