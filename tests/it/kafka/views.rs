//! Views as Kafka's clients see them: topics with gaps, that end in markers.

use anyhow::{Context, Result};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse, ListOffsetsRequest,
};
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, batch, fetch, one_partition, started, topic_name, values};
use crate::support::Server;

/// A topic `t`, and the view `clean` of it, which drops heartbeats and refuses what is empty.
async fn viewed() -> Result<(Server, Client)> {
    let (server, client) = started(&[("t", 1)]).await?;
    server.upload("template").await?.expect(201)?;
    let spec = json!({ "kind": "view", "module": "template", "input": { "topics": ["t"] } });
    server.put("/v1/deployments/clean", &spec).await?.expect(201)?;
    Ok((server, client))
}

/// Offsets of what a client's application sees and of what it passes over.
fn told(records: Option<Bytes>) -> Result<(Vec<i64>, Vec<i64>)> {
    let sets = RecordBatchDecoder::decode_all(&mut records.unwrap_or_default())?;
    let all = || sets.iter().flat_map(|set| &set.records);
    let of = |control| all().filter(|r| r.control == control).map(|r| r.offset).collect();
    Ok((of(false), of(true)))
}

#[tokio::test]
async fn dropped_records_leave_gaps_and_the_end_of_an_answer_is_told() -> Result<()> {
    let (_server, mut client) = viewed().await?;
    for compression in [Compression::None, Compression::Lz4] {
        client.produce("t", batch(&["heartbeat", "a", "heartbeat"], compression)).await?;
    }
    client.produce("t", batch(&["heartbeat", "heartbeat"], Compression::None)).await?;

    let data = client.fetch("clean", 0).await?;
    assert_eq!((data.error_code, data.high_watermark, data.log_start_offset), (0, 8, 0));
    assert_eq!(told(data.records.clone())?, (vec![1, 4], vec![7]));
    assert!(values(&data)?.contains(&(1, "A".to_owned())));
    assert_eq!(told(client.fetch("clean", 2).await?.records)?, (vec![4], vec![7]));
    // Where all are dropped a client moves on all the same.
    assert_eq!(told(client.fetch("clean", 5).await?.records)?, (vec![], vec![7]));
    assert_eq!(told(client.fetch("clean", 8).await?.records)?, (vec![], vec![]));
    assert_eq!(client.fetch("clean", 9).await?.error_code, 1);
    // Readers of committed records have nothing to leave out any more.
    let committed = one_partition(client.ask(12, &fetch("clean", 0).with_isolation_level(1)).await?)?;
    assert_eq!((told(committed.records)?.0, committed.aborted_transactions), (vec![1, 4], Some(vec![])));
    Ok(())
}

#[tokio::test]
async fn topics_and_views_stand_side_by_side_in_a_fetch() -> Result<()> {
    let (server, mut client) = viewed().await?;
    server.topic("u", 1).await?;
    client.produce("t", batch(&["heartbeat", "a"], Compression::None)).await?;
    client.produce("t", batch(&[&"b".repeat(300)], Compression::Zstd)).await?;
    client.produce("u", batch(&["c"], Compression::None)).await?;
    let mut all = fetch("t", 0);
    for (name, offset) in [("clean", 0), ("u", 0), ("clean", 2)] {
        all.topics.extend(fetch(name, offset).topics);
    }
    let answer = client.ask(12, &all).await?;
    let parts: Vec<_> = answer.responses.into_iter().flat_map(|topic| topic.partitions).collect();
    let offsets: Vec<_> = parts.iter().map(|p| told(p.records.clone())).collect::<Result<_>>()?;
    assert_eq!(
        offsets.iter().map(|told| told.0.as_slice()).collect::<Vec<_>>(),
        [&[0, 1, 2][..], &[1, 2], &[0], &[2]]
    );

    // A client that cannot read zstd is told so, whatever stands before it.
    for name in ["t", "clean"] {
        assert_eq!(one_partition(client.ask(9, &fetch(name, 0)).await?)?.error_code, 76, "{name}");
    }
    let answer = client.ask(9, &all).await?;
    let codes = answer.responses.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [76, 76, 0, 76]);
    Ok(())
}

#[tokio::test]
async fn a_view_has_an_identity_and_its_sources_offsets() -> Result<()> {
    let (server, mut client) = viewed().await?;
    client.produce("t", batch(&["a", "heartbeat"], Compression::None)).await?;
    let metadata = client.metadata(12, None).await?;
    let names: Vec<_> =
        metadata.topics.iter().filter_map(|t| t.name.clone()).map(|n| n.0.to_string()).collect();
    assert!(names.contains(&"clean".to_owned()) && names.contains(&"t".to_owned()), "{names:?}");
    let of = |name: &str| metadata.topics.iter().find(|t| t.name == Some(topic_name(name))).cloned();
    let (view, source) = (of("clean").context("the view")?, of("t").context("the topic")?);
    assert_eq!((view.partitions.len(), view.topic_id == source.topic_id), (1, false));

    let by_id = |id| {
        let mut request: FetchRequest = fetch("clean", 0);
        request.topics[0].topic_id = id;
        request
    };
    let data = one_partition(client.ask(13, &by_id(view.topic_id)).await?)?;
    assert_eq!(told(data.records)?, (vec![0], vec![1]));

    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("clean")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let listed = client.ask(7, &request).await?;
    assert_eq!((listed.topics[0].partitions[0].error_code, listed.topics[0].partitions[0].offset), (0, 2));

    let server = server.restart().await?;
    let mut client = Client::connect(&server).await?;
    let again = client.metadata(12, Some(&["clean"])).await?;
    assert_eq!(again.topics[0].topic_id, view.topic_id, "its identity is stable");
    Ok(())
}

#[tokio::test]
async fn what_is_not_reading_is_refused_for_good() -> Result<()> {
    let (_server, mut client) = viewed().await?;
    let produced = client.produce("clean", batch(&["a"], Compression::None)).await?;
    assert_eq!(produced.error_code, 17);
    let topic = CreatableTopic::default()
        .with_name(topic_name("clean"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let created = client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await?;
    assert_eq!(created.topics[0].error_code, 36);
    let state = DeleteTopicState::default().with_name(Some(topic_name("clean")));
    let deleted = client.ask(6, &DeleteTopicsRequest::default().with_topics(vec![state])).await?;
    assert_eq!(deleted.responses[0].error_code, 17);
    Ok(())
}

#[tokio::test]
async fn a_record_that_cannot_be_shown_stops_the_reader_at_its_offset() -> Result<()> {
    let (_server, mut client) = viewed().await?;
    client.produce("t", batch(&["heartbeat", "a", "", "b"], Compression::None)).await?;
    let data = client.fetch("clean", 0).await?;
    assert_eq!((data.error_code, told(data.records)?.0), (0, vec![1]));
    assert_eq!(client.fetch("clean", 2).await?.error_code, 87);
    assert_eq!(told(client.fetch("clean", 3).await?.records)?.0, [3]);
    Ok(())
}

#[tokio::test]
async fn a_fetch_that_waits_takes_new_parameters_and_ends_with_the_view() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    server.upload("redact-json").await?.expect(201)?;
    let hiding = |field: &str| json!({ "kind": "view", "module": "redact-json", "input": { "topics": ["t"] }, "params": { "fields": field } });
    server.put("/v1/deployments/v", &hiding("a")).await?.expect(201)?;
    let mut reader = Client::connect(&server).await?;
    let waiting = |offset| fetch("v", offset).with_min_bytes(1).with_max_wait_ms(30_000);

    reader.send(12, &waiting(0)).await?;
    // An answer on another connection, asked for later, tells that the fetch is under way.
    client.fetch("v", 0).await?;
    server.put("/v1/deployments/v", &hiding("b")).await?.expect(200)?;
    client.produce("t", batch(&[r#"{"a":1,"b":2}"#], Compression::None)).await?;
    let data = one_partition(reader.receive::<FetchResponse>(12).await?.1)?;
    assert_eq!(values(&data)?, [(0, r#"{"a":1,"b":"***"}"#.to_owned())]);

    reader.send(12, &waiting(1)).await?;
    client.fetch("v", 1).await?;
    server.send(server.request(Method::DELETE, "/v1/deployments/v")).await?.expect(204)?;
    let data = one_partition(reader.receive::<FetchResponse>(12).await?.1)?;
    assert_eq!(data.error_code, 3, "as for a topic that was deleted");
    Ok(())
}
