//! Dead letters: the record as it was, and in its headers where it came from and why it is here.

use bytes::Bytes;

use crate::model::{DeploymentName, Header, Offset, Partition, Record, TopicName};
use crate::wasm::Fault;

/// Where a record came from and what was wrong with it.
#[derive(Debug, Clone)]
pub struct Reason<'a> {
    /// who gave it up
    pub deployment: &'a DeploymentName,
    /// `name@version sha256:…`
    pub module: &'a str,
    /// of the record
    pub topic: &'a TopicName,
    /// of the record
    pub partition: Partition,
    /// of the record; `None` inline, where it has none yet
    pub offset: Option<Offset>,
    /// a code such as `trap`, `rejected`
    pub code: &'a str,
    /// one line
    pub error: &'a str,
    /// function names of a trap, innermost first; else empty
    pub backtrace: &'a [String],
    /// tries it took, from 1
    pub attempt: u32,
}

/// Frames that are kept of a trap: those around the user's mistake.
const FRAMES_MAX: usize = 20;

/// The command that runs a deployment's code over a stored record again, and stores nothing.
pub fn reproduce(
    deployment: &DeploymentName,
    topic: &TopicName,
    partition: Partition,
    offset: Offset,
) -> String {
    format!("millstream deployment run {deployment} --record {topic}/{partition}/{offset}")
}

/// The frames of a fault, when it has any.
pub fn frames(fault: &Fault) -> &[String] {
    match fault {
        Fault::Trap { backtrace, .. } => &backtrace[..backtrace.len().min(FRAMES_MAX)],
        _ => &[],
    }
}

/// Names of the headers, in their order.
pub const HEADERS: [&str; 10] = [
    "millstream.deployment",
    "millstream.module",
    "millstream.source.topic",
    "millstream.source.partition",
    "millstream.source.offset",
    "millstream.error.code",
    "millstream.error",
    "millstream.error.backtrace",
    "millstream.attempt",
    "millstream.reproduce",
];

/// The record with the headers of its own first, then ours.
pub fn letter(mut record: Record, reason: &Reason<'_>) -> Record {
    let values = [
        Some(reason.deployment.to_string()),
        Some(reason.module.to_owned()),
        Some(reason.topic.to_string()),
        Some(reason.partition.to_string()),
        reason.offset.map(|o| o.to_string()),
        Some(reason.code.to_owned()),
        Some(reason.error.to_owned()),
        (!reason.backtrace.is_empty()).then(|| reason.backtrace.join("\n")),
        Some(reason.attempt.to_string()),
        reason.offset.map(|offset| reproduce(reason.deployment, reason.topic, reason.partition, offset)),
    ];
    for (name, value) in HEADERS.iter().zip(values) {
        if let Some(value) = value {
            record.headers.push(Header { name: (*name).to_owned(), value: Some(Bytes::from(value)) });
        }
    }
    record
}
