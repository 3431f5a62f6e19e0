//! `DeleteTopics` (20): topics with their records.
//!
//! Versions: 1-6.
//!
//! Behaviour: topics are deleted one after the other with their records, each with its own result, in the order of the
//! request. Deviations: the timeout is ignored, a deletion is made to its end. A topic that a deployment uses is kept
//! (POLICY_VIOLATION naming it); over HTTP that can be forced. The server's own topics are kept.
//!
//! What each version added: 5 messages beside error codes; 6 topics by id.
//!
//! Facts: `ControllerApis.deleteTopics`, KIP-516.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::TopicHandle;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::refusal::{Refusal, duplicates, outcome, topic};
use crate::kafka::wire::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use crate::model::TopicId;

/// The version from which topics are named in a struct that also takes ids.
const STATES_FROM: i16 = 6;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, Close> {
    let states = if ctx.version >= STATES_FROM {
        request.topics
    } else {
        let named = |name| DeleteTopicState { name: Some(name), ..Default::default() };
        request.topic_names.into_iter().map(named).collect()
    };
    let keys = || states.iter().map(|s| (s.name.as_deref(), s.topic_id));
    let twice = duplicates(keys());
    let mut answered = HashSet::new();
    let mut response = DeleteTopicsResponse::default();
    for (state, key) in states.iter().zip(keys()) {
        if !answered.insert(key) {
            continue;
        }
        let topic = if twice.contains(&key) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once"))
        } else {
            find(door, state)
        };
        response.responses.push(delete(door, state, topic).await);
    }
    Ok(response)
}

fn find(door: &Door, state: &DeleteTopicState) -> Result<Arc<TopicHandle>, Refusal> {
    match (&state.name, state.topic_id) {
        (Some(name), id) if id.is_nil() => topic(door, name),
        (None, id) if !id.is_nil() => door.broker().readable_by_id(TopicId(id)).ok_or_else(|| {
            Refusal::new(ErrorCode::UnknownTopicId, format!("there is no topic with the id {id}"))
        }),
        _ => Err(Refusal::new(ErrorCode::InvalidRequest, "expected a topic's name or its id, and not both")),
    }
}

async fn delete(
    door: &Door,
    state: &DeleteTopicState,
    topic: Result<Arc<TopicHandle>, Refusal>,
) -> DeletableTopicResult {
    let (name, topic_id, deleted) = match topic {
        Ok(topic) => {
            let deleted = door.broker().delete_topic(topic.name().as_str(), false, None).await;
            (Some(topic.name().as_str().into()), topic.id().0, deleted.map_err(Refusal::from))
        }
        Err(refusal) => (state.name.clone(), state.topic_id, Err(refusal)),
    };
    let (error_code, error_message) = outcome(deleted);
    DeletableTopicResult { name, topic_id, error_code, error_message }
}
