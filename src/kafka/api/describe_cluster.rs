//! `DescribeCluster` (60): the brokers, for tools that want no topics.
//!
//! Versions: 0-2.
//!
//! Behaviour: one broker, which is the controller too. Its address is as in Metadata. Asking for controllers is
//! MISMATCHED_ENDPOINT_TYPE, as it is for Kafka's brokers. No broker is ever fenced.
//!
//! What each version added: 1 brokers or controllers (KIP-919); 2 fenced brokers (KIP-1073).

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::metadata::cluster_operations;

/// The protocol's numbers for kinds of endpoints.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, Close> {
    let refused = |code: ErrorCode, why: &'static str| DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(why.into()),
        ..DescribeClusterResponse::default()
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            return Ok(refused(ErrorCode::MismatchedEndpointType, "this is a broker's endpoint"));
        }
        _ => {
            return Ok(refused(
                ErrorCode::UnsupportedEndpointType,
                "expected 1 (brokers) or 2 (controllers)",
            ));
        }
    }
    let endpoint = door.endpoint(ctx);
    let broker = DescribeClusterBroker {
        broker_id: NODE_ID,
        host: endpoint.host,
        port: endpoint.port,
        rack: None,
        is_fenced: false,
    };
    Ok(DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: door.cluster_id().clone(),
        controller_id: NODE_ID,
        brokers: vec![broker],
        cluster_authorized_operations: cluster_operations(request.include_cluster_authorized_operations),
        ..DescribeClusterResponse::default()
    })
}
