//! Produce: order, acks, sizes, codecs, both doors.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::records::Compression;
use serde_json::json;

use super::client::{Client, batch, one_result, produce, started, values};
use crate::support::Server;

#[tokio::test]
async fn pipelined_requests_are_stored_and_answered_in_their_order() -> Result<()> {
    const REQUESTS: usize = 200;
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let mut sent = Vec::new();
    for n in 0..REQUESTS {
        sent.push(client.send(9, &produce("t", 0, batch(&[&n.to_string()], Compression::None), -1)).await?);
    }
    for (n, expected) in sent.into_iter().enumerate() {
        let (correlation_id, response) = client.receive::<ProduceResponse>(9).await?;
        let result = one_result(response)?;
        assert_eq!((correlation_id, result.error_code, result.base_offset), (expected, 0, i64::try_from(n)?));
    }
    let stored = values(&client.fetch("t", 0).await?)?;
    let expected: Vec<_> = (0..REQUESTS).map(|n| (n as i64, n.to_string())).collect();
    assert_eq!(stored, expected);
    Ok(())
}

#[tokio::test]
async fn acks_0_has_no_answer_and_an_error_ends_the_connection() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    client.send(9, &produce("t", 0, batch(&["a"], Compression::None), 0)).await?;
    let next = client.produce("t", batch(&["b"], Compression::None)).await?;
    assert_eq!(next.base_offset, 1, "the next answer is that of the next request");

    client.send(9, &produce("missing", 0, batch(&["c"], Compression::None), 0)).await?;
    client.closed().await
}

#[tokio::test]
async fn what_was_sent_before_the_connection_ends_is_stored() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    for n in 0..20 {
        client.send(9, &produce("t", 0, batch(&[&n.to_string()], Compression::None), 0)).await?;
    }
    drop(client);
    let stored = |page: &serde_json::Value| page["next_offset"] == 20;
    server.until("/v1/topics/t/partitions/0/records?limit=100", stored).await?;
    Ok(())
}

#[tokio::test]
async fn errors_are_told_with_their_codes() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let good = || batch(&["a"], Compression::None);
    let code = async |client: &mut Client, topic: &str, partition, batch: Bytes, acks| {
        one_result(client.ask(9, &produce(topic, partition, batch, acks)).await?).map(|r| r.error_code)
    };
    assert_eq!(code(&mut client, "missing", 0, good(), -1).await?, 3);
    assert_eq!(code(&mut client, "t", 1, good(), -1).await?, 3);
    assert_eq!(code(&mut client, "t", -1, good(), -1).await?, 3);
    assert_eq!(code(&mut client, "t", 0, good(), 2).await?, 21);
    assert_eq!(code(&mut client, "t", 0, Bytes::new(), -1).await?, 87, "no batch");
    let mut twice = BytesMut::from(&good()[..]);
    twice.extend_from_slice(&good());
    assert_eq!(code(&mut client, "t", 0, twice.freeze(), -1).await?, 87, "two batches");
    let mut damaged = BytesMut::from(&good()[..]);
    *damaged.last_mut().context("a byte")? ^= 1;
    assert_eq!(code(&mut client, "t", 0, damaged.freeze(), -1).await?, 2);
    let large = "x".repeat(1_100_000);
    assert_eq!(code(&mut client, "t", 0, batch(&[&large], Compression::None), -1).await?, 10);
    assert_eq!(code(&mut client, "t", 0, good(), 1).await?, 0, "the connection is as good as ever");
    Ok(())
}

#[tokio::test]
async fn a_request_of_several_mebibytes_arrives_whole() -> Result<()> {
    let server = Server::start().await?;
    let config = json!({ "partitions": 1, "config": { "max.message.bytes": "8388608" } });
    server.put("/v1/topics/t", &config).await?.expect(201)?;
    let mut client = Client::connect(&server).await?;
    let large = "0123456789abcdef".repeat(6 << 16);
    assert_eq!(client.produce("t", batch(&[&large], Compression::None)).await?.error_code, 0);
    let data = client.fetch("t", 0).await?;
    assert_eq!(values(&data)?, [(0, large)], "the first batch is sent however large it is");
    Ok(())
}

#[tokio::test]
async fn both_doors_lead_to_the_same_records() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    let stored = client.produce("t", batch(&["\"from kafka\""], Compression::None)).await?;
    assert_eq!((stored.error_code, stored.base_offset, stored.log_start_offset), (0, 0, 0));
    server.post("/v1/topics/t/records", &json!({ "value": "from http" })).await?.expect(200)?;

    let page = server.get("/v1/topics/t/partitions/0/records").await?.expect(200)?.json()?;
    let read: Vec<_> = page["records"].as_array().context("a list")?.iter().map(|r| &r["value"]).collect();
    assert_eq!(read, [&json!("from kafka"), &json!("from http")]);
    let fetched = values(&client.fetch("t", 0).await?)?;
    assert_eq!(fetched, [(0, "\"from kafka\"".to_owned()), (1, "\"from http\"".to_owned())]);
    Ok(())
}
