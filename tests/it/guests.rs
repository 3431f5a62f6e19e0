//! Every guest example at work, the misbehaving ones by their exact error: one poisoned record among good ones is
//! isolated, kept as a dead letter with its position and reason, and every other record goes through.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

const RECORDS: u64 = 20;
const POISONED: u64 = 11;

/// Deploys a misbehaving processor, feeds it one poisoned record, and gives (code, message) of its dead letter.
async fn isolated(guest: &str, key: Option<&str>, limits: Value) -> Result<(String, String)> {
    isolated_with(guest, key, json!({ "limits": limits })).await
}

/// As [`isolated`], with more members of the spec.
async fn isolated_with(guest: &str, key: Option<&str>, members: Value) -> Result<(String, String)> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload(guest).await?.expect(201)?;
    let mut spec = json!({
        "kind": "processor", "module": guest, "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } },
        "on_error": { "policy": "dead_letter", "max_retries": 0 }
    });
    for (name, value) in members.as_object().context("members")? {
        spec[name] = value.clone();
    }
    server.put("/v1/deployments/bad", &spec).await?.expect(201)?;
    let records: Vec<_> = (0..RECORDS)
        .map(|n| {
            let word = if n == POISONED { "misbehave" } else { "fine" };
            json!({ "key": key, "value": { "n": n, "word": word } })
        })
        .collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200)?;

    let done = |d: &Value| d["tasks"][0]["positions"][0]["offset"] == RECORDS;
    let view = server.until("/v1/deployments/bad", done).await?;
    assert_eq!(view["totals"]["dead_letters"], 1, "{view:#}");
    let error = &view["last_error"];
    assert_eq!((&error["topic"], &error["offset"]), (&json!("in"), &json!(POISONED)), "{view:#}");
    let again = format!("millstream deployment run bad --record in/0/{POISONED}");
    assert_eq!(error["reproduce"], again, "{view:#}");

    let out = server.get("/v1/topics/out/records?limit=100").await?.expect(200)?.json()?;
    let passed: Vec<_> =
        out["records"].as_array().context("records")?.iter().map(|r| r["value"]["n"].clone()).collect();
    let expected: Vec<_> = (0..RECORDS).filter(|n| *n != POISONED).map(Value::from).collect();
    assert_eq!(passed, expected);

    let letters = server.get("/v1/topics/bad.dlq/records").await?.expect(200)?.json()?;
    let letter = &letters["records"][0];
    assert_eq!(letter["value"]["n"], POISONED);
    let header = |name: &str| letter["headers"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(header("millstream.source.topic"), "in");
    assert_eq!(header("millstream.source.offset"), POISONED.to_string());
    assert_eq!(header("millstream.reproduce"), again);
    let frames = header("millstream.error.backtrace");
    assert_eq!(frames.is_empty(), header("millstream.error.code") != "trap", "{frames}");
    assert!(!frames.contains("core::") && !frames.contains("panicking"), "{frames}");
    assert!(header("millstream.module").starts_with(&format!("{guest}@0.1.0 sha256:")), "{letter:#}");
    Ok((header("millstream.error.code"), header("millstream.error")))
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_cpu_limit() -> Result<()> {
    let (code, message) = isolated("endless-loop", None, json!({ "cpu": "50ms" })).await?;
    assert_eq!(code, "cpu_limit", "{message}");
    Ok(())
}

#[tokio::test]
async fn a_memory_hog_ends_at_its_memory_limit() -> Result<()> {
    let (code, message) = isolated("memory-hog", None, json!({ "memory": "16MiB", "cpu": "5s" })).await?;
    assert_eq!(code, "memory_limit", "{message}");
    Ok(())
}

#[tokio::test]
async fn a_panic_shows_its_message() -> Result<()> {
    let (code, message) = isolated("trap", None, json!({})).await?;
    assert_eq!(code, "trap");
    assert!(message.contains("told the code to misbehave"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_unreachable_is_a_trap_without_words() -> Result<()> {
    let (code, message) = isolated("trap", Some("unreachable"), json!({})).await?;
    assert_eq!(code, "trap");
    assert!(message.contains("unreachable"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_oversized_output_is_refused_by_its_bytes_and_by_its_number() -> Result<()> {
    let (code, message) = isolated("oversized-output", None, json!({ "cpu": "20s" })).await?;
    assert_eq!(code, "output_bytes_limit", "{message}");
    let (code, message) = isolated("oversized-output", Some("records"), json!({ "cpu": "20s" })).await?;
    assert_eq!(code, "output_records_limit", "{message}");
    Ok(())
}

#[tokio::test]
async fn endless_recursion_ends_at_the_end_of_its_stack() -> Result<()> {
    let (code, message) = isolated_with("unruly", None, json!({ "params": { "how": "stack-bomb" } })).await?;
    assert_eq!(code, "trap");
    assert!(message.contains("endless recursion?"), "{message}");
    Ok(())
}

#[tokio::test]
async fn state_without_end_stops_at_its_bytes() -> Result<()> {
    let members = json!({
        "params": { "how": "huge-state" }, "state": { "max_bytes": "8MiB" }, "limits": { "cpu": "10s" }
    });
    let (code, message) = isolated_with("unruly", None, members).await?;
    assert_eq!(code, "state_limit");
    assert!(message.contains("`state.max_bytes`"), "{message}");
    Ok(())
}

#[tokio::test]
async fn text_that_is_none_breaks_the_interface() -> Result<()> {
    let (code, message) = isolated_with("unruly", None, json!({ "params": { "how": "bad-text" } })).await?;
    assert_eq!(code, "protocol", "{message}");
    assert!(message.contains("utf-8") || message.contains("UTF-8"), "{message}");
    Ok(())
}

#[tokio::test]
async fn code_that_does_not_get_through_open_is_not_deployed() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("unruly").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "unruly", "input": { "topics": ["in"] }, "params": { "how": "slow-start" },
        "on_error": { "policy": "dead_letter", "max_retries": 0 }
    });
    for query in ["?dry_run=true", ""] {
        let path = format!("/v1/deployments/bad{query}");
        let refused = server.put(&path, &spec).await?.expect(422)?.json()?;
        let told = (&refused["code"], &refused["fault"], &refused["retryable"]);
        assert_eq!(told, (&json!("module_not_ready"), &json!("open_failed"), &json!(false)), "{refused:#}");
        let detail = refused["detail"].to_string();
        assert!(
            detail.contains("more than 1s of CPU time") && detail.contains("nothing was deployed"),
            "{detail}"
        );
    }
    server.get("/v1/deployments/bad").await?.expect(404)?;
    Ok(())
}

/// What makes `log-flood` write its lines.
static FLOOD: LazyLock<Value> = LazyLock::new(|| json!({ "records": [{ "value": "misbehave" }] }));

/// A server with the deployment `flood` on the topic `in`, which may log so many lines in one second.
async fn flooding(log_lines: u32) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("unruly").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "unruly", "input": { "topics": ["in"] }, "params": { "how": "log-flood" },
        "output": { "default": "out", "create_topics": { "partitions": 1 } },
        "limits": { "log_lines": log_lines, "cpu": "5s" }
    });
    server.put("/v1/deployments/flood", &spec).await?.expect(201)?;
    Ok(server)
}

#[tokio::test]
async fn a_flood_of_lines_is_counted_and_the_record_goes_through() -> Result<()> {
    let server = flooding(10).await?;
    let mut said = String::new();
    // What was left out is said with the first line of a later second.
    for n in 1..20 {
        server.post("/v1/topics/in/records", &FLOOD).await?.expect(200)?;
        server.until("/v1/deployments/flood", |d| d["totals"]["records_in"] == n).await?;
        said = server.get("/v1/deployments/flood/logs?limit=1000").await?.expect(200)?.text();
        if said.contains("more than 10 in one second (`limits.log_lines`)") {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("nothing was said of the lines that were left out: {said}")
}

/// The log is looked through from its end, some lines at a time.
#[tokio::test]
async fn the_newest_lines_of_a_long_log_come_in_the_order_they_were_written_in() -> Result<()> {
    let server = flooding(3500).await?;
    server.post("/v1/topics/in/records", &FLOOD).await?.expect(200)?;
    server.until("/v1/deployments/flood", |d| d["totals"]["records_in"] == 1).await?;
    let logs = async |asked: &str| -> Result<Vec<String>> {
        let page = server.get(&format!("/v1/deployments/flood/logs?{asked}")).await?.expect(200)?.json()?;
        let items = page["items"].as_array().context("items")?;
        Ok(items.iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let (mut before, mut all) = (Vec::new(), logs("limit=10000").await?);
    for look in 0.. {
        if all.len() >= 3500 && before == all {
            break;
        }
        anyhow::ensure!(look < 600, "only {} lines are there", all.len());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        before = std::mem::replace(&mut all, logs("limit=10000").await?);
    }
    let number = |text: &String| text.split(' ').nth(1)?.parse::<u32>().ok();
    // What is left out of one second is said in the next one.
    let numbers: Vec<_> = all.iter().filter(|text| text.starts_with("line")).filter_map(number).collect();
    assert!(numbers.is_sorted() && numbers[0] == 0 && numbers.len() + 1 >= all.len(), "{numbers:?}");
    assert_eq!(logs("limit=2500").await?, all[all.len() - 2500..]);
    assert_eq!(logs("limit=1").await?, all[all.len() - 1..]);
    assert_eq!(logs("contains=line%207%20of").await?, ["line 7 of a flood"]);
    assert_eq!(logs("since=-1h&level=info&limit=10000").await?, all);
    assert_eq!(logs("until=-1h").await?, [] as [&str; 0]);
    assert_eq!(logs("since=2200-01-01T00:00:00Z").await?, [] as [&str; 0]);
    Ok(())
}

#[tokio::test]
async fn a_component_of_another_world_is_refused_in_the_users_words() -> Result<()> {
    let server = Server::start().await?;
    let refused = server.upload("wrong-world").await?.expect(422)?.json()?;
    assert_eq!(refused["code"], "invalid_module");
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("elsewhere:other/greeter"), "what was found: {refused:#}");
    assert!(detail.contains("transform-packed"), "what is needed: {refused:#}");
    assert!(detail.contains("choose a world of millstream:functions@"), "what to do: {refused:#}");
    Ok(())
}

#[tokio::test]
async fn redaction_happens_before_anything_is_stored() -> Result<()> {
    let server = Server::start().await?;
    server.topic("people", 1).await?;
    server.upload("redact-json").await?.expect(201)?;
    let spec = json!({ "kind": "inline", "module": "redact-json", "input": { "topics": ["people"] } });
    server.put("/v1/deployments/redact", &spec).await?.expect(201)?;
    let body = json!({ "value": { "name": "Ada", "contact": { "email": "ada@example.org" } } });
    server.post("/v1/topics/people/records", &body).await?.expect(200)?;
    let read = server.get("/v1/topics/people/records").await?.expect(200)?.json()?;
    assert_eq!(read["records"][0]["value"], json!({ "name": "Ada", "contact": { "email": "***" } }));
    Ok(())
}

#[tokio::test]
async fn recommenders_keep_fresh_lists_in_their_state() -> Result<()> {
    let server = Server::start().await?;
    server.topic("clicks", 1).await?;
    for guest in ["item-cf", "also-viewed"] {
        server.upload(guest).await?.expect(201)?;
        let spec = json!({
            "kind": "processor", "module": guest, "input": { "topics": ["clicks"] },
            "output": { "default": format!("{guest}.out"), "create_topics": { "partitions": 1 } }
        });
        server.put(&format!("/v1/deployments/{guest}"), &spec).await?.expect(201)?;
    }
    let click = |who: u32, item: u32| json!({ "value": { "user": who, "session": who, "item": item, "timestamp": 1 } });
    let records: Vec<_> = [(1, 10), (1, 20), (2, 10)].map(|(who, item)| click(who, item)).into();
    server.post("/v1/topics/clicks/records", &json!({ "records": records })).await?.expect(200)?;
    let path = "/v1/deployments/item-cf/stores/recommendations/keys/2?after=clicks:0:2&wait=20s";
    let list = server.get(path).await?.expect(200)?.json()?;
    assert_eq!(list["items"][0]["item"], 20, "{list}");
    let path = "/v1/deployments/also-viewed/stores/also_viewed/keys/10?after=clicks:0:2&wait=20s";
    let list = server.get(path).await?.expect(200)?.json()?;
    assert_eq!(list["items"][0]["item"], 20, "{list}");
    Ok(())
}
