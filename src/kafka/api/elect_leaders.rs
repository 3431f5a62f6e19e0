//! `ElectLeaders` (43).
//!
//! Versions: 0-2.
//!
//! Behaviour: one node leads every partition for ever, so no election is needed: ELECTION_NOT_NEEDED for every partition
//! that is named and there. As in Kafka, those for which nothing was to do are left out when all partitions are asked for.
//!
//! What each version added: 1 the kind of election, which makes no difference here.
//!
//! Facts: `ReplicationControlManager.electLeaders`, KIP-183, KIP-460.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::Refusal;
use crate::kafka::wire::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: ElectLeadersRequest,
) -> Result<ElectLeadersResponse, Close> {
    let named = request.topic_partitions.unwrap_or_default();
    let replica_election_results = named.into_iter().map(|topic| elect(door, topic)).collect();
    Ok(ElectLeadersResponse { replica_election_results, ..Default::default() })
}

fn elect(door: &Door, topic: TopicPartitions) -> ReplicaElectionResult {
    let handle = door.broker().topic(&topic.topic).ok();
    let partition_result = topic.partitions.iter().map(|index| {
        let log = u32::try_from(*index).ok().and_then(|p| handle.as_ref()?.log(p));
        let refusal = match log {
            Some(_) => Refusal::new(ErrorCode::ElectionNotNeeded, "this node leads the partition"),
            None => Refusal::new(ErrorCode::UnknownTopicOrPartition, "there is no such partition"),
        };
        let (error_code, error_message) = refusal.into_parts();
        PartitionResult { partition_id: *index, error_code, error_message }
    });
    ReplicaElectionResult { partition_result: partition_result.collect(), topic: topic.topic }
}
