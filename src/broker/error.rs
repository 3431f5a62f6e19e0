//! What the broker can say no with. Each variant exists because some caller acts differently on it.

use super::view::Trouble;
use crate::model::batch::BatchError;
use crate::model::names::NameError;
use crate::model::topic::ConfigError;
use crate::model::{DeploymentName, Offset, Partition, TimestampMs, TopicName};
use crate::storage;
use crate::wasm::Fault;

/// Creating, altering, deleting, finding topics.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// No such topic.
    #[error("topic `{name}` does not exist{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// as asked for
        name: String,
        /// the nearest existing name
        suggestion: Option<String>,
    },
    /// A view: readers take it for a topic, nobody else does.
    #[error("`{name}` is a view of topic `{source_topic}`: it can be read, and nothing else")]
    View {
        /// the view
        name: TopicName,
        /// what it shows
        source_topic: TopicName,
    },
    /// The name breaks the rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Names that begin with `__` are the server's.
    #[error("topic `{0}` is internal: names that begin with `__` belong to the server")]
    Internal(TopicName),
    /// It is there already, and differs from what was asked for (or was to be created).
    #[error("topic `{name}` exists already{}", difference.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    Exists {
        /// the topic
        name: TopicName,
        /// what differs, when identical would have been fine
        difference: Option<String>,
    },
    /// A view has the name that a topic was to get.
    #[error("`{name}` is the name of a view of topic `{source_topic}`")]
    NameOfView {
        /// the view
        name: TopicName,
        /// what it shows
        source_topic: TopicName,
    },
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Too few or too many, or fewer than before.
    #[error("topic `{name}`: {asked} partitions asked for, expected {least} to {most}")]
    Partitions {
        /// the topic
        name: TopicName,
        /// as asked
        asked: u32,
        /// least allowed
        least: u32,
        /// most allowed
        most: u32,
    },
    /// The node holds as many as it may.
    #[error("{limit} topics exist, which is the most that one node holds")]
    TooMany {
        /// the bound
        limit: usize,
    },
    /// A deployment needs it as it is.
    #[error("topic `{name}` is used by {}", list(by))]
    InUse {
        /// the topic
        name: TopicName,
        /// the deployments
        by: Vec<DeploymentName>,
    },
    /// Adding partitions would break the map from keys to state (D12).
    #[error("partitions cannot be added to topic `{name}`: it is an input of the stateful {}", list(by))]
    StatefulInput {
        /// the topic
        name: TopicName,
        /// the deployments
        by: Vec<DeploymentName>,
    },
    /// `If-Match` named another revision.
    #[error("topic `{name}` has revision {actual}, the request expected {expected}")]
    Revision {
        /// the topic
        name: TopicName,
        /// by the caller
        expected: u64,
        /// in force
        actual: u64,
    },
    /// The storage said no.
    #[error("topic `{name}` could not be changed")]
    Storage {
        /// the topic
        name: TopicName,
        /// why
        source: storage::Error,
    },
}

fn list(names: &[DeploymentName]) -> String {
    let names: Vec<_> = names.iter().map(|n| format!("`{n}`")).collect();
    format!("deployment{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// One refused record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// index in the request
    pub index: usize,
    /// the transform's reason
    pub reason: String,
}

/// Producing.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// A partition that the topic does not have.
    #[error("record {index}: topic `{topic}` has partitions 0 to {}, not {partition}", partitions - 1)]
    UnknownPartition {
        /// the topic
        topic: TopicName,
        /// index of the record in the request
        index: usize,
        /// as asked
        partition: Partition,
        /// how many there are
        partitions: u32,
    },
    /// Larger than `max.message.bytes`.
    #[error("record {index} takes {found} bytes, topic `{topic}` allows {limit} (max.message.bytes)")]
    RecordTooLarge {
        /// the topic
        topic: TopicName,
        /// index of the record in the request
        index: usize,
        /// its bytes
        found: usize,
        /// the bound
        limit: usize,
    },
    /// A producer's time that its topic does not take.
    #[error(
        "record {index} has timestamp {timestamp}, topic `{topic}` takes {from} to {to} \
         (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
    )]
    Timestamp {
        /// the topic
        topic: TopicName,
        /// index of the record in the request
        index: usize,
        /// milliseconds since the epoch
        timestamp: TimestampMs,
        /// the earliest
        from: TimestampMs,
        /// the latest
        to: TimestampMs,
    },
    /// Compaction works by key: a record without one would go with the next round.
    #[error("record {index} has no key, and topic `{topic}` is compacted (cleanup.policy)")]
    KeyMissing {
        /// the topic
        topic: TopicName,
        /// index of the record in the request
        index: usize,
    },
    /// Too many bytes are under way.
    #[error("{in_flight} bytes of produce requests are under way, the bound is {limit}")]
    Overloaded {
        /// now
        in_flight: usize,
        /// the bound
        limit: usize,
    },
    /// One request alone is over the bound.
    #[error("the request needs {found} bytes, at most {limit} can be under way at once")]
    RequestTooLarge {
        /// bytes
        found: usize,
        /// the bound
        limit: usize,
    },
    /// An inline transform refused records; nothing was stored.
    #[error("deployment `{deployment}` rejected record {}: {}", first(records).0, first(records).1)]
    Rejected {
        /// whose verdict it is
        deployment: DeploymentName,
        /// at least one
        records: Vec<RejectedRecord>,
    },
    /// An inline transform failed; nothing was stored.
    #[error("deployment `{deployment}` failed on this batch")]
    TransformFailed {
        /// whose code it is
        deployment: DeploymentName,
        /// `name@version`
        module: String,
        /// index of the record in the request, when it is known
        record: Option<usize>,
        /// how
        source: Fault,
    },
    /// The log's next offset is another.
    #[error(
        "partition {partition} of topic `{topic}` continues at offset {actual}, the request expected {expected}"
    )]
    ExpectedOffset {
        /// the topic
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// by the caller
        expected: Offset,
        /// as it is
        actual: Offset,
    },
    /// A request with this key is under way.
    #[error("a request with this idempotency key is under way")]
    IdempotencyInFlight,
    /// The key was used with another body.
    #[error("this idempotency key was used with another body")]
    IdempotencyMismatch,
    /// No room for another key.
    #[error("{limit} idempotency keys are remembered, which is the most")]
    IdempotencyFull {
        /// the bound
        limit: usize,
    },
    /// The disk is nearly full.
    #[error("the disk has {free} bytes free, the reserve is {reserve}")]
    DiskFull {
        /// bytes free
        free: u64,
        /// bytes kept back
        reserve: u64,
    },
    /// The topic was deleted meanwhile.
    #[error("topic `{0}` was deleted")]
    TopicGone(TopicName),
    /// Stopping.
    #[error("the server is stopping")]
    Closed,
    /// The write may or may not have happened.
    #[error("the outcome of the write is not known: {0}")]
    Unknown(String),
}

/// A batch that this server has made or checked, and that cannot be read all the same.
pub(super) fn unreadable(error: &BatchError) -> ProduceError {
    ProduceError::Unknown(format!("a batch cannot be read again: {error}"))
}

fn first(records: &[RejectedRecord]) -> (usize, &str) {
    records.first().map_or((0, ""), |r| (r.index, r.reason.as_str()))
}

/// Reading.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start or past the tail.
    #[error("offset {asked} of partition {partition} of topic `{topic}` is outside {start}..={tail}")]
    OutOfRange {
        /// the topic
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// as asked
        asked: Offset,
        /// the oldest kept
        start: Offset,
        /// the first unwritten
        tail: Offset,
    },
    /// No such partition.
    #[error("topic `{topic}` has partitions 0 to {}, not {partition}", partitions - 1)]
    UnknownPartition {
        /// the topic
        topic: TopicName,
        /// as asked
        partition: Partition,
        /// how many there are
        partitions: u32,
    },
    /// The storage said no.
    #[error("partition {partition} of topic `{topic}` could not be read")]
    Storage {
        /// the topic
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// why
        source: storage::ReadError,
    },
    /// A record that the view cannot show, and that stops the read.
    #[error("{view} stops at offset {offset} of partition {partition} of topic `{topic}`")]
    View {
        /// such as ``view `clean` ``
        view: String,
        /// `name@version`
        module: String,
        /// the topic that it shows
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// of the record
        offset: Offset,
        /// why
        source: Box<Trouble>,
    },
    /// The view's code cannot run.
    #[error("{view} cannot be read through")]
    ViewClosed {
        /// such as ``view `clean` ``
        view: String,
        /// `name@version`
        module: String,
        /// why
        source: Fault,
    },
}
