//! Groups of the consumer protocol (KIP-848) as clients see them.

use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::client::{Client, topic_name};
use crate::support::Server;

const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_REQUEST: i16 = 42;
const GROUP_ID_NOT_FOUND: i16 = 69;
const FENCED_MEMBER_EPOCH: i16 = 110;
const UNSUPPORTED_ASSIGNOR: i16 = 112;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn join(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic_name("orders")]))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that says what it owns after an answer.
fn next(member: &str, answer: &ConsumerGroupHeartbeatResponse) -> ConsumerGroupHeartbeatRequest {
    let owned = answer.assignment.as_ref().map(|assignment| {
        let topic = |t: &kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
            TopicPartitions::default().with_topic_id(t.topic_id).with_partitions(t.partitions.clone())
        };
        assignment.topic_partitions.iter().map(topic).collect()
    });
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member))
        .with_member_epoch(answer.member_epoch)
        .with_topic_partitions(owned)
}

fn partitions(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = answer.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

async fn server() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("orders", 2).await?;
    Ok(server)
}

#[tokio::test]
async fn two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let first = client.ask(1, &join("a")).await?;
    ensure!(first.error_code == 0, "{first:?}");
    assert_eq!((first.member_epoch, first.heartbeat_interval_ms), (1, 5_000));
    assert_eq!(partitions(&first), Some(vec![0, 1]));
    let first = client.ask(1, &next("a", &first)).await?;

    let second = client.ask(1, &join("b")).await?;
    assert_eq!((second.error_code, partitions(&second)), (0, Some(Vec::new())));
    let revoked = client.ask(1, &next("a", &first)).await?;
    let kept = partitions(&revoked).context("a part is to be given up")?;
    assert_eq!((revoked.member_epoch, kept.len()), (1, 1));
    let acknowledged = client.ask(1, &next("a", &revoked)).await?;
    assert_eq!((acknowledged.member_epoch, partitions(&acknowledged)), (2, None));
    let second = client.ask(1, &next("b", &second)).await?;
    let got = partitions(&second).context("it is free")?;
    assert_eq!([kept, got].concat().iter().sum::<i32>(), 1);

    let left = client.ask(1, &next("a", &acknowledged).with_member_epoch(-1)).await?;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    let second = client.ask(1, &next("b", &second)).await?;
    assert_eq!(partitions(&second), Some(vec![0, 1]));
    let gone = client.ask(1, &next("a", &acknowledged)).await?;
    assert_eq!(gone.error_code, UNKNOWN_MEMBER_ID);
    Ok(())
}

#[tokio::test]
async fn a_member_keeps_its_epoch_over_a_restart() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let joined = client.ask(1, &join("a")).await?;
    let server = server.restart().await?;
    let mut client = Client::connect(&server).await?;
    let again = client.ask(1, &next("a", &joined)).await?;
    assert_eq!((again.error_code, again.member_epoch, partitions(&again)), (0, 1, None));
    let ahead = next("a", &joined).with_member_epoch(7);
    assert_eq!(client.ask(1, &ahead).await?.error_code, FENCED_MEMBER_EPOCH);
    Ok(())
}

#[tokio::test]
async fn expressions_are_resolved_by_the_server() -> Result<()> {
    let server = server().await?;
    server.topic("clicks", 1).await?;
    let mut client = Client::connect(&server).await?;
    let by = |pattern: &str| {
        join("a").with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(pattern)))
    };
    assert_eq!(client.ask(1, &by("(")).await?.error_code, INVALID_REGULAR_EXPRESSION);
    assert_eq!(partitions(&client.ask(1, &by("ord.*")).await?), Some(vec![0, 1]));
    Ok(())
}

#[tokio::test]
async fn what_a_heartbeat_must_say_is_checked() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let refused = [
        (join(""), INVALID_REQUEST),
        (join("a").with_rebalance_timeout_ms(-1), INVALID_REQUEST),
        (join("a").with_topic_partitions(None), INVALID_REQUEST),
        (join("a").with_subscribed_topic_names(None), INVALID_REQUEST),
        (join("a").with_member_epoch(-2), INVALID_REQUEST),
        (join("a").with_member_epoch(-3), INVALID_REQUEST),
        (join("a").with_group_id(GroupId(text(""))), INVALID_REQUEST),
        (join("a").with_instance_id(Some(text(""))), INVALID_REQUEST),
        (join("a").with_server_assignor(Some(text("sticky"))), UNSUPPORTED_ASSIGNOR),
        (join("a").with_member_epoch(1), GROUP_ID_NOT_FOUND),
    ];
    for (request, expected) in refused {
        let answer = client.ask(1, &request).await?;
        assert_eq!(answer.error_code, expected, "{request:?}");
        assert!(answer.error_message.is_some_and(|message| !message.is_empty()));
    }
    // In version 0 the server makes the ids.
    let joined = client.ask(0, &join("")).await?;
    assert_eq!((joined.error_code, joined.member_id.map_or(0, |id| id.len())), (0, 36));
    Ok(())
}

#[tokio::test]
async fn tools_see_the_group_and_its_members() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    client.ask(1, &join("a")).await?;
    let listed =
        client.ask(5, &ListGroupsRequest::default().with_types_filter(vec![text("Consumer")])).await?;
    let line = |g: &kafka_protocol::messages::list_groups_response::ListedGroup| {
        format!("{} {} {} {}", g.group_id.0, g.protocol_type, g.group_state, g.group_type)
    };
    assert_eq!(listed.groups.iter().map(line).collect::<Vec<_>>(), ["g consumer Stable consumer"]);

    let names = ["g", "none"].map(|name| GroupId(text(name))).to_vec();
    let described = client.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(names)).await?;
    let group = &described.groups[0];
    let shown =
        (group.group_state.as_str(), group.group_epoch, group.assignment_epoch, group.assignor_name.as_str());
    assert_eq!(shown, ("Stable", 1, 1, "uniform"));
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("a", 1, 1));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("it", "/127.0.0.1"));
    let owned = &member.assignment.topic_partitions[0];
    assert_eq!((owned.topic_name.as_str(), &owned.partitions[..]), ("orders", &[0, 1][..]));
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(described.groups[1].error_code, GROUP_ID_NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn the_protocol_is_announced_as_a_feature() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let asked = ApiVersionsRequest::default()
        .with_client_software_name(text("it"))
        .with_client_software_version(text("1"));
    let versions = client.ask(4, &asked).await?;
    let level = versions.finalized_features.iter().find(|f| f.name.as_str() == "group.version");
    assert_eq!(level.map(|f| (f.min_version_level, f.max_version_level)), Some((1, 1)));
    let supported = versions.supported_features.iter().find(|f| f.name.as_str() == "group.version");
    assert_eq!(supported.map(|f| (f.min_version, f.max_version)), Some((0, 1)));
    for api in [68, 69] {
        let served = versions.api_keys.iter().find(|v| v.api_key == api);
        assert_eq!(served.map(|v| (v.min_version, v.max_version)), Some((0, 1)));
    }
    Ok(())
}
