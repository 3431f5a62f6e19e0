//! Metadata: brokers, topics, ids, creation.

use anyhow::{Context, Result};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

use super::client::{Client, started, topic_name};
use crate::support::Server;

#[tokio::test]
async fn the_address_is_the_one_through_which_the_client_came() -> Result<()> {
    let server = Server::start().await?;
    let response = Client::connect(&server).await?.metadata(12, None).await?;
    let broker = response.brokers.first().context("a broker")?;
    assert_eq!(format!("{}:{}", broker.host, broker.port), server.kafka_address());
    assert_eq!(response.controller_id, broker.node_id);
    let cluster_id = response.cluster_id.context("a cluster id")?;
    assert_eq!(cluster_id.len(), 22);

    let server = server.restart().await?;
    let again = Client::connect(&server).await?.metadata(12, None).await?;
    assert_eq!(again.cluster_id, Some(cluster_id), "it is the data's");
    Ok(())
}

#[tokio::test]
async fn an_advertised_address_is_told_instead() -> Result<()> {
    let server = Server::start_with(&["--kafka-advertised", "broker.example:1234"]).await?;
    let response = Client::connect(&server).await?.metadata(12, None).await?;
    let broker = response.brokers.first().context("a broker")?;
    assert_eq!((broker.host.as_str(), broker.port), ("broker.example", 1234));
    Ok(())
}

#[tokio::test]
async fn no_topics_no_list_and_an_empty_list_differ_by_version() -> Result<()> {
    let (_server, mut client) = started(&[("a", 1), ("b", 3)]).await?;
    let mut count = async |version, topics: Option<&[&str]>| {
        let topics = client.metadata(version, topics).await?.topics;
        anyhow::Ok(topics.iter().filter(|topic| !topic.is_internal).count())
    };
    // Version 0 does not tell internal topics apart; there is one.
    assert_eq!(count(0, Some(&[])).await?, 3, "before version 1 an empty list means all");
    assert_eq!(count(1, Some(&[])).await?, 0);
    assert_eq!(count(1, None).await?, 2);
    assert_eq!(count(12, Some(&["b"])).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_topic_is_created_when_both_sides_allow_it() -> Result<()> {
    let server = Server::start_with(&[]).await?;
    let mut client = Client::connect(&server).await?;
    let name = |name: &str| Some(vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]);
    let shy = MetadataRequest::default().with_topics(name("shy")).with_allow_auto_topic_creation(false);
    assert_eq!(client.ask(12, &shy).await?.topics[0].error_code, 3);

    let bold = MetadataRequest::default().with_topics(name("bold")).with_allow_auto_topic_creation(true);
    let created = client.ask(12, &bold).await?.topics.remove(0);
    assert_eq!((created.error_code, created.partitions.len()), (0, 1));
    let partition = &created.partitions[0];
    assert_eq!((partition.leader_epoch, partition.leader_id), (0, partition.isr_nodes[0]));
    assert_eq!(client.ask(12, &bold).await?.topics[0].topic_id, created.topic_id);

    let odd = MetadataRequest::default().with_topics(name("a/b")).with_allow_auto_topic_creation(true);
    assert_eq!(client.ask(12, &odd).await?.topics[0].error_code, 17);
    Ok(())
}

#[tokio::test]
async fn topics_are_found_by_id_and_a_deleted_one_is_not() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    let id = client.metadata(12, Some(&["t"])).await?.topics[0].topic_id;
    let asked = vec![MetadataRequestTopic::default().with_name(None).with_topic_id(id)];
    let by_id = MetadataRequest::default().with_topics(Some(asked));
    let found = client.ask(12, &by_id).await?.topics.remove(0);
    assert_eq!((found.error_code, found.name), (0, Some(topic_name("t"))));
    assert_eq!(client.ask(11, &by_id).await?.topics[0].error_code, 42, "not before version 12");

    server.send(server.request(reqwest::Method::DELETE, "/v1/topics/t")).await?.expect(204)?;
    server.topic("t", 1).await?;
    let gone = client.ask(12, &by_id).await?.topics.remove(0);
    assert_eq!((gone.error_code, gone.name, gone.topic_id), (100, None, id));
    Ok(())
}

#[tokio::test]
async fn operations_are_told_to_those_who_ask() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let request = MetadataRequest::default().with_topics(None);
    let silent = client.ask(9, &request).await?;
    assert_eq!(
        (silent.cluster_authorized_operations, silent.topics[0].topic_authorized_operations),
        (i32::MIN, i32::MIN)
    );
    let asking = request
        .with_include_cluster_authorized_operations(true)
        .with_include_topic_authorized_operations(true);
    let told = client.ask(9, &asking).await?;
    assert_eq!(
        (told.cluster_authorized_operations, told.topics[0].topic_authorized_operations),
        (8096, 3576)
    );
    Ok(())
}
