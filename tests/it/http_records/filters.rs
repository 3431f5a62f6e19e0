//! Reads with filters of the server's.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::read_until;
use crate::support::Server;

/// A hundred records in four partitions: value n under `k{n % 10}`, from `web` if n is even.
async fn hundred(server: &Server, topic: &str) -> Result<()> {
    server.topic(topic, 4).await?;
    let record = |n: u32| {
        let source = if n.is_multiple_of(2) { "web" } else { "app" };
        json!({ "key": format!("k{}", n % 10), "value": { "n": n }, "headers": { "source": source }, "timestamp": n })
    };
    let records: Vec<_> = (0..100).map(record).collect();
    server.post(&format!("/v1/topics/{topic}/records"), &json!({ "records": records })).await?.expect(200)?;
    Ok(())
}

fn numbers(page: &Value) -> Vec<i64> {
    page["records"].as_array().into_iter().flatten().filter_map(|r| r["value"]["n"].as_i64()).collect()
}

#[tokio::test]
async fn a_filter_finds_what_it_names_and_counts_what_it_looked_at() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    let read =
        async |query: &str| server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(200)?.json();
    let by_key = read("key=k3").await?;
    assert_eq!(numbers(&by_key), [3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);
    assert_eq!((&by_key["scanned"], &by_key["matched"]), (&json!(100), &json!(10)));
    assert_eq!(numbers(&read("key_base64=azM=&contains=3%7D").await?), numbers(&by_key));
    assert_eq!(numbers(&read("header.source=web&contains=%22n%22:7&until=75").await?), [70, 72, 74]);
    assert_eq!(read("key=k3&until=75").await?["complete"], true);
    let none = read("key=k3&header.source=web").await?;
    assert_eq!((&none["scanned"], &none["matched"], &none["records"]), (&json!(100), &json!(0), &json!([])));

    for (query, says) in [
        ("key=a&key_base64=YQ==", "exclude each other"),
        ("contains=", "is empty"),
        ("scan_limit=5", "is for reads with a filter"),
        ("header.a=1&header.a=2", "stands twice"),
    ] {
        let refused = server.get(&format!("/v1/topics/t/records?{query}")).await?.expect(400)?;
        assert!(refused.text().contains(says), "{}", refused.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_filtered_read_goes_on_where_its_budget_or_its_page_ended() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    for budget in ["scan_limit=7", "limit=1", "scan_limit=13&limit=2"] {
        let (mut seen, mut scanned, mut cursor, mut pages) = (Vec::new(), 0, String::new(), 0);
        loop {
            let page = server
                .get(&format!("/v1/topics/t/records?key=k3&{budget}{cursor}"))
                .await?
                .expect(200)?
                .json()?;
            let looked = page["scanned"].as_u64().context("a count")?;
            assert_eq!(page["matched"].as_u64(), Some(numbers(&page).len() as u64));
            if looked == 0 {
                break;
            }
            (scanned, pages) = (scanned + looked, pages + 1);
            seen.extend(numbers(&page));
            cursor = format!("&cursor={}", page["next_cursor"].as_str().context("a cursor")?);
        }
        assert_eq!((seen, scanned), ((0..10).map(|n| 10 * n + 3).collect(), 100), "{budget}");
        assert!(pages >= 8, "{budget}: {pages} pages");
    }

    server.topic("one", 1).await?;
    let records: Vec<_> =
        (0..20).map(|n| json!({ "key": format!("k{}", n % 10), "value": { "n": n } })).collect();
    server.post("/v1/topics/one/records", &json!({ "records": records })).await?.expect(200)?;
    let page = server.get("/v1/topics/one/partitions/0/records?key=k3&limit=1").await?.expect(200)?.json()?;
    assert_eq!((numbers(&page), &page["next_offset"], &page["scanned"]), (vec![3], &json!(4), &json!(4)));
    let page =
        server.get("/v1/topics/one/partitions/0/records?key=k3&offset=4&scan_limit=5").await?.json()?;
    assert_eq!(
        (numbers(&page), &page["next_offset"], &page["high_watermark"]),
        (vec![], &json!(9), &json!(20))
    );
    Ok(())
}

#[tokio::test]
async fn a_long_poll_with_a_filter_waits_for_what_it_names() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    let poll = async { server.get("/v1/topics/t/records?wait=30s&key=wanted").await?.expect(200)?.json() };
    let produce = async {
        for n in 0..20 {
            let key = if n == 19 { "wanted".to_owned() } else { format!("other{n}") };
            server
                .post("/v1/topics/t/records", &json!({ "key": key, "value": { "n": n } }))
                .await?
                .expect(200)?;
        }
        Ok(())
    };
    let (page, ()) = tokio::try_join!(poll, produce)?;
    assert_eq!(numbers(&page), [19]);
    let empty = server.get("/v1/topics/t/records?wait=1&key=nobody").await?.expect(200)?.json()?;
    assert_eq!((&empty["scanned"], &empty["matched"]), (&json!(20), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn live_streams_take_filters_and_resume_behind_what_they_passed_over() -> Result<()> {
    let server = Server::start().await?;
    hundred(&server, "t").await?;
    let path = "/v1/topics/t/records?key=k3";
    let events = |id: &str| {
        let request = server.request(Method::GET, path).header("accept", "text/event-stream");
        request.header("last-event-id", id).send()
    };
    let seen = read_until(&mut events("").await?, "{\"n\":93}").await?;
    assert_eq!(seen.matches("\"n\":").count(), 10, "{seen}");
    let id = seen.lines().filter_map(|l| l.strip_prefix("id: ")).next_back().context("an id")?.to_owned();

    let next = json!({ "key": "k3", "value": { "n": 103 } });
    server.post("/v1/topics/t/records", &next).await?.expect(200)?;
    let seen = read_until(&mut events(&id).await?, "{\"n\":103}").await?;
    assert_eq!(seen.matches("\"n\":").count(), 1, "{seen}");

    let mut lines =
        server.request(Method::GET, &format!("{path}&follow=true&offset=earliest")).send().await?;
    let seen = read_until(&mut lines, "{\"n\":103}").await?;
    assert_eq!(seen.lines().count(), 11, "{seen}");
    let one = "/v1/topics/t/partitions/0/records?follow=true&contains=%22n%22:5";
    let mut lines = server.request(Method::GET, one).send().await?;
    let partition: Value =
        server.get("/v1/topics/t/partitions/0/records?contains=%22n%22:5").await?.json()?;
    let last = numbers(&partition).pop().context("partition 0 has one of them")?;
    let seen = read_until(&mut lines, &format!("{{\"n\":{last}}}")).await?;
    assert_eq!(seen.lines().count(), numbers(&partition).len());
    Ok(())
}
