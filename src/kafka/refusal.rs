//! Why one thing of a request is refused, for the APIs that answer thing by thing with a code and a sentence.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::door::Door;
use super::error_code::ErrorCode;
use super::wire::Str;
use crate::broker::{RuntimeConfigError, TopicError, TopicHandle};
use crate::telemetry;

/// A code and what the client's user reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// As the fields of a response.
    pub(super) fn into_parts(self) -> (i16, Option<Str>) {
        (self.code.code(), Some(self.message.into()))
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::new(ErrorCode::from(&error), telemetry::chain(&error))
    }
}

impl From<RuntimeConfigError> for Refusal {
    fn from(error: RuntimeConfigError) -> Self {
        Self::new(ErrorCode::from(&error), telemetry::chain(&error))
    }
}

/// The parts of a response for something that may have failed.
pub(super) fn outcome(result: Result<(), Refusal>) -> (i16, Option<Str>) {
    result.map_or_else(Refusal::into_parts, |()| (ErrorCode::None.code(), None))
}

/// The items that occur more than once.
pub(super) fn duplicates<T: Eq + Hash + Copy>(items: impl Iterator<Item = T>) -> HashSet<T> {
    let mut seen = HashSet::new();
    items.filter(|item| !seen.insert(*item)).collect()
}

/// The topic or view of this name. Other than a person's, a client's typing mistakes are not worth a search for what was meant.
pub(super) fn topic(door: &Door, name: &str) -> Result<Arc<TopicHandle>, Refusal> {
    let found = door.broker().readable_named(name);
    found.ok_or_else(|| TopicError::Unknown { name: name.to_owned(), suggestion: None }.into())
}

/// The topic of this name, unless it is one of the server's own or a view.
pub(super) fn writable(door: &Door, name: &str) -> Result<Arc<TopicHandle>, Refusal> {
    let topic = topic(door, name)?;
    if topic.name().is_internal() {
        return Err(TopicError::Internal(topic.name().clone()).into());
    }
    if let Some(view) = topic.view() {
        let (name, source_topic) = (topic.name().clone(), view.of().source.clone());
        return Err(TopicError::View { name, source_topic }.into());
    }
    Ok(topic)
}
