//! The examples of streaming code at work in the server: a join, windows, a top list.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::Server;

async fn deploy(guest: &str, inputs: &[&str], more: Value) -> Result<Server> {
    let server = Server::start().await?;
    for topic in inputs {
        let topic_of_all_time = json!({ "partitions": 2, "config": { "retention.ms": "-1" } });
        server.put(&format!("/v1/topics/{topic}"), &topic_of_all_time).await?.expect(201)?;
    }
    server
        .put("/v1/topics/out", &json!({ "partitions": 1, "config": { "retention.ms": "-1" } }))
        .await?
        .expect(201)?;
    server.upload(guest).await?.expect(201)?;
    let mut spec = json!({
        "kind": "processor", "module": guest, "input": { "topics": inputs }, "output": { "default": "out" }
    });
    for (name, value) in more.as_object().context("members")? {
        spec[name] = value.clone();
    }
    server.put("/v1/deployments/d", &spec).await?.expect(201)?;
    Ok(server)
}

async fn produce(server: &Server, topic: &str, records: Vec<Value>) -> Result<()> {
    let records = json!({ "records": records });
    server.post(&format!("/v1/topics/{topic}/records"), &records).await?.expect(200).map(drop)
}

/// The values in `out` by key, once there are so many.
async fn results(server: &Server, count: usize) -> Result<Vec<(String, Value)>> {
    let all = |page: &Value| page["records"].as_array().map_or(0, Vec::len) >= count;
    let page = server.until("/v1/topics/out/partitions/0/records?offset=0&limit=1000", all).await?;
    let of =
        |record: &Value| (record["key"].as_str().unwrap_or_default().to_owned(), record["value"].clone());
    Ok(page["records"].as_array().context("records")?.iter().map(of).collect())
}

#[tokio::test]
async fn records_wait_for_the_row_of_their_key_and_get_the_newest_one() -> Result<()> {
    let params = json!({ "params": { "table": "customers", "into": "customer" } });
    let server = deploy("enrich-join", &["orders", "customers"], params).await?;
    let orders = |range: std::ops::Range<u64>| -> Vec<Value> {
        range.map(|n| json!({ "key": format!("c{}", n % 7), "value": { "n": n } })).collect()
    };
    produce(&server, "orders", orders(0..21)).await?;
    server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 21).await?;
    let server = server.restart().await?;
    let rows =
        (0..7).map(|n| json!({ "key": format!("c{n}"), "value": { "name": format!("name {n}") } })).collect();
    produce(&server, "customers", rows).await?;
    results(&server, 21).await?;
    produce(&server, "customers", vec![json!({ "key": "c3", "value": { "name": "new" } })]).await?;
    server.until("/v1/deployments/d", |d| d["totals"]["lag"] == 0 && d["totals"]["records_in"] == 8).await?;
    produce(&server, "orders", orders(21..28)).await?;

    let mut joined = results(&server, 28).await?;
    joined.sort_by_key(|(_, value)| value["n"].as_u64());
    let expected = (0..28_u64).map(|n| {
        let name = if n == 24 { "new".to_owned() } else { format!("name {}", n % 7) };
        (format!("c{}", n % 7), json!({ "n": n, "customer": { "name": name } }))
    });
    assert_eq!(joined, expected.collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn cards_that_pay_too_much_in_a_window_are_told_once_each_window() -> Result<()> {
    let more = json!({
        "params": { "window": "10s", "hop": "5s", "count-max": 4, "sum-max": 100 }, "time": { "out_of_order": "1s" }
    });
    let mut server = deploy("fraud-window", &["payments"], more).await?;
    let payments: Vec<(u64, u64, u64)> = (0..400).map(|n| (n * n % 13, n % 40, 20_000 + n * 250)).collect();
    for some in payments.chunks(100) {
        let record = |(card, amount, time): &(u64, u64, u64)| json!({ "key": format!("card {card}"), "value": { "amount": amount }, "timestamp": time });
        produce(&server, "payments", some.iter().map(record).collect()).await?;
        server = server.restart().await?;
    }
    // Both partitions come to an end: whichever cards they have.
    let end = |n: u64| json!({ "key": format!("end {n}"), "value": { "amount": 0 }, "timestamp": 900_000 });
    produce(&server, "payments", (0..20).map(end).collect()).await?;

    let mut expected = Vec::new();
    for start in (0..140_000).step_by(5_000) {
        for card in 0..13 {
            let of_card =
                payments.iter().filter(|(c, _, t)| *c == card && (start..start + 10_000).contains(t));
            let (count, sum) = of_card.fold((0, 0), |(count, sum), (_, amount, _)| (count + 1, sum + amount));
            if count > 4 || sum > 100 {
                let card = format!("card {card}");
                let end = start + 10_000;
                let alert = json!({ "card": card, "start": start, "end": end, "count": count, "sum": sum });
                expected.push((card, alert));
            }
        }
    }
    assert!(expected.len() > 20, "{} alerts test little", expected.len());
    let at_rest = |d: &Value| d["totals"]["lag"] == 0 && d["state"] == "running";
    let mut alerts = results(&server, expected.len()).await?;
    server.until("/v1/deployments/d", at_rest).await?;
    let by = |(_, alert): &(String, Value)| (alert["start"].as_u64(), alert["card"].to_string());
    alerts.sort_by_key(by);
    expected.sort_by_key(by);
    assert_eq!(alerts, expected);
    Ok(())
}

#[tokio::test]
async fn the_most_frequent_items_are_read_from_the_state() -> Result<()> {
    let params = json!({ "params": { "top": 3, "counters": 10, "half-life": "1m" } });
    let server = deploy("trending", &["clicks"], params).await?;
    let clicks: Vec<(u64, u64)> =
        (0..300).map(|n| (if n % 3 == 0 { n } else { n * n % 4 }, n * 1_000)).collect();
    for some in clicks.chunks(60) {
        let record =
            |(item, time): &(u64, u64)| json!({ "key": item.to_string(), "value": 1, "timestamp": time });
        produce(&server, "clicks", some.iter().map(record).collect()).await?;
    }
    server.until("/v1/deployments/d", |d| d["totals"]["records_in"] == 300).await?;
    let server = server.restart().await?;
    let mut found = Vec::new();
    for partition in 0..2 {
        let path = format!("/v1/deployments/d/stores/top/keys/top?partition={partition}");
        let list = server.get(&path).await?.expect(200)?.json()?;
        found.extend(list["items"].as_array().context("items")?.clone());
        let counters = format!("/v1/deployments/d/stores/counters/entries?partition={partition}&limit=100");
        let counters = server.get(&counters).await?.expect(200)?.json()?;
        assert!(counters["items"].as_array().is_some_and(|all| all.len() <= 10), "{counters:#}");
    }
    // 0 and 1 are every third click each, and lie in some partition.
    for item in ["0", "1"] {
        let listed = found.iter().find(|listed| listed["item"] == item).context(item)?;
        let newest = clicks.iter().filter(|(n, _)| n.to_string() == item).map(|(_, time)| *time).max();
        let weights = clicks.iter().filter(|(n, _)| n.to_string() == item);
        // As of the newest click of its partition, which is at most some seconds later than that of the item.
        let newest = newest.context("clicks")? as f64;
        let exact: f64 = weights.map(|(_, time)| ((*time as f64 - newest) / 60_000.0).exp2()).sum();
        let [weight, error] = ["weight", "error"].map(|name| listed[name].as_f64().unwrap_or(f64::NAN));
        assert!(weight > exact * 0.8 && weight - error < exact * 1.01, "{listed}: {exact}");
    }
    Ok(())
}
