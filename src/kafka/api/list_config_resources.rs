//! `ListConfigResources` (74): what has settings.
//!
//! Versions: 0-1.
//!
//! Behaviour: topics, the broker, and the groups that have settings of their own. There are no client metrics, which are
//! all that version 0 asks for, and no loggers that can be set one by one.
//!
//! What each version added: 1 kinds to choose from (KIP-1142).

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, NODE_ID, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: ListConfigResourcesRequest,
) -> Result<ListConfigResourcesResponse, Close> {
    let asked = request.resource_types;
    if asked.iter().any(|kind| !KINDS.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return Ok(ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() });
    }
    let wants = |kind| {
        if ctx.version == 0 { kind == CLIENT_METRICS } else { asked.is_empty() || asked.contains(&kind) }
    };
    let resource = |resource_name: Str, resource_type| ConfigResource { resource_name, resource_type };
    let mut resources = Vec::new();
    if wants(TOPIC) {
        let topics = door.broker().readables();
        resources.extend(topics.iter().map(|t| resource(t.name().as_str().into(), TOPIC)));
    }
    if wants(BROKER) {
        resources.push(resource(NODE_ID.to_string().into(), BROKER));
    }
    if wants(GROUP) {
        let groups = door.broker().configured_groups();
        resources.extend(groups.into_iter().map(|name| resource(name.into(), GROUP)));
    }
    Ok(ListConfigResourcesResponse { config_resources: resources, ..ListConfigResourcesResponse::default() })
}
