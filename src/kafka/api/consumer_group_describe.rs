//! `ConsumerGroupDescribe` (69): groups of the consumer protocol and their members.
//!
//! Versions: 0-1.
//!
//! Behaviour: as Kafka's. A group that is not there, or whose members follow the classic protocol, is GROUP_ID_NOT_FOUND,
//! upon which tools ask `DescribeGroups`. Partitions of topics that are deleted are left out. All operations are
//! authorised: there are no users.
//!
//! What each version added: 1 the type of a member (KIP-1099).

use std::collections::BTreeSet;

use crate::groups::machine::consumer::{Assignment, Member};
use crate::groups::{DescribedConsumers, GroupId};
use crate::kafka::api::describe_groups::{GROUP_OPERATIONS, NOT_ASKED};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::consumer_group_describe::{
    Assignment as WireAssignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    DescribedGroup, Member as WireMember, TopicPartitions,
};
use crate::model::TopicId;

/// A member that follows the consumer protocol.
const CONSUMER: i8 = 1;

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> Result<ConsumerGroupDescribeResponse, Close> {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { NOT_ASKED };
    let describe = |group_id: Str| match door.groups().describe_consumers(&GroupId::new(group_id.as_str())) {
        Ok(described) => {
            DescribedGroup { group_id, authorized_operations: operations, ..shown(door, described) }
        }
        Err(error) => DescribedGroup {
            group_id,
            error_code: ErrorCode::from(&error).code(),
            error_message: Some(Str::from(error.to_string())),
            ..DescribedGroup::default()
        },
    };
    let groups = request.group_ids.into_iter().map(describe).collect();
    Ok(ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() })
}

fn shown(door: &Door, DescribedConsumers { state, assignor, group }: DescribedConsumers) -> DescribedGroup {
    DescribedGroup {
        group_state: Str::from_static(state.name()),
        group_epoch: group.epoch,
        assignment_epoch: group.target_epoch,
        assignor_name: Str::from_static(assignor.name()),
        members: group.members.into_iter().map(|m| member(door, m)).collect(),
        ..DescribedGroup::default()
    }
}

fn member(door: &Door, member: Member) -> WireMember {
    let optional = |text: Option<std::sync::Arc<str>>| text.map(|text| Str::from(&*text));
    WireMember {
        member_id: Str::from(&*member.id),
        instance_id: optional(member.instance_id),
        rack_id: optional(member.rack_id),
        member_epoch: member.epoch,
        client_id: Str::from(&*member.client_id),
        client_host: Str::from(&*member.client_host),
        subscribed_topic_names: member.topics.iter().map(|topic| Str::from(&**topic)).collect(),
        subscribed_topic_regex: optional(member.pattern),
        assignment: assignment(door, &member.assigned),
        target_assignment: assignment(door, &member.target),
        member_type: CONSUMER,
    }
}

fn assignment(door: &Door, assignment: &Assignment) -> WireAssignment {
    let topic = |(id, partitions): (TopicId, &BTreeSet<u32>)| {
        let topic = door.broker().readable_by_id(id)?;
        Some(TopicPartitions {
            topic_id: id.0,
            topic_name: Str::from(topic.name().as_str()),
            partitions: partitions.iter().map(|p| p.cast_signed()).collect(),
        })
    };
    WireAssignment { topic_partitions: assignment.topics().filter_map(topic).collect() }
}
