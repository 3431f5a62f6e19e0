//! `DescribeConfigs` (32): settings, with where each value comes from.
//!
//! Versions: 1-4.
//!
//! Behaviour: every setting that is known, or those that are asked for by name; unknown names are left out, as in Kafka.
//! Topics (2) have Kafka's settings and `durability`. The broker (4) has those of Kafka's that say something here, with
//! the values that are in force. Deviations: there are no loggers to describe (8; the server's log level is a setting of
//! its own), and no client metrics (16): both are INVALID_REQUEST.
//!
//! What each version added: 1 sources and synonyms; 3 types and documentation.
//!
//! Facts: `ConfigHelper`, KIP-133, KIP-226, KIP-569.

use std::collections::HashSet;

use crate::kafka::broker_config;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::{Refusal, outcome};
use crate::kafka::resource::Resource;
use crate::kafka::setting::{self, Layers, Setting, Synonym};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::model::runtime_config::ConfigScope;

/// Resources that are described in one answer (a guess: every topic and many groups).
const RESOURCES_MAX: usize = 4_000;
const TOO_MANY: &str = "the request names too many resources, expected at most 4000";

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, Close> {
    let wanted = Wanted { synonyms: request.include_synonyms, docs: request.include_documentation };
    // Described once however often it is named, so that a small request has no large answer.
    let mut seen = HashSet::new();
    let named = request.resources.iter().filter(|r| seen.insert((r.resource_type, r.resource_name.clone())));
    let describe = |(at, resource): (usize, &DescribeConfigsResource)| {
        let settings = if at < RESOURCES_MAX {
            settings(door, ctx, resource)
        } else {
            Err(Refusal::new(ErrorCode::InvalidRequest, TOO_MANY))
        };
        let (settings, refused) = match settings {
            Ok(settings) => (settings, Ok(())),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let (error_code, error_message) = outcome(refused);
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: settings.into_iter().map(|s| wanted.show(s)).collect(),
        }
    };
    let results = named.enumerate().map(describe).collect();
    Ok(DescribeConfigsResponse { results, ..Default::default() })
}

fn settings(
    door: &Door,
    ctx: &RequestContext,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Setting>, Refusal> {
    let mut settings: Vec<_> = match Resource::find(door, resource.resource_type, &resource.resource_name)? {
        Resource::Topic(topic) => {
            let mut settings: Vec<_> = Layers::of(door).of_topic(&topic.topic.config).collect();
            if let Some(view) = topic.view() {
                settings.iter_mut().for_each(|setting| setting.is_read_only = true);
                settings.push(setting::of_view(view));
            }
            settings
        }
        Resource::Broker => broker_config::settings(door, ctx),
        Resource::EveryBroker => Layers::of(door).of_every_broker().collect(),
        Resource::Group(name) => {
            let set = door.broker().runtime_config(&ConfigScope::Group(name));
            setting::of_group(&set).collect()
        }
    };
    // An empty list of names asks for everything, as a missing one does.
    if let Some(names) = resource.configuration_keys.as_ref().filter(|names| !names.is_empty()) {
        settings.retain(|setting| names.iter().any(|name| **name == *setting.name));
    }
    Ok(settings)
}

/// What a client wants to know beside the values.
struct Wanted {
    synonyms: bool,
    docs: bool,
}

impl Wanted {
    fn show(&self, setting: Setting) -> DescribeConfigsResourceResult {
        let synonym = |s: Synonym| DescribeConfigsSynonym {
            name: s.name.into(),
            value: s.value.map(Str::from),
            source: s.source as i8,
        };
        let synonyms = if self.synonyms { setting.synonyms } else { Vec::new() };
        DescribeConfigsResourceResult {
            name: setting.name.into(),
            value: setting.value.map(Str::from),
            read_only: setting.is_read_only,
            config_source: setting.source as i8,
            is_sensitive: false,
            synonyms: synonyms.into_iter().map(synonym).collect(),
            config_type: setting::type_code(setting.kind),
            documentation: self.docs.then(|| setting.documentation.into()),
        }
    }
}
