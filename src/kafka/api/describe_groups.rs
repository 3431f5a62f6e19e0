//! `DescribeGroups` (15): classic groups and their members.
//!
//! Versions: 0-6.
//!
//! Behaviour: as Kafka's. A group that is not there is `Dead`. The position of a deployment is an empty consumer group. All
//! operations are authorised: there are no users.
//!
//! What each version added: 1 the throttle time; 3 authorised operations (KIP-430); 4 static members (KIP-345); 5 is
//! flexible; 6 GROUP_ID_NOT_FOUND for a group that is not there (KIP-1043).

use crate::groups::machine::MemberDescription;
use crate::groups::{Described, GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

/// From here on a group that is not there is an error.
const NOT_FOUND_FROM: i16 = 6;
/// Bits of what may be done with a group: READ (3), DELETE (6), DESCRIBE (8), DESCRIBE_CONFIGS (10), ALTER_CONFIGS (11).
pub(super) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
/// Nobody asked which operations are authorised.
pub(super) const NOT_ASKED: i32 = i32::MIN;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: DescribeGroupsRequest,
) -> Result<DescribeGroupsResponse, Close> {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { NOT_ASKED };
    let describe = |name: Str| {
        let group = match door.groups().describe(&GroupId::new(name.as_str())) {
            Ok(described) => shown(name, described),
            Err(error) => missing(name, &error, ctx.version),
        };
        DescribedGroup { authorized_operations: operations, ..group }
    };
    let groups = request.groups.into_iter().map(describe).collect();
    Ok(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
}

fn shown(group_id: Str, Described { description, .. }: Described) -> DescribedGroup {
    let member = |m: MemberDescription| DescribedGroupMember {
        member_id: Str::from(&*m.id),
        group_instance_id: m.instance_id.map(|id| Str::from(&*id)),
        client_id: Str::from(&*m.client_id),
        client_host: Str::from(&*m.client_host),
        member_metadata: m.metadata,
        member_assignment: m.assignment,
    };
    DescribedGroup {
        group_id,
        group_state: Str::from_static(description.state.name()),
        protocol_type: Str::from(&*description.protocol_type),
        protocol_data: Str::from(&*description.protocol),
        members: description.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

/// Not there, or of another protocol, which is not there for this API.
fn missing(group_id: Str, error: &GroupError, version: i16) -> DescribedGroup {
    let mut group =
        DescribedGroup { group_id, group_state: Str::from_static("Dead"), ..DescribedGroup::default() };
    if version >= NOT_FOUND_FROM {
        group.error_code = ErrorCode::GroupIdNotFound.code();
        group.error_message = Some(Str::from(error.to_string()));
    }
    group
}
