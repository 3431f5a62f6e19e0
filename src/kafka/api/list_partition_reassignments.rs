//! `ListPartitionReassignments` (46): replicas that are moving.
//!
//! Versions: 0.
//!
//! Behaviour: one node moves no replicas, so nothing is ever under way, for any topic.
//!
//! Facts: KIP-455.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

pub(in crate::kafka) async fn handle(
    _: &Door,
    _: &RequestContext,
    _: ListPartitionReassignmentsRequest,
) -> Result<ListPartitionReassignmentsResponse, Close> {
    Ok(ListPartitionReassignmentsResponse::default())
}
