//! What the storage can answer instead of doing what it was asked: one enum per kind of question.

use std::io;
use std::path::PathBuf;

use crate::model::{Offset, Partition, TopicId, TopicName};

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("data directory `{}`: {action}", path.display())]
    Io {
        /// what was tried, in words
        action: &'static str,
        /// on what
        path: PathBuf,
        /// the answer
        source: io::Error,
    },
    /// Another process has it open.
    #[error("data directory `{}` is in use by another process{}", path.display(), holder.as_ref().map(|p| format!(" (pid {p})")).unwrap_or_default())]
    InUse {
        /// the directory
        path: PathBuf,
        /// its process id, if it left one
        holder: Option<String>,
    },
    /// Written by a newer server.
    #[error(
        "data directory `{}` has format {found}, this server reads up to {known}; use the server version that wrote it or a newer one",
        path.display()
    )]
    NewerFormat {
        /// the directory
        path: PathBuf,
        /// in `format.json`
        found: u64,
        /// newest known here
        known: u64,
    },
    /// `format.json` is missing beside data, or is not what the server writes.
    #[error("data directory `{}`: {detail}", path.display())]
    Format {
        /// the directory
        path: PathBuf,
        /// what was found, and what to do
        detail: String,
    },
    /// Files are damaged or missing.
    #[error("data directory `{}` is damaged: {found}; {cure}", path.display())]
    Damaged {
        /// the directory
        path: PathBuf,
        /// what is wrong, with the topics it concerns
        found: String,
        /// what can be done
        cure: String,
    },
    /// RocksDB said no.
    #[error("data directory `{}`: {message}", path.display())]
    Engine {
        /// the directory
        path: PathBuf,
        /// its words
        message: String,
    },
}

/// Why a change of a topic was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id or the name is taken.
    #[error("topic `{name}` exists already")]
    Exists {
        /// the name asked for
        name: TopicName,
    },
    /// No such topic.
    #[error("topic {id} does not exist")]
    NotFound {
        /// the id asked for
        id: TopicId,
    },
    /// Partitions cannot go away.
    #[error("topic `{name}` has {found} partitions, asked for {asked}")]
    Partitions {
        /// the topic
        name: TopicName,
        /// partitions it has
        found: u32,
        /// partitions asked for
        asked: u32,
    },
    /// The rows could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What has to be known for it could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The topic's files could not be made or dropped.
    #[error("cannot {action} the files of a topic: {message}")]
    Engine {
        /// create or drop
        action: &'static str,
        /// the words of the engine
        message: String,
    },
}

/// Why a commit was not made. All but `Unknown` mean that nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A log's next offset is not the one that [`super::Commit::expect`] named.
    #[error("partition {partition} expects offset {expected}, its next is {actual}")]
    Expected {
        /// of this topic
        topic: TopicId,
        /// the partition
        partition: Partition,
        /// as asked
        expected: Offset,
        /// where the next record would go, commits before this one included
        actual: Offset,
    },
    /// The disk has less free than the reserve.
    #[error("disk full: {free} bytes free, {reserve} are kept in reserve")]
    DiskFull {
        /// bytes
        free: u64,
        /// bytes
        reserve: u64,
    },
    /// The topic was deleted.
    #[error("topic {topic} was deleted")]
    TopicGone {
        /// its id
        topic: TopicId,
    },
    /// Whoever submitted it has been replaced meanwhile.
    #[error("its task has been replaced")]
    Fenced,
    /// The storage is closing or has failed before this commit came.
    #[error("the storage is closed")]
    Closed,
    /// The storage failed while the commit was under way; a restart tells whether it was made.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
}

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Before the first record kept, or beyond the tail.
    #[error("offset {asked} is out of range, the log holds {start}..{tail}")]
    OutOfRange {
        /// as asked
        asked: Offset,
        /// the first offset kept
        start: Offset,
        /// the first unwritten offset
        tail: Offset,
    },
    /// The topic was deleted.
    #[error("topic {topic} was deleted")]
    TopicGone {
        /// its id
        topic: TopicId,
    },
    /// What lies on disk is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// RocksDB said no.
    #[error("cannot read: {0}")]
    Engine(String),
    /// The storage is closed.
    #[error("the storage is closed")]
    Closed,
}

impl From<rocksdb::Error> for ReadError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damaged(error.into_string()),
            _ => Self::Engine(error.into_string()),
        }
    }
}
