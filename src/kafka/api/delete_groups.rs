//! `DeleteGroups` (42): empty groups with their offsets (KIP-229).
//!
//! Versions: 0-2.
//!
//! Behaviour: all of them in one write; as Kafka's for each. The position of a deployment cannot be deleted.
//!
//! What each version added: 2 is flexible.

use crate::groups::{GroupError, GroupId};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: DeleteGroupsRequest,
) -> Result<DeleteGroupsResponse, Close> {
    let groups = request.groups_names.iter().map(|name| GroupId::new(name.as_str())).collect();
    let deleted = door.groups().delete_groups(groups).await;
    let result = |(group_id, deleted): (Str, Result<(), GroupError>)| DeletableGroupResult {
        group_id,
        error_code: deleted.err().map_or(ErrorCode::None, |error| ErrorCode::from(&error)).code(),
    };
    let results = request.groups_names.into_iter().zip(deleted).map(result).collect();
    Ok(DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
}
