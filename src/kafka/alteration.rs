//! Changes of settings, as both APIs for them ask for: checked as a whole for each resource, then made.

use std::collections::BTreeMap;

use super::broker_config;
use super::door::Door;
use super::error_code::ErrorCode;
use super::refusal::{Refusal, duplicates, outcome, writable};
use super::resource::Resource;
use super::wire::Str;
use crate::broker::TopicChange;
use crate::model::runtime_config::ConfigScope;
use crate::model::topic::ConfigChange;

/// Give it a value. The numbers are the protocol's.
pub(super) const SET: i8 = 0;
/// Return it to its default.
const DELETE: i8 = 1;
/// Add items to a list.
const APPEND: i8 = 2;
/// Take items out of a list.
const SUBTRACT: i8 = 3;

/// What one resource shall get.
pub(super) struct Alteration {
    pub(super) kind: i8,
    pub(super) name: Str,
    pub(super) operations: Vec<Operation>,
    /// settings that are not named return to their defaults
    pub(super) only_these: bool,
}

/// What one setting shall become.
pub(super) struct Operation {
    pub(super) key: Str,
    pub(super) code: i8,
    pub(super) value: Option<Str>,
}

/// Makes the alterations, or only checks them; gives code and message of each, in order.
pub(super) async fn make(door: &Door, alterations: &[Alteration], is_check: bool) -> Vec<(i16, Option<Str>)> {
    let twice = duplicates(alterations.iter().map(|a| (a.kind, a.name.as_str())));
    let mut outcomes = Vec::with_capacity(alterations.len());
    for alteration in alterations {
        let made = if twice.contains(&(alteration.kind, alteration.name.as_str())) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this resource more than once"))
        } else {
            alter(door, alteration, is_check).await
        };
        outcomes.push(outcome(made));
    }
    outcomes
}

async fn alter(door: &Door, alteration: &Alteration, is_check: bool) -> Result<(), Refusal> {
    let config = changes(&alteration.operations)?;
    let only_these = alteration.only_these;
    let scope = match Resource::find(door, alteration.kind, &alteration.name)? {
        Resource::Topic(topic) => {
            let topic = writable(door, topic.name().as_str())?;
            let change = TopicChange { config, only_these, dry_run: is_check, ..TopicChange::default() };
            door.broker().alter_topic(topic.name().as_str(), change).await?;
            return Ok(());
        }
        Resource::Broker => ConfigScope::Broker,
        Resource::EveryBroker => ConfigScope::EveryBroker,
        Resource::Group(name) => ConfigScope::Group(name),
    };
    if !matches!(scope, ConfigScope::Group(_)) {
        broker_config::check_can_be_altered(config.keys())?;
    }
    Ok(door.broker().alter_runtime_config(scope, config, only_these, is_check).await?)
}

fn changes(operations: &[Operation]) -> Result<BTreeMap<String, ConfigChange>, Refusal> {
    let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let mut changes = BTreeMap::new();
    for Operation { key, code, value } in operations {
        let change = match (*code, value) {
            (DELETE, _) => ConfigChange::Unset,
            (SET | APPEND | SUBTRACT, None) => {
                return invalid(format!("config `{key}` is null, expected a value"));
            }
            (SET, Some(value)) => ConfigChange::Set(value.to_string()),
            (APPEND, Some(value)) => ConfigChange::Append(value.to_string()),
            (SUBTRACT, Some(value)) => ConfigChange::Subtract(value.to_string()),
            (other, _) => return invalid(format!("operation {other} on config `{key}` is unknown")),
        };
        if changes.insert(key.to_string(), change).is_some() {
            return invalid(format!("config `{key}` stands in the request more than once"));
        }
    }
    Ok(changes)
}
