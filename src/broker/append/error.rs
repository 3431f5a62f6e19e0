//! Why a client's batch was not stored. Each variant exists because some client acts differently on it.

use crate::broker::error::RejectedRecord;
use crate::broker::transactions::TransactionError;
use crate::model::batch::BatchError;
use crate::model::producer::SequenceError;
use crate::model::{DeploymentName, Partition, TopicName};
use crate::wasm::Fault;

/// What is wrong with one record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// its number in the batch
    pub index: u32,
    /// one sentence
    pub message: String,
}

/// Appending a batch. Only `Unknown` leaves open whether it was stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A partition that the topic does not have.
    #[error("topic `{topic}` has partitions 0 to {}, not {partition}", partitions - 1)]
    UnknownPartition {
        /// the topic
        topic: TopicName,
        /// as asked
        partition: Partition,
        /// how many there are
        partitions: u32,
    },
    /// The topic was deleted meanwhile.
    #[error("topic `{0}` was deleted")]
    TopicGone(TopicName),
    /// Larger than `max.message.bytes`.
    #[error("a batch of {found} bytes, topic `{topic}` allows {limit} (max.message.bytes)")]
    TooLarge {
        /// the topic
        topic: TopicName,
        /// bytes
        found: usize,
        /// the bound
        limit: usize,
    },
    /// The bytes are damaged.
    #[error("a damaged batch")]
    Corrupt(#[source] BatchError),
    /// A codec that Kafka does not know.
    #[error("a batch compressed with the unknown codec {0}")]
    Codec(i16),
    /// It contradicts itself, or is no batch that a client may send.
    #[error("an invalid batch: {message}")]
    Invalid {
        /// what is wrong
        message: String,
        /// the records that it is about; may be none
        records: Vec<RecordError>,
    },
    /// Records from too far in the past or the future.
    #[error("{} records have timestamps out of range", records.len())]
    Timestamp {
        /// at least one
        records: Vec<RecordError>,
    },
    /// Not the next batch of its producer, or of a producer that was replaced.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// No more producers are remembered.
    #[error("{remembered} producers are remembered, which is the most")]
    ProducersFull {
        /// so many
        remembered: usize,
    },
    /// A batch of a transaction in a request that names none.
    #[error("a batch of a transaction without a transactional id")]
    NoTransactionalId,
    /// Its transaction does not take it.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// An inline transform refused records.
    #[error("deployment `{deployment}` rejected {} records", records.len())]
    Rejected {
        /// whose verdict it is
        deployment: DeploymentName,
        /// at least one; the index is the one in the batch
        records: Vec<RejectedRecord>,
    },
    /// An inline transform failed.
    #[error("deployment `{deployment}` failed on this batch")]
    TransformFailed {
        /// whose code it is
        deployment: DeploymentName,
        /// the record's number in the batch, when it is known
        record: Option<usize>,
        /// how
        source: Fault,
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
    /// The disk is nearly full.
    #[error("the disk has {free} bytes free, the reserve is {reserve}")]
    DiskFull {
        /// bytes free
        free: u64,
        /// bytes kept back
        reserve: u64,
    },
    /// Stopping.
    #[error("the server is stopping")]
    Closed,
    /// The write may or may not have happened.
    #[error("the outcome of the write is not known: {0}")]
    Unknown(String),
}
