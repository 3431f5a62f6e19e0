//! What the coordinator can say no with. Each variant exists because some client acts differently on it.

use crate::model::Partition;
use crate::model::transaction::Phase;
use crate::storage::CommitError;

/// Transactions. Only `Storage(Unknown)` leaves open whether the change was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// An empty transactional id.
    #[error("the transactional id is empty")]
    EmptyId,
    /// No producer was initialised with this id, or it has expired.
    #[error("transactional id `{0}` is not known")]
    UnknownId(String),
    /// The transactional id belongs to another producer id.
    #[error("producer id {found} does not belong to the transactional id")]
    Mapping {
        /// as sent
        found: i64,
    },
    /// A newer instance has taken over, or the transaction timed out.
    #[error("epoch {found} was sent, epoch {current} is in force")]
    Fenced {
        /// as sent
        found: i16,
        /// in force
        current: i16,
    },
    /// Another change of this id is being committed; to be tried again.
    #[error("another change of this transactional id is under way")]
    Concurrent,
    /// Not possible from where it stands.
    #[error("a transaction cannot be {asked} when it is {phase:?}")]
    Phase {
        /// in words: committed, aborted
        asked: &'static str,
        /// where it stands
        phase: Phase,
    },
    /// A batch for a partition that the transaction does not include.
    #[error("partition {partition} has not been added to the transaction")]
    NotAdded {
        /// of the batch's topic
        partition: Partition,
    },
    /// Offsets for a group that the transaction does not include.
    #[error("group `{0}` has not been added to the transaction")]
    GroupNotAdded(String),
    /// A batch without the transactional bit in the middle of a transaction.
    #[error("producer {producer_id} has an open transaction in this partition, the batch is not part of it")]
    Outside {
        /// whose
        producer_id: i64,
    },
    /// The transaction may not stay open for so long.
    #[error("a transaction timeout of {asked_ms} ms was asked for, expected 1 to {most_ms}")]
    Timeout {
        /// as asked
        asked_ms: i32,
        /// `transaction.max.timeout.ms`
        most_ms: u32,
    },
    /// The node holds as many transactional ids as it may.
    #[error("{limit} transactional ids are known, which is the most")]
    IdsFull {
        /// the bound
        limit: usize,
    },
    /// One transaction includes as many partitions as it may.
    #[error("the transaction includes {limit} partitions, which is the most")]
    PartitionsFull {
        /// the bound
        limit: usize,
    },
    /// The change could not be committed.
    #[error(transparent)]
    Storage(#[from] CommitError),
}
