//! `CreatePartitions` (37): more partitions for topics that are there.
//!
//! Versions: 0-3.
//!
//! Behaviour: one result for every topic, in the order of the request. Deviations: the timeout is ignored, a change is
//! made to its end. A topic that is an input of a stateful deployment keeps its partitions (INVALID_PARTITIONS naming the
//! deployment): its state lies under the partitions of its keys. Assignments are checked as in CreateTopics and say
//! nothing more, since there is one node.
//!
//! What each version added: 1 and 2 nothing in the fields; 3 quota errors, which there are none of.
//!
//! Facts: `ReplicationControlManager.createPartitions`, `ControllerApis.createPartitions`, KIP-195.

use std::collections::HashSet;

use crate::broker::TopicChange;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::{Refusal, duplicates, outcome, writable};
use crate::kafka::replicas::assigned_replicas;
use crate::kafka::wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: CreatePartitionsRequest,
) -> Result<CreatePartitionsResponse, Close> {
    let twice = duplicates(request.topics.iter().map(|t| t.name.as_str()));
    let mut answered = HashSet::new();
    let mut response = CreatePartitionsResponse::default();
    for topic in &request.topics {
        if !answered.insert(topic.name.as_str()) {
            continue;
        }
        let widened = if twice.contains(topic.name.as_str()) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once"))
        } else {
            widen(door, topic, request.validate_only).await
        };
        let (error_code, error_message) = outcome(widened);
        let name = topic.name.clone();
        response.results.push(CreatePartitionsTopicResult { name, error_code, error_message });
    }
    Ok(response)
}

async fn widen(door: &Door, topic: &CreatePartitionsTopic, is_check: bool) -> Result<(), Refusal> {
    let handle = writable(door, &topic.name)?;
    let have = handle.topic.partitions;
    let count = u32::try_from(topic.count).ok().filter(|count| *count > have);
    let Some(count) = count else {
        let why = format!(
            "topic `{}` has {have} partitions, {} asked for, which is no increase",
            topic.name, topic.count
        );
        return Err(Refusal::new(ErrorCode::InvalidPartitions, why));
    };
    if let Some(assignments) = &topic.assignments {
        let added = count - have;
        if u32::try_from(assignments.len()) != Ok(added) {
            let why = format!("{added} partitions are added, {} assigned", assignments.len());
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        }
        assigned_replicas(door, assignments.iter().map(|a| a.broker_ids.as_slice()))?;
    }
    let change = TopicChange {
        partitions: Some(count),
        // Between the look and the change the topic may have been widened by somebody else.
        if_revision: Some(handle.topic.revision),
        dry_run: is_check,
        ..TopicChange::default()
    };
    door.broker().alter_topic(&topic.name, change).await?;
    Ok(())
}
