//! Dry invocations through the public interface: what comes out, what would change, and that nothing does.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

fn counter() -> Value {
    json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    })
}

/// Verdicts of a run, in order.
fn verdicts(run: &Value) -> Vec<&str> {
    run["records"].as_array().into_iter().flatten().filter_map(|r| r["verdict"].as_str()).collect()
}

#[tokio::test]
async fn a_version_is_run_over_given_records_with_given_state() -> Result<()> {
    let server = Server::start().await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.upload("template").await?.expect(201)?;

    let body =
        json!({ "records": [{ "value_text": "a" }, { "value_text": "heartbeat" }, { "value_text": "" }] });
    let run = server.post("/v1/modules/template/versions/latest/run", &body).await?.expect(200)?.json()?;
    assert_eq!(verdicts(&run), ["emit", "drop", "reject"], "{run:#}");
    assert_eq!(run["records"][0]["outputs"], json!([{ "value_text": "A" }]));
    assert_eq!(run["records"][2]["reason"], "the value is empty");
    assert!(run["records"][2]["becomes"].as_str().context("becomes")?.contains("refused"), "{run:#}");

    let body = json!({
        "records": [{ "key": "k", "value": { "amount": 5 } }, { "key": "k", "value": { "amount": 1 } }],
        "limits": { "batch": { "records": 1 } },
        "state": { "totals": { "k": { "count": 2, "sum": 10.0 } } }
    });
    let run =
        server.post("/v1/modules/count-by-key/versions/latest/run", &body).await?.expect(200)?.json()?;
    assert_eq!(verdicts(&run), ["processed", "processed"], "{run:#}");
    let change = &run["state_changes"][0];
    let told = (&change["key"], &change["before"]["count"], &change["after"]["count"]);
    assert_eq!(told, (&json!("k"), &json!(2), &json!(4)), "{run:#}");
    Ok(())
}

#[tokio::test]
async fn a_run_names_the_version_that_was_meant_also_where_another_has_the_same_bytes() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.upload_as("count-by-key?version=0.2.0", "count-by-key").await?.expect(201)?;
    let body = json!({ "records": [{ "key": "k", "value": 1 }] });
    for version in ["0.1.0", "0.2.0"] {
        let module = format!("count-by-key@{version}");
        let path = format!("/v1/modules/count-by-key/versions/{version}/run");
        let run = server.post(&path, &body).await?.expect(200)?.json()?;
        assert_eq!(run["module"], module.as_str(), "{run:#}");
        let mut spec = counter();
        spec["module"] = json!(module);
        let path = format!("/v1/deployments/d{}", &version[2..3]);
        server.put(&path, &spec).await?.expect(201)?;
        let run = server.post(&format!("{path}/run"), &body).await?.expect(200)?.json()?;
        assert_eq!(run["module"], module.as_str(), "{run:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deployments_code_sees_its_committed_state_and_changes_nothing() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/totals", &counter()).await?.expect(201)?;
    let records: Vec<_> = (0..4).map(|n| json!({ "key": "k", "value": { "amount": n } })).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200)?;
    server.until("/v1/deployments/totals", |d| d["tasks"][0]["positions"][0]["offset"] == 4).await?;

    let body = json!({ "from": { "offset": 1, "limit": 2 }, "state": "committed" });
    let run = server.post("/v1/deployments/totals/run", &body).await?.expect(200)?.json()?;
    assert_eq!(run["records"][0]["offset"], 1, "{run:#}");
    assert_eq!(verdicts(&run), ["processed", "processed"]);
    let change = &run["state_changes"][0];
    assert_eq!((&change["before"]["count"], &change["after"]["count"]), (&json!(4), &json!(6)), "{run:#}");
    assert_eq!(run["records"][0]["outputs"][0]["topic"], "out", "{run:#}");

    let key = server.get("/v1/deployments/totals/stores/totals/keys/k").await?.expect(200)?.json()?;
    assert_eq!(key["count"], 4, "a run leaves nothing behind");
    let out = server.get("/v1/topics/out/records").await?.expect(200)?.json()?;
    assert_eq!(out["records"].as_array().context("records")?.len(), 4);
    let empty = json!({ "from": { "offset": 1, "limit": 2 } });
    let run = server.post("/v1/deployments/totals/run", &empty).await?.expect(200)?.json()?;
    assert_eq!(run["state_changes"][0]["before"], Value::Null, "{run:#}");
    Ok(())
}

#[tokio::test]
async fn a_trap_is_told_with_its_words_its_record_and_the_command_that_runs_it_again() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("trap").await?.expect(201)?;
    let spec = |policy: &str| {
        json!({ "kind": "processor", "module": "trap", "input": { "topics": ["in"], "start": "latest" },
            "output": { "default": "out", "create_topics": { "partitions": 1 } }, "on_error": { "policy": policy } })
    };
    let body = json!({ "records": [{ "value": "a" }, { "value": "misbehave" }, { "value": "b" }] });
    server.post("/v1/topics/in/records", &body).await?.expect(200)?;
    server.put("/v1/deployments/t", &spec("stop")).await?.expect(201)?;

    let from = json!({ "from": { "topic": "in", "partition": 0, "offset": 0, "limit": 3 } });
    let run = server.post("/v1/deployments/t/run", &from).await?.expect(200)?.json()?;
    assert_eq!(verdicts(&run), ["processed", "fault", "not_run"], "{run:#}");
    let failed = &run["records"][1];
    assert_eq!(failed["reproduce"], "millstream deployment run t --record in/0/1");
    assert_eq!(failed["fault"]["code"], "trap");
    assert!(
        !failed["fault"]["message"].as_str().context("message")?.starts_with("the code trapped"),
        "{run:#}"
    );
    assert!(failed["becomes"].as_str().context("becomes")?.contains("stops"), "{run:#}");

    let other = json!({ "from": { "offset": 1 }, "module": "trap@0.1.0", "params": { "a": "b c" } });
    let run = server.post("/v1/deployments/t/run", &other).await?.expect(200)?.json()?;
    let again = "millstream deployment run t --record in/0/1 --module trap@0.1.0 --param 'a=b c'";
    assert_eq!(run["records"][0]["reproduce"], again, "{run:#}");

    server.put("/v1/deployments/t", &spec("dead_letter")).await?.expect(200)?;
    let run = server.post("/v1/deployments/t/run", &from).await?.expect(200)?.json()?;
    assert_eq!(verdicts(&run), ["processed", "fault", "processed"], "{run:#}");
    assert!(run["records"][1]["becomes"].as_str().context("becomes")?.contains("`t.dlq`"), "{run:#}");
    let letters = server.get("/v1/topics/t.dlq/records").await?.expect(200)?.json()?;
    assert_eq!(letters["records"], json!([]), "nothing is given up by a run");
    Ok(())
}

#[tokio::test]
async fn what_a_run_cannot_take_is_refused() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    server.put("/v1/deployments/totals", &counter()).await?.expect(201)?;
    let one = json!([{ "value": 1 }]);
    let many: Vec<_> = (0..1001).map(|n| json!({ "value": n })).collect();
    for (body, status, word) in [
        (json!({ "records": [] }), 422, "expected 1 to 1000"),
        (json!({ "records": many }), 422, "expected 1 to 1000"),
        (json!({ "records": one, "from": { "offset": 0 } }), 422, "one of"),
        (json!({ "records": [{ "topic": "other", "value": 1 }] }), 422, "`other` is no input"),
        (json!({ "from": { "offset": 7 } }), 416, "7"),
        (json!({ "records": one, "module": "nobody" }), 422, "nobody"),
    ] {
        let answer = server.post("/v1/deployments/totals/run", &body).await?.expect(status)?.text();
        assert!(answer.contains(word), "{word} in {answer}");
    }
    server.post("/v1/deployments/nobody/run", &json!({ "records": one })).await?.expect(404)?;
    Ok(())
}
