//! `DeleteTopics` (20).
//!
//! Versions: 1 is the oldest still served, and has the throttle time; 4 is flexible; 5 returns messages (KIP-599); 6
//! takes topic ids (KIP-516).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `topic_names` up to version 5, `topics` from 6 on.
    request DeleteTopicsRequest(DeleteTopics, DeleteTopicsResponse, versions 1-6, flexible 4+) {
        topics: Vec<DeleteTopicState> [6+],
        topic_names: Vec<Str> [1-5],
        timeout_ms: i32 [1+],
    }

    /// A topic by name or, with a null name, by id.
    struct DeleteTopicState {
        name: Option<Str> [6+, nullable 6+, default None],
        topic_id: Uuid [6+],
    }

    /// One result per topic.
    response DeleteTopicsResponse(DeleteTopics, versions 1-6, flexible 4+) {
        throttle_time_ms: i32 [1+],
        responses: Vec<DeletableTopicResult> [1+],
    }

    /// Whether a topic is deleted.
    struct DeletableTopicResult {
        name: Option<Str> [1+, nullable 6+],
        topic_id: Uuid [6+],
        error_code: i16 [1+],
        error_message: Option<Str> [5+, nullable 5+, default None],
    }
}
