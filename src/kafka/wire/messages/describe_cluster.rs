//! `DescribeCluster` (60): cluster id, controller and brokers (KIP-700).
//!
//! Versions: 1 adds the type of endpoint (KIP-919); 2 fenced brokers (KIP-1073).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Endpoint types: 1 brokers, 2 controllers.
    request DescribeClusterRequest(DescribeCluster, DescribeClusterResponse, versions 0-2, flexible 0+) {
        include_cluster_authorized_operations: bool [0+],
        endpoint_type: i8 [1+, default 1],
        include_fenced_brokers: bool [2+],
    }

    /// The cluster as this broker sees it.
    response DescribeClusterResponse(DescribeCluster, versions 0-2, flexible 0+) {
        throttle_time_ms: i32 [0+],
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+, default None],
        endpoint_type: i8 [1+, default 1],
        cluster_id: Str [0+],
        controller_id: i32 [0+, default -1],
        brokers: Vec<DescribeClusterBroker> [0+],
        cluster_authorized_operations: i32 [0+, default -2147483648],
    }

    /// Where a broker listens.
    struct DescribeClusterBroker {
        broker_id: i32 [0+],
        host: Str [0+],
        port: i32 [0+],
        rack: Option<Str> [0+, nullable 0+, default None],
        is_fenced: bool [2+],
    }
}
