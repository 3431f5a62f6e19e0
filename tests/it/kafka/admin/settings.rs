//! Settings of topics, of groups and of the broker.

use std::collections::HashMap;

use anyhow::{Context, Result};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
    incremental_alter_configs_request,
};
use serde_json::json;

use super::{configured, text};
use crate::kafka::client::{Client, started};
use crate::support::Server;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

async fn describe(
    client: &mut Client,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> Result<DescribeConfigsResult> {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.ask(4, &request).await?.results.into_iter().next().context("a result")
}

fn by_name(result: DescribeConfigsResult) -> HashMap<String, DescribeConfigsResourceResult> {
    result.configs.into_iter().map(|c| (c.name.to_string(), c)).collect()
}

/// SET 0, DELETE 1, APPEND 2, SUBTRACT 3; the code and the message.
async fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    operations: &[(&str, i8, Option<&str>)],
    is_check: bool,
) -> Result<(i16, String)> {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let operation = |(key, code, value): &(&str, i8, Option<&str>)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*code)
            .with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(operations.iter().map(operation).collect());
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(is_check);
    let result = client.ask(1, &request).await?.responses.into_iter().next().context("a result")?;
    Ok((result.error_code, result.error_message.unwrap_or_default().to_string()))
}

/// A setting, the operation's number, and the value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

#[tokio::test]
async fn every_setting_of_a_topic_is_described_and_can_be_written_back() -> Result<()> {
    let server = Server::start().await?;
    server.post("/v1/topics", &json!({ "name": "t", "config": { "retention.ms": 5 } })).await?.expect(201)?;
    let mut client = Client::connect(&server).await?;
    let described = by_name(describe(&mut client, TOPIC, "t", None).await?);
    let retention = &described["retention.ms"];
    assert_eq!(
        (retention.value.as_deref(), retention.config_source, retention.config_type),
        (Some("5"), 1, 5)
    );
    let synonyms: Vec<_> = retention.synonyms.iter().map(|s| (s.name.as_str(), s.source)).collect();
    assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
    let policy = &described["cleanup.policy"];
    assert_eq!((policy.value.as_deref(), policy.config_source, policy.config_type), (Some("delete"), 5, 7));
    assert!(policy.documentation.is_some() && !policy.read_only && !policy.is_sensitive);

    // What tools do that only know the older way: read everything, write everything.
    let entry = |(key, value): (&String, &DescribeConfigsResourceResult)| {
        AlterableConfig::default().with_name(text(key)).with_value(value.value.clone())
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("t"))
        .with_configs(described.iter().map(entry).collect());
    let request = AlterConfigsRequest::default().with_resources(vec![resource.clone()]);
    assert_eq!(client.ask(2, &request).await?.responses[0].error_code, 0);
    let empty = AlterConfigsRequest::default().with_resources(vec![resource.with_configs(Vec::new())]);
    assert_eq!(client.ask(2, &empty).await?.responses[0].error_code, 0);
    let config = server.get("/v1/topics/t").await?.json()?["config"].clone();
    assert_eq!(config, json!({}), "what is not named returns to its default");

    let some = describe(&mut client, TOPIC, "t", Some(&["retention.ms", "nope"])).await?;
    assert_eq!(some.configs.len(), 1);
    assert_eq!(describe(&mut client, TOPIC, "none", None).await?.error_code, 3);
    assert_eq!(describe(&mut client, TOPIC, "a/b", None).await?.error_code, 17);
    assert_eq!(describe(&mut client, 8, "1", None).await?.error_code, 42);
    Ok(())
}

#[tokio::test]
async fn settings_are_set_deleted_appended_and_subtracted() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    let config = async || anyhow::Ok(server.get("/v1/topics/t").await?.json()?["config"].clone());

    let both = [("compression.type", 0, Some("lz4")), ("cleanup.policy", 2, Some("compact"))];
    assert_eq!(alter(&mut client, TOPIC, "t", &both, true).await?.0, 0);
    assert_eq!(config().await?, json!({}), "only checked");
    assert_eq!(alter(&mut client, TOPIC, "t", &both, false).await?.0, 0);
    assert_eq!(config().await?, json!({ "compression.type": "lz4", "cleanup.policy": "delete,compact" }));
    let back = [("compression.type", 1, None), ("cleanup.policy", 3, Some("delete"))];
    assert_eq!(alter(&mut client, TOPIC, "t", &back, false).await?.0, 0);
    assert_eq!(config().await?, json!({ "cleanup.policy": "compact" }));

    let refused: [(&[Change<'_>], i16); 6] = [
        (&[("retention.ms", 0, Some("soon"))], 40),
        (&[("retention.mss", 0, Some("1"))], 40),
        (&[("retention.ms", 2, Some("1"))], 40),
        (&[("retention.ms", 0, None)], 42),
        (&[("retention.ms", 9, Some("1"))], 42),
        (&[("retention.ms", 0, Some("1")), ("retention.ms", 0, Some("2"))], 42),
    ];
    for (operations, code) in refused {
        assert_eq!(alter(&mut client, TOPIC, "t", operations, false).await?.0, code, "{operations:?}");
    }
    assert_eq!(config().await?, json!({ "cleanup.policy": "compact" }), "all or nothing");
    assert_eq!(alter(&mut client, TOPIC, "none", &both, false).await?.0, 3);
    Ok(())
}

#[tokio::test]
async fn defaults_of_the_broker_hold_for_its_topics_and_survive_a_restart() -> Result<()> {
    let (server, _file) = configured("num_partitions = 4").await?;
    server.topic("t", 1).await?;
    let mut client = Client::connect(&server).await?;
    let broker = by_name(describe(&mut client, BROKER, "1", None).await?);
    let partitions = &broker["num.partitions"];
    assert_eq!(
        (partitions.value.as_deref(), partitions.config_source, partitions.read_only),
        (Some("4"), 4, true)
    );
    let kept = &broker["log.retention.ms"];
    assert_eq!((kept.value.as_deref(), kept.config_source, kept.read_only), (Some("604800000"), 5, false));

    let (code, why) = alter(&mut client, BROKER, "1", &[("num.partitions", 0, Some("9"))], false).await?;
    assert_eq!(code, 42);
    assert!(why.contains("kafka.num_partitions"), "{why}");
    assert_eq!(alter(&mut client, BROKER, "2", &[], false).await?.0, 42, "another broker");

    let compact = [("log.cleanup.policy", 2, Some("compact"))];
    assert_eq!(alter(&mut client, BROKER, "1", &compact, false).await?.0, 0);
    assert_eq!(alter(&mut client, BROKER, "", &[("log.retention.ms", 0, Some("7"))], false).await?.0, 0);
    let server = server.restart().await?;
    let mut client = Client::connect(&server).await?;
    let topic = by_name(describe(&mut client, TOPIC, "t", None).await?);
    let policy = &topic["cleanup.policy"];
    assert_eq!((policy.value.as_deref(), policy.config_source), (Some("delete,compact"), 2));
    assert_eq!((topic["retention.ms"].value.as_deref(), topic["retention.ms"].config_source), (Some("7"), 3));
    let everywhere = describe(&mut client, BROKER, "", None).await?.configs;
    assert_eq!(everywhere.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["log.retention.ms"]);

    let items = server.get("/v1/topics/t/config").await?.json()?["items"].clone();
    let retention = items.as_array().context("a list")?.iter().find(|c| c["name"] == "retention.ms");
    let retention = retention.context("retention.ms")?;
    assert_eq!((&retention["value"], &retention["source"]), (&json!("7"), &json!("broker")));
    Ok(())
}

#[tokio::test]
async fn groups_have_settings_and_resources_are_listed() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let session = |value| [("consumer.session.timeout.ms", 0, Some(value))];
    assert_eq!(alter(&mut client, GROUP, "g", &session("50000"), false).await?.0, 0);
    assert_eq!(alter(&mut client, GROUP, "g", &session("1"), false).await?.0, 40);
    let group = by_name(describe(&mut client, GROUP, "g", None).await?);
    let timeout = &group["consumer.session.timeout.ms"];
    assert_eq!((timeout.value.as_deref(), timeout.config_source), (Some("50000"), 8));

    let list = async |client: &mut Client, version, kinds: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let response = client.ask(version, &request).await?;
        let row = |r: &kafka_protocol::messages::list_config_resources_response::ConfigResource| {
            (r.resource_type, r.resource_name.to_string())
        };
        anyhow::Ok((response.error_code, response.config_resources.iter().map(row).collect::<Vec<_>>()))
    };
    let (code, all) = list(&mut client, 1, &[]).await?;
    assert_eq!(code, 0);
    for resource in [(TOPIC, "t"), (BROKER, "1"), (GROUP, "g")] {
        assert!(all.contains(&(resource.0, resource.1.to_owned())), "{resource:?} in {all:?}");
    }
    assert_eq!(list(&mut client, 1, &[GROUP]).await?.1, [(GROUP, "g".to_owned())]);
    assert_eq!(list(&mut client, 1, &[3]).await?.0, 35);
    assert_eq!(list(&mut client, 0, &[]).await?.1, []);
    assert_eq!(
        alter(&mut client, GROUP, "g", &[("consumer.session.timeout.ms", 1, None)], false).await?.0,
        0
    );
    assert_eq!(list(&mut client, 1, &[GROUP]).await?.1, []);
    Ok(())
}
