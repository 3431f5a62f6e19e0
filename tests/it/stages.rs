//! Processors of two stages, with an internal topic between them: keys that meet over partitions, exactly once over kills,
//! and a topic that nobody else has a say in.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

const VIEWED: &str = "/v1/deployments/viewed";
/// Items that may stand between two for the one to teach about the other, plus one.
const STEPS_MAX: usize = 20;
/// Looks, of up to 10 s each, before a deployment counts as hanging on a slow machine.
const LOOKS: usize = 18;

/// A view of an item, as `also-viewed` takes it.
#[derive(Clone, Copy)]
struct View {
    session: u64,
    item: u64,
}

/// So many views of so many sessions and items, the same ones each time.
fn views(count: u64, sessions: u64, items: u64) -> Vec<View> {
    let mut state = 5_u64;
    let view = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        View { session: (state >> 40) % sessions, item: 1 + (state >> 20) % items }
    };
    (0..count).map(view).collect()
}

/// Item → what came after it → its weight, by plain loops.
fn fold(views: &[View]) -> BTreeMap<u64, BTreeMap<u64, f64>> {
    let mut sessions = BTreeMap::<u64, VecDeque<u64>>::new();
    let mut weights = BTreeMap::<u64, BTreeMap<u64, f64>>::new();
    for View { session, item } in views {
        let past = sessions.entry(*session).or_default();
        for (back, before) in past.iter().rev().enumerate() {
            let step = (back + 1) as f64;
            *weights.entry(*before).or_default().entry(*item).or_default() += 1.0 / (step * step);
        }
        past.push_back(*item);
        if past.len() > STEPS_MAX {
            past.pop_front();
        }
    }
    weights
}

/// The processor in two stages, with members that differ from the usual ones.
fn staged(more: &Value) -> Value {
    let mut spec = json!({
        "kind": "processor", "module": "also-viewed", "input": { "topics": ["views"] }, "internal": { "pairs": {} },
        "output": { "default": "lists", "create_topics": { "partitions": 1 } },
        "params": { "keep": 0, "emit": "none" }
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

async fn serve(partitions: u32, more: &Value) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("views", partitions).await?;
    server.upload("also-viewed").await?.expect(201)?;
    server.put(VIEWED, &staged(more)).await?.expect(201)?;
    Ok(server)
}

async fn produce(server: &Server, views: &[View]) -> Result<()> {
    let record = |View { session, item }: &View| json!({ "key": session.to_string(), "value": { "session": session, "item": item } });
    let records: Vec<_> = views.iter().map(record).collect();
    server.post("/v1/topics/views/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

/// Waits until both stages have read everything.
async fn at_rest(server: &Server) -> Result<()> {
    // When the first look sees every view read, only pairs can be left, which the second one sees.
    for _ in 0..2 {
        let mut view = Value::Null;
        for _ in 0..LOOKS {
            let done = |d: &Value| {
                let begun = d["state"] == "running" && d["tasks"][0]["positions"][1].is_object();
                (begun && d["totals"]["lag"] == 0) || d["state"] == "failed"
            };
            match server.until(VIEWED, done).await {
                Ok(found) => view = found,
                Err(_) => continue,
            }
            break;
        }
        ensure!(
            view["state"] == "running",
            "it has failed, or hangs: {:#}",
            server.get(VIEWED).await?.json()?
        );
    }
    Ok(())
}

/// Every item's followers and weights, from the stores of whatever task the item is with.
async fn compare(server: &Server, views: &[View], items: u64) -> Result<()> {
    at_rest(server).await?;
    let expected = fold(views);
    for item in 1..=items {
        let path = format!("{VIEWED}/stores/also_viewed/keys/{item}");
        let list = server.get(&path).await?.expect(200)?.json()?;
        let followers = list["items"].as_array().context("items")?;
        let of = &expected[&item];
        ensure!(followers.len() == of.len(), "item {item}: {list:#} instead of {of:#?}");
        for follower in followers {
            let id = follower["item"].as_u64().context("an id")?;
            let weight = follower["weight"].as_f64().context("a weight")?;
            // Four digits are shown; one meeting more or less is at least 1/400.
            ensure!((weight - of[&id]).abs() < 0.000_2, "item {item}: {follower} instead of {}", of[&id]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn keys_meet_over_partitions_and_every_pair_counts_once_over_kills() -> Result<()> {
    let mut server = serve(3, &json!({ "limits": { "batch": { "records": 16 } } })).await?;
    let views = views(900, 30, 18);
    for chunk in views.chunks(150) {
        produce(&server, chunk).await?;
        // Wherever both stages are just now.
        server = server.restart().await?;
    }
    compare(&server, &views, 18).await
}

#[tokio::test]
async fn a_slow_second_stage_holds_the_first_one_back_and_what_is_read_goes() -> Result<()> {
    // 20 pairs a view, and hardly any may wait.
    let more = json!({ "internal": { "pairs": { "max_lag": 30 } }, "limits": { "batch": { "records": 3 } } });
    let server = serve(1, &more).await?;
    let views = views(700, 3, 18);
    produce(&server, &views).await?;
    let mut most = 0;
    let watched = |d: &Value| {
        let [views, pairs] =
            [0, 1].map(|n| d["tasks"][0]["positions"][n]["lag"].as_u64().unwrap_or(u64::MAX));
        (views, pairs)
    };
    for _ in 0..100_000 {
        let (views, pairs) = watched(&server.get(VIEWED).await?.expect(200)?.json()?);
        // What is not open yet says nothing.
        most = most.max(if pairs == u64::MAX { 0 } else { pairs });
        if views == 0 {
            break;
        }
    }
    compare(&server, &views, 18).await?;
    // The bound, and what calls add whose commits are under way, of which there are eight at most: three views each, with up to
    // 18 pairs. All views together have more than ten thousand.
    assert!((1..=30 + 9 * 3 * 18).contains(&most), "{most} pairs waited");
    Ok(())
}

#[tokio::test]
async fn what_both_stages_have_read_is_deleted() -> Result<()> {
    let server = serve(1, &json!({ "limits": { "batch": { "records": 1 } } })).await?;
    let views = views(900, 1, 40);
    produce(&server, &views).await?;
    at_rest(&server).await?;
    // 900 views have close to 18 different items before them.
    let topic = server.get("/v1/topics/__viewed.pairs").await?.expect(200)?.json()?;
    let start = topic["partitions"][0]["log_start_offset"].as_u64();
    assert!(start.is_some_and(|start| start >= 10_000), "{topic:#}");
    Ok(())
}

#[tokio::test]
async fn a_rewind_with_the_state_cleared_empties_the_topic_between() -> Result<()> {
    let server = serve(2, &json!({ "limits": { "batch": { "records": 7 } } })).await?;
    let views = views(400, 10, 15);
    for chunk in views.chunks(200) {
        produce(&server, chunk).await?;
        // Pairs may wait, which were made of the state that goes.
        let back = json!({ "to": "earliest", "state": "clear" });
        server.post(&format!("{VIEWED}/rewind"), &back).await?.expect(200)?;
    }
    compare(&server, &views, 15).await?;
    let own = json!({ "to": { "offsets": { "__viewed.pairs": { "0": 0 } } } });
    let refused = server.post(&format!("{VIEWED}/rewind"), &own).await?.expect(409)?.json()?;
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("internal")), "{refused:#}");
    // With the state kept the views count again, and the pairs between follow.
    let back = json!({ "to": "earliest", "state": "keep" });
    let plan = server.post(&format!("{VIEWED}/rewind"), &back).await?.expect(200)?.json()?;
    assert_eq!(
        (&plan["replayed"], plan["partitions"].as_array().map(Vec::len)),
        (&json!(400), Some(2)),
        "{plan:#}"
    );
    let mut twice = views.clone();
    twice.extend(views);
    compare(&server, &twice, 15).await
}

#[tokio::test]
async fn an_internal_topic_is_its_deployments_alone() -> Result<()> {
    let server = serve(2, &json!({})).await?;
    let views = views(60, 4, 9);
    produce(&server, &views).await?;
    compare(&server, &views, 9).await?;
    let topic = "/v1/topics/__viewed.pairs";
    let shown = server.get(topic).await?.expect(200)?.json()?;
    assert_eq!(shown["partitions"].as_array().map(Vec::len), Some(2), "{shown:#}");
    // All of them are set: the server's defaults for topics would delete, compact or refuse what is to be read.
    for (key, value) in [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("max.message.bytes", "67108864"),
        ("message.timestamp.type", "CreateTime"),
    ] {
        assert_eq!(shown["config"][key], value, "{key} of {shown:#}");
    }
    let listed = async |query: &str| -> Result<bool> {
        let list = server.get(&format!("/v1/topics{query}")).await?.expect(200)?.text();
        Ok(list.contains("__viewed.pairs"))
    };
    assert!(!listed("").await?);
    assert!(listed("?internal=true").await?);

    let record = json!({ "records": [{ "key": "1", "value": "x" }] });
    server.post(&format!("{topic}/records"), &record).await?.expect(403)?;
    server.send(server.request(Method::DELETE, &format!("{topic}?force=true"))).await?.expect(403)?;
    let wider = server.request(Method::PATCH, "/v1/topics/views").json(&json!({ "partitions": 3 }));
    let refused = server.send(wider).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "topic_is_stateful_input");
    let reader =
        json!({ "kind": "processor", "module": "also-viewed", "input": { "topics": ["__viewed.pairs"] } });
    let refused = server.put("/v1/deployments/reader", &reader).await?.expect(422)?.text();
    assert!(refused.contains("internal to deployment `viewed`"), "{refused}");
    let other = staged(&json!({ "internal": {} }));
    let refused = server.put(VIEWED, &other).await?.expect(409)?.json()?;
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("internal topics")), "{refused:#}");

    // A dry run finds the second stage under the short name; a record of it has the item as its key.
    let run = json!({ "records": [{ "topic": "pairs", "key": "3", "value": "" }] });
    let run = server.post(&format!("{VIEWED}/run"), &run).await?.expect(200)?.json()?;
    assert_eq!(run["records"][0]["topic"], "__viewed.pairs", "{run:#}");

    server.send(server.request(Method::DELETE, &format!("{VIEWED}?state=keep"))).await?.expect(204)?;
    server.get(topic).await?.expect(200)?;
    server.put(VIEWED, &staged(&json!({}))).await?.expect(201)?;
    compare(&server, &views, 9).await?;
    server.send(server.request(Method::DELETE, VIEWED)).await?.expect(204)?;
    server.get(topic).await?.expect(404)?;
    // Nothing of it is left for one of the same name.
    server.put(VIEWED, &staged(&json!({}))).await?.expect(201)?;
    compare(&server, &views, 9).await
}

#[tokio::test]
async fn a_spec_that_is_refused_leaves_the_internal_topics_of_others_alone() -> Result<()> {
    let server = Server::start().await?;
    server.topic("views", 2).await?;
    server.upload("also-viewed").await?.expect(201)?;
    let (deployment, topic) = ("/v1/deployments/also.viewed", "/v1/topics/__also.viewed.pairs");
    server.put(deployment, &staged(&json!({}))).await?.expect(201)?;
    server.until(deployment, |d| d["state"] == "running").await?;
    let same = staged(&json!({ "internal": { "viewed.pairs": {} } }));
    let refused = server.put("/v1/deployments/also", &same).await?.expect(422)?.text();
    assert!(refused.contains("has no dot"), "{refused}");
    server.get(topic).await?.expect(200)?;
    produce(&server, &views(20, 2, 5)).await?;
    server.until(deployment, |d| d["totals"]["records_in"].as_u64() > Some(20)).await?;
    server.send(server.request(Method::DELETE, deployment)).await?.expect(204)?;
    server.get(topic).await?.expect(404)?;
    let log = std::fs::read_to_string(server.folder().join("log"))?;
    assert!(!log.contains("a task stopped"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_item_is_read_of_its_own_task_behind_a_view_of_another() -> Result<()> {
    let server = serve(3, &json!({})).await?;
    let views = views(60, 9, 9);
    produce(&server, &views).await?;
    compare(&server, &views, 9).await?;
    for item in 1..=9 {
        for partition in 0..3 {
            let path = format!("{VIEWED}/stores/also_viewed/keys/{item}?after=views:{partition}:0");
            let read = server.get(&path).await?.expect(200)?;
            assert!(read.header("x-state-position").contains("__viewed.pairs:"), "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn inputs_that_do_not_match_are_refused_and_leave_nothing() -> Result<()> {
    let server = Server::start().await?;
    server.topic("views", 2).await?;
    server.topic("more", 3).await?;
    server.upload("also-viewed").await?.expect(201)?;
    let spec = staged(&json!({ "input": { "topics": ["views", "more"] } }));
    let refused = server.put(VIEWED, &spec).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "inputs_differ", "{refused:#}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    for word in ["`views` has 2", "`more` has 3", "add 1 to `views`"] {
        assert!(detail.contains(word), "{word} in {detail}");
    }
    // One that cannot open leaves no topic either, and nobody's topic is held.
    let bad = staged(&json!({ "params": { "emit": "prediction" } }));
    server.put(VIEWED, &bad).await?.expect(422)?;
    server.get("/v1/topics/__viewed.pairs").await?.expect(404)?;
    let wider = server.request(Method::PATCH, "/v1/topics/views").json(&json!({ "partitions": 3 }));
    server.send(wider).await?.expect(200)?;
    server.put(VIEWED, &spec).await?.expect(201)?;
    let topic = server.get("/v1/topics/__viewed.pairs").await?.expect(200)?.json()?;
    assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(3), "{topic:#}");
    Ok(())
}

#[tokio::test]
async fn a_task_that_was_handed_nothing_does_not_take_its_topic_for_another_one() -> Result<()> {
    let server = serve(2, &json!({})).await?;
    // One view makes no pairs.
    produce(&server, &[View { session: 1, item: 5 }]).await?;
    server.until(VIEWED, |d| d["totals"]["records_in"] == 1).await?;
    server.send(server.request(Method::DELETE, "/v1/topics/views?force=true")).await?.expect(204)?;
    server.topic("views", 2).await?;
    let server = server.restart().await?;
    let failed = server.until(VIEWED, |d| d["state"] == "failed").await?;
    assert_eq!(failed["last_error"]["code"], "topic_replaced", "{failed:#}");
    let back = json!({ "to": "earliest", "state": "keep" });
    server.post(&format!("{VIEWED}/rewind"), &back).await?.expect(200)?;
    produce(&server, &[View { session: 1, item: 6 }]).await?;
    // The view, and the pair.
    let settled = server.until(VIEWED, |d| d["state"] == "failed" || d["totals"]["records_in"] == 2).await?;
    assert_eq!(settled["state"], "running", "{settled:#}");
    Ok(())
}

const PROBE: &str = "/v1/deployments/probe";

/// `timer-probe` in two stages.
async fn probe(partitions: u32, more: &Value) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", partitions).await?;
    server.upload("timer-probe").await?.expect(201)?;
    let mut spec = json!({
        "kind": "processor", "module": "timer-probe", "input": { "topics": ["in"] }, "internal": { "between": {} },
        "output": { "default": "out", "create_topics": { "partitions": 1 } }
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    server.put(PROBE, &spec).await?.expect(201)?;
    Ok(server)
}

#[tokio::test]
async fn what_was_deleted_unread_of_a_second_input_is_told_with_the_way_out() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.topic("more", 1).await?;
    server.upload("timer-probe").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "timer-probe", "input": { "topics": ["in", "more"] },
        "internal": { "between": {} }, "output": { "default": "out", "create_topics": { "partitions": 1 } }
    });
    server.put(PROBE, &spec).await?.expect(201)?;
    server.post(&format!("{PROBE}/pause"), &json!({})).await?.expect(202)?;
    server.until(PROBE, |d| d["state"] == "paused").await?;
    let now = json!({ "value_base64": STANDARD.encode("now") });
    let records = json!({ "records": [now, now] });
    server.post("/v1/topics/more/records", &records).await?.expect(200)?;
    server.post("/v1/topics/more/truncate", &json!({ "offset": 1 })).await?.expect(200)?;
    server.post(&format!("{PROBE}/resume"), &json!({})).await?.expect(202)?;
    let failed = server.until(PROBE, |d| d["state"] == "failed").await?;
    assert_eq!(failed["last_error"]["code"], "input_gap", "{failed:#}");
    let text = failed["last_error"]["message"].as_str().context("a message")?;
    for words in ["records 0..1 of `more` partition 0", "rewind to earliest,"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    // And that is the way out.
    let back = json!({ "to": "earliest", "state": "keep" });
    server.post(&format!("{PROBE}/rewind"), &back).await?.expect(200)?;
    server.until(PROBE, |d| d["totals"]["records_in"] == 1).await.map(drop)
}

/// Stores commands, all in one partition.
async fn tell(server: &Server, commands: impl IntoIterator<Item = (String, i64)>) -> Result<()> {
    let record = |(command, timestamp): (String, i64)| json!({ "key": "k", "value_base64": STANDARD.encode(command), "timestamp": timestamp });
    let records: Vec<_> = commands.into_iter().map(record).collect();
    server.post("/v1/topics/in/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

#[tokio::test]
async fn timers_of_the_second_stage_fire_also_where_no_input_has_records() -> Result<()> {
    let server = probe(4, &json!({ "time": { "idle": "200ms" } })).await?;
    // Items of every task, and one partition of the input that has records.
    let set = |n: u64| (format!("hand between item{n} set event item{n} 500"), 100);
    tell(&server, (0..20).map(set)).await?;
    tell(&server, [("cancel wall none".to_owned(), 1_000)]).await?;
    let fired = server.until(PROBE, |d| d["totals"]["timers_fired"] == 20).await?;
    let tasks = fired["tasks"].as_array().context("tasks")?;
    for task in tasks {
        assert!(task["totals"]["timers_fired"].as_u64() > Some(0), "20 items are with four tasks: {fired:#}");
        assert_eq!(task["time"]["watermark_ms"], 1_000, "{task:#}");
    }
    assert_eq!(fired["totals"]["late_records"], 0, "{fired:#}");
    Ok(())
}

#[tokio::test]
async fn what_is_handed_over_comes_before_the_timers_that_it_is_in_time_for() -> Result<()> {
    // Records far behind the end of the input, still to be read by the second stage when the first one is done.
    let more = json!({ "limits": { "batch": { "records": 10 } }, "time": { "late": "drop" } });
    let server = probe(1, &more).await?;
    let hand = |n: i64| (format!("hand between item{n} set event item{n} {}", n + 1), n);
    tell(&server, (0..2_000).map(hand)).await?;
    tell(&server, [("cancel wall none".to_owned(), 5_000)]).await?;
    let fired = server.until(PROBE, |d| d["totals"]["timers_fired"] == 2_000).await?;
    assert_eq!(fired["totals"]["late_records"], 0, "{fired:#}");
    Ok(())
}

#[tokio::test]
async fn what_is_handed_on_twice_comes_before_the_timers_that_it_is_in_time_for() -> Result<()> {
    let more = json!({
        "internal": { "between": {}, "after": {} }, "limits": { "batch": { "records": 10 } },
        "time": { "idle": "200ms" }
    });
    let server = probe(3, &more).await?;
    // The topic that comes second is the first one by its name.
    let hand = |n: i64| (format!("hand between item{n} hand after item{n} set event item{n} {}", n + 1), n);
    tell(&server, (0..1_000).map(hand)).await?;
    tell(&server, [("cancel wall none".to_owned(), 5_000)]).await?;
    let fired = server.until(PROBE, |d| d["totals"]["timers_fired"] == 1_000).await?;
    assert_eq!(fired["totals"]["late_records"], 0, "{fired:#}");
    Ok(())
}

#[tokio::test]
async fn timers_add_nothing_to_a_topic_that_is_full() -> Result<()> {
    let more =
        json!({ "internal": { "between": { "max_lag": 50 } }, "limits": { "batch": { "records": 8 } } });
    let server = probe(1, &more).await?;
    let set = |n: u64| (format!("set event hand-{n} 500"), 100);
    tell(&server, (0..6_000).map(set)).await?;
    server.until(PROBE, |d| d["totals"]["records_in"] == 6_000).await?;
    tell(&server, [("cancel wall none".to_owned(), 1_000)]).await?;
    let (mut most, mut was_held_back) = (0, false);
    for _ in 0..100_000 {
        let view = server.get(PROBE).await?.expect(200)?.json()?;
        let task = &view["tasks"][0];
        most = most.max(task["positions"][1]["lag"].as_u64().unwrap_or(0));
        was_held_back |= task["held_back"] == true;
        if view["totals"]["timers_fired"] == 6_000 && view["totals"]["lag"] == 0 {
            break;
        }
    }
    server.until(PROBE, |d| d["totals"]["records_in"] == 12_001).await?;
    // The bound, and what calls add whose commits are under way, of 256 timers each.
    assert!((50..=50 + 9 * 256).contains(&most), "{most} records waited");
    assert!(was_held_back);
    Ok(())
}

#[tokio::test]
async fn a_task_that_stands_still_holds_the_others_back_and_they_say_so() -> Result<()> {
    let more = json!({
        "internal": { "between": { "max_lag": 2 } }, "on_error": { "policy": "stop", "max_retries": 0 }
    });
    let server = probe(4, &more).await?;
    tell(&server, (0..40).map(|_| ("hand between item nonsense".to_owned(), 0))).await?;
    let failed = server.until(PROBE, |d| d["state"] == "failed").await?;
    let tasks = failed["tasks"].as_array().context("tasks")?;
    let still = tasks.iter().position(|task| task["state"] == "failed").context("a failed task")?;
    let other = (still + 1) % 4;
    let record = json!({ "partition": other, "value_base64": STANDARD.encode("now") });
    server.post("/v1/topics/in/records", &json!({ "records": [record] })).await?.expect(200)?;
    server.until(PROBE, |d| d["tasks"][other]["held_back"] == true).await.map(drop)
}
