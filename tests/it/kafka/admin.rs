//! Topics and settings as Kafka's tools administer them.

mod settings;

use anyhow::{Context, Result};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::Cursor;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest,
};
use kafka_protocol::protocol::StrBytes;
use serde_json::json;
use uuid::Uuid;

use super::client::{Client, started, topic_name};
use crate::support::Server;

/// A server with a setting of the Kafka door, and the file that says so.
async fn configured(setting: &str) -> Result<(Server, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("[kafka]\n{setting}\n"))?;
    let path = file.path().to_str().context("a path of text")?;
    Ok((Server::start_with(&["--config", path]).await?, file))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn new_topic(name: &str, partitions: i32, replicas: i16, config: &[(&str, &str)]) -> CreatableTopic {
    let entry = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(config.iter().map(entry).collect())
}

/// Creates topics; name, code and message of each, in the order of the answer.
async fn create(
    client: &mut Client,
    topics: Vec<CreatableTopic>,
    is_check: bool,
) -> Result<Vec<(String, i16, String)>> {
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(is_check);
    let topics = client.ask(7, &request).await?.topics.into_iter();
    let row = |t: kafka_protocol::messages::create_topics_response::CreatableTopicResult| {
        (t.name.to_string(), t.error_code, t.error_message.unwrap_or_default().to_string())
    };
    Ok(topics.map(row).collect())
}

#[tokio::test]
async fn topics_are_created_each_with_its_own_result() -> Result<()> {
    let (server, mut client) = started(&[]).await?;
    let results = create(
        &mut client,
        vec![
            new_topic("plain", 3, 1, &[("cleanup.policy", "compact"), ("durability", "os")]),
            new_topic("defaults", -1, -1, &[]),
            new_topic("no.such", 1, 1, &[("dummy.doesntexist", "x")]),
            new_topic("none", 0, 1, &[]),
            new_topic("copies", 1, 2, &[]),
            new_topic("a/b", 1, 1, &[]),
            new_topic("__mine", 1, 1, &[]),
            new_topic("twice", 1, 1, &[]),
            new_topic("twice", 1, 1, &[]),
        ],
        false,
    )
    .await?;
    let codes: Vec<_> = results.iter().map(|(name, code, _)| (name.as_str(), *code)).collect();
    let expected = [
        ("plain", 0),
        ("defaults", 0),
        ("no.such", 40),
        ("none", 37),
        ("copies", 38),
        ("a/b", 17),
        ("__mine", 17),
        ("twice", 42),
    ];
    assert_eq!(codes, expected);
    assert!(results[4].2.contains("kafka.accept_replication_factor"), "{}", results[4].2);
    let config = server.get("/v1/topics/plain").await?.json()?;
    assert_eq!(config["config"], json!({ "cleanup.policy": "compact", "durability": "os" }));

    let again = create(&mut client, vec![new_topic("plain", 3, 1, &[])], false).await?;
    assert_eq!(again[0].1, 36);
    let collides =
        create(&mut client, vec![new_topic("a.b", 1, 1, &[]), new_topic("a_b", 1, 1, &[])], false).await?;
    assert_eq!((collides[0].1, collides[1].1), (0, 17));
    Ok(())
}

#[tokio::test]
async fn a_check_creates_nothing_and_the_answer_describes_the_topic() -> Result<()> {
    let (server, _file) = configured("num_partitions = 4").await?;
    let mut client = Client::connect(&server).await?;
    let request = |is_check| {
        CreateTopicsRequest::default()
            .with_topics(vec![new_topic("t", -1, -1, &[("retention.ms", "5")])])
            .with_validate_only(is_check)
    };
    let would = client.ask(7, &request(true)).await?.topics.remove(0);
    assert_eq!((would.error_code, would.num_partitions, would.replication_factor), (0, 4, 1));
    server.get("/v1/topics/t").await?.expect(404)?;

    let made = client.ask(7, &request(false)).await?.topics.remove(0);
    assert_eq!((made.error_code, made.num_partitions), (0, 4));
    assert_eq!(made.topic_id, client.metadata(12, Some(&["t"])).await?.topics[0].topic_id);
    let configs = made.configs.context("settings")?;
    let retention = configs.iter().find(|c| c.name.as_str() == "retention.ms").context("retention.ms")?;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5"), 1));
    assert!(configs.len() > 30, "{} settings", configs.len());
    let older = CreateTopicsRequest::default().with_topics(vec![new_topic("u", 1, 1, &[])]);
    assert_eq!(client.ask(4, &older).await?.topics[0].error_code, 0);
    Ok(())
}

#[tokio::test]
async fn assignments_name_this_node_once_for_every_partition() -> Result<()> {
    let (_server, mut client) = started(&[]).await?;
    let assigned = |name: &str, lists: &[(i32, &[i32])]| {
        let list = |(index, brokers): &(i32, &[i32])| {
            CreatableReplicaAssignment::default()
                .with_partition_index(*index)
                .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
        };
        new_topic(name, -1, -1, &[]).with_assignments(lists.iter().map(list).collect())
    };
    let results = create(
        &mut client,
        vec![
            assigned("good", &[(1, &[1]), (0, &[1])]),
            assigned("stranger", &[(0, &[7])]),
            assigned("gap", &[(1, &[1])]),
            assigned("again", &[(0, &[1]), (0, &[1])]),
            assigned("nobody", &[(0, &[])]),
            assigned("both", &[(0, &[1])]).with_num_partitions(1),
        ],
        false,
    )
    .await?;
    let codes: Vec<_> = results.iter().map(|(_, code, _)| *code).collect();
    assert_eq!(codes, [0, 39, 39, 39, 39, 42]);
    assert_eq!(client.metadata(12, Some(&["good"])).await?.topics[0].partitions.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_replication_factor_is_recorded_where_that_is_allowed() -> Result<()> {
    let (server, _file) = configured("accept_replication_factor = true").await?;
    let mut client = Client::connect(&server).await?;
    let request = CreateTopicsRequest::default().with_topics(vec![new_topic("t", 1, 3, &[])]);
    let made = client.ask(7, &request).await?.topics.remove(0);
    assert_eq!((made.error_code, made.replication_factor), (0, 3));
    assert_eq!(server.get("/v1/topics/t").await?.json()?["replication_factor"], 3);
    Ok(())
}

#[tokio::test]
async fn topics_are_deleted_by_name_or_id() -> Result<()> {
    let (server, mut client) = started(&[("a", 1), ("b", 1)]).await?;
    let id = client.metadata(12, Some(&["b"])).await?.topics[0].topic_id;
    let by_id = |id| DeleteTopicState::default().with_name(None).with_topic_id(id);
    let by_name = |name| DeleteTopicState::default().with_name(Some(topic_name(name)));
    let stranger = Uuid::from_u128(7);
    let states =
        vec![by_id(id), by_name("a"), by_name("none"), by_id(stranger), by_name("a"), by_id(Uuid::nil())];
    let response = client.ask(6, &DeleteTopicsRequest::default().with_topics(states)).await?;
    let results: Vec<_> =
        response.responses.iter().map(|r| (r.name.as_ref().map(|n| n.as_str()), r.error_code)).collect();
    let expected = [(Some("b"), 0), (Some("a"), 42), (Some("none"), 3), (None, 100), (None, 42)];
    assert_eq!(results, expected, "what is named twice is not deleted");

    let older = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("a")]);
    assert_eq!(client.ask(5, &older).await?.responses[0].error_code, 0);
    server.get("/v1/topics/a").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn partitions_are_added_with_one_result_for_every_topic() -> Result<()> {
    let (_server, mut client) = started(&[("t", 2)]).await?;
    let widen = |name: &str, count| {
        CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None)
    };
    let request = |count, is_check| {
        CreatePartitionsRequest::default()
            .with_topics(vec![widen("t", count), widen("none", 3)])
            .with_validate_only(is_check)
    };
    for (count, is_check, code, partitions) in
        [(5, true, 0, 2), (2, false, 37, 2), (5, false, 0, 5), (4, false, 37, 5)]
    {
        let results = client.ask(3, &request(count, is_check)).await?.results;
        let codes: Vec<_> = results.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [code, 3], "to {count}");
        assert_eq!(client.metadata(12, Some(&["t"])).await?.topics[0].partitions.len(), partitions);
    }
    Ok(())
}

/// Ten records in partition 0.
async fn ten_records(server: &Server, topic: &str) -> Result<()> {
    let records: Vec<_> = (0..10).map(|n| json!({ "value": n, "partition": 0 })).collect();
    server.post(&format!("/v1/topics/{topic}/records"), &json!({ "records": records })).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    server
        .post("/v1/topics", &json!({ "name": "c", "config": { "cleanup.policy": "compact" } }))
        .await?
        .expect(201)?;
    ten_records(&server, "t").await?;
    let mut client = Client::connect(&server).await?;
    let mut delete = async |topic: &str, partition, offset| {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let response = client.ask(2, &DeleteRecordsRequest::default().with_topics(vec![topic])).await?;
        let result = response.topics[0].partitions[0].clone();
        anyhow::Ok((result.error_code, result.low_watermark))
    };
    assert_eq!(delete("t", 0, 4).await?, (0, 4));
    assert_eq!(delete("t", 0, 2).await?, (0, 4), "never backwards");
    assert_eq!(delete("t", 0, 11).await?, (1, -1));
    assert_eq!(delete("t", 0, -2).await?, (1, -1));
    assert_eq!(delete("t", 1, 0).await?, (3, -1));
    assert_eq!(delete("none", 0, 0).await?, (3, -1));
    assert_eq!(delete("c", 0, -1).await?, (44, -1));
    assert_eq!(delete("__millstream_logs", 0, -1).await?, (17, -1));
    assert_eq!(delete("t", 0, -1).await?, (0, 10));
    let topic = server.get("/v1/topics/t").await?.json()?;
    assert_eq!(topic["partitions"][0]["log_start_offset"], 10);
    Ok(())
}

#[tokio::test]
async fn records_are_deleted_over_http() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    ten_records(&server, "t").await?;
    let truncate = async |query: &str, body| {
        let answer =
            server.post(&format!("/v1/topics/t/truncate{query}"), &body).await?.expect(200)?.json()?;
        anyhow::Ok(answer["partitions"].clone())
    };
    let row = |partition, deleted, start, end| json!({ "partition": partition, "deleted": deleted, "log_start_offset": start, "high_watermark": end });
    let only = json!({ "offset": 3, "partition": 0 });
    assert_eq!(truncate("?dry_run=true", only.clone()).await?, json!([row(0, 3, 3, 10)]));
    assert_eq!(truncate("", only).await?, json!([row(0, 3, 3, 10)]), "the dry run deleted nothing");
    assert_eq!(truncate("", json!({ "offset": "-2" })).await?, json!([row(0, 5, 8, 10), row(1, 0, 0, 0)]));
    assert_eq!(truncate("", json!({ "timestamp": 0 })).await?, json!([row(0, 0, 8, 10), row(1, 0, 0, 0)]));
    assert_eq!(
        truncate("", json!({ "offset": "latest" })).await?,
        json!([row(0, 2, 10, 10), row(1, 0, 0, 0)])
    );
    Ok(())
}

#[tokio::test]
async fn sizes_of_partitions_are_told() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 2).await?;
    ten_records(&server, "t").await?;
    let mut client = Client::connect(&server).await?;
    let all = client.ask(4, &DescribeLogDirsRequest::default().with_topics(None)).await?.results.remove(0);
    assert!(all.total_bytes >= all.usable_bytes && all.usable_bytes > 0);
    let topic = all.topics.iter().find(|t| t.name == topic_name("t")).context("the topic")?;
    let sizes: Vec<_> = topic.partitions.iter().map(|p| (p.partition_index, p.partition_size > 0)).collect();
    assert_eq!(sizes, [(0, true), (1, false)]);
    let none = client.ask(1, &DescribeLogDirsRequest::default().with_topics(Some(Vec::new()))).await?;
    assert_eq!((none.results.len(), none.results[0].topics.len()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn topics_are_described_page_by_page() -> Result<()> {
    let (_server, mut client) = started(&[("a", 2), ("b", 3)]).await?;
    let mut cursor = None;
    let mut pages = Vec::new();
    for _ in 0..10 {
        let names = ["b", "a", "none"].map(|name| {
            kafka_protocol::messages::describe_topic_partitions_request::TopicRequest::default()
                .with_name(topic_name(name))
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(names.to_vec())
            .with_response_partition_limit(3)
            .with_cursor(cursor);
        let response = client.ask(0, &request).await?;
        pages.push(
            response
                .topics
                .iter()
                .map(|t| {
                    let partitions: Vec<_> = t.partitions.iter().map(|p| p.partition_index).collect();
                    (t.name.as_ref().map(|n| n.to_string()).unwrap_or_default(), t.error_code, partitions)
                })
                .collect::<Vec<_>>(),
        );
        let Some(next) = response.next_cursor else { break };
        let next =
            Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index);
        cursor = Some(next);
    }
    let row = |name: &str, code, partitions: &[i32]| (name.to_owned(), code, partitions.to_vec());
    let expected =
        [vec![row("a", 0, &[0, 1]), row("b", 0, &[0])], vec![row("b", 0, &[1, 2]), row("none", 3, &[])]];
    assert_eq!(pages, expected);
    Ok(())
}
