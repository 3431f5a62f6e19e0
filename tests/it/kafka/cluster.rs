//! A cluster of one node: what tools for clusters of many ask of it.

use anyhow::Result;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, BrokerId, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeQuorumRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
    describe_quorum_request,
};
use kafka_protocol::protocol::StrBytes;

use super::client::{started, topic_name};

#[tokio::test]
async fn one_node_is_the_cluster_and_moves_nothing() -> Result<()> {
    let (server, mut client) = started(&[("t", 1)]).await?;
    let cluster = client.ask(2, &DescribeClusterRequest::default()).await?;
    let brokers: Vec<_> =
        cluster.brokers.iter().map(|b| (b.broker_id.0, format!("{}:{}", b.host, b.port))).collect();
    assert_eq!(brokers, [(1, server.kafka_address().to_owned())]);
    assert_eq!(
        (cluster.error_code, cluster.controller_id.0, cluster.cluster_authorized_operations),
        (0, 1, i32::MIN)
    );
    let asking = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    assert_eq!(client.ask(0, &asking).await?.cluster_authorized_operations, 8096);
    let controllers = DescribeClusterRequest::default().with_endpoint_type(2);
    assert_eq!(client.ask(1, &controllers).await?.error_code, 114);

    let moving = client.ask(0, &ListPartitionReassignmentsRequest::default().with_topics(None)).await?;
    assert_eq!((moving.error_code, moving.topics.len()), (0, 0));
    let named = TopicPartitions::default().with_topic(topic_name("t")).with_partitions(vec![0, 1]);
    let election = ElectLeadersRequest::default().with_topic_partitions(Some(vec![named]));
    let results = client.ask(2, &election).await?.replica_election_results.remove(0).partition_result;
    assert_eq!(results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [84, 3]);
    let all = client.ask(2, &ElectLeadersRequest::default().with_topic_partitions(None)).await?;
    assert_eq!(all.replica_election_results.len(), 0);
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_where_it_is_stays_there() -> Result<()> {
    let (_server, mut client) = started(&[("t", 1)]).await?;
    let replicas = |index, brokers: Option<&[i32]>| {
        let brokers = brokers.map(|ids| ids.iter().copied().map(BrokerId).collect());
        ReassignablePartition::default().with_partition_index(index).with_replicas(brokers)
    };
    let wanted = vec![
        replicas(0, Some(&[1])),
        replicas(0, Some(&[2])),
        replicas(0, Some(&[])),
        replicas(0, None),
        replicas(1, Some(&[1])),
    ];
    let topic = ReassignableTopic::default().with_name(topic_name("t")).with_partitions(wanted);
    let moves = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
    for version in 0..=1 {
        let results = client.ask(version, &moves).await?.responses.remove(0).partitions;
        assert_eq!(results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [0, 39, 39, 85, 3]);
    }

    let described = client.ask(4, &DescribeLogDirsRequest::default().with_topics(None)).await?;
    let own = &described.results[0].log_dir;
    for (path, codes) in [(own.clone(), [0, 3]), (StrBytes::from_static_str("/elsewhere"), [57, 57])] {
        let topic = AlterReplicaLogDirTopic::default().with_name(topic_name("t")).with_partitions(vec![0, 1]);
        let dir = AlterReplicaLogDir::default().with_path(path).with_topics(vec![topic]);
        let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
        let results = client.ask(2, &request).await?.results.remove(0).partitions;
        assert_eq!(results.iter().map(|r| r.error_code).collect::<Vec<_>>(), codes);
    }
    Ok(())
}

#[tokio::test]
async fn one_node_is_the_one_voter() -> Result<()> {
    let (_server, mut client) = started(&[]).await?;
    let topic = |name| {
        let partition = describe_quorum_request::PartitionData::default();
        describe_quorum_request::TopicData::default()
            .with_topic_name(topic_name(name))
            .with_partitions(vec![partition])
    };
    for version in 0..=2 {
        let topics = vec![topic("__cluster_metadata"), topic("t")];
        let response = client.ask(version, &DescribeQuorumRequest::default().with_topics(topics)).await?;
        let quorum = &response.topics[0].partitions[0];
        let voters: Vec<_> = quorum.current_voters.iter().map(|v| v.replica_id.0).collect();
        assert_eq!(
            (quorum.error_code, quorum.leader_id.0, voters, quorum.observers.len()),
            (0, 1, vec![1], 0)
        );
        assert_eq!(response.topics[1].partitions[0].error_code, 3);
        assert_eq!(response.nodes.len(), usize::from(version == 2));
    }
    Ok(())
}
