//! Transforms applied on read. The guest `template` drops `heartbeat`, rejects the empty value and puts the rest into upper
//! case.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Server;

const TEXT: &str = "format=text&apply=template";

/// One partition with these values, in one batch each.
async fn produce(server: &Server, topic: &str, batches: &[&[&str]]) -> Result<()> {
    for batch in batches {
        let records: Vec<_> =
            batch.iter().map(|v| json!({ "key": "k", "partition": 0, "value_base64": base64(v) })).collect();
        let path = format!("/v1/topics/{topic}/records");
        server.post(&path, &json!({ "records": records })).await?.expect(200)?;
    }
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Offsets and values of a page.
fn shown(page: &Value) -> Vec<(u64, &str)> {
    let records = page["records"].as_array().into_iter().flatten();
    records.map(|r| (r["offset"].as_u64().unwrap_or(99), r["value"].as_str().unwrap_or("?"))).collect()
}

#[tokio::test]
async fn a_read_through_a_transform_keeps_offsets_and_stores_nothing() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("template").await?.expect(201)?;
    produce(&server, "t", &[&["a", "heartbeat", "b"], &["heartbeat", "heartbeat"], &["c"]]).await?;

    let page = server.get(&format!("/v1/topics/t/partitions/0/records?{TEXT}")).await?.expect(200)?.json()?;
    assert_eq!(shown(&page), [(0, "A"), (2, "B"), (5, "C")]);
    assert_eq!((&page["next_offset"], &page["scanned"], &page["skipped"]), (&json!(6), &json!(6), &json!(0)));

    // From the middle of a batch, and where nothing is left.
    let page =
        server.get(&format!("/v1/topics/t/partitions/0/records?{TEXT}&offset=1&limit=1")).await?.json()?;
    assert_eq!((shown(&page), &page["next_offset"]), (vec![(2, "B")], &json!(3)));
    let page = server.get(&format!("/v1/topics/t/partitions/0/records?{TEXT}&offset=4")).await?.json()?;
    assert_eq!(shown(&page), [(5, "C")]);

    let page = server.get(&format!("/v1/topics/t/records?{TEXT}")).await?.json()?;
    assert_eq!(shown(&page), [(0, "A"), (2, "B"), (5, "C")]);
    let cursor = page["next_cursor"].as_str().context("a cursor")?;
    let page = server.get(&format!("/v1/topics/t/records?{TEXT}&cursor={cursor}")).await?.json()?;
    assert_eq!(shown(&page), []);

    let page = server.get("/v1/topics/t/partitions/0/records?format=text").await?.json()?;
    assert_eq!(shown(&page).len(), 6, "what is stored is as it was");
    Ok(())
}

#[tokio::test]
async fn a_record_that_no_view_can_show_stops_the_read_or_is_left_out() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("template").await?.expect(201)?;
    produce(&server, "t", &[&["a", "", "b"]]).await?;
    let records = format!("/v1/topics/t/partitions/0/records?{TEXT}");

    let page = server.get(&records).await?.expect(200)?.json()?;
    assert_eq!((shown(&page), &page["next_offset"]), (vec![(0, "A")], &json!(1)));
    let problem = server.get(&format!("{records}&offset=1")).await?.expect(422)?.json()?;
    assert_eq!((&problem["code"], &problem["offset"]), (&json!("view_failed"), &json!(1)));
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("stops at offset 1 of partition 0") && detail.contains("the value is empty"),
        "{detail}"
    );
    let problem = server.get(&format!("/v1/topics/t/records?{TEXT}&offset=-2")).await?.expect(422)?.json()?;
    assert_eq!(problem["offset"], 1);

    let page = server.get(&format!("{records}&on_error=skip")).await?.expect(200)?.json()?;
    assert_eq!((shown(&page), &page["skipped"]), (vec![(0, "A"), (2, "B")], &json!(1)));
    Ok(())
}

#[tokio::test]
async fn what_apply_cannot_mean_is_refused() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    for guest in ["template", "word-count", "redact-json", "enrich"] {
        server.upload(guest).await?.expect(201)?;
    }
    let cases = [
        ("apply=nothing", 404, "module_not_found"),
        ("apply=word-count", 422, "module_kind_mismatch"),
        ("apply=a@b@c", 400, "invalid_query"),
        ("param.x=1", 400, "invalid_query"),
        ("on_error=skip", 400, "invalid_query"),
        ("apply=template&param.x=1&param.x=2", 400, "invalid_query"),
        ("apply=template&on_error=sometimes", 400, "invalid_query"),
        ("apply=enrich&param.time-feld=t", 400, "invalid_query"),
        ("apply=enrich&param.missing=perhaps", 400, "invalid_query"),
    ];
    for (query, status, code) in cases {
        let problem = server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(status)?.json()?;
        assert_eq!(problem["code"], code, "{query}");
    }
    // Parameters reach the code, whose `open` may refuse them.
    produce(&server, "t", &[&[r#"{"a":1,"email":"x"}"#]]).await?;
    let redacted = "/v1/topics/t/records?apply=redact-json&param.fields=a";
    let page = server.get(redacted).await?.expect(200)?.json()?;
    assert_eq!(page["records"][0]["value"], json!({ "a": "***", "email": "x" }));
    let refused = server.get("/v1/topics/t/records?apply=redact-json&param.fields=").await?.expect(422)?;
    assert!(refused.text().contains("no field is named"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn a_long_poll_and_a_stream_pass_over_what_is_dropped() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("template").await?.expect(201)?;
    produce(&server, "t", &[&["heartbeat"]]).await?;

    let path = format!("/v1/topics/t/partitions/0/records?{TEXT}&wait=30s");
    let poll = server.get(&path);
    let feed = async {
        produce(&server, "t", &[&["heartbeat"], &["heartbeat", "late"]]).await?;
        anyhow::Ok(())
    };
    let (page, fed) = tokio::join!(poll, feed);
    fed?;
    let page = page?.expect(200)?.json()?;
    assert_eq!((shown(&page), &page["next_offset"]), (vec![(3, "LATE")], &json!(4)));

    let path = format!("/v1/topics/t/partitions/0/records?{TEXT}&follow=true");
    let mut stream = server.request(Method::GET, &path).send().await?;
    let mut text = String::new();
    while !text.contains('\n') {
        let chunk = stream.chunk().await?.context("the stream goes on")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    let line: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    assert_eq!((&line["offset"], &line["value"]), (&json!(3), &json!("LATE")));
    Ok(())
}

fn spec(name: &str, source: &str, module: &str) -> Value {
    json!({ "name": name, "kind": "view", "module": module, "input": { "topics": [source] } })
}

#[tokio::test]
async fn a_view_with_a_name_is_a_topic_for_readers_alone() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("template").await?.expect(201)?;
    produce(&server, "t", &[&["a", "heartbeat", "b"]]).await?;
    server.put("/v1/deployments/clean", &spec("clean", "t", "template")).await?.expect(201)?;

    let page = server.get("/v1/topics/clean/partitions/0/records?format=text").await?.expect(200)?.json()?;
    assert_eq!((shown(&page), &page["next_offset"]), (vec![(0, "A"), (2, "B")], &json!(3)));
    let listed = server.get("/v1/topics").await?.json()?;
    let names: Vec<_> = listed["items"].as_array().context("a list")?.iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["clean", "t"]);
    let detail = server.get("/v1/topics/clean").await?.expect(200)?.json()?;
    assert_eq!(
        (&detail["view"]["source"], &detail["partitions"][0]["high_watermark"]),
        (&json!("t"), &json!(3))
    );
    assert_ne!(detail["id"], server.get("/v1/topics/t").await?.json()?["id"]);

    // Everything but reading.
    let record = json!({ "records": [{ "value": 1 }] });
    let refused = [
        server.post("/v1/topics/clean/records", &record).await?,
        server.post("/v1/topics/clean/truncate", &json!({ "partition": 0, "offset": 1 })).await?,
        server
            .send(server.request(Method::PATCH, "/v1/topics/clean").json(&json!({ "partitions": 2 })))
            .await?,
        server.send(server.request(Method::DELETE, "/v1/topics/clean")).await?,
        server.put("/v1/deployments/again", &spec("again", "clean", "template")).await?,
    ];
    for answer in refused {
        let problem = answer.expect(409)?.json()?;
        assert_eq!(problem["code"], "topic_is_view");
    }
    let taken = server.post("/v1/topics", &json!({ "name": "clean" })).await?.expect(409)?.json()?;
    assert_eq!((&taken["code"], &taken["source"]), (&json!("topic_is_view"), &json!("t")), "{taken:#}");
    server.topic("u", 1).await?;
    let taken = server.put("/v1/deployments/u", &spec("u", "t", "template")).await?.expect(409)?.json()?;
    assert_eq!(taken["code"], "view_name_taken");
    let used = server.send(server.request(Method::DELETE, "/v1/topics/t")).await?.expect(409)?.json()?;
    assert_eq!(used["code"], "topic_in_use");
    let twice = server.get("/v1/topics/clean/records?apply=template").await?.expect(400)?.json()?;
    assert_eq!(twice["code"], "invalid_query");

    // A group over HTTP reads it to its end.
    let pull = json!({ "topics": ["clean"], "start": "earliest", "wait": "20s", "format": "text" });
    let pulled = server.post("/v1/groups/g/pull", &pull).await?.expect(200)?.json()?;
    assert_eq!(shown(&pulled), [(0, "A"), (2, "B")]);
    let commit = json!({ "topics": ["clean"], "member": pulled["member"], "commit": pulled["next_commit"] });
    server.post("/v1/groups/g/pull", &commit).await?.expect(200)?;
    let group = server.get("/v1/groups/g").await?.json()?;
    assert_eq!((&group["offsets"][0]["topic"], &group["offsets"][0]["lag"]), (&json!("clean"), &json!(0)));

    // Over a restart, and gone with its deployment.
    let server = server.restart().await?;
    let page = server.get("/v1/topics/clean/partitions/0/records?format=text").await?.expect(200)?.json()?;
    assert_eq!(shown(&page), [(0, "A"), (2, "B")]);
    let group = server.get("/v1/groups/g").await?.json()?;
    assert_eq!(group["offsets"][0]["committed"], 3, "what is committed of a view stays");
    server.send(server.request(Method::DELETE, "/v1/deployments/clean")).await?.expect(204)?;
    server.get("/v1/topics/clean/records").await?.expect(404)?;
    server.topic("clean", 1).await
}

#[tokio::test]
async fn what_is_committed_of_a_view_never_counts_for_another_source() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.topic("u", 1).await?;
    server.upload("template").await?.expect(201)?;
    produce(&server, "t", &[&["a", "b"]]).await?;
    server.put("/v1/deployments/clean", &spec("clean", "t", "template")).await?.expect(201)?;
    let moved = server.put("/v1/deployments/clean", &spec("clean", "u", "template")).await?.expect(409)?;
    assert!(moved.text().contains("the input topic of view `clean` cannot change"), "{}", moved.text());

    let pull = json!({ "topics": ["clean"], "start": "earliest", "wait": "20s", "format": "text" });
    let pulled = server.post("/v1/groups/g/pull", &pull).await?.expect(200)?.json()?;
    assert_eq!(shown(&pulled), [(0, "A"), (1, "B")]);
    let commit = json!({ "topics": ["clean"], "member": pulled["member"], "commit": pulled["next_commit"] });
    server.post("/v1/groups/g/pull", &commit).await?.expect(200)?;
    let group = server.get("/v1/groups/g").await?.json()?;
    assert_eq!(group["offsets"][0]["committed"], 2);
    let id = server.get("/v1/topics/clean").await?.json()?["id"].clone();

    server.send(server.request(Method::DELETE, "/v1/topics/t?force=true")).await?.expect(204)?;
    server.get("/v1/topics/clean/records").await?.expect(404)?;
    let group = server.get("/v1/groups/g").await?.json()?;
    assert_eq!(group["offsets"][0]["committed"], Value::Null, "it goes with the source");
    server.topic("t", 1).await?;
    produce(&server, "t", &[&["c", "d", "e"]]).await?;
    let page = server.get("/v1/topics/clean/partitions/0/records?format=text").await?.expect(200)?.json()?;
    assert_eq!(shown(&page), [(0, "C"), (1, "D"), (2, "E")]);
    assert_ne!(server.get("/v1/topics/clean").await?.json()?["id"], id);
    Ok(())
}

#[tokio::test]
async fn a_view_says_what_it_does_and_takes_new_code_for_the_next_read() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    for guest in ["template", "validate-json", "word-count"] {
        server.upload(guest).await?.expect(201)?;
    }
    produce(&server, "t", &[&["a", "", "b"]]).await?;
    let wrong = [
        json!({ "kind": "view", "module": "template", "input": { "topics": ["t", "u"] } }),
        json!({ "kind": "view", "module": "template", "input": { "topics": ["t"] }, "output": { "default": "t2" } }),
        json!({ "kind": "view", "module": "template", "input": { "topics": ["t"] }, "on_error": { "policy": "dead_letter" } }),
        json!({ "kind": "view", "module": "word-count", "input": { "topics": ["t"] } }),
    ];
    for spec in wrong {
        server.put("/v1/deployments/v", &spec).await?.expect(422)?;
    }
    server.put("/v1/deployments/v", &spec("v", "t", "template")).await?.expect(201)?;
    let problem = server.get("/v1/topics/v/partitions/0/records?offset=1").await?.expect(422)?.json()?;
    assert_eq!((&problem["code"], &problem["offset"]), (&json!("view_failed"), &json!(1)));
    let view = server.get("/v1/deployments/v").await?.json()?;
    assert_eq!((&view["last_error"]["code"], &view["last_error"]["offset"]), (&json!("rejected"), &json!(1)));
    server.post("/v1/deployments/v/pause", &json!({})).await?.expect(409)?;

    let mut skipping = spec("v", "t", "template");
    skipping["on_error"] = json!({ "policy": "skip" });
    server.put("/v1/deployments/v", &skipping).await?.expect(200)?;
    let page = server.get("/v1/topics/v/partitions/0/records?format=text").await?.expect(200)?.json()?;
    assert_eq!((shown(&page), &page["skipped"]), (vec![(0, "A"), (2, "B")], &json!(1)));
    let view = server.get("/v1/deployments/v").await?.json()?;
    assert_eq!((&view["totals"]["skipped"], &view["totals"]["records_out"]), (&json!(1), &json!(2)));
    let metrics = server.get("/metrics").await?.text();
    for line in ["reason=\"verdict\"} 1", "reason=\"fault\"} 0"] {
        let line = format!("millstream_deployment_records_rejected_total{{deployment=\"v\",{line}");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
    server
        .until("/v1/deployments/v/logs", |logs| {
            logs.to_string().contains("offset 1 of topic `t` is left out")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn reads_that_wait_take_new_parameters_and_end_with_the_view() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server.upload("redact-json").await?.expect(201)?;
    let hiding = |field: &str| {
        let mut spec = spec("v", "t", "redact-json");
        spec["params"] = json!({ "fields": field });
        spec
    };
    server.put("/v1/deployments/v", &hiding("a")).await?.expect(201)?;
    produce(&server, "t", &[&[r#"{"a":1,"b":2}"#]]).await?;

    // Its first record tells that the stream stands and looks for more.
    let live = "/v1/topics/v/partitions/0/records?follow=true";
    let mut stream = server.request(Method::GET, live).send().await?;
    let mut text = String::new();
    let line = next_line(&mut stream, &mut text).await?;
    assert_eq!(line["value"], json!({ "a": "***", "b": 2 }));
    let poll = server.get("/v1/topics/v/partitions/0/records?offset=1&wait=30s");
    let change = async {
        server.put("/v1/deployments/v", &hiding("b")).await?.expect(200)?;
        produce(&server, "t", &[&[r#"{"a":1,"b":2}"#]]).await?;
        anyhow::Ok(())
    };
    let (page, changed) = tokio::join!(poll, change);
    changed?;
    let now = json!({ "a": 1, "b": "***" });
    assert_eq!(page?.expect(200)?.json()?["records"][0]["value"], now);
    assert_eq!(next_line(&mut stream, &mut text).await?["value"], now);

    let poll = server.get("/v1/topics/v/partitions/0/records?offset=2&wait=30s");
    let delete = server.send(server.request(Method::DELETE, "/v1/deployments/v"));
    let (page, deleted) = tokio::join!(poll, delete);
    deleted?.expect(204)?;
    assert_eq!(page?.expect(404)?.json()?["code"], "topic_not_found");
    let last = next_line(&mut stream, &mut text).await?;
    assert_eq!(last["error"]["code"], "topic_not_found");
    assert!(stream.chunk().await?.is_none(), "the stream ends");
    Ok(())
}

/// The next line of a live stream; `text` holds what came behind it.
async fn next_line(stream: &mut reqwest::Response, text: &mut String) -> Result<Value> {
    loop {
        if let Some((line, rest)) = text.split_once('\n') {
            let line = serde_json::from_str(line)?;
            *text = rest.to_owned();
            return Ok(line);
        }
        let chunk = stream.chunk().await?.context("the stream goes on")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
}
