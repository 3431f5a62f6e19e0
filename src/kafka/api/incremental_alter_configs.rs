//! `IncrementalAlterConfigs` (44): changes single settings.
//!
//! Versions: 0-1.
//!
//! Behaviour: all changes of a resource are made, or none; resources do not wait for each other's success. SET and
//! DELETE for every setting, APPEND and SUBTRACT for lists, where they work on the value in force. Deviations: DELETE of
//! a name that does not exist is INVALID_CONFIG. Of the broker's settings some can be changed (`broker_config`); the rest
//! is INVALID_REQUEST and says which setting of the server it is.
//!
//! Facts: `ConfigAdminManager`, KIP-339.

use crate::kafka::alteration::{self, Alteration, Operation};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Result<IncrementalAlterConfigsResponse, Close> {
    let alteration = |r: &AlterConfigsResource| Alteration {
        kind: r.resource_type,
        name: r.resource_name.clone(),
        operations: r
            .configs
            .iter()
            .map(|c| Operation { key: c.name.clone(), code: c.config_operation, value: c.value.clone() })
            .collect(),
        only_these: false,
    };
    let alterations: Vec<_> = request.resources.iter().map(alteration).collect();
    let outcomes = alteration::make(door, &alterations, request.validate_only).await;
    let responses = alterations.into_iter().zip(outcomes).map(|(a, (error_code, error_message))| {
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: a.kind,
            resource_name: a.name,
        }
    });
    Ok(IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() })
}
