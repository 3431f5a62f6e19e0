//! `AlterConfigs` (33): the older way to change settings.
//!
//! Versions: 0-2.
//!
//! Behaviour: a resource gets the settings that are named and no others: those that are not named return to their
//! defaults. Everything else is as in IncrementalAlterConfigs.
//!
//! Facts: `ConfigAdminManager`, KIP-133.

use crate::kafka::alteration::{self, Alteration, Operation, SET};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: AlterConfigsRequest,
) -> Result<AlterConfigsResponse, Close> {
    let set = |key, value| Operation { key, code: SET, value };
    let alteration = |r: &AlterConfigsResource| Alteration {
        kind: r.resource_type,
        name: r.resource_name.clone(),
        operations: r.configs.iter().map(|c| set(c.name.clone(), c.value.clone())).collect(),
        only_these: true,
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
    Ok(AlterConfigsResponse { responses: responses.collect(), ..Default::default() })
}
