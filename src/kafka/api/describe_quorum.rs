//! `DescribeQuorum` (55): who votes on the cluster's metadata.
//!
//! Versions: 0-2.
//!
//! Behaviour: one node, which is the one voter and the leader, in the epoch 0 of everything. The metadata are rows of the
//! storage and no log of their own, so the offsets are 0. Any topic but `__cluster_metadata`, of which there is partition 0,
//! is UNKNOWN_TOPIC_OR_PARTITION.
//!
//! What each version added: 1 when a voter was last heard of, which is now (KIP-836); 2 messages, directories, the voters'
//! addresses (KIP-853).
//!
//! Facts: `KafkaRaftClient.handleDescribeQuorumRequest`, KIP-595.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, PartitionRequest,
    ReplicaState, TopicData,
};

/// Where Kafka keeps a cluster's metadata.
const METADATA: &str = "__cluster_metadata";

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: DescribeQuorumRequest,
) -> Result<DescribeQuorumResponse, Close> {
    let now_ms = door.broker().clock().now_ms();
    let topics = request.topics.into_iter().map(|topic| {
        let is_metadata = topic.topic_name.as_str() == METADATA;
        let partitions = topic.partitions.iter().map(|partition| describe(is_metadata, partition, now_ms));
        TopicData { partitions: partitions.collect(), topic_name: topic.topic_name }
    });
    let endpoint = door.endpoint(ctx);
    let listener = Listener {
        name: Str::from_static("PLAINTEXT"),
        host: endpoint.host,
        port: u16::try_from(endpoint.port).unwrap_or_default(),
    };
    Ok(DescribeQuorumResponse {
        topics: topics.collect(),
        nodes: vec![Node { node_id: NODE_ID, listeners: vec![listener] }],
        ..DescribeQuorumResponse::default()
    })
}

fn describe(is_metadata: bool, partition: &PartitionRequest, now_ms: i64) -> PartitionData {
    let partition_index = partition.partition_index;
    if !is_metadata || partition_index != 0 {
        let error_code = ErrorCode::UnknownTopicOrPartition.code();
        return PartitionData { partition_index, error_code, ..PartitionData::default() };
    }
    let voter = ReplicaState {
        replica_id: NODE_ID,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..ReplicaState::default()
    };
    PartitionData {
        partition_index,
        leader_id: NODE_ID,
        current_voters: vec![voter],
        ..PartitionData::default()
    }
}
