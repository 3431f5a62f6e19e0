//! `ListGroups` (16): the groups of a coordinator.
//!
//! Versions: 0-5.
//!
//! Behaviour: as Kafka's, in the order of names. The positions of deployments are in the list, as empty consumer groups.
//! Filters are compared without regard to case.
//!
//! What each version added: 1 the throttle time; 3 is flexible; 4 states and a filter for them (KIP-518); 5 types likewise
//! (KIP-848).

use crate::groups::Listed;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, Close> {
    let lets =
        |filter: &[Str], name: &str| filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(name));
    let is_asked_for = |group: &Listed| {
        lets(&request.states_filter, group.state) && lets(&request.types_filter, group.kind.name())
    };
    let group = |group: Listed| ListedGroup {
        group_id: Str::from(group.id.as_str()),
        protocol_type: Str::from(&*group.protocol_type),
        group_state: Str::from_static(group.state),
        group_type: Str::from_static(group.kind.name()),
    };
    let groups = door.groups().list().into_iter().filter(is_asked_for).map(group).collect();
    Ok(ListGroupsResponse { groups, ..ListGroupsResponse::default() })
}
