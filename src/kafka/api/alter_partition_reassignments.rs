//! `AlterPartitionReassignments` (45).
//!
//! Versions: 0-1.
//!
//! Behaviour: every partition is on this node and stays here, so to have it here and nowhere else is granted and changes
//! nothing; any other list of brokers is INVALID_REPLICA_ASSIGNMENT. Nothing is ever under way that could be called off.
//!
//! What each version added: 1 whether the number of replicas may change (KIP-860), which it never does.
//!
//! Facts: `ReplicationControlManager.alterPartitionReassignments`, KIP-455.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::{Refusal, outcome};
use crate::kafka::wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartitionResponse,
    ReassignableTopic, ReassignableTopicResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> Result<AlterPartitionReassignmentsResponse, Close> {
    Ok(AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: request.topics.into_iter().map(|topic| alter(door, topic)).collect(),
        ..Default::default()
    })
}

fn alter(door: &Door, topic: ReassignableTopic) -> ReassignableTopicResponse {
    let handle = door.broker().topic_named(&topic.name);
    let partitions = topic.partitions.into_iter().map(|partition| {
        let partition_index = partition.partition_index;
        let log = u32::try_from(partition_index).ok().and_then(|p| handle.as_ref()?.log(p));
        let (error_code, error_message) = outcome(match (log, partition.replicas.as_deref()) {
            (None, _) => Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, "there is no such partition")),
            (Some(_), None) => {
                Err(Refusal::new(ErrorCode::NoReassignmentInProgress, "nothing is being moved"))
            }
            (Some(_), Some([NODE_ID])) => Ok(()),
            (Some(_), Some(_)) => Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                format!("there is no broker but {NODE_ID}, which has the one replica of every partition"),
            )),
        });
        ReassignablePartitionResponse { partition_index, error_code, error_message }
    });
    ReassignableTopicResponse { partitions: partitions.collect(), name: topic.name }
}
