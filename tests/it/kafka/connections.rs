//! Connections: versions, order, hostile bytes, many of them, a stop.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;
use tokio::io::AsyncWriteExt as _;

use super::client::{Client, batch, one_result, produce, started};
use crate::support::Server;

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("it"))
        .with_client_software_version(StrBytes::from_static_str("1.0"))
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_the_first() -> Result<()> {
    let (_server, mut client) = started(&[]).await?;
    // Key 18, version 99, correlation id 7, no client id, and a body that nobody knows.
    client.send_frame(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 1, 2, 3]).await?;
    let (correlation_id, response) = client.receive::<ApiVersionsResponse>(0).await?;
    assert_eq!((correlation_id, response.error_code), (7, 35));
    let own = response.api_keys.iter().find(|api| api.api_key == 18).context("its own key")?;
    assert_eq!((own.min_version, own.max_version), (0, 4));

    for version in 0..=4 {
        let response = client.ask(version, &api_versions()).await?;
        assert_eq!(response.error_code, 0, "version {version}");
        assert!(response.api_keys.iter().any(|api| api.api_key == 3));
    }
    let unnamed = client.ask(3, &ApiVersionsRequest::default()).await?;
    assert_eq!(unnamed.error_code, 42, "a client has a name");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_answered_closes_its_connection_and_no_other() -> Result<()> {
    let (server, mut bystander) = started(&[]).await?;
    bystander.metadata(12, None).await?;
    let hostile: [&[u8]; 6] = [
        // lengths
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
        // an API that does not exist, a version that does not
        &[0, 0, 0, 10, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
        // Metadata 12 of 21 bytes, with an array of 2^31 topics
        &[0, 0, 0, 21, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 7, 1, 1, 0, 0, 0],
    ];
    for bytes in hostile {
        let mut client = Client::connect(&server).await?;
        client.stream.write_all(bytes).await?;
        client.closed().await.with_context(|| format!("{bytes:02x?}"))?;
        bystander.metadata(12, None).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_came_before_the_fault_is_answered() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    // A Produce 9 whose body makes no sense, a version that is not there, a length that no request has.
    let faults: [&[u8]; 3] = [
        &[0, 0, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9, 0xff, 0xff, 0, 0x7f, 0x7f],
        &[0, 0, 0, 10, 0, 0, 0, 99, 0, 0, 0, 9, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
    ];
    for (n, fault) in (0..).zip(faults) {
        let mut client = Client::connect(&server).await?;
        let good = produce("t", 0, batch(&["a"], Compression::None), -1);
        let sent = client.send(9, &good).await?;
        client.stream.write_all(fault).await?;
        let (received, response) = client.receive::<ProduceResponse>(9).await?;
        let result = one_result(response)?;
        assert_eq!((received, result.error_code, result.base_offset), (sent, 0, n), "{fault:02x?}");
        client.closed().await?;
    }
    Ok(())
}

#[tokio::test]
async fn answers_leave_in_the_order_of_their_requests() -> Result<()> {
    let (_server, mut client) = started(&[]).await?;
    let mut sent = Vec::new();
    for round in 0..50 {
        if round % 3 == 0 {
            sent.push(client.send(3, &api_versions()).await?);
        } else {
            sent.push(client.send(12, &MetadataRequest::default().with_topics(None)).await?);
        }
    }
    for (round, expected) in sent.into_iter().enumerate() {
        let bytes = client.frame().await?;
        let correlation_id = i32::from_be_bytes(*bytes.first_chunk().context("a header")?);
        assert_eq!(correlation_id, expected, "answer {round}");
    }
    Ok(())
}

#[tokio::test]
async fn idle_connections_cost_little() -> Result<()> {
    const CONNECTIONS: usize = 500;
    let (server, mut first) = started(&[]).await?;
    first.metadata(12, None).await?;
    let before = server.resident_bytes()?;
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(&server).await?;
        client.ask(3, &api_versions()).await?;
        idle.push(client);
    }
    let each = server.resident_bytes()?.saturating_sub(before) / CONNECTIONS;
    ensure!(each < 16 << 10, "{each} bytes a connection");
    first.metadata(12, None).await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_answers_what_was_asked_and_closes() -> Result<()> {
    let mut server = Server::start().await?;
    server.topic("t", 1).await?;
    let mut waiting = Client::connect(&server).await?;
    let mut idle = Client::connect(&server).await?;
    idle.metadata(12, None).await?;
    let patient = super::client::fetch("t", 0).with_min_bytes(1).with_max_wait_ms(60_000);
    let sent = waiting.send(12, &patient).await?;
    // Its fetch has begun when a later connection has been served.
    Client::connect(&server).await?.metadata(12, None).await?;
    server.terminate()?;
    let (received, _) = waiting.receive::<kafka_protocol::messages::FetchResponse>(12).await?;
    assert_eq!(sent, received);
    waiting.closed().await?;
    idle.closed().await?;
    assert!(tokio::time::timeout(Duration::from_secs(20), server.ended()).await??.success());
    Ok(())
}
