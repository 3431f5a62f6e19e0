//! Time through the public interface: windows of event time over kills, timers by the clock, late records, timers that fail.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::Server;

async fn serve(guest: &str, spec: Value) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload(guest).await?.expect(201)?;
    let mut whole = json!({
        "kind": "processor", "module": guest, "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    });
    for (member, value) in spec.as_object().into_iter().flatten() {
        match (whole.get_mut(member), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
            _ => whole[member] = value.clone(),
        }
    }
    server.put("/v1/deployments/d", &whole).await?.expect(201)?;
    Ok(server)
}

/// Stores records with these keys and times, or values.
async fn produce(server: &Server, records: Vec<Value>) -> Result<u64> {
    let stored = server.post("/v1/topics/in/records", &json!({ "records": records })).await?;
    let stored = stored.expect(200)?.json()?;
    let last = stored["results"].as_array().and_then(|list| list.last()).context("a result")?;
    last["offset"].as_u64().context("an offset")
}

fn at(key: &str, timestamp: i64) -> Value {
    json!({ "key": key, "value": 1, "timestamp": timestamp })
}

fn command(text: &str) -> Value {
    json!({ "value_base64": STANDARD.encode(text), "timestamp": 0 })
}

/// A command that does nothing but to move the watermark.
fn now(timestamp: i64) -> Value {
    json!({ "value_base64": STANDARD.encode("now"), "timestamp": timestamp })
}

/// The records of a topic.
async fn records(server: &Server, topic: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/topics/{topic}/partitions/0/records?offset=0&limit=10000&format=base64");
    let mut page = server.get(&path).await?.expect(200)?.json()?;
    match page["records"].take() {
        Value::Array(records) => Ok(records),
        other => anyhow::bail!("no records: {other}"),
    }
}

fn text(record: &Value) -> String {
    let bytes = STANDARD.decode(record["value_base64"].as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text whatever the format.
fn key(record: &Value) -> Option<String> {
    record["key"].as_str().map(str::to_owned)
}

/// Waits until everything is read and fired that was produced.
async fn until_read(server: &Server, last: u64) -> Result<Value> {
    let read = |d: &Value| d["tasks"][0]["positions"][0]["offset"].as_u64() > Some(last);
    server.until("/v1/deployments/d", read).await
}

#[tokio::test]
async fn each_window_is_told_once_with_what_was_in_time_also_over_kills() -> Result<()> {
    let spec = json!({
        "time": { "out_of_order": "300ms", "late": "drop" }, "limits": { "batch": { "records": 16 } }
    });
    let mut server = serve("tumbling-count", spec).await?;
    // Times go on by 10 ms and are out of order by up to 630 ms: some records are late.
    let mut times = Vec::new();
    let mut state = 7_u64;
    for n in 0..800_i64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        times.push(10_000 + n * 10 - i64::try_from(state >> 33)? % 64 * 10);
    }
    let mut last = 0;
    for chunk in times.chunks(100) {
        let chunk = chunk.iter().map(|t| at(if t % 20 == 0 { "a" } else { "b" }, *t)).collect();
        last = produce(&server, chunk).await?;
        // Wherever it is just now.
        server = server.restart().await?;
    }
    until_read(&server, last).await?;
    last = produce(&server, vec![at("end", 1_000_000)]).await?;
    let view = until_read(&server, last).await?;

    let (mut greatest, mut late, mut expected) = (i64::MIN, 0, BTreeMap::<(i64, &str), u64>::new());
    for time in times {
        if time < greatest.saturating_sub(300) {
            late += 1;
            continue;
        }
        greatest = greatest.max(time);
        *expected.entry((time / 1_000 * 1_000, if time % 20 == 0 { "a" } else { "b" })).or_default() += 1;
    }
    assert!(late > 10, "{late} late ones test little");
    let expected: Vec<_> = expected.iter().map(|((start, key), n)| format!("{key} {start}={n}")).collect();
    // In the order of their ends and keys, whatever the batches were.
    let told = records(&server, "out").await?;
    let told: Vec<_> = told.iter().map(|r| format!("{} {}", key(r).unwrap_or_default(), text(r))).collect();
    assert_eq!(told, expected);
    let time = &view["tasks"][0]["time"];
    assert_eq!((&time["watermark_ms"], &time["timers"]), (&json!(999_700), &json!(1)), "{time:#}");
    assert_eq!(time["inputs"][0]["greatest_ms"], 1_000_000);
    Ok(())
}

#[tokio::test]
async fn a_record_far_ahead_of_the_clock_makes_no_other_one_late() -> Result<()> {
    let server = serve("tumbling-count", json!({ "time": { "ahead": "1m", "late": "drop" } })).await?;
    server.topic("clock", 1).await?;
    server.post("/v1/topics/clock/records", &json!({ "value": 1 })).await?.expect(200)?;
    let now = records(&server, "clock").await?[0]["timestamp"].as_i64().context("a timestamp")?;
    let last = produce(&server, vec![at("a", 100), at("b", now + 1_800_000), at("c", 200)]).await?;
    let view = until_read(&server, last).await?;
    let totals = &view["totals"];
    let told = (&totals["records_in"], &totals["ahead_records"], &totals["late_records"]);
    assert_eq!(told, (&json!(3), &json!(1), &json!(0)), "{view:#}");
    assert_eq!(view["tasks"][0]["time"]["watermark_ms"], 200, "{view:#}");
    let metrics = server.get("/metrics").await?.text();
    assert!(metrics.contains("millstream_deployment_ahead_records_total{deployment=\"d\"} 1"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn late_records_are_counted_and_go_where_the_spec_says() -> Result<()> {
    let spec = json!({
        "time": { "late": { "output": "late" }, "lateness": "1s" }, "output": { "routes": { "late": "too-late" } }
    });
    let server = serve("tumbling-count", spec).await?;
    let last = produce(&server, vec![at("a", 100), at("a", 5_000), at("b", 4_500), at("c", 3_999)]).await?;
    let view = until_read(&server, last).await?;
    assert_eq!(view["totals"]["late_records"], 1, "{view:#}");
    assert_eq!(view["totals"]["records_in"], 4);
    let late = records(&server, "too-late").await?;
    let late: Vec<_> = late.iter().map(|r| (key(r), r["timestamp"].as_i64())).collect();
    assert_eq!(late, [(Some("c".to_owned()), Some(3_999))], "as it came");
    let told: Vec<_> = records(&server, "out").await?.iter().map(text).collect();
    assert_eq!(told, ["0=1", "4000 late"], "the record of 4500 is late within what is allowed");
    let metrics = server.get("/metrics").await?.text();
    let line = "millstream_deployment_late_records_total{deployment=\"d\",policy=\"output\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    let wrong = json!({
        "kind": "processor", "module": "tumbling-count", "input": { "topics": ["in"] },
        "time": { "late": { "output": "nowhere" } }
    });
    let wrong = server.put("/v1/deployments/w", &wrong).await?.expect(422)?.json()?;
    assert_eq!(wrong["errors"][0]["pointer"], "/time/late", "{wrong:#}");
    Ok(())
}

#[tokio::test]
async fn timers_by_the_clock_fire_without_records_also_after_a_kill() -> Result<()> {
    let server = serve("timer-probe", json!({})).await?;
    let fired = |name: &'static str| {
        move |page: &Value| {
            page["records"].as_array().is_some_and(|all| all.iter().any(|record| record["key"] == name))
        }
    };
    let out = "/v1/topics/out/partitions/0/records?offset=0";
    produce(&server, vec![command("in wall soon 50"), command("in wall gone 3600000")]).await?;
    // Not only set: the server is killed soon.
    server.until(out, fired("soon")).await?;
    let set = ["in wall after 5000", "in wall never 3600000", "cancel wall gone"];
    let last = produce(&server, set.map(command).into()).await?;
    until_read(&server, last).await?;
    let server = server.restart().await?;
    server.until(out, fired("after")).await?;
    let view = server.until("/v1/deployments/d", |d| d["tasks"][0]["time"]["timers"] == 1).await?;
    assert_eq!(view["state"], "running", "{view:#}");
    let told = records(&server, "out").await?;
    let mut keys: Vec<_> = told.iter().filter_map(key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["after", "soon"], "each once");
    Ok(())
}

#[tokio::test]
async fn a_timer_that_fails_is_given_up_alone_with_what_it_was() -> Result<()> {
    let spec = json!({ "on_error": { "policy": "dead_letter", "max_retries": 0 } });
    let server = serve("timer-probe", spec).await?;
    let mut commands: Vec<_> = (0..40).map(|n| command(&format!("set event n{n:02} {n}"))).collect();
    commands.push(command("set event trap-1 7"));
    commands.push(command("set event refuse-1 20"));
    // Only now is anything due.
    commands.push(now(1_000));
    let last = produce(&server, commands).await?;
    until_read(&server, last).await?;
    let view = server.until("/v1/deployments/d", |d| d["totals"]["timers_fired"] == 42).await?;
    assert_eq!(view["totals"]["dead_letters"], 2, "{view:#}");
    assert_eq!(view["tasks"][0]["time"]["timers"], 0);
    let told = records(&server, "out").await?;
    let told: Vec<_> = told.iter().filter_map(key).collect();
    assert_eq!(told, (0..40).map(|n| format!("n{n:02}")).collect::<Vec<_>>(), "in their order");

    let dead = records(&server, "d.dlq").await?;
    let of = |index: usize, name: &str| dead[index]["headers"][name].as_str().unwrap_or_default();
    assert_eq!(of(0, "millstream.timer.name"), "trap-1", "{dead:#?}");
    assert_eq!(of(0, "millstream.timer.clock"), "event-time");
    assert_eq!((of(0, "millstream.timer.at"), of(0, "millstream.error.code")), ("7", "trap"));
    assert!(of(0, "millstream.error").contains("the timer says so"));
    assert_eq!((of(1, "millstream.timer.name"), of(1, "millstream.error.code")), ("refuse-1", "refused"));
    Ok(())
}

#[tokio::test]
async fn a_timer_that_fails_stops_the_task_and_is_named_until_a_new_version_takes_it() -> Result<()> {
    let server = serve("timer-probe", json!({ "on_error": { "policy": "stop", "max_retries": 0 } })).await?;
    produce(&server, vec![command("set event trap-2 5"), now(9)]).await?;
    let view = server.until("/v1/deployments/d", |d| d["state"] == "failed").await?;
    let error = &view["last_error"];
    assert_eq!(error["timer"], json!({ "clock": "event-time", "name": "trap-2", "at_ms": 5 }), "{error:#}");
    // The records before it are read, the timer stays.
    assert_eq!(view["tasks"][0]["positions"][0]["offset"], 2, "{view:#}");
    let back = json!({ "to": "latest", "state": "clear" });
    server.post("/v1/deployments/d/rewind", &back).await?.expect(200)?;
    let last = produce(&server, vec![command("set event a 5"), now(9)]).await?;
    let view = until_read(&server, last).await?;
    assert_eq!(view["state"], "running", "a cleared state has no timers: {view:#}");
    let told = server.until("/v1/deployments/d", |d| d["totals"]["timers_fired"] == 1).await?;
    assert_eq!(told["tasks"][0]["time"]["timers"], 0);
    Ok(())
}

#[tokio::test]
async fn a_timer_that_was_the_only_one_and_is_cancelled_holds_nothing_up() -> Result<()> {
    let server = serve("timer-probe", json!({})).await?;
    let commands = ["set event only 5", "cancel event only", "in wall only 1", "cancel wall only"];
    let mut commands: Vec<_> = commands.map(command).into();
    commands.push(now(1_000));
    let last = produce(&server, commands).await?;
    until_read(&server, last).await?;
    // Both times have passed.
    let last = produce(&server, vec![now(2_000)]).await?;
    let view = until_read(&server, last).await?;
    let time = &view["tasks"][0]["time"];
    assert_eq!((&time["timers"], &view["totals"]["timers_fired"]), (&json!(0), &json!(0)), "{view:#}");
    Ok(())
}

#[tokio::test]
async fn timers_that_are_set_anew_for_the_past_let_records_in_between() -> Result<()> {
    let server = serve("timer-probe", json!({})).await?;
    let last = produce(&server, vec![command("set event again 5"), now(9)]).await?;
    until_read(&server, last).await?;
    // Nothing but timers for a while, and records all the same.
    server.until("/v1/deployments/d", |d| d["totals"]["timers_fired"].as_u64() > Some(200)).await?;
    let last = produce(&server, vec![command("cancel event again"), now(10)]).await?;
    until_read(&server, last).await?;
    let view = server.until("/v1/deployments/d", |d| d["tasks"][0]["time"]["timers"] == 0).await?;
    assert_eq!(view["state"], "running", "{view:#}");
    Ok(())
}

#[tokio::test]
async fn disorder_cuts_calls_only_where_event_time_is_asked_for() -> Result<()> {
    let server = serve("timer-probe", json!({})).await?;
    let last = produce(&server, [100, 99, 101, 100].map(now).into()).await?;
    until_read(&server, last).await?;
    let last = produce(&server, vec![command("set event far 9999")]).await?;
    until_read(&server, last).await?;
    let last = produce(&server, [110, 109, 111].map(now).into()).await?;
    until_read(&server, last).await?;
    // Each call tells of one watermark.
    let told: Vec<_> = records(&server, "out").await?.iter().map(text).collect();
    let [none, first, second] = ["None true", "Some(101) true", "Some(110) true"];
    assert_eq!(told, [none, none, none, none, first, second, second]);
    Ok(())
}

#[tokio::test]
async fn an_input_that_is_silent_holds_windows_back_no_longer_than_the_spec_says() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.topic("other", 1).await?;
    server.upload("tumbling-count").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "tumbling-count", "input": { "topics": ["in", "other"] },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }, "time": { "idle": "2s" }
    });
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    produce(&server, vec![at("a", 100), at("a", 5_000)]).await?;
    // No record comes: the window ends by the other input's silence alone.
    let view = server.until("/v1/deployments/d", |d| d["totals"]["timers_fired"] == 1).await?;
    let inputs = &view["tasks"][0]["time"]["inputs"];
    assert_eq!((&inputs[1]["idle"], &inputs[1]["greatest_ms"]), (&json!(true), &Value::Null), "{inputs:#}");
    assert_eq!(records(&server, "out").await?.iter().map(text).collect::<Vec<_>>(), ["0=1"]);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_fires_what_its_records_make_due_and_the_rest_at_its_end() -> Result<()> {
    let server = serve("tumbling-count", json!({})).await?;
    let mut body = json!({ "records": [at("a", 1), at("a", 1_500)] });
    let run = server.post("/v1/deployments/d/run", &body).await?.expect(200)?.json()?;
    let shown = |output: &Value| output["value_text"].as_str().unwrap_or_default().to_owned();
    let values =
        |run: &Value| run["unsourced"].as_array().map(|all| all.iter().map(shown).collect::<Vec<_>>());
    assert_eq!(values(&run), Some(vec!["0=1".to_owned()]), "{run:#}");
    body["flush"] = json!(true);
    let run = server.post("/v1/deployments/d/run", &body).await?.expect(200)?.json()?;
    assert_eq!(values(&run), Some(vec!["0=1".to_owned(), "1000=1".to_owned()]), "{run:#}");
    let view = server.until("/v1/deployments/d", |d| d["tasks"][0]["time"].is_object()).await?;
    assert_eq!(view["tasks"][0]["time"]["timers"], 0, "nothing of it is kept");
    Ok(())
}
