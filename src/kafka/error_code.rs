//! Kafka's error codes, and the one table from what the floors below can say to what Kafka clients understand. Clients
//! decide by the code whether they try again, look for another broker or give up, so each mapping is a statement about
//! that.
//!
//! Reference: `org.apache.kafka.common.protocol.Errors`.

use crate::broker::append::AppendError;
use crate::broker::transactions::TransactionError;
use crate::broker::{ReadError, RuntimeConfigError, TopicError, TruncateError};
use crate::groups::GroupError;
use crate::model::producer::SequenceError;
use crate::storage::{self, CommitError};
use crate::wasm::Fault;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $kafka:literal;)*) => {
        /// An error code of Kafka; the numbers are on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl ErrorCode {
            /// Its name in Kafka's documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $kafka,)*
                }
            }

            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    /// a fault of this server
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR";
    /// no error
    None = 0, "NONE";
    /// below the log start or beyond its end
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE";
    /// bytes that are no batch, or not those that were sent
    CorruptMessage = 2, "CORRUPT_MESSAGE";
    /// retried after new metadata
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION";
    /// retried: a topic is being created
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE";
    /// retried after new metadata
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER";
    /// the outcome is not known
    RequestTimedOut = 7, "REQUEST_TIMED_OUT";
    /// a batch beyond `max.message.bytes`
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE";
    /// metadata of a committed offset beyond its bound
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE";
    /// retried
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS";
    /// retried
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE";
    /// retried after looking for the coordinator
    NotCoordinator = 16, "NOT_COORDINATOR";
    /// a name that no topic can have
    InvalidTopic = 17, "INVALID_TOPIC_EXCEPTION";
    /// a request beyond what can be stored at once
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE";
    /// retried, without new metadata
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS";
    /// neither 0, 1 nor -1
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS";
    /// of a group
    IllegalGeneration = 22, "ILLEGAL_GENERATION";
    /// members without a protocol in common
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL";
    /// an empty or impossible group name
    InvalidGroupId = 24, "INVALID_GROUP_ID";
    /// the member has to join anew
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID";
    /// outside of the bounds
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT";
    /// the member has to join again
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS";
    /// this client may never do this with this group
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED";
    /// too far from now
    InvalidTimestamp = 32, "INVALID_TIMESTAMP";
    /// answered in the nearest version
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION";
    /// created before
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS";
    /// too few or too many, or fewer than before
    InvalidPartitions = 37, "INVALID_PARTITIONS";
    /// more replicas than nodes
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR";
    /// replicas on nodes that do not exist
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT";
    /// an unknown setting or a value that does not fit
    InvalidConfig = 40, "INVALID_CONFIG";
    /// a request that contradicts itself
    InvalidRequest = 42, "INVALID_REQUEST";
    /// forbidden by a rule of this server
    PolicyViolation = 44, "POLICY_VIOLATION";
    /// a gap in a producer's sequence
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER";
    /// stored before, too long ago to say where
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER";
    /// an older incarnation of the producer
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH";
    /// not possible in the transaction's state
    InvalidTxnState = 48, "INVALID_TXN_STATE";
    /// the transactional id has another producer id
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING";
    /// longer than a transaction may take
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT";
    /// retried: the transaction is being completed
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS";
    /// an older incarnation of a coordinator
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED";
    /// users, quotas and the like do not exist here
    SecurityDisabled = 54, "SECURITY_DISABLED";
    /// another part of the request failed
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED";
    /// the disk
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR";
    /// no such directory
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND";
    /// nothing is known of the producer
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID";
    /// members are there
    NonEmptyGroup = 68, "NON_EMPTY_GROUP";
    /// no such group
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND";
    /// evicted, or of another time
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND";
    /// a request of the session is missing or came twice
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH";
    /// switched off
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED";
    /// the client knows an older leader
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH";
    /// the client knows a newer leader
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH";
    /// in this version of Produce
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE";
    /// retried
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE";
    /// the member joins again with the id that it gets
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED";
    /// the group is full
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED";
    /// another member has the instance id
    FencedInstanceId = 82, "FENCED_INSTANCE_ID";
    /// there is one node
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED";
    /// no replica moves
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS";
    /// the topic is subscribed to
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC";
    /// refused by a rule or by a transform
    InvalidRecord = 87, "INVALID_RECORD";
    /// retried: an open transaction may change the offset
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT";
    /// retried after the throttle time
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED";
    /// an older incarnation of a transactional producer
    ProducerFenced = 90, "PRODUCER_FENCED";
    /// no such resource
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND";
    /// named twice
    DuplicateResource = 92, "DUPLICATE_RESOURCE";
    /// deleted, or of another cluster
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID";
    /// not the topic of that name
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID";
    /// no such transactional id
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND";
    /// a session that began with names goes on with ids, or the other way round
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR";
    /// of a group
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH";
    /// another member has not left yet
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID";
    /// not one of the server's
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR";
    /// of a group
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH";
    /// controllers are asked, brokers answer
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE";
    /// neither brokers nor controllers
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE";
    /// the transaction has to be aborted
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE";
    /// no regular expression
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION";
}

impl ErrorCode {
    /// Its number.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

impl From<&TopicError> for ErrorCode {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::Unknown { .. } => Self::UnknownTopicOrPartition,
            // Clients give up at once, as with Kafka's own internal topics.
            TopicError::Name(_) | TopicError::Internal(_) | TopicError::View { .. } => Self::InvalidTopic,
            TopicError::Exists { .. } | TopicError::NameOfView { .. } => Self::TopicAlreadyExists,
            TopicError::Config(_) => Self::InvalidConfig,
            TopicError::Partitions { .. } | TopicError::StatefulInput { .. } => Self::InvalidPartitions,
            TopicError::TooMany { .. } | TopicError::InUse { .. } => Self::PolicyViolation,
            TopicError::Revision { .. } => Self::InvalidRequest,
            TopicError::Storage { source, .. } => Self::from(source),
        }
    }
}

impl From<&RuntimeConfigError> for ErrorCode {
    fn from(error: &RuntimeConfigError) -> Self {
        match error {
            RuntimeConfigError::Config(_) => Self::InvalidConfig,
            RuntimeConfigError::TooMany { .. } => Self::PolicyViolation,
            RuntimeConfigError::Storage(commit) => Self::from(commit),
        }
    }
}

impl From<&TruncateError> for ErrorCode {
    fn from(error: &TruncateError) -> Self {
        match error {
            TruncateError::Internal(_) => Self::InvalidTopic,
            TruncateError::Compacted(_) => Self::PolicyViolation,
            TruncateError::Read(read) => Self::from(read),
            TruncateError::Storage { source, .. } => Self::from(source),
        }
    }
}

impl From<&storage::Error> for ErrorCode {
    fn from(error: &storage::Error) -> Self {
        match error {
            storage::Error::Exists { .. } => Self::TopicAlreadyExists,
            storage::Error::NotFound { .. } => Self::UnknownTopicOrPartition,
            storage::Error::Partitions { .. } => Self::InvalidPartitions,
            storage::Error::Commit(commit) => Self::from(commit),
            storage::Error::Read(read) => Self::from(read),
            storage::Error::Engine { .. } => Self::KafkaStorageError,
        }
    }
}

impl From<&CommitError> for ErrorCode {
    fn from(error: &CommitError) -> Self {
        match error {
            CommitError::DiskFull { .. } => Self::KafkaStorageError,
            CommitError::TopicGone { .. } => Self::UnknownTopicOrPartition,
            // Stopping: whoever comes next knows.
            CommitError::Closed => Self::NotLeaderOrFollower,
            CommitError::Unknown(_) => Self::RequestTimedOut,
            // Only HTTP names offsets that it expects, only tasks stand behind a fence.
            CommitError::Expected { .. } | CommitError::Fenced => Self::UnknownServerError,
        }
    }
}

impl From<&ReadError> for ErrorCode {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::OutOfRange { .. } => Self::OffsetOutOfRange,
            ReadError::UnknownPartition { .. } => Self::UnknownTopicOrPartition,
            ReadError::Storage { source, .. } => Self::from(source),
            // Clients tell their users at once, with the offset: trying again does not help.
            ReadError::View { .. } => Self::InvalidRecord,
            // Tried again: other readers have all instances.
            ReadError::ViewClosed { source: Fault::Busy(_), .. } => Self::KafkaStorageError,
            ReadError::ViewClosed { .. } => Self::InvalidConfig,
        }
    }
}

impl From<&GroupError> for ErrorCode {
    fn from(error: &GroupError) -> Self {
        match error {
            GroupError::EmptyId => Self::InvalidGroupId,
            GroupError::NotFound { .. } => Self::GroupIdNotFound,
            GroupError::InconsistentProtocol => Self::InconsistentGroupProtocol,
            GroupError::UnknownMember { .. } => Self::UnknownMemberId,
            GroupError::MemberIdRequired { .. } => Self::MemberIdRequired,
            GroupError::FencedInstance { .. } => Self::FencedInstanceId,
            GroupError::IllegalGeneration { .. } => Self::IllegalGeneration,
            GroupError::FencedEpoch { .. } => Self::FencedMemberEpoch,
            GroupError::StaleEpoch { .. } => Self::StaleMemberEpoch,
            GroupError::Epoch { .. } => Self::InvalidRequest,
            GroupError::UnreleasedInstance { .. } => Self::UnreleasedInstanceId,
            GroupError::Pattern { .. } => Self::InvalidRegularExpression,
            // As in Kafka: there is no such group for members of the consumer protocol.
            GroupError::NotConsumer { .. } => Self::GroupIdNotFound,
            GroupError::Rebalancing => Self::RebalanceInProgress,
            GroupError::SessionTimeout { .. } => Self::InvalidSessionTimeout,
            GroupError::Full { .. } => Self::GroupMaxSizeReached,
            // Trying again does not help, and the client says so.
            GroupError::TooMany { .. } | GroupError::OutOfRoom { .. } => Self::PolicyViolation,
            GroupError::NotEmpty { .. } => Self::NonEmptyGroup,
            GroupError::UnknownTopic { .. } => Self::UnknownTopicOrPartition,
            GroupError::Subscribed { .. } => Self::GroupSubscribedToTopic,
            GroupError::MetadataTooLong { .. } => Self::OffsetMetadataTooLarge,
            GroupError::Unstable => Self::UnstableOffsetCommit,
            // The one code upon which clients give up and name the group.
            GroupError::ReadOnly { .. } => Self::GroupAuthorizationFailed,
            // Tried again, as after a failed write of Kafka's coordinator.
            GroupError::Deleting | GroupError::Storage(_) | GroupError::Closed => {
                Self::CoordinatorNotAvailable
            }
        }
    }
}

impl From<&storage::ReadError> for ErrorCode {
    fn from(error: &storage::ReadError) -> Self {
        match error {
            storage::ReadError::OutOfRange { .. } => Self::OffsetOutOfRange,
            storage::ReadError::TopicGone { .. } => Self::UnknownTopicOrPartition,
            storage::ReadError::Damaged(_) | storage::ReadError::Engine(_) => Self::KafkaStorageError,
            storage::ReadError::Closed => Self::NotLeaderOrFollower,
        }
    }
}

impl ErrorCode {
    /// Before `from`, a version had no word for a fenced producer but that for an old epoch.
    pub fn fenced_since(self, from: i16, version: i16) -> Self {
        if self == Self::ProducerFenced && version < from { Self::InvalidProducerEpoch } else { self }
    }
}

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::UnknownPartition { .. } | AppendError::TopicGone(_) => Self::UnknownTopicOrPartition,
            AppendError::TooLarge { .. } | AppendError::RequestTooLarge { .. } => Self::MessageTooLarge,
            AppendError::Corrupt(_) => Self::CorruptMessage,
            AppendError::Codec(_) => Self::UnsupportedCompressionType,
            AppendError::Invalid { .. } | AppendError::Rejected { .. } => Self::InvalidRecord,
            AppendError::Timestamp { .. } => Self::InvalidTimestamp,
            AppendError::Sequence(SequenceError::OutOfOrder { .. }) => Self::OutOfOrderSequenceNumber,
            AppendError::Sequence(SequenceError::Fenced { .. }) => Self::InvalidProducerEpoch,
            AppendError::ProducersFull { .. } => Self::PolicyViolation,
            AppendError::NoTransactionalId => Self::InvalidTxnState,
            // A producer that is fenced here may still be told more exactly by the coordinator.
            AppendError::Transaction(TransactionError::Fenced { .. }) => Self::InvalidProducerEpoch,
            AppendError::Transaction(error) => Self::from(error),
            // Tried again, as below: others have what the node has.
            AppendError::TransformFailed { source: Fault::Busy(_), .. } => Self::KafkaStorageError,
            AppendError::TransformFailed { .. } => Self::UnknownServerError,
            // Tried again.
            AppendError::Overloaded { .. } | AppendError::DiskFull { .. } => Self::KafkaStorageError,
            AppendError::Closed => Self::NotLeaderOrFollower,
            AppendError::Unknown(_) => Self::RequestTimedOut,
        }
    }
}

impl From<&TransactionError> for ErrorCode {
    fn from(error: &TransactionError) -> Self {
        match error {
            TransactionError::EmptyId => Self::InvalidRequest,
            TransactionError::UnknownId(_) | TransactionError::Mapping { .. } => {
                Self::InvalidProducerIdMapping
            }
            TransactionError::Fenced { .. } => Self::ProducerFenced,
            TransactionError::Concurrent => Self::ConcurrentTransactions,
            TransactionError::Phase { .. }
            | TransactionError::NotAdded { .. }
            | TransactionError::GroupNotAdded(_)
            | TransactionError::Outside { .. } => Self::InvalidTxnState,
            TransactionError::Timeout { .. } => Self::InvalidTransactionTimeout,
            TransactionError::IdsFull { .. } | TransactionError::PartitionsFull { .. } => {
                Self::PolicyViolation
            }
            // To be tried again, with this coordinator or the one that comes after it.
            TransactionError::Storage(_) => Self::CoordinatorNotAvailable,
        }
    }
}

#[cfg(test)]
#[path = "error_code/tests.rs"]
mod tests;
