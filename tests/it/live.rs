//! What is told as it happens: keys of state, and events of the control plane.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

/// A stream of Server-Sent Events.
struct Events {
    response: reqwest::Response,
    open: String,
}

/// An event of it: its name, its id and its data.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    async fn open(server: &Server, path: &str, last: Option<&str>) -> Result<Self> {
        let request = server.request(Method::GET, path).header("accept", "text/event-stream");
        let request = last.iter().fold(request, |request, id| request.header("last-event-id", *id));
        let response = request.send().await?;
        ensure!(response.status() == 200, "{}", response.text().await?);
        let mut events = Self { response, open: String::new() };
        // The first byte goes out once the stream stands.
        while !events.open.contains("\n\n") {
            events.more().await?;
        }
        events.open = events.open.split_off(events.open.find("\n\n").context("a comment")? + 2);
        Ok(events)
    }

    async fn more(&mut self) -> Result<()> {
        let chunk = tokio::time::timeout(Duration::from_secs(60), self.response.chunk()).await??;
        self.open.push_str(&String::from_utf8_lossy(&chunk.context("the stream ended")?));
        Ok(())
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            while !self.open.contains("\n\n") {
                self.more().await?;
            }
            let rest = self.open.split_off(self.open.find("\n\n").context("an end")? + 2);
            let text = std::mem::replace(&mut self.open, rest);
            let field = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
            };
            let (name, id) = (field("event: "), field("id: "));
            if name != "ping" {
                return Ok(Event { name, id, data: serde_json::from_str(&field("data: "))? });
            }
        }
    }

    /// The next event of this name.
    async fn until(&mut self, name: &str) -> Result<Event> {
        loop {
            let event = self.next().await?;
            if event.name == name {
                return Ok(event);
            }
        }
    }
}

async fn counting() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } },
        "state": { "stores": [{ "name": "totals" }] }
    });
    server.put("/v1/deployments/totals", &spec).await?.expect(201)?;
    Ok(server)
}

async fn amount(server: &Server, key: &str, amount: u64) -> Result<()> {
    let record = json!({ "key": key, "value": { "amount": amount } });
    server.post("/v1/topics/in/records", &record).await?.expect(200).map(drop)
}

const KEY: &str = "/v1/deployments/totals/stores/totals/keys/k";

#[tokio::test]
async fn a_watched_key_tells_what_it_is_and_every_change_that_is_committed() -> Result<()> {
    let server = counting().await?;
    let mut events = Events::open(&server, KEY, None).await?;
    let first = events.next().await?;
    assert_eq!(
        (first.name.as_str(), &first.data["found"], &first.data["key"]),
        ("value", &json!(false), &json!("k"))
    );

    amount(&server, "k", 1).await?;
    let second = events.next().await?;
    assert_eq!((&second.data["found"], &second.data["value"]["count"]), (&json!(true), &json!(1)));
    assert_eq!((second.id.as_str(), &second.data["position"]), ("in:0:1", &json!("in:0:1")));
    // Of other keys nothing is told.
    amount(&server, "other", 1).await?;
    amount(&server, "k", 1).await?;
    let third = events.next().await?;
    assert_eq!((&third.data["value"]["count"], third.id.as_str()), (&json!(2), "in:0:3"));

    // A client that comes back where it was hears nothing again; elsewhere it hears the value first.
    let mut again = Events::open(&server, KEY, Some(&third.id)).await?;
    let mut behind = Events::open(&server, KEY, Some(&second.id)).await?;
    assert_eq!(behind.next().await?.data["value"]["count"], 2);
    amount(&server, "k", 1).await?;
    assert_eq!(again.next().await?.data["value"]["count"], 3);
    assert_eq!(behind.next().await?.data["value"]["count"], 3);

    // What is deployed anew is watched on; what is gone ends the stream.
    let patch =
        server.request(Method::PATCH, "/v1/deployments/totals").json(&json!({ "params": { "a": "b" } }));
    server.send(patch).await?.expect(200)?;
    amount(&server, "k", 1).await?;
    assert_eq!(again.next().await?.data["value"]["count"], 4);
    server.send(server.request(Method::DELETE, "/v1/deployments/totals")).await?.expect(204)?;
    let end = again.until("error").await?;
    assert_eq!(end.data["code"], "deployment_not_found");
    Ok(())
}

#[tokio::test]
async fn a_watch_of_what_is_not_there_is_refused() -> Result<()> {
    let server = counting().await?;
    for (path, status) in [
        ("/v1/deployments/none/stores/totals/keys/k", 404),
        ("/v1/deployments/totals/stores/none/keys/k", 404),
        ("/v1/deployments/totals/stores/totals/keys/k?partition=7", 404),
        ("/v1/deployments/totals/stores/totals/keys?key_base64=%3F", 400),
    ] {
        let request = server.request(Method::GET, path).header("accept", "text/event-stream");
        server.send(request).await?.expect(status)?;
    }
    Ok(())
}

#[tokio::test]
async fn events_tell_what_happens_in_its_order() -> Result<()> {
    let server = Server::start().await?;
    let mut events = Events::open(&server, "/v1/events", None).await?;
    server.topic("in", 1).await?;
    let created = events.next().await?;
    assert_eq!((created.name.as_str(), &created.data["name"]), ("topic_created", &json!("in")));
    assert_eq!(created.data["details"]["partitions"], "1");

    server.upload("trap").await?.expect(201)?;
    assert_eq!(events.until("module_pushed").await?.data["name"], "trap");
    let spec = json!({
        "kind": "processor", "module": "trap", "input": { "topics": ["in"] }, "on_error": { "max_retries": 0 }
    });
    server.put("/v1/deployments/d", &spec).await?;
    let applied = events.until("deployment_applied").await?;
    assert_eq!((&applied.data["name"], &applied.data["details"]["revision"]), (&json!("d"), &json!("1")));
    server.post("/v1/topics/in/records", &json!({ "value": 1 })).await?.expect(200)?;
    let failed = events.until("deployment_failed").await?;
    assert_eq!(failed.data["details"]["partition"], "0");
    let kind = failed.data["details"]["code"].as_str().context("a code")?.to_owned();
    let shown = server.get("/v1/deployments/d").await?.json()?;
    assert_eq!(shown["last_error"]["code"], kind.as_str());

    // Skipping the record is progress.
    let patch =
        server.request(Method::PATCH, "/v1/deployments/d").json(&json!({ "on_error": { "policy": "skip" } }));
    server.send(patch).await?.expect(200)?;
    assert_eq!(events.until("deployment_recovered").await?.data["name"], "d");
    // The counts follow the event.
    let mut metrics = String::new();
    for _ in 0..500 {
        metrics = server.get("/metrics").await?.expect(200)?.text();
        if metrics.contains("{deployment=\"d\",reason=\"fault\"} 1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for line in [
        &format!("millstream_deployment_errors_total{{deployment=\"d\",kind=\"{kind}\"}} 1"),
        "millstream_deployment_records_rejected_total{deployment=\"d\",reason=\"fault\"} 1",
        "millstream_deployment_records_rejected_total{deployment=\"d\",reason=\"verdict\"} 0",
        "millstream_deployment_invoke_duration_seconds_bucket{deployment=\"d\",le=\"+Inf\"} 1",
        "millstream_deployment_invoke_duration_seconds_count{deployment=\"d\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let cpu = metrics
        .lines()
        .find_map(|line| line.strip_prefix("millstream_wasm_cpu_seconds_total{deployment=\"d\"} "));
    assert!(cpu.context("the CPU time")?.parse::<f64>()? > 0.0, "{cpu:?}");
    server.post("/v1/deployments/d/pause", &json!({})).await?.expect(202)?;
    events.until("deployment_paused").await?;
    server.send(server.request(Method::DELETE, "/v1/deployments/d")).await?.expect(204)?;
    events.until("deployment_deleted").await?;

    let pull = json!({ "topics": ["in"], "wait": "0ms" });
    server.post("/v1/groups/g/pull", &pull).await?.expect(200)?;
    assert_eq!(events.until("group_changed").await?.data["name"], "g");

    // Behind an event come those after it; one of another run is not known.
    let mut again = Events::open(&server, "/v1/events", Some(&created.id)).await?;
    assert_eq!(again.next().await?.name, "module_pushed");
    let mut foreign = Events::open(&server, "/v1/events", Some("1-7")).await?;
    assert_eq!(
        (foreign.next().await?.name, foreign.next().await?.name),
        ("missed".into(), "topic_created".into())
    );
    let bad = server.request(Method::GET, "/v1/events").header("last-event-id", "seven");
    server.send(bad).await?.expect(400)?;
    Ok(())
}
