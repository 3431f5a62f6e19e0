//! Processors through the public interface: exactly once over a kill, error policies, standing still and going back.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

fn counter() -> Value {
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 2 } }
    })
}

/// A server whose deployment `totals` counts the topic `in` by key.
async fn counting(partitions: u32) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", partitions).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/totals", &counter()).await?.expect(201)?;
    Ok(server)
}

async fn produce(server: &Server, range: std::ops::Range<u64>) -> Result<()> {
    let records: Vec<_> =
        range.map(|n| json!({ "key": format!("k{}", n % 5), "value": { "amount": n } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

/// (count, sum) of a key, once all partitions have been read to their ends.
async fn total(server: &Server, key: &str) -> Result<(u64, u64)> {
    server.until("/v1/deployments/totals", |d| d["totals"]["lag"] == 0 && d["state"] != "starting").await?;
    let value =
        server.get(&format!("/v1/deployments/totals/stores/totals/keys/{key}")).await?.expect(200)?.json()?;
    let number = |name: &str| value[name].as_f64().map(|n| n as u64).context(name.to_owned());
    Ok((number("count")?, number("sum")?))
}

#[tokio::test]
async fn totals_survive_a_kill_and_count_every_record_once() -> Result<()> {
    let mut server = counting(2).await?;
    for round in 0..3 {
        produce(&server, round * 100..round * 100 + 100).await?;
        server = server.restart().await?;
    }
    let fold = (0..300u64).filter(|n| n % 5 == 3);
    assert_eq!(total(&server, "k3").await?, (60, fold.sum()));
    let out = server.get("/v1/topics/out/records?limit=1000").await?.expect(200)?.json()?;
    assert_eq!(out["records"].as_array().context("records")?.len(), 300);
    Ok(())
}

#[tokio::test]
async fn a_paused_processor_keeps_its_place_and_can_be_rewound() -> Result<()> {
    let server = counting(1).await?;
    produce(&server, 0..10).await?;
    assert_eq!(total(&server, "k0").await?, (2, 5));
    let metrics = server.get("/metrics").await?.expect(200)?.text();
    for line in [
        "millstream_deployment_records_in_total{deployment=\"totals\"} 10",
        "millstream_deployment_state{deployment=\"totals\",kind=\"processor\",state=\"running\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }

    server.post("/v1/deployments/totals/pause", &json!({})).await?.expect(202)?;
    let paused = server.until("/v1/deployments/totals", |d| d["state"] == "paused").await?;
    assert_eq!(paused["tasks"][0]["positions"][0]["offset"], 10, "{paused:#}");
    produce(&server, 10..20).await?;
    let behind = server
        .get("/v1/deployments/totals/stores/totals/keys/k0?after=in:0:15&wait=50ms")
        .await?
        .expect(504)?
        .json()?;
    assert_eq!(behind["code"], "state_behind");
    assert!(behind["detail"].as_str().unwrap_or_default().contains("paused"), "{behind}");

    let back = json!({ "to": { "shift_by": -4 }, "state": "keep" });
    let plan = server.post("/v1/deployments/totals/rewind?dry_run=true", &back).await?.expect(200)?.json()?;
    assert_eq!(plan["replayed"], 4, "{plan:#}");
    let far = json!({ "to": { "shift_by": -100 } });
    let plan = server.post("/v1/deployments/totals/rewind?dry_run=true", &far).await?.expect(200)?.json()?;
    let moved = &plan["partitions"][0];
    let told = (&moved["from"], &moved["to"], &moved["records"], &moved["clamped"], &moved["estimated"]);
    assert_eq!(told, (&json!(10), &json!(0), &json!(10), &json!(true), &json!(false)), "{plan:#}");
    for (offsets, word) in [(json!({ "0": 21 }), "outside 0..=20"), (json!({ "1": 3 }), "not 1")] {
        let to = json!({ "to": { "offsets": { "in": offsets } } });
        let refused =
            server.post("/v1/deployments/totals/rewind?dry_run=true", &to).await?.expect(409)?.json()?;
        assert_eq!(refused["code"], "position_out_of_range", "{refused:#}");
        assert!(refused["detail"].as_str().is_some_and(|d| d.contains(word)), "{word} in {refused}");
    }
    let back = json!({ "to": "earliest", "state": "clear" });
    let plan = server.post("/v1/deployments/totals/rewind", &back).await?.expect(200)?.json()?;
    assert_eq!(plan["replayed"], 10, "{plan:#}");
    server.post("/v1/deployments/totals/resume", &json!({})).await?.expect(202)?;
    server.until("/v1/deployments/totals", |d| d["tasks"][0]["positions"][0]["offset"] == 20).await?;
    assert_eq!(total(&server, "k0").await?, (4, 5 + 10 + 15), "from the beginning, with an empty state");

    let delete = server.request(reqwest::Method::DELETE, "/v1/deployments/totals");
    server.send(delete).await?.expect(204)?;
    let metrics = server.get("/metrics").await?.expect(200)?.text();
    assert!(!metrics.contains("deployment=\"totals\""), "what is deleted is told no more: {metrics}");
    Ok(())
}

#[tokio::test]
async fn on_error_stop_stands_at_the_record_and_skip_passes_it() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("trap").await?.expect(201)?;
    let spec = |policy: &str| {
        json!({
            "kind": "processor", "module": "trap", "input": { "topics": ["in"] },
            "output": { "default": "out", "create_topics": { "partitions": 1 } },
            "on_error": { "policy": policy, "max_retries": 1, "backoff": "1ms" }
        })
    };
    server.put("/v1/deployments/t", &spec("stop")).await?.expect(201)?;
    let body = json!({ "records": [{ "value": "a" }, { "value": "misbehave" }, { "value": "b" }] });
    server.post("/v1/topics/in/records", &body).await?.expect(200)?;

    let failed = server.until("/v1/deployments/t", |d| d["state"] == "failed").await?;
    let error = &failed["last_error"];
    assert_eq!((&error["code"], &error["offset"]), (&json!("trap"), &json!(1)), "{failed:#}");
    assert_eq!(failed["tasks"][0]["positions"][0]["offset"], 1, "what came before is committed");

    server.put("/v1/deployments/t", &spec("skip")).await?.expect(200)?;
    let done = server.until("/v1/deployments/t", |d| d["tasks"][0]["positions"][0]["offset"] == 3).await?;
    assert_eq!(done["totals"]["skipped"], 1);
    let out = server.get("/v1/topics/out/records").await?.json()?;
    let values: Vec<_> = out["records"].as_array().context("records")?.iter().map(|r| &r["value"]).collect();
    assert_eq!(values, [&json!("a"), &json!("b")]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_processor_may_leave_its_state_to_a_later_one() -> Result<()> {
    let server = counting(1).await?;
    produce(&server, 0..5).await?;
    assert_eq!(total(&server, "k1").await?, (1, 1));
    let kept = server.request(reqwest::Method::DELETE, "/v1/deployments/totals?state=keep");
    server.send(kept).await?.expect(204)?;
    server.get("/v1/deployments/totals").await?.expect(404)?;
    produce(&server, 5..10).await?;
    server.put("/v1/deployments/totals", &counter()).await?.expect(201)?;
    assert_eq!(total(&server, "k1").await?, (2, 7));
    Ok(())
}

#[tokio::test]
async fn a_topic_in_use_is_neither_deleted_nor_widened() -> Result<()> {
    let server = counting(1).await?;
    let delete = server.request(reqwest::Method::DELETE, "/v1/topics/in");
    assert!(server.send(delete).await?.expect(409)?.text().contains("totals"));
    let wider = server.request(reqwest::Method::PATCH, "/v1/topics/in").json(&json!({ "partitions": 2 }));
    assert!(server.send(wider).await?.expect(409)?.text().contains("totals"));
    Ok(())
}

#[tokio::test]
async fn a_topic_created_again_has_its_transforms_and_stops_its_processors() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("validate-json").await?.expect(201)?;
    server.upload("count-by-key").await?.expect(201)?;
    let check = json!({
        "kind": "inline", "module": "validate-json", "input": { "topics": ["in"] }, "params": { "required": "amount" }
    });
    server.put("/v1/deployments/check", &check).await?.expect(201)?;
    server.put("/v1/deployments/totals", &counter()).await?.expect(201)?;
    produce(&server, 0..5).await?;
    assert_eq!(total(&server, "k1").await?, (1, 1));

    let delete = server.request(reqwest::Method::DELETE, "/v1/topics/in?force=true");
    server.send(delete).await?.expect(204)?;
    let stopped = server.until("/v1/deployments/totals", |d| d["state"] == "failed").await?;
    assert_eq!(stopped["last_error"]["code"], "topic_gone", "{stopped:#}");
    server.topic("in", 1).await?;
    let refused = server.post("/v1/topics/in/records", &json!({ "value": { "user": 1 } })).await?;
    assert_eq!(refused.expect(422)?.json()?["code"], "record_rejected");

    // Its state is of records that are gone: going on with it is for a person to decide.
    let restarted = server.post("/v1/deployments/totals/restart", &json!({})).await?.expect(202)?.json()?;
    let error = &restarted["last_error"]["code"];
    assert_eq!((&restarted["state"], error), (&json!("failed"), &json!("topic_replaced")), "{restarted:#}");
    let rewind = json!({ "to": "earliest", "state": "clear" });
    server.post("/v1/deployments/totals/rewind", &rewind).await?.expect(200)?;
    server.until("/v1/deployments/totals", |d| d["state"] == "running").await?;
    Ok(())
}

#[tokio::test]
async fn kept_state_is_not_given_to_other_partitions_and_can_be_deleted() -> Result<()> {
    let server = counting(1).await?;
    produce(&server, 0..5).await?;
    assert_eq!(total(&server, "k1").await?, (1, 1));
    let keep = server.request(reqwest::Method::DELETE, "/v1/deployments/totals?state=keep");
    server.send(keep).await?.expect(204)?;
    let wider = server.request(reqwest::Method::PATCH, "/v1/topics/in").json(&json!({ "partitions": 2 }));
    let refused = server.send(wider).await?.expect(409)?.json()?;
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(
        detail
            .ends_with("; of `totals` only the state is left: delete such a deployment once more to drop it"),
        "{detail}"
    );
    let forget = server.request(reqwest::Method::DELETE, "/v1/deployments/totals");
    server.send(forget).await?.expect(204)?;
    let wider = server.request(reqwest::Method::PATCH, "/v1/topics/in").json(&json!({ "partitions": 2 }));
    server.send(wider).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_transform_works_as_a_processor_and_what_it_rejects_is_a_dead_letter() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("template").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "template", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    });
    server.put("/v1/deployments/upper", &spec).await?.expect(201)?;
    let delete = server.request(reqwest::Method::DELETE, "/v1/topics/upper.dlq");
    assert!(server.send(delete).await?.expect(409)?.text().contains("upper"), "it may be needed any time");
    let records = ["a", "heartbeat", "", "b"].map(|value| json!({ "key": "k", "value": value }));
    server.post("/v1/topics/in/records?format=text", &json!({ "records": records })).await?.expect(200)?;

    let done =
        server.until("/v1/deployments/upper", |d| d["tasks"][0]["positions"][0]["offset"] == 4).await?;
    let totals = &done["totals"];
    let counted = ["records_in", "records_out", "rejected", "dead_letters", "errors"].map(|n| &totals[n]);
    assert_eq!(counted, [&json!(4), &json!(2), &json!(1), &json!(1), &json!(0)], "{done:#}");
    let out = server.get("/v1/topics/out/records?format=text").await?.json()?;
    let found: Vec<_> =
        out["records"].as_array().context("records")?.iter().map(|r| (&r["key"], &r["value"])).collect();
    assert_eq!(found, [(&json!("k"), &json!("A")), (&json!("k"), &json!("B"))]);
    let letters = server.get("/v1/topics/upper.dlq/records").await?.json()?;
    let headers = letters["records"][0]["headers"].to_string();
    for part in ["rejected", "the value is empty", "\"2\"", "template@"] {
        assert!(headers.contains(part), "{part} in {headers}");
    }
    Ok(())
}

#[tokio::test]
async fn code_whose_open_refuses_is_deployed_in_no_kind_and_leaves_nothing_behind() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 2).await?;
    for guest in ["redact-json", "number-counter", "webhook-sink", "ticker"] {
        server.upload(guest).await?.expect(201)?;
    }
    let input = json!({ "topics": ["in"] });
    let cases = [
        (
            json!({ "kind": "inline", "module": "redact-json", "input": input, "params": { "fields": "" } }),
            "no field is named",
        ),
        (
            json!({ "kind": "view", "module": "redact-json", "input": input, "params": { "fields": "" } }),
            "no field is named",
        ),
        (
            json!({
                "kind": "processor", "module": "number-counter", "input": input, "params": { "refuse": true },
                "output": { "default": "made", "create_topics": { "partitions": 1 } },
            }),
            "told to refuse",
        ),
        (
            // More than its code can count, which the declared type does not say.
            json!({
                "kind": "sink", "module": "webhook-sink", "input": input,
                "params": { "url": "http://127.0.0.1:1/", "batch": 99_999_999_999_u64 },
            }),
            "batch",
        ),
        (
            json!({
                "kind": "source", "module": "ticker", "params": { "until": "never" },
                "output": { "default": "made", "create_topics": { "partitions": 1 } },
            }),
            "until",
        ),
    ];
    for (spec, words) in cases {
        let refused = server.put("/v1/deployments/d", &spec).await?.expect(422)?.json()?;
        assert_eq!(
            (&refused["code"], &refused["fault"]),
            (&json!("module_not_ready"), &json!("open_failed")),
            "{refused:#}"
        );
        assert!(refused["detail"].to_string().contains(words), "{spec}: {refused:#}");
    }
    server.get("/v1/deployments/d").await?.expect(404)?;
    server.get("/v1/topics/made").await?.expect(404)?;
    // The name of the view is free again.
    server.topic("d", 1).await?;

    // What runs goes on by its old spec.
    let mut spec =
        json!({ "kind": "view", "module": "redact-json", "input": input, "params": { "fields": "a" } });
    server.put("/v1/deployments/v", &spec).await?.expect(201)?;
    spec["params"] = json!({ "fields": "" });
    let refused = server.put("/v1/deployments/v", &spec).await?.expect(422)?.json()?;
    assert!(refused["detail"].to_string().contains("what ran goes on"), "{refused:#}");
    let upgrade = json!({ "module": "redact-json", "params": { "fields": "" } });
    server.post("/v1/deployments/v/upgrade", &upgrade).await?.expect(422)?;
    let view = server.get("/v1/deployments/v").await?.json()?;
    assert_eq!((&view["revision"], &view["spec"]["params"]["fields"]), (&json!(1), &json!("a")));
    Ok(())
}
