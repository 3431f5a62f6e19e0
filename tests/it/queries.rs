//! Queries through the public interface: a processor's code answers over its committed state, changes nothing, and is
//! bounded as every call is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{Answer, Server, prebuilt};

fn spec(more: Value) -> Value {
    let mut spec = json!({ "kind": "processor", "module": "query-probe", "input": { "topics": ["in"] } });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    spec
}

async fn serve(partitions: u32, more: Value) -> Result<Server> {
    let server = Server::start().await?;
    server.topic("in", partitions).await?;
    server.upload("query-probe").await?.expect(201)?;
    server.put("/v1/deployments/d", &spec(more)).await?.expect(201)?;
    Ok(server)
}

/// Stores a record with this key; where it lies, as `after=` names it, and its partition.
async fn produce(server: &Server, key: &str) -> Result<(String, u64)> {
    let records = json!({ "records": [{ "key": key, "value": 1 }] });
    let stored = server.post("/v1/topics/in/records", &records).await?.expect(200)?.json()?;
    let at = &stored["results"][0];
    let partition = at["partition"].as_u64().context("a partition")?;
    Ok((format!("in:{partition}:{}", at["offset"].as_u64().context("an offset")?), partition))
}

async fn query(server: &Server, params: &str, words: &str) -> Result<Answer> {
    let request = server.request(reqwest::Method::POST, &format!("/v1/deployments/d/query{params}"));
    server.send(request.header("content-type", "text/plain").body(words.to_owned())).await
}

/// The refusal, with this status and code.
async fn refused(server: &Server, params: &str, words: &str, status: u16, code: &str) -> Result<Value> {
    let problem = query(server, params, words).await?.expect(status)?.json()?;
    ensure!(problem["code"] == code, "`{words}` is refused with {problem:#}");
    Ok(problem)
}

#[tokio::test]
async fn a_query_reads_its_writes_at_the_task_that_is_meant() -> Result<()> {
    let server = serve(4, json!({})).await?;
    for n in 1..=3 {
        for key in ["a", "b", "c", "d", "e"] {
            let (at, partition) = produce(&server, key).await?;
            let answer =
                query(&server, &format!("?after={at}"), &format!("count {key}")).await?.expect(200)?;
            assert_eq!(answer.text(), n.to_string(), "{key}");
            assert_eq!(answer.header("content-type"), "application/json");
            let position = answer.header("x-state-position").to_owned();
            assert!(position.starts_with(&format!("in:{partition}:")), "{position}");
            for params in [format!("?key={key}"), format!("?partition={partition}&wait=1s")] {
                let answer = query(&server, &params, &format!("count {key}")).await?.expect(200)?;
                assert_eq!(answer.text(), n.to_string(), "{params}");
            }
        }
    }
    let problem = refused(&server, "", "count a", 400, "task_missing").await?;
    assert!(problem["detail"].as_str().unwrap_or_default().contains("4 tasks"), "{problem}");
    refused(&server, "?partition=4", "count a", 404, "task_not_found").await?;
    refused(&server, "?after=out:0:1", "count a", 422, "not_an_input").await?;
    refused(&server, "?after=in:0:1000&wait=10ms", "count a", 504, "state_behind").await?;
    refused(&server, "?key=a&key_base64=YQ", "count a", 400, "invalid_query").await?;
    let base64 = query(&server, "?key_base64=YQ", "count a").await?.expect(200)?;
    assert_eq!(base64.text(), "3");
    let watermark = query(&server, "?key=a", "watermark").await?.expect(200)?.text();
    assert!(watermark.starts_with("Some(") && watermark.ends_with(" true"), "{watermark}");
    Ok(())
}

#[tokio::test]
async fn what_the_code_says_is_the_answer_and_what_it_may_not_do_ends_the_call() -> Result<()> {
    let limits = json!({ "cpu": "200ms", "output": { "bytes": "1MiB" } });
    let server = serve(1, json!({ "limits": limits })).await?;
    let (at, _) = produce(&server, "a").await?;
    let after = format!("?after={at}");
    let words = query(&server, &after, "echo some words").await?.expect(200)?;
    assert_eq!(
        (words.text().as_str(), words.header("content-type")),
        ("some words", "text/plain; charset=utf-8")
    );

    let missing = refused(&server, "", "count z", 404, "query_not_found").await?;
    assert_eq!(missing["detail"], "`z` was never seen");
    let nonsense = refused(&server, "", "dance", 400, "query_refused").await?;
    assert_eq!(nonsense["detail"], "`dance` is no query");
    let failed = refused(&server, "", "fail", 500, "query_failed").await?;
    assert_eq!(failed["detail"], "the code could not answer: it was told to");

    for (how, fault, says) in [
        ("put", "protocol", "a query cannot change state or timers"),
        ("delete", "protocol", "a query cannot change state or timers"),
        ("timer", "protocol", "a query cannot change state or timers"),
        ("cancel", "protocol", "a query cannot change state or timers"),
        ("panic", "trap", "the query says so"),
        ("spin", "cpu_limit", "200ms of CPU time"),
        ("grow", "memory_limit", "of memory"),
        ("large", "output_bytes_limit", "1MiB"),
    ] {
        let problem = refused(&server, "", how, 500, "query_failed").await?;
        assert_eq!(problem["fault"], fault, "{how}: {problem:#}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{how}: {detail}");
        // In a new instance.
        assert_eq!(query(&server, "", "asked").await?.expect(200)?.text(), "0", "{how}");
    }
    assert_eq!(
        query(&server, "", "asked").await?.expect(200)?.text(),
        "1",
        "as long as all goes well it is kept"
    );
    assert_eq!(query(&server, "", "pair").await?.expect(200)?.text(), "1 1 1 true", "nothing was changed");

    let large = "x".repeat((1 << 20) + 1);
    refused(&server, "", &large, 413, "body_too_large").await?;
    let metrics = server.get("/metrics").await?.text();
    for line in ["errors_total{deployment=\"d\",kind=\"trap\"} 1", "duration_seconds_count{deployment=\"d\"}"]
    {
        assert!(metrics.contains(&format!("millstream_deployment_query_{line}")), "{line}: {metrics}");
    }
    let logs = server.get("/v1/deployments/d/logs?limit=100").await?.expect(200)?.text();
    for line in ["opened for queries", "a query failed: the code trapped"] {
        assert!(logs.contains(line), "{line}: {logs}");
    }
    let view = server.get("/v1/deployments/d").await?.expect(200)?.json()?;
    assert_eq!((&view["state"], &view["totals"]["errors"]), (&json!("running"), &json!(0)), "{view:#}");
    Ok(())
}

#[tokio::test]
async fn a_query_sees_one_moment_while_records_are_processed() -> Result<()> {
    let server = serve(1, json!({ "limits": { "batch": { "records": 3 } } })).await?;
    let (at, _) = produce(&server, "a").await?;
    query(&server, &format!("?after={at}"), "pair").await?.expect(200)?;
    let producing = async {
        let records: Vec<_> = (0..500).map(|n| json!({ "key": "a", "value": n })).collect();
        let records = json!({ "records": records });
        for _ in 0..10 {
            server.post("/v1/topics/in/records", &records).await?.expect(200)?;
        }
        anyhow::Ok(())
    };
    let asking = async {
        let (mut seen, mut last) = (std::collections::BTreeSet::new(), 0);
        while last < 5_001 {
            let words = query(&server, "", "pair").await?.expect(200)?.text();
            let numbers: Vec<u64> = words.split(' ').filter_map(|n| n.parse().ok()).collect();
            ensure!(numbers.len() == 3 && numbers.iter().all(|n| *n == numbers[0]), "torn: {words}");
            ensure!(numbers[0] >= last, "back in time: {last}, then {words}");
            last = numbers[0];
            seen.insert(last);
        }
        anyhow::Ok(seen.len())
    };
    let (produced, seen) = tokio::join!(producing, asking);
    produced?;
    let seen = seen?;
    assert!(seen > 3, "only {seen} moments were seen, so it was not asked meanwhile");
    Ok(())
}

/// The guest with another stamp.
async fn upload_stamped(server: &Server, n: u32) -> Result<()> {
    let (old, new) = (b"STAMP-0000000000", format!("STAMP-{n:010}"));
    let mut module = prebuilt("query-probe")?;
    let at = module.windows(16).position(|window| window == old).context("the stamp")?;
    module[at..at + 16].copy_from_slice(new.as_bytes());
    let request = server.request(reqwest::Method::PUT, "/v1/modules/query-probe");
    server.send(request.header("content-type", "application/wasm").body(module)).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn an_upgrade_brings_its_own_answers_and_a_pause_leaves_them() -> Result<()> {
    let server = serve(1, json!({})).await?;
    let (at, _) = produce(&server, "a").await?;
    assert_eq!(
        query(&server, &format!("?after={at}"), "stamp").await?.expect(200)?.text(),
        "STAMP-0000000000"
    );
    upload_stamped(&server, 7).await?;
    assert_eq!(query(&server, "", "stamp").await?.expect(200)?.text(), "STAMP-0000000000", "as deployed");
    let upgrade = json!({ "module": "query-probe@latest", "state": "keep" });
    server.post("/v1/deployments/d/upgrade", &upgrade).await?.expect(200)?;
    assert_eq!(query(&server, "", "stamp").await?.expect(200)?.text(), "STAMP-0000000007");
    assert_eq!(query(&server, "", "count a").await?.expect(200)?.text(), "1", "the state is kept");
    assert_eq!(query(&server, "", "asked").await?.expect(200)?.text(), "2");

    server.post("/v1/deployments/d/pause", &json!({})).await?.expect(202)?;
    assert_eq!(query(&server, "", "asked").await?.expect(200)?.text(), "0", "what rested is gone");
    assert_eq!(query(&server, "", "count a").await?.expect(200)?.text(), "1");
    let server = server.restart().await?;
    assert_eq!(query(&server, "", "count a").await?.expect(200)?.text(), "1");

    let back = json!({ "to": "earliest", "state": "clear" });
    server.post("/v1/deployments/d/rewind", &back).await?.expect(200)?;
    refused(&server, "", "count a", 404, "query_not_found").await?;
    let delete = server.request(reqwest::Method::DELETE, "/v1/deployments/d");
    server.send(delete).await?.expect(204)?;
    refused(&server, "", "stamp", 404, "deployment_not_found").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_is_asked_of_its_own_task_whatever_record_is_waited_for() -> Result<()> {
    let server = serve(4, json!({})).await?;
    let mut last = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        last.push(produce(&server, key).await?);
        query(&server, &format!("?after={}", last[last.len() - 1].0), "pair").await?.expect(200)?;
    }
    ensure!(last.iter().any(|(_, partition)| *partition != last[0].1), "all keys lie together: {last:?}");
    for (at, _) in &last {
        let answer = query(&server, &format!("?key=a&after={at}"), "count a").await?.expect(200)?;
        assert_eq!(answer.text(), "1", "{at}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wait_for_a_record_goes_on_over_changes_of_the_deployment() -> Result<()> {
    let server = serve(1, json!({})).await?;
    produce(&server, "a").await?;
    let waiting = query(&server, "?after=in:0:1&wait=60s", "stamp");
    let reading = server.get("/v1/deployments/d/stores/counts/keys/key%20b?after=in:0:1&wait=60s");
    let changing = async {
        upload_stamped(&server, 7).await?;
        // They have begun by now; should they not, they find the new form at once.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let upgrade = json!({ "module": "query-probe@latest", "state": "keep" });
        server.post("/v1/deployments/d/upgrade", &upgrade).await?.expect(200)?;
        produce(&server, "b").await
    };
    let (answer, read, changed) = tokio::join!(waiting, reading, changing);
    changed?;
    assert_eq!(answer?.expect(200)?.text(), "STAMP-0000000007");
    read?.expect(200)?;

    let waiting = query(&server, "?after=in:0:1000&wait=60s", "stamp");
    let deleting = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.send(server.request(reqwest::Method::DELETE, "/v1/deployments/d")).await?.expect(204)
    };
    let (answer, deleted) = tokio::join!(waiting, deleting);
    deleted?;
    assert_eq!(answer?.expect(404)?.json()?["code"], "deployment_not_found");
    Ok(())
}

#[tokio::test]
async fn a_query_that_waits_for_an_instance_is_answered_by_what_is_deployed_then() -> Result<()> {
    let limits = json!({ "instances": 1, "cpu": "2s" });
    let server = serve(1, json!({ "limits": limits })).await?;
    for n in 1..=10 {
        upload_stamped(&server, n).await?;
        let changed = std::cell::Cell::new(false);
        let spinning = query(&server, "", "spin");
        let queued = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let answer = query(&server, "", "stamp").await?;
            anyhow::Ok((answer, changed.get()))
        };
        let changing = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let upgrade = json!({ "module": "query-probe@latest", "state": "keep" });
            server.post("/v1/deployments/d/upgrade", &upgrade).await?.expect(200)?;
            changed.set(true);
            anyhow::Ok(())
        };
        let (spun, queued, changing) = tokio::join!(spinning, queued, changing);
        changing?;
        spun?.expect(500)?;
        let (answer, came_later) = queued?;
        // On a slow machine it may have been answered before, or waited in vain.
        if answer.status == 200 && came_later {
            assert_eq!(answer.text(), format!("STAMP-{n:010}"));
            return Ok(());
        }
    }
    anyhow::bail!("the upgrade never came while a query waited")
}

#[tokio::test]
async fn a_query_that_waits_for_a_record_holds_no_memory_for_its_body() -> Result<()> {
    use std::io::Write;
    let server = serve(1, json!({})).await?;
    // With 256 MiB of memory 80 MiB are for bodies.
    let head = "POST /v1/deployments/d/query?after=in:0:1000&wait=60s HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = std::net::TcpStream::connect(server.address())?;
        stream.write_all(head.as_bytes())?;
        held.push(stream);
    }
    for _ in 0..20 {
        produce(&server, "a").await?;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

#[tokio::test]
async fn instances_that_wait_for_queries_make_room_for_records() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "[limits]\nnode_instances = 2\n")?;
    let server = Server::start_with(&["--config", &settings.to_string_lossy()]).await?;
    server.topic("in", 1).await?;
    server.upload("query-probe").await?.expect(201)?;
    for name in ["d", "other"] {
        server.put(&format!("/v1/deployments/{name}"), &spec(json!({}))).await?.expect(201)?;
    }
    server.post("/v1/deployments/other/pause", &json!({})).await?.expect(202)?;
    let (at, _) = produce(&server, "a").await?;
    query(&server, &format!("?after={at}"), "pair").await?.expect(200)?;

    let view = server.get("/v1/deployments/d").await?.expect(200)?.json()?;
    let of_task = view["tasks"][0]["memory_bytes"].as_u64().context("a size")?;
    let held = async || -> Result<u64> {
        let metrics = server.get("/metrics").await?.text();
        let start = "millstream_wasm_memory_bytes{deployment=\"d\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(start)).context("the metric")?;
        Ok(line.parse()?)
    };
    assert!(held().await? > of_task, "the query's instance counts as well");

    // The node's two instances are those of `d`, for records and for queries.
    server.post("/v1/deployments/other/resume", &json!({})).await?;
    let other = server.until("/v1/deployments/other", |d| d["totals"]["records_in"] == 1).await?;
    assert_eq!(other["last_error"], Value::Null, "{other:#}");
    assert_eq!(held().await?, of_task, "what rested is gone");
    let refused = query(&server, "", "pair").await?.expect(503)?.json()?;
    assert_eq!(refused["code"], "overloaded", "{refused:#}");
    Ok(())
}

#[tokio::test]
async fn only_code_that_can_is_asked() -> Result<()> {
    let server = serve(1, json!({ "params": { "refuse": "not today" } })).await?;
    let problem = refused(&server, "", "stamp", 500, "query_failed").await?;
    assert_eq!(
        (&problem["fault"], problem["detail"].as_str().unwrap_or_default().contains("not today")),
        (&json!("open_failed"), true)
    );

    server.upload("count-by-key").await?.expect(201)?;
    let mut other = spec(
        json!({ "module": "count-by-key", "output": { "default": "out", "create_topics": { "partitions": 1 } } }),
    );
    server.put("/v1/deployments/counts", &other).await?.expect(201)?;
    let answer = server.post("/v1/deployments/counts/query", &json!({})).await?.expect(409)?.json()?;
    assert_eq!(answer["code"], "query_missing", "{answer:#}");
    server.upload("validate-json").await?.expect(201)?;
    other = json!({ "kind": "inline", "module": "validate-json", "input": { "topics": ["in"] } });
    server.put("/v1/deployments/inline", &other).await?.expect(201)?;
    let answer = server.post("/v1/deployments/inline/query", &json!({})).await?.expect(409)?.json()?;
    assert_eq!(answer["code"], "deployment_is_inline", "{answer:#}");
    let answer = server.get("/v1/deployments/d/query").await?.expect(405)?.json()?;
    assert_eq!(answer["code"], "method_not_allowed");
    Ok(())
}

#[tokio::test]
async fn queries_beyond_what_can_wait_are_refused_and_the_others_answered() -> Result<()> {
    let limits = json!({ "instances": 1, "cpu": "300ms" });
    let server = serve(1, json!({ "limits": limits })).await?;
    let (at, _) = produce(&server, "a").await?;
    query(&server, &format!("?after={at}"), "pair").await?.expect(200)?;
    // One instance, at work for 300 ms with each: those behind wait in vain for five seconds.
    let spinning = futures_util::future::join_all((0..40).map(|_| query(&server, "", "spin")));
    let answers = tokio::time::timeout(Duration::from_secs(120), spinning).await?;
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for answer in answers {
        let answer = answer?;
        if answer.status == 503 {
            assert_eq!((&answer.json()?["code"], answer.header("retry-after")), (&json!("overloaded"), "1"));
        }
        *statuses.entry(answer.status).or_default() += 1;
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [500, 503], "{statuses:?}");
    assert_eq!(query(&server, "", "count a").await?.expect(200)?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn the_command_line_asks_as_well() -> Result<()> {
    let server = serve(2, json!({})).await?;
    let (at, _) = produce(&server, "a").await?;
    let run = |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(["--url", &format!("http://{}", server.address())]).args(args);
        async move { anyhow::Ok(command.output().await?) }
    };
    let output = run(&["state", "query", "d", "count a", "--after", &at]).await?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1", "{output:?}");
    let output = run(&["state", "query", "d", "count a", "--key", "a", "-o", "json"]).await?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(answer["answer"], 1, "{answer}");
    assert!(answer["position"].as_str().unwrap_or_default().starts_with("in:"), "{answer}");
    let output = run(&["state", "query", "d", "count zz", "--key", "a"]).await?;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    Ok(())
}
