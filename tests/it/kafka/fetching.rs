//! Fetch and ListOffsets: whole batches, waits, sessions, positions.

use std::time::Duration;

use anyhow::{Context, Result};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use kafka_protocol::records::Compression;

use super::client::{Client, batch, fetch, one_partition, one_result, produce, started, topic_name, values};

#[tokio::test]
async fn an_offset_inside_a_batch_gets_the_whole_batch() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    client.produce("t", batch(&["a", "b", "c"], Compression::None)).await?;
    client.produce("t", batch(&["d"], Compression::None)).await?;
    let offsets: Vec<_> =
        values(&client.fetch("t", 1).await?)?.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn the_first_batch_is_sent_whatever_its_size_and_then_the_bounds_hold() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    for value in ["first", "second", "third"] {
        client.produce("t", batch(&[value], Compression::None)).await?;
    }
    let tiny = fetch("t", 0).with_max_bytes(1);
    let data = one_partition(client.ask(12, &tiny).await?)?;
    assert_eq!(values(&data)?, [(0, "first".to_owned())]);
    let mut two = fetch("t", 0);
    two.topics[0].partitions[0].partition_max_bytes = 160;
    let data = one_partition(client.ask(12, &two).await?)?;
    assert_eq!(values(&data)?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn offsets_out_of_range_and_newer_epochs_are_refused() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    client.produce("t", batch(&["a"], Compression::None)).await?;
    assert_eq!(client.fetch("t", 1).await?.error_code, 0, "the end is in range");
    assert_eq!(client.fetch("t", 2).await?.error_code, 1);
    assert_eq!(client.fetch("t", -1).await?.error_code, 1);
    assert_eq!(client.fetch("missing", 0).await?.error_code, 3);
    let mut newer = fetch("t", 0);
    newer.topics[0].partitions[0].current_leader_epoch = 1;
    assert_eq!(one_partition(client.ask(12, &newer).await?)?.error_code, 75);
    Ok(())
}

#[tokio::test]
async fn a_wait_ends_with_the_first_record() -> Result<()> {
    let (server, mut client) = started(&[("t", 2)]).await?;
    let patient = fetch("t", 0).with_min_bytes(1).with_max_wait_ms(30_000);
    client.send(12, &patient).await?;
    let mut other = Client::connect(&server).await?;
    other.metadata(12, None).await?;
    other.produce("t", batch(&["a"], Compression::None)).await?;
    // Without the append it would wait three times as long.
    let woken = tokio::time::timeout(Duration::from_secs(10), client.receive::<FetchResponse>(12)).await;
    let (_, response) = woken??;
    assert_eq!(values(&one_partition(response)?)?, [(0, "a".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn a_wait_for_nothing_ends_in_time() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let data = one_partition(client.ask(12, &fetch("t", 0).with_min_bytes(1).with_max_wait_ms(300)).await?)?;
    assert!(values(&data)?.is_empty());
    Ok(())
}

/// A fetch of all three partitions of `t` from their beginning.
fn of_three(max_bytes: i32) -> FetchRequest {
    let mut request = fetch("t", 0).with_max_bytes(max_bytes);
    let first = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.extend([1, 2].map(|p| first.clone().with_partition(p)));
    request
}

/// How many records each partition of an answer has.
fn counts(response: &FetchResponse) -> Result<Vec<usize>> {
    response.responses.iter().flat_map(|t| &t.partitions).map(|p| Ok(values(p)?.len())).collect()
}

#[tokio::test]
async fn partitions_share_the_bytes_in_their_order() -> Result<()> {
    let (_server, mut client) = started(&[("t", 3)]).await?;
    for (partition, size) in [(0, 400), (0, 400), (1, 400), (2, 10)] {
        let batch = batch(&["x".repeat(size).as_str()], Compression::None);
        assert_eq!(one_result(client.ask(9, &produce("t", partition, batch, -1)).await?)?.error_code, 0);
    }
    let response = client.ask(12, &of_three(1_100)).await?;
    assert_eq!(
        counts(&response)?,
        [2, 0, 1],
        "what does not fit is left out, and smaller ones behind it may fit"
    );
    assert_eq!(counts(&client.ask(12, &of_three(1)).await?)?, [1, 0, 0], "the first one comes in any case");
    Ok(())
}

#[tokio::test]
async fn a_wait_for_bytes_takes_what_came_meanwhile() -> Result<()> {
    let (server, mut client) = started(&[("t", 3)]).await?;
    client.produce("t", batch(&["a"], Compression::None)).await?;
    // Three batches of 61 bytes and a little.
    client.send(12, &of_three(1 << 20).with_min_bytes(200).with_max_wait_ms(30_000)).await?;
    let mut other = Client::connect(&server).await?;
    other.produce("t", batch(&["b"], Compression::None)).await?;
    other.ask(9, &produce("t", 1, batch(&["c"], Compression::None), -1)).await?;
    let (_, response) = client.receive::<FetchResponse>(12).await?;
    assert_eq!(counts(&response)?, [2, 1, 0], "with less it waits on");
    Ok(())
}

#[tokio::test]
async fn an_error_of_one_partition_ends_the_wait() -> Result<()> {
    let (_server, mut client) = started(&[("t", 3)]).await?;
    let mut patient = of_three(1 << 20).with_min_bytes(1).with_max_wait_ms(30_000);
    patient.topics[0].partitions[1].fetch_offset = 9;
    let answered = tokio::time::timeout(Duration::from_secs(10), client.ask(12, &patient)).await??;
    let codes: Vec<_> = answered.responses[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, 1, 0]);
    Ok(())
}

/// A request of a session for partitions of `t`, with their offsets.
fn in_session(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20)
    };
    let partitions: Vec<_> = partitions.iter().map(partition).collect();
    let topic = FetchTopic::default().with_topic(topic_name("t")).with_partitions(partitions);
    let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
    FetchRequest::default()
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_max_bytes(1 << 20)
        .with_topics(topics)
}

fn partitions(response: &FetchResponse) -> Vec<i32> {
    response.responses.iter().flat_map(|t| t.partitions.iter().map(|p| p.partition_index)).collect()
}

#[tokio::test]
async fn a_session_is_told_only_what_is_new() -> Result<()> {
    let (_server, mut client) = started(&[("t", 3)]).await?;
    let first = client.ask(12, &in_session(0, 0, &[(0, 0), (1, 0), (2, 0)])).await?;
    assert_eq!(partitions(&first), [0, 1, 2]);
    let id = first.session_id;
    assert_ne!(id, 0);
    assert_eq!(partitions(&client.ask(12, &in_session(id, 1, &[])).await?), [] as [i32; 0]);
    client.produce("t", batch(&["a"], Compression::None)).await?;
    let news = client.ask(12, &in_session(id, 2, &[])).await?;
    assert_eq!(partitions(&news), [0]);
    assert_eq!(values(&one_partition(news)?)?, [(0, "a".to_owned())]);
    assert_eq!(client.ask(12, &in_session(id, 9, &[])).await?.error_code, 71);
    assert_eq!(client.ask(12, &in_session(id ^ 1, 1, &[])).await?.error_code, 70);
    Ok(())
}

#[tokio::test]
async fn topics_are_fetched_by_id_from_version_13_on() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    client.produce("t", batch(&["a"], Compression::None)).await?;
    let id = client.metadata(12, Some(&["t"])).await?.topics[0].topic_id;
    let mut request = fetch("t", 0);
    request.topics[0].topic_id = id;
    let response = client.ask(13, &request).await?;
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!(values(&one_partition(response)?)?.len(), 1);
    request.topics[0].topic_id = uuid::Uuid::from_u128(5);
    assert_eq!(one_partition(client.ask(13, &request).await?)?.error_code, 100);
    Ok(())
}

#[tokio::test]
async fn positions_are_found_by_word_and_by_time() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    // Times 1000, 1001, 1002.
    client.produce("t", batch(&["a", "b", "c"], Compression::None)).await?;
    let mut find = async |version, timestamp| {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        let response = client.ask(version, &request).await?;
        let found = response.topics[0].partitions.first().context("a partition")?;
        anyhow::Ok((found.error_code, found.offset, found.timestamp))
    };
    assert_eq!(find(7, -1).await?, (0, 3, -1));
    assert_eq!(find(7, -2).await?, (0, 0, -1));
    assert_eq!(find(7, -3).await?, (0, 2, 1_002));
    assert_eq!(find(6, -3).await?, (35, -1, -1), "not before version 7");
    assert_eq!(find(8, -4).await?, (0, 0, -1));
    assert_eq!(find(9, -5).await?, (0, -1, -1));
    assert_eq!(find(1, 1_001).await?, (0, 1, 1_001), "inside a batch");
    assert_eq!(find(1, 0).await?, (0, 0, 1_000));
    assert_eq!(find(1, 1_003).await?, (0, -1, -1));
    Ok(())
}

#[tokio::test]
async fn the_leader_epoch_is_0_and_ends_at_the_end() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    client.produce("t", batch(&["a", "b"], Compression::None)).await?;
    let mut ask = async |epoch| {
        let partition =
            OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(topic_name("t")).with_partitions(vec![partition]);
        let response =
            client.ask(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic])).await?;
        let end = &response.topics[0].partitions[0];
        anyhow::Ok((end.error_code, end.leader_epoch, end.end_offset))
    };
    assert_eq!(ask(0).await?, (0, 0, 2));
    assert_eq!(ask(3).await?, (0, -1, -1));
    Ok(())
}
