//! What settings belong to, as the config APIs name it: a number for the kind, and a name.
//!
//! Facts: `ConfigResource.Type`, `ConfigHelper`, `ConfigAdminManager`.

use std::sync::Arc;

use super::door::{Door, NODE_ID};
use super::error_code::ErrorCode;
use super::refusal::{Refusal, topic};
use crate::broker::{TopicError, TopicHandle};
use crate::model::TopicName;

/// The protocol's numbers.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// Something with settings.
pub(super) enum Resource {
    /// a topic that is there
    Topic(Arc<TopicHandle>),
    /// this broker
    Broker,
    /// what holds for every broker unless it has a setting of its own
    EveryBroker,
    /// a group, there or not
    Group(String),
}

impl Resource {
    /// What a request means.
    ///
    /// # Errors
    /// An unknown topic, another broker, and kinds that have no settings here.
    pub(super) fn find(door: &Door, kind: i8, name: &str) -> Result<Self, Refusal> {
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
        match kind {
            TOPIC => {
                TopicName::parse(name).map_err(TopicError::from)?;
                Ok(Self::Topic(topic(door, name)?))
            }
            BROKER if name.is_empty() => Ok(Self::EveryBroker),
            // As text: other spellings of the number would be other resources.
            BROKER if name == NODE_ID.to_string() => Ok(Self::Broker),
            BROKER => invalid(format!("broker `{name}` is not here, expected {NODE_ID}")),
            GROUP if name.is_empty() => invalid("a group needs a name".to_owned()),
            GROUP => Ok(Self::Group(name.to_owned())),
            BROKER_LOGGER => invalid(
                "loggers are not set one by one here; see the server's setting `log.level`".to_owned(),
            ),
            CLIENT_METRICS => invalid("clients do not push metrics to this server".to_owned()),
            other => invalid(format!("resources of kind {other} have no settings")),
        }
    }
}
