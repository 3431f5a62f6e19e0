//! Dead letters: the record as it was, and in its headers where it came from and why it is here.

use bytes::Bytes;

use crate::model::limits::{KIB, TIMESTAMP_MAX};
use crate::model::{DeploymentName, Header, Offset, Partition, Record, TopicName};
use crate::state::Timer;
use crate::wasm::Fault;

/// Where a record came from and what was wrong with it.
#[derive(Debug, Clone)]
pub struct Reason<'a> {
    /// who gave it up
    pub deployment: &'a DeploymentName,
    /// `name@version sha256:…`
    pub module: &'a str,
    /// of the record; `None`: it is none, but a timer
    pub topic: Option<&'a TopicName>,
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
    /// the command that runs the code over the record again, where there is one
    pub reproduce: Option<String>,
}

/// Frames that are kept of a trap: those around the user's mistake.
const FRAMES_MAX: usize = 20;

/// Bytes that are kept of a frame's name and of the words for an error. Both are the code's own and may be of any length;
/// together they stay well within what a dead letter's topic takes beyond its inputs.
const FRAME_BYTES_MAX: usize = 1024;
const ERROR_BYTES_MAX: usize = 64 * KIB;
/// The same of the words when the record leaves no room for them.
const ERROR_BYTES_MIN: usize = 512;

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

/// Names of the headers that say which timer it was, before [`HEADERS`].
pub const TIMER_HEADERS: [&str; 3] =
    ["millstream.timer.clock", "millstream.timer.name", "millstream.timer.at"];

/// What stands for a timer among dead letters: its headers, and an empty value.
pub fn record_of(timer: &Timer) -> Record {
    let values = [timer.clock.as_str().into(), timer.name.clone(), Bytes::from(timer.at.to_string())];
    let header = |(name, value): (&&str, Bytes)| Header { name: (*name).to_owned(), value: Some(value) };
    Record {
        value: Some(Bytes::new()),
        timestamp: timer.at.clamp(0, TIMESTAMP_MAX),
        headers: TIMER_HEADERS.iter().zip(values).map(header).collect(),
        ..Record::default()
    }
}

/// The record with the headers of its own first, then ours.
pub fn letter(record: Record, reason: &Reason<'_>) -> Record {
    let frames = reason.backtrace.iter().map(|frame| start_of(frame, FRAME_BYTES_MAX)).collect::<Vec<_>>();
    with_headers(record, reason, start_of(reason.error, ERROR_BYTES_MAX), frames.join("\n"))
}

/// The same without a backtrace and with few words, for a topic that does not take the whole.
pub fn short_letter(record: Record, reason: &Reason<'_>) -> Record {
    with_headers(record, reason, start_of(reason.error, ERROR_BYTES_MIN), String::new())
}

/// At most so many bytes of a text, cut between characters.
fn start_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn with_headers(mut record: Record, reason: &Reason<'_>, error: &str, backtrace: String) -> Record {
    let values = [
        Some(reason.deployment.to_string()),
        Some(reason.module.to_owned()),
        reason.topic.map(ToString::to_string),
        reason.topic.map(|_| reason.partition.to_string()),
        reason.offset.map(|o| o.to_string()),
        Some(reason.code.to_owned()),
        Some(error.to_owned()),
        (!backtrace.is_empty()).then_some(backtrace),
        Some(reason.attempt.to_string()),
        reason.reproduce.clone(),
    ];
    for (name, value) in HEADERS.iter().zip(values) {
        if let Some(value) = value {
            record.headers.push(Header { name: (*name).to_owned(), value: Some(Bytes::from(value)) });
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_code_says_of_itself_does_not_make_a_letter_too_large() {
        let (deployment, topic) = (DeploymentName::parse("d").unwrap(), TopicName::parse("t").unwrap());
        let (error, backtrace) = ("é".repeat(1 << 20), vec!["f".repeat(1 << 20); FRAMES_MAX]);
        let reason = Reason {
            deployment: &deployment,
            module: "m@1.0.0",
            topic: Some(&topic),
            partition: 0,
            offset: Some(7),
            code: "trap",
            error: &error,
            backtrace: &backtrace,
            attempt: 1,
            reproduce: None,
        };
        let size = |record: &Record| record.view(0).size();
        let whole = letter(Record::default(), &reason);
        assert!((ERROR_BYTES_MAX..ERROR_BYTES_MAX + 32 * KIB).contains(&size(&whole)), "{}", size(&whole));
        let short = short_letter(Record::default(), &reason);
        assert!(size(&short) < 2 * KIB, "{}", size(&short));
        let names = |record: &Record| record.headers.iter().map(|h| h.name.clone()).collect::<Vec<_>>();
        assert!(names(&whole).contains(&"millstream.error.backtrace".to_owned()));
        assert!(!names(&short).contains(&"millstream.error.backtrace".to_owned()));
    }
}
