//! Groups over HTTP, beside Kafka's clients in the same groups.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::groups::{alone, commit, committed, fetched, heartbeat, join, list};
use crate::support::{Answer, Server};

const UNKNOWN_MEMBER_ID: i16 = 25;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;

async fn server() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("orders", 2).await?;
    Ok(server)
}

async fn patch(server: &Server, path: &str, body: &Value) -> Result<Answer> {
    server.send(server.request(Method::PATCH, path).json(body)).await
}

async fn delete(server: &Server, path: &str) -> Result<Answer> {
    server.send(server.request(Method::DELETE, path)).await
}

/// Records `from..to` of `orders`, by turns on its two partitions.
async fn produce(server: &Server, from: u64, to: u64) -> Result<()> {
    let records: Vec<_> = (from..to).map(|n| json!({ "value": n, "partition": n % 2 })).collect();
    server.post("/v1/topics/orders/records", &json!({ "records": records })).await?.expect(200).map(drop)
}

#[tokio::test]
async fn a_kafka_group_is_listed_described_reset_and_deleted() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 10).await?;
    let mut client = Client::connect(&server).await?;
    let joined = alone(&mut client, "team/a").await?;
    let mine = commit("team/a", "orders", 1, 2)
        .with_generation_id_or_member_epoch(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(committed(&mut client, 8, &mine).await?, 0);

    let page = server.get("/v1/groups?prefix=team&limit=1").await?.expect(200)?.json()?;
    let listed = json!({
        "id": "team/a", "kind": "classic", "state": "Stable", "protocol_type": "consumer", "members": 1, "total_lag": 3
    });
    assert_eq!(page, json!({ "items": [listed] }));
    let group = server.get("/v1/groups/team%2Fa").await?.expect(200)?.json()?;
    assert_eq!(
        (&group["state"], &group["protocol"], &group["total_lag"]),
        (&json!("Stable"), &json!("range"), &json!(3))
    );
    let member = &group["members"][0];
    assert_eq!(member["id"], json!(joined.member_id.as_str()));
    assert_eq!((&member["client_id"], &member["client_host"]), (&json!("it"), &json!("/127.0.0.1")));
    let at = &group["offsets"][0];
    assert_eq!((&at["topic"], &at["partition"], &at["committed"]), (&json!("orders"), &json!(1), &json!(2)));
    assert_eq!(
        (&at["high_watermark"], &at["lag"], &at["metadata"]),
        (&json!(5), &json!(3), &json!("é, kept"))
    );

    let offsets = "/v1/groups/team%2Fa/offsets";
    let to_start = json!({ "to": "earliest" });
    let refused = patch(&server, offsets, &to_start).await?.expect(409)?.json()?;
    assert_eq!((&refused["code"], &refused["members"]), (&json!("group_not_empty"), &json!(1)));
    let plan = patch(&server, &format!("{offsets}?force&dry_run"), &to_start).await?.expect(200)?.json()?;
    let moved = json!([{ "topic": "orders", "partition": 1, "before": 2, "offset": 0, "lag": 5 }]);
    assert_eq!((&plan["dry_run"], &plan["partitions"]), (&json!(true), &moved));
    assert_eq!(
        client.ask(4, &heartbeat("team/a", &joined)).await?.error_code,
        0,
        "a dry run changes nothing"
    );
    assert_eq!(fetched(&mut client, 8, "team/a", 1).await?.0, 2);

    let done = patch(&server, &format!("{offsets}?force"), &to_start).await?.expect(200)?.json()?;
    assert_eq!((&done["dry_run"], &done["partitions"]), (&json!(false), &moved));
    assert_eq!(client.ask(4, &heartbeat("team/a", &joined)).await?.error_code, UNKNOWN_MEMBER_ID);
    assert_eq!(fetched(&mut client, 8, "team/a", 1).await?.0, 0);

    delete(&server, "/v1/groups/team%2Fa").await?.expect(204)?;
    assert_eq!(fetched(&mut client, 8, "team/a", 1).await?.0, -1);
    let missing = server.get("/v1/groups/team%2Fa").await?.expect(404)?.json()?;
    assert_eq!(missing["code"], "group_not_found");
    Ok(())
}

#[tokio::test]
async fn offsets_go_to_an_offset_a_time_or_by_a_number_of_records() -> Result<()> {
    let server = server().await?;
    let records: Vec<_> =
        (0..5).map(|n| json!({ "value": n, "partition": 0, "timestamp": 1_000 * n })).collect();
    server.post("/v1/topics/orders/records", &json!({ "records": records })).await?.expect(200)?;
    let reset = async |body: Value| -> Result<Value> {
        let answer = patch(&server, "/v1/groups/new/offsets", &body).await?.expect(200)?.json()?;
        Ok(answer["partitions"][0]["offset"].clone())
    };
    let at = |to: Value| json!({ "topic": "orders", "partitions": [0], "to": to });
    assert_eq!(reset(at(json!({ "offset": 3 }))).await?, 3);
    assert_eq!(reset(at(json!({ "shift_by": -1 }))).await?, 2);
    assert_eq!(reset(at(json!({ "shift_by": 100 }))).await?, 5);
    assert_eq!(reset(at(json!({ "timestamp": 1_500 }))).await?, 2);
    assert_eq!(reset(at(json!("latest"))).await?, 5);
    assert_eq!(reset(json!({ "to": "earliest" })).await?, 0, "all that is committed");
    let group = server.get("/v1/groups/new").await?.expect(200)?.json()?;
    assert_eq!((&group["state"], &group["total_lag"]), (&json!("Empty"), &json!(5)));
    Ok(())
}

#[tokio::test]
async fn a_member_can_be_removed() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let joined = alone(&mut client, "g").await?;
    let path = format!("/v1/groups/g/members/{}", joined.member_id.as_str());
    delete(&server, &path).await?.expect(204)?;
    assert_eq!(client.ask(4, &heartbeat("g", &joined)).await?.error_code, UNKNOWN_MEMBER_ID);
    let missing = delete(&server, &path).await?.expect(404)?.json()?;
    assert_eq!(missing["code"], "member_not_found");
    Ok(())
}

#[tokio::test]
async fn a_deployments_position_is_a_group_that_only_shows() -> Result<()> {
    let server = server().await?;
    server.topic("words", 1).await?;
    server.upload("word-count").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "word-count", "input": { "topics": ["words"] },
        "output": { "default": "counts", "create_topics": { "partitions": 1 } }
    });
    server.put("/v1/deployments/wc", &spec).await?.expect(201)?;
    server.post("/v1/topics/words/records", &json!({ "key": "a", "value": "to be" })).await?.expect(200)?;
    let id = "deployment.wc";
    let path = format!("/v1/groups/{id}");
    let group = server.until(&path, |group| group["offsets"][0]["committed"] == 1).await?;
    assert_eq!(
        (&group["deployment"], &group["state"], &group["total_lag"]),
        (&json!("wc"), &json!("Empty"), &json!(0))
    );
    let pause = server.request(Method::POST, "/v1/deployments/wc/pause");
    server.send(pause).await?.expect(202)?;
    server.post("/v1/topics/words/records", &json!({ "key": "a", "value": "or not" })).await?.expect(200)?;

    let mut client = Client::connect(&server).await?;
    assert_eq!(list(&mut client, &[]).await?, [format!("{id} consumer Empty classic")]);
    let (offset, lag) = {
        let group = server.get(&path).await?.expect(200)?.json()?;
        (group["offsets"][0]["committed"].clone(), group["total_lag"].clone())
    };
    assert_eq!((offset, lag), (json!(1), json!(1)));
    let topics = super::groups::offsets_of(&mut client, id, "words", 0).await?;
    assert_eq!(topics, 1, "Kafka's tools see it too");

    assert_eq!(committed(&mut client, 8, &commit(id, "words", 0, 0)).await?, GROUP_AUTHORIZATION_FAILED);
    let joining = client.ask(4, &join(id, &super::groups::text(""))).await?;
    assert_eq!(joining.error_code, GROUP_AUTHORIZATION_FAILED);
    for answer in [
        patch(&server, &format!("{path}/offsets?force"), &json!({ "to": "earliest" })).await?,
        delete(&server, &path).await?,
    ] {
        let refused = answer.expect(409)?.json()?;
        assert_eq!((&refused["code"], &refused["deployment"]), (&json!("group_is_read_only"), &json!("wc")));
        let hint = refused["hint"].as_str().context("a hint")?;
        ensure!(hint.contains("/rewind"), "{hint}");
    }
    Ok(())
}

async fn pull(server: &Server, group: &str, body: Value) -> Result<Value> {
    server.post(&format!("/v1/groups/{group}/pull"), &body).await?.expect(200)?.json()
}

/// Partition and offset of each record.
fn places(answer: &Value) -> Vec<(u64, u64)> {
    let place = |record: &Value| (record["partition"].as_u64(), record["offset"].as_u64());
    let records = answer["records"].as_array().into_iter().flatten();
    records
        .filter_map(|record| {
            let (p, o) = place(record);
            Some((p?, o?))
        })
        .collect()
}

#[tokio::test]
async fn a_member_pulls_and_commits_and_an_answer_that_was_lost_comes_again() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 10).await?;
    let first = pull(&server, "g", json!({ "topics": ["orders"], "limit": 4, "wait": "30s" })).await?;
    let member = first["member"].as_str().context("a member")?;
    assert_eq!(first["assignment"], json!([{ "topic": "orders", "partitions": [0, 1] }]));
    assert_eq!((places(&first).len(), &first["records"][0]["topic"]), (4, &json!("orders")));

    let go_on = json!({ "topics": ["orders"], "member": member, "limit": 4, "commit": first["next_commit"] });
    let second = pull(&server, "g", go_on.clone()).await?;
    assert_eq!(places(&second).len(), 4);
    let mut again = places(&pull(&server, "g", go_on).await?);
    let mut seen = places(&second);
    again.sort_unstable();
    seen.sort_unstable();
    assert!(again.len() == 4 && again.iter().all(|place| !places(&first).contains(place)), "{again:?}");

    let last = json!({ "topics": ["orders"], "member": member, "commit": "previous" });
    let rest = places(&pull(&server, "g", last.clone()).await?);
    let mut all: Vec<_> = places(&first).into_iter().chain(again).chain(rest).collect();
    all.sort_unstable();
    let expected: Vec<_> =
        (0..2).flat_map(|partition| (0..5).map(move |offset| (partition, offset))).collect();
    assert_eq!(all, expected);
    let end = pull(&server, "g", last.clone()).await?;
    assert_eq!((places(&end), &end["next_commit"]), (vec![], &json!({ "offsets": [] })));
    let group = server.get("/v1/groups/g").await?.expect(200)?.json()?;
    assert_eq!((&group["total_lag"], &group["offsets"][1]["member"]), (&json!(0), &json!(member)));
    let shown = &group["members"][0];
    assert_eq!((&shown["client_id"], &shown["client_host"]), (&json!("http"), &json!("/127.0.0.1")));

    delete(&server, &format!("/v1/groups/g/members/{member}")).await?.expect(204)?;
    let fenced = server.post("/v1/groups/g/pull", &last).await?.expect(409)?.json()?;
    assert_eq!((&fenced["code"], &fenced["retryable"]), (&json!("rebalanced"), &json!(true)));
    let new = pull(&server, "g", json!({ "topics": ["orders"], "member": member })).await?;
    assert_ne!(new["member"], json!(member));
    Ok(())
}

/// Pulls with every request committing what came before, until the other side has enough.
async fn pull_all(
    server: &Server,
    done: &tokio::sync::watch::Sender<usize>,
    total: usize,
) -> Result<Vec<(u64, u64)>> {
    let (mut body, mut seen) = (json!({ "topics": ["orders"], "limit": 7, "wait": "200ms" }), Vec::new());
    while *done.borrow() < total {
        let answer = server.post("/v1/groups/g/pull", &body).await?;
        if answer.status == 409 {
            let problem = answer.json()?;
            ensure!(problem["code"] == "rebalanced", "{problem}");
            body["commit"] = Value::Null;
            continue;
        }
        let answer = answer.expect(200)?.json()?;
        let new = places(&answer);
        done.send_modify(|count| *count += new.len());
        seen.extend(new);
        body["member"] = answer["member"].clone();
        body["commit"] = answer["next_commit"].clone();
    }
    body["limit"] = json!(1);
    pull(server, "g", body).await.map(|_| seen)
}

#[tokio::test]
async fn two_members_over_http_read_everything_once_over_a_rebalance() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 400).await?;
    let done = tokio::sync::watch::channel(0).0;
    let second = async {
        let mut count = done.subscribe();
        count.wait_for(|count| *count > 50).await?;
        pull_all(&server, &done, 400).await
    };
    let (first, second) = tokio::join!(pull_all(&server, &done, 400), second);
    let (first, second) = (first?, second?);
    let mut all = [first, second].concat();
    all.sort_unstable();
    let expected: Vec<_> =
        (0..2).flat_map(|partition| (0..200).map(move |offset| (partition, offset))).collect();
    assert_eq!(all, expected);
    Ok(())
}

#[tokio::test]
async fn a_kafka_client_and_one_over_http_share_a_group() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 10).await?;
    let first = pull(&server, "g", json!({ "topics": ["orders"], "wait": "30s" })).await?;
    assert_eq!(places(&first).len(), 10);
    let next =
        json!({ "topics": ["orders"], "member": first["member"], "commit": "previous", "wait": "30s" });

    // The next request commits, sees that somebody has come, and leads the rebalance.
    let mut client = Client::connect(&server).await?;
    let kafka = async {
        let joined =
            super::groups::enter(&mut client, "g", b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff").await?;
        produce(&server, 10, 20).await?;
        anyhow::Ok((client, joined))
    };
    let (second, kafka) = tokio::join!(pull(&server, "g", next.clone()), kafka);
    let (second, (mut client, (joined, assignment))) = (second?, kafka?);
    assert_eq!(second["assignment"], json!([{ "topic": "orders", "partitions": [0] }]));
    assert_eq!(assignment, &b"\0\0\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff"[..]);
    let mut own = places(&second);
    while own.len() < 5 {
        own.extend(places(&pull(&server, "g", next.clone()).await?));
    }
    assert_eq!(own, (5..10).map(|offset| (0, offset)).collect::<Vec<_>>());
    assert_eq!(super::groups::offsets_of(&mut client, "g", "orders", 1).await?, 5);
    let theirs = json!({
        "member": first["member"], "offsets": [{ "topic": "orders", "partition": 1, "offset": 0 }]
    });
    let refused = server.post("/v1/groups/g/commit", &theirs).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "rebalanced");

    // What the client has committed of its partition does not come again when that goes back.
    let mine = commit("g", "orders", 1, 8)
        .with_generation_id_or_member_epoch(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(committed(&mut client, 8, &mine).await?, 0);
    delete(&server, &format!("/v1/groups/g/members/{}", joined.member_id.as_str())).await?.expect(204)?;
    let mut back = Vec::new();
    while back.len() < 2 {
        back.extend(places(&pull(&server, "g", next.clone()).await?));
    }
    assert_eq!(back, [(1, 8), (1, 9)]);
    Ok(())
}

#[tokio::test]
async fn a_member_goes_on_over_a_restart_from_what_is_committed() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 10).await?;
    let first = pull(&server, "g", json!({ "topics": ["orders"], "limit": 6, "wait": "30s" })).await?;
    let member = &first["member"];
    let second =
        pull(&server, "g", json!({ "topics": ["orders"], "member": member, "commit": first["next_commit"] }))
            .await?;
    assert_eq!(places(&second).len(), 4);

    let server = server.restart().await?;
    let blind = json!({ "topics": ["orders"], "member": member, "commit": "previous" });
    let refused = server.post("/v1/groups/g/pull", &blind).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "rebalanced");
    let again = pull(&server, "g", json!({ "topics": ["orders"], "member": member, "wait": "30s" })).await?;
    assert_eq!(&again["member"], member);
    let (mut before, mut after) = (places(&second), places(&again));
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(after, before);
    Ok(())
}

/// Lines of a stream until one fits.
async fn line_that(
    stream: &mut reqwest::Response,
    rest: &mut Vec<u8>,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value> {
    loop {
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line)?;
            if fits(&line) {
                return Ok(line);
            }
        }
        rest.extend(stream.chunk().await?.context("the stream goes on")?);
    }
}

#[tokio::test]
async fn a_streams_connection_is_its_member() -> Result<()> {
    let server = server().await?;
    produce(&server, 0, 4).await?;
    let request = server.request(Method::GET, "/v1/groups/g/stream?topics=orders");
    let (mut stream, mut rest) = (request.send().await?, Vec::new());
    let member = line_that(&mut stream, &mut rest, |_| true).await?["member"].clone();
    let assigned = line_that(&mut stream, &mut rest, |_| true).await?;
    assert_eq!(assigned, json!({ "assignment": [{ "topic": "orders", "partitions": [0, 1] }] }));
    line_that(&mut stream, &mut rest, |line| line["value"] == 3).await?;
    // A commit that lags behind does not take the stream back.
    let behind = json!([{ "topic": "orders", "partition": 1, "offset": 1 }]);
    server.post("/v1/groups/g/commit", &json!({ "member": member, "offsets": behind })).await?.expect(204)?;
    produce(&server, 4, 6).await?;
    assert_eq!(line_that(&mut stream, &mut rest, |line| line["partition"] == 1).await?["offset"], 2);
    let offsets = json!([
        { "topic": "orders", "partition": 0, "offset": 3 },
        { "topic": "orders", "partition": 1, "offset": 3, "metadata": "é" },
    ]);
    server
        .post("/v1/groups/g/commit", &json!({ "member": member, "offsets": offsets }))
        .await?
        .expect(204)?;
    let group = server.get("/v1/groups/g").await?.expect(200)?.json()?;
    assert_eq!((&group["members"][0]["id"], &group["offsets"][1]["committed"]), (&member, &json!(3)));
    drop(stream);
    let group = server.until("/v1/groups/g", |group| group["state"] == "Empty").await?;
    assert_eq!((&group["members"], &group["total_lag"]), (&json!([]), &json!(0)));

    // From here on what was sent counts as read.
    produce(&server, 6, 8).await?;
    let request = server.request(Method::GET, "/v1/groups/g/stream?topics=orders&commit=on_deliver");
    let (mut stream, mut rest) = (request.header("accept", "text/event-stream").send().await?, String::new());
    while !rest.contains("\"value\":7") {
        rest.push_str(std::str::from_utf8(&stream.chunk().await?.context("the stream goes on")?)?);
    }
    ensure!(
        rest.contains("event: member\ndata: {\"member\":") && rest.contains("event: assignment\n"),
        "{rest}"
    );
    server
        .until("/v1/groups/g", |group| {
            group["total_lag"] == 0
                && group["offsets"].as_array().is_some_and(|all| all.iter().all(|o| o["committed"] == 4))
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_group_without_members_takes_commits_from_anybody() -> Result<()> {
    let server = server().await?;
    let offsets = json!([{ "topic": "orders", "partition": 0, "offset": 7 }]);
    server.post("/v1/groups/g/commit", &json!({ "offsets": offsets })).await?.expect(204)?;
    let mut client = Client::connect(&server).await?;
    assert_eq!(super::groups::offsets_of(&mut client, "g", "orders", 0).await?, 7);
    alone(&mut client, "g").await?;
    let refused =
        server.post("/v1/groups/g/commit", &json!({ "offsets": offsets })).await?.expect(409)?.json()?;
    assert_eq!(refused["code"], "group_not_empty");
    Ok(())
}
