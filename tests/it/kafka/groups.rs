//! Groups as clients see them: members, offsets, what tools ask for.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use millstream::kafka::wire;
use millstream::kafka::wire::messages::{offset_commit, offset_fetch};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::client::{Client, topic_name};
use crate::support::Server;

const MEMBER_ID_REQUIRED: i16 = 79;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// Metadata that no text could hold.
const METADATA: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 6, b'o', b'r', b'd', b'e', b'r', b's', 0xff, 0xff, 0xff, 0xff];

async fn server() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("orders", 2).await?;
    Ok(server)
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

pub(super) fn join(name: &str, member: &StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(METADATA));
    JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(member.clone())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins alone and takes everything.
pub(super) async fn alone(client: &mut Client, name: &str) -> Result<JoinGroupResponse> {
    let required = client.ask(9, &join(name, &text(""))).await?;
    ensure!(required.error_code == MEMBER_ID_REQUIRED, "error {}", required.error_code);
    let joined = client.ask(9, &join(name, &required.member_id)).await?;
    ensure!(joined.error_code == 0 && joined.leader == joined.member_id, "{joined:?}");
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"\0everything"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_protocol_type(joined.protocol_type.clone())
        .with_protocol_name(joined.protocol_name.clone())
        .with_assignments(vec![assignment]);
    let synced = client.ask(5, &sync).await?;
    ensure!(synced.error_code == 0 && synced.assignment == b"\0everything"[..], "{synced:?}");
    Ok(joined)
}

pub(super) fn heartbeat(name: &str, joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group(name))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
}

pub(super) fn commit(name: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(0)
        .with_committed_metadata(Some(text("é, kept")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![topic])
}

pub(super) async fn committed(
    client: &mut Client,
    version: i16,
    request: &OffsetCommitRequest,
) -> Result<i16> {
    let mut request = request.clone();
    if version < 6 {
        request.topics[0].partitions[0].committed_leader_epoch = -1;
    }
    let response = client.ask(version, &request).await?;
    Ok(response.topics[0].partitions[0].error_code)
}

/// Offset, epoch and metadata of a partition of `orders`.
pub(super) async fn fetched(
    client: &mut Client,
    version: i16,
    name: &str,
    partition: i32,
) -> Result<(i64, i32, String)> {
    let request = if version >= 8 {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name("orders"))
            .with_partition_indexes(vec![partition]);
        let group =
            OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(Some(vec![topic]));
        OffsetFetchRequest::default().with_groups(vec![group])
    } else {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(topic_name("orders"))
            .with_partition_indexes(vec![partition]);
        OffsetFetchRequest::default().with_group_id(group(name)).with_topics(Some(vec![topic]))
    };
    let response = client.ask(version, &request).await?;
    if version >= 8 {
        let found = &response.groups[0].topics[0].partitions[0];
        ensure!(found.error_code == 0 && response.groups[0].error_code == 0);
        let metadata = found.metadata.clone().context("metadata")?;
        return Ok((found.committed_offset, found.committed_leader_epoch, metadata.to_string()));
    }
    let found = &response.topics[0].partitions[0];
    ensure!(found.error_code == 0 && response.error_code == 0);
    let metadata = found.metadata.clone().context("metadata")?;
    Ok((found.committed_offset, found.committed_leader_epoch, metadata.to_string()))
}

/// The committed offset of any topic's partition.
pub(super) async fn offsets_of(client: &mut Client, name: &str, topic: &str, partition: i32) -> Result<i64> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition]);
    let group = OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(Some(vec![topic]));
    let response = client.ask(8, &OffsetFetchRequest::default().with_groups(vec![group])).await?;
    let found = &response.groups[0];
    ensure!(found.error_code == 0, "error {}", found.error_code);
    Ok(found.topics[0].partitions[0].committed_offset)
}

/// Joins as a follower that says this of itself, and takes what it is assigned.
pub(super) async fn enter(
    client: &mut Client,
    name: &str,
    metadata: &'static [u8],
) -> Result<(JoinGroupResponse, Bytes)> {
    let with = |member: &StrBytes| {
        let mut request = join(name, member);
        request.protocols[0].metadata = Bytes::from_static(metadata);
        request
    };
    let required = client.ask(7, &with(&text(""))).await?;
    ensure!(required.error_code == MEMBER_ID_REQUIRED, "error {}", required.error_code);
    let joined = client.ask(7, &with(&required.member_id)).await?;
    ensure!(joined.error_code == 0 && joined.leader != joined.member_id, "{joined:?}");
    let sync = SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    let synced = client.ask(4, &sync).await?;
    ensure!(synced.error_code == 0, "error {}", synced.error_code);
    Ok((joined, synced.assignment))
}

/// Id, protocol type, state and kind of each group.
pub(super) async fn list(client: &mut Client, states: &[&str]) -> Result<Vec<String>> {
    let states = states.iter().map(|state| text(state)).collect();
    let listed = client.ask(5, &ListGroupsRequest::default().with_states_filter(states)).await?;
    let line = |g: &kafka_protocol::messages::list_groups_response::ListedGroup| {
        format!("{} {} {} {}", g.group_id.0, g.protocol_type, g.group_state, g.group_type)
    };
    Ok(listed.groups.iter().map(line).collect())
}

#[tokio::test]
async fn this_node_coordinates_groups_and_transactions_and_nothing_else() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    for version in 0..=3 {
        let found = client.ask(version, &FindCoordinatorRequest::default().with_key(text("g"))).await?;
        assert_eq!(found.error_code, 0);
        assert_eq!(format!("{}:{}", found.host, found.port), server.kafka_address());
    }
    for (kind, expected) in [(0, 0), (1, 0), (2, 42), (7, 42)] {
        let keys = vec![text("a"), text("b")];
        let request = FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(keys);
        let found = client.ask(6, &request).await?.coordinators;
        let codes: Vec<_> = found.iter().map(|c| (c.key.as_str(), c.error_code)).collect();
        assert_eq!(codes, [("a", expected), ("b", expected)]);
    }
    Ok(())
}

#[tokio::test]
async fn a_member_goes_on_with_its_generation_after_a_restart() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let joined = alone(&mut client, "g").await?;
    assert_eq!(joined.members[0].metadata, METADATA, "they come back as sent");
    assert_eq!(client.ask(4, &heartbeat("g", &joined)).await?.error_code, 0);
    let mine = commit("g", "orders", 1, 42)
        .with_generation_id_or_member_epoch(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(committed(&mut client, 8, &mine).await?, 0);

    let server = server.restart().await?;
    let mut client = Client::connect(&server).await?;
    assert_eq!(client.ask(4, &heartbeat("g", &joined)).await?.error_code, 0);
    assert_eq!(committed(&mut client, 8, &mine).await?, 0);
    assert_eq!(fetched(&mut client, 8, "g", 1).await?, (42, 0, "é, kept".to_owned()));
    let past = mine.with_generation_id_or_member_epoch(joined.generation_id - 1);
    assert_eq!(committed(&mut client, 8, &past).await?, ILLEGAL_GENERATION);

    let described = client.ask(5, &DescribeGroupsRequest::default().with_groups(vec![group("g")])).await?;
    let described = &described.groups[0];
    let shown = [&described.group_state, &described.protocol_type, &described.protocol_data];
    assert_eq!(shown.map(StrBytes::as_str), ["Stable", "consumer", "range"]);
    let member = &described.members[0];
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("it", "/127.0.0.1"));
    assert_eq!(
        (&member.member_metadata[..], &member.member_assignment[..]),
        (METADATA, &b"\0everything"[..])
    );
    Ok(())
}

#[tokio::test]
async fn two_members_share_a_group_and_one_goes_on_when_the_other_leaves() -> Result<()> {
    let server = server().await?;
    let (mut first, mut second) = (Client::connect(&server).await?, Client::connect(&server).await?);
    let leader = alone(&mut first, "g").await?;
    let id = second.ask(4, &join("g", &text(""))).await?.member_id;
    let sent = second.send(7, &join("g", &id)).await?;
    while first.ask(4, &heartbeat("g", &leader)).await?.error_code == 0 {}
    let again = first.ask(7, &join("g", &leader.member_id)).await?;
    let (received, follower) = second.receive::<JoinGroupResponse>(7).await?;
    assert_eq!((sent, follower.error_code), (received, 0));
    assert_eq!((again.members.len(), follower.members.len()), (2, 0));
    assert_eq!((again.generation_id, follower.generation_id), (2, 2));

    let leaving = MemberIdentity::default().with_member_id(id.clone());
    let request = LeaveGroupRequest::default().with_group_id(group("g")).with_members(vec![leaving]);
    assert_eq!(second.ask(4, &request).await?.members[0].error_code, 0);
    assert_eq!(second.ask(4, &request).await?.members[0].error_code, UNKNOWN_MEMBER_ID);
    let alone = first.ask(7, &join("g", &leader.member_id)).await?;
    assert_eq!((alone.error_code, alone.members.len(), alone.generation_id), (0, 1, 3));
    Ok(())
}

#[tokio::test]
async fn offsets_are_committed_and_read_in_every_version() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    for version in 2..=9 {
        let request = commit("g", "orders", 0, i64::from(version));
        assert_eq!(committed(&mut client, version, &request).await?, 0);
        let epoch = if version >= 6 { 0 } else { -1 };
        for asked in 1..=9 {
            let epoch = if asked >= 5 { epoch } else { -1 };
            let expected = (i64::from(version), epoch, "é, kept".to_owned());
            assert_eq!(fetched(&mut client, asked, "g", 0).await?, expected, "{version}, {asked}");
        }
    }
    assert_eq!(fetched(&mut client, 8, "g", 1).await?, (-1, -1, String::new()));
    for (topic, partition) in [("orders", 2), ("orders", -1), ("nowhere", 0)] {
        let request = commit("g", topic, partition, 1);
        assert_eq!(committed(&mut client, 8, &request).await?, UNKNOWN_TOPIC_OR_PARTITION);
    }
    let missing = commit("none", "orders", 0, 1).with_generation_id_or_member_epoch(3);
    assert_eq!(committed(&mut client, 8, &missing).await?, ILLEGAL_GENERATION);
    assert_eq!(committed(&mut client, 9, &missing).await?, GROUP_ID_NOT_FOUND);
    Ok(())
}

/// In version 10, which the crate does not have.
async fn ask_by_id<R: wire::Request>(client: &mut Client, request: &R) -> Result<R::Response> {
    let frame = wire::encode_request(7, None, 10, request)?.into_bytes();
    client.stream.write_all(&frame).await?;
    // The correlation id, and no tagged fields.
    Ok(wire::decode_message(client.frame().await?.slice(5..), 10)?)
}

#[tokio::test]
async fn from_version_10_on_topics_are_named_by_their_ids() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    let known = client.metadata(12, Some(&["orders"])).await?.topics[0].topic_id;
    let unknown = Uuid::from_u128(1);
    let offset = |topic_id| {
        let partition =
            offset_commit::OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() };
        offset_commit::OffsetCommitRequestTopic {
            topic_id,
            partitions: vec![partition],
            ..Default::default()
        }
    };
    let request = offset_commit::OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![offset(known), offset(unknown)],
        ..Default::default()
    };
    let committed = ask_by_id(&mut client, &request).await?.topics;
    let results: Vec<_> = committed.iter().map(|t| (t.topic_id, t.partitions[0].error_code)).collect();
    assert_eq!(results, [(known, 0), (unknown, UNKNOWN_TOPIC_ID)]);

    let topics = [known, unknown].map(|topic_id| offset_fetch::OffsetFetchRequestTopics {
        topic_id,
        partition_indexes: vec![0],
        ..Default::default()
    });
    for topics in [Some(topics.to_vec()), None] {
        let named = topics.is_some();
        let group =
            offset_fetch::OffsetFetchRequestGroup { group_id: "g".into(), topics, ..Default::default() };
        let request = offset_fetch::OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let fetched = ask_by_id(&mut client, &request).await?.groups.remove(0).topics;
        let offset = |t: &offset_fetch::OffsetFetchResponseTopics| {
            (t.topic_id, t.partitions[0].error_code, t.partitions[0].committed_offset)
        };
        let mut expected = vec![(known, 0, 7), (unknown, UNKNOWN_TOPIC_ID, -1)];
        expected.truncate(if named { 2 } else { 1 });
        assert_eq!(fetched.iter().map(offset).collect::<Vec<_>>(), expected);
    }
    assert_eq!(fetched(&mut client, 9, "g", 0).await?.0, 7, "the same offset by the name");
    Ok(())
}

#[tokio::test]
async fn tools_list_describe_and_delete_groups() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    alone(&mut client, "busy").await?;
    assert_eq!(committed(&mut client, 8, &commit("idle", "orders", 0, 1)).await?, 0);
    assert_eq!(list(&mut client, &[]).await?, ["busy consumer Stable classic", "idle  Empty classic"]);
    assert_eq!(list(&mut client, &["stable"]).await?, ["busy consumer Stable classic"]);

    let missing = DescribeGroupsRequest::default().with_groups(vec![group("none")]);
    let described = client.ask(5, &missing).await?;
    assert_eq!((described.groups[0].error_code, described.groups[0].group_state.as_str()), (0, "Dead"));
    assert_eq!(client.ask(6, &missing).await?.groups[0].error_code, GROUP_ID_NOT_FOUND);

    let names = ["busy", "idle", "none"].map(group).to_vec();
    let deleted = client.ask(2, &DeleteGroupsRequest::default().with_groups_names(names)).await?;
    let codes: Vec<_> = deleted.results.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [NON_EMPTY_GROUP, 0, GROUP_ID_NOT_FOUND]);
    assert_eq!(fetched(&mut client, 8, "idle", 0).await?.0, -1);
    Ok(())
}

#[tokio::test]
async fn a_topic_created_again_begins_without_the_offsets_of_the_one_before() -> Result<()> {
    let server = server().await?;
    let mut client = Client::connect(&server).await?;
    assert_eq!(committed(&mut client, 8, &commit("g", "orders", 0, 7)).await?, 0);
    let delete = server.request(reqwest::Method::DELETE, "/v1/topics/orders");
    server.send(delete).await?.expect(204)?;
    server.topic("orders", 2).await?;
    assert_eq!(fetched(&mut client, 8, "g", 0).await?.0, -1);
    Ok(())
}
