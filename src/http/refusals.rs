//! What the floors below say no with, as problems. Every `match` is whole: a new variant does not compile until it has a
//! code here.

mod deployments;

use super::codes::Code;
use super::error::{FieldError, Problem};
use super::topics::config_error;
use crate::broker::consumer::ConsumerError;
use crate::broker::view::Trouble;
use crate::broker::{AppendError, ProduceError, ReadError, TopicError, TransactionError};
use crate::groups::GroupError;
use crate::model::producer::SequenceError;
use crate::registry::{DeleteError, LoadError, ResolveError, UploadError};
use crate::storage::{self, CommitError};
use crate::wasm::{self, Fault};

impl From<TopicError> for Problem {
    fn from(error: TopicError) -> Self {
        let code = match &error {
            TopicError::Unknown { .. } => Code::TopicNotFound,
            TopicError::View { .. } | TopicError::NameOfView { .. } => Code::TopicIsView,
            TopicError::Name(_) => Code::InvalidTopic,
            TopicError::Internal(_) => Code::TopicInternal,
            TopicError::Exists { .. } => Code::TopicExists,
            TopicError::Config(_) => Code::InvalidConfig,
            TopicError::Partitions { .. } => Code::InvalidPartitions,
            TopicError::TooMany { .. } => Code::TopicLimit,
            TopicError::InUse { .. } => Code::TopicInUse,
            TopicError::StatefulInput { .. } => Code::TopicStatefulInput,
            TopicError::Revision { .. } => Code::PreconditionFailed,
            TopicError::Storage { source, .. } => storage_code(source),
        };
        let problem = Self::caused(code, &error);
        match error {
            TopicError::Config(error) => problem.errors([config_error(&error)]),
            TopicError::Partitions { .. } => {
                let detail = problem.detail().to_owned();
                problem.at("/partitions", detail)
            }
            TopicError::Name(_) => {
                let detail = problem.detail().to_owned();
                problem.at("/name", detail)
            }
            TopicError::InUse { by, .. } | TopicError::StatefulInput { by, .. } => {
                problem.with("deployments", by.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            TopicError::Revision { actual, .. } => problem.with("revision", actual),
            TopicError::View { source_topic, .. } | TopicError::NameOfView { source_topic, .. } => {
                problem.with("source", source_topic.as_str())
            }
            TopicError::Unknown { .. }
            | TopicError::Internal(_)
            | TopicError::Exists { .. }
            | TopicError::TooMany { .. }
            | TopicError::Storage { .. } => problem,
        }
    }
}

impl From<ProduceError> for Problem {
    fn from(error: ProduceError) -> Self {
        let code = match &error {
            ProduceError::UnknownPartition { .. }
            | ProduceError::KeyMissing { .. }
            | ProduceError::Timestamp { .. } => Code::InvalidRecord,
            ProduceError::RecordTooLarge { .. } => Code::RecordTooLarge,
            ProduceError::Overloaded { .. } => Code::Overloaded,
            ProduceError::RequestTooLarge { .. } => Code::BodyTooLarge,
            ProduceError::Rejected { .. } => Code::RecordRejected,
            ProduceError::TransformFailed { source: Fault::Busy(_), .. } => Code::Overloaded,
            ProduceError::TransformFailed { .. } => Code::TransformFailed,
            ProduceError::ExpectedOffset { .. } => Code::ExpectedOffset,
            ProduceError::IdempotencyInFlight => Code::IdempotencyInFlight,
            ProduceError::IdempotencyMismatch => Code::IdempotencyReused,
            ProduceError::IdempotencyFull { .. } => Code::IdempotencyFull,
            ProduceError::DiskFull { .. } => Code::DiskFull,
            ProduceError::TopicGone(_) => Code::TopicNotFound,
            ProduceError::Closed => Code::Draining,
            ProduceError::Unknown(_) => Code::OutcomeUnknown,
        };
        let problem = Self::caused(code, &error);
        match error {
            ProduceError::Rejected { deployment, records } => {
                let place = |r: crate::broker::error::RejectedRecord| FieldError {
                    pointer: format!("/records/{}", r.index),
                    detail: r.reason,
                };
                problem
                    .with("deployment", deployment.as_str())
                    .errors(records.into_iter().take(100).map(place))
            }
            ProduceError::TransformFailed { deployment, module, record, source } => {
                let again = format!("millstream deployment run {deployment} FILE");
                let problem = problem.with("deployment", deployment.as_str()).with("module", module);
                // With the records of the request in FILE: they are stored nowhere.
                let problem = problem.with("reproduce", again);
                let problem = match record {
                    Some(index) => problem.at(format!("/records/{index}"), source.to_string()),
                    None => problem,
                };
                with_fault(problem, &source)
            }
            ProduceError::ExpectedOffset { partition, expected, actual, .. } => problem
                .with("partition", partition)
                .with("expected_offset", expected)
                .with("actual_offset", actual),
            ProduceError::UnknownPartition { index, .. }
            | ProduceError::RecordTooLarge { index, .. }
            | ProduceError::KeyMissing { index, .. }
            | ProduceError::Timestamp { index, .. } => {
                let detail = problem.detail().to_owned();
                problem.at(format!("/records/{index}"), detail)
            }
            ProduceError::Unknown(_) => problem.effects_unknown(),
            ProduceError::Overloaded { .. }
            | ProduceError::RequestTooLarge { .. }
            | ProduceError::IdempotencyInFlight
            | ProduceError::IdempotencyMismatch
            | ProduceError::IdempotencyFull { .. }
            | ProduceError::DiskFull { .. }
            | ProduceError::TopicGone(_)
            | ProduceError::Closed => problem,
        }
    }
}

/// Adds what is known of a fault in user code.
fn with_fault(problem: Problem, fault: &Fault) -> Problem {
    let problem = problem.with("fault", fault.code());
    match fault {
        Fault::Trap { backtrace, .. } if !backtrace.is_empty() => {
            problem.with("backtrace", backtrace.clone())
        }
        _ => problem,
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::UnknownPartition { .. } => Code::PartitionNotFound,
            AppendError::TopicGone(_) => Code::TopicNotFound,
            AppendError::TooLarge { .. } => Code::RecordTooLarge,
            AppendError::Invalid { .. } | AppendError::Timestamp { .. } => Code::InvalidRecord,
            AppendError::Sequence(SequenceError::OutOfOrder { .. }) => Code::OutOfOrder,
            AppendError::Sequence(SequenceError::Fenced { .. }) | AppendError::Transaction(_) => {
                Code::ProducerFenced
            }
            AppendError::ProducersFull { .. } | AppendError::Overloaded { .. } => Code::Overloaded,
            AppendError::Rejected { .. } => Code::RecordRejected,
            AppendError::TransformFailed { source: Fault::Busy(_), .. } => Code::Overloaded,
            AppendError::TransformFailed { .. } => Code::TransformFailed,
            AppendError::RequestTooLarge { .. } => Code::BodyTooLarge,
            AppendError::DiskFull { .. } => Code::DiskFull,
            AppendError::Closed => Code::Draining,
            AppendError::Unknown(_) => Code::OutcomeUnknown,
            // The server made the batch.
            AppendError::Corrupt(_) | AppendError::Codec(_) | AppendError::NoTransactionalId => {
                Code::Internal
            }
        };
        let problem = Self::caused(code, &error);
        let place =
            |index: usize, detail: String| FieldError { pointer: format!("/records/{index}"), detail };
        match error {
            AppendError::Invalid { records, .. } | AppendError::Timestamp { records } => {
                problem.errors(records.into_iter().take(100).map(|r| place(r.index as usize, r.message)))
            }
            AppendError::Rejected { deployment, records } => problem
                .with("deployment", deployment.as_str())
                .errors(records.into_iter().take(100).map(|r| place(r.index, r.reason))),
            AppendError::TransformFailed { deployment, source, .. } => {
                with_fault(problem.with("deployment", deployment.as_str()), &source)
            }
            AppendError::Sequence(SequenceError::OutOfOrder { expected, .. }) => {
                problem.with("expected_seq", expected)
            }
            AppendError::Unknown(_) => problem.effects_unknown(),
            _ => problem,
        }
    }
}

impl From<TransactionError> for Problem {
    fn from(error: TransactionError) -> Self {
        let code = match &error {
            TransactionError::Storage(source) => commit_code(source),
            _ => Code::ProducerFenced,
        };
        Self::caused(code, &error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::OutOfRange { asked, start, .. } if asked < start => Code::OffsetExpired,
            ReadError::OutOfRange { .. } => Code::OffsetOutOfRange,
            ReadError::UnknownPartition { .. } => Code::PartitionNotFound,
            ReadError::Storage { source, .. } => read_code(source),
            // More readers than instances; all else is the same the next time.
            ReadError::ViewClosed { source: Fault::Busy(_), .. } => Code::Overloaded,
            ReadError::View { .. } | ReadError::ViewClosed { .. } => Code::ViewFailed,
        };
        let problem = Self::caused(code, &error);
        match error {
            ReadError::OutOfRange { start, tail, .. } => {
                problem.with("log_start_offset", start).with("high_watermark", tail)
            }
            ReadError::View { module, partition, offset, source, .. } => {
                let problem =
                    problem.with("module", module).with("partition", partition).with("offset", offset);
                match &*source {
                    Trouble::Fault(fault) => with_fault(problem, fault),
                    Trouble::Rejected(_) | Trouble::Several(_) | Trouble::Routed => problem,
                }
            }
            ReadError::ViewClosed { module, source, .. } => {
                with_fault(problem.with("module", module), &source)
            }
            ReadError::UnknownPartition { .. } | ReadError::Storage { .. } => problem,
        }
    }
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        let code = match &error {
            GroupError::EmptyId => Code::InvalidPath,
            GroupError::NotFound { .. } => Code::GroupNotFound,
            GroupError::InconsistentProtocol | GroupError::NotConsumer { .. } => Code::GroupProtocol,
            GroupError::UnknownMember { .. }
            | GroupError::MemberIdRequired { .. }
            | GroupError::FencedInstance { .. }
            | GroupError::IllegalGeneration { .. }
            | GroupError::FencedEpoch { .. }
            | GroupError::StaleEpoch { .. }
            | GroupError::UnreleasedInstance { .. }
            | GroupError::Rebalancing
            | GroupError::Deleting
            | GroupError::Unstable => Code::Rebalanced,
            GroupError::SessionTimeout { .. }
            | GroupError::MetadataTooLong { .. }
            | GroupError::Epoch { .. }
            | GroupError::Pattern { .. } => Code::InvalidBody,
            GroupError::Full { .. } | GroupError::TooMany { .. } | GroupError::OutOfRoom { .. } => {
                Code::GroupLimit
            }
            GroupError::NotEmpty { .. } | GroupError::Subscribed { .. } => Code::GroupNotEmpty,
            GroupError::UnknownTopic { .. } => Code::TopicNotFound,
            GroupError::ReadOnly { .. } => Code::GroupReadOnly,
            GroupError::Storage(source) => commit_code(source),
            GroupError::Closed => Code::Draining,
        };
        let problem = Self::caused(code, &error);
        match error {
            GroupError::ReadOnly { deployment, .. } => problem.with("deployment", deployment),
            GroupError::NotEmpty { members } => problem.with("members", members),
            GroupError::SessionTimeout { .. } => {
                let detail = problem.detail().to_owned();
                problem.at("/session_timeout", detail)
            }
            _ => problem,
        }
    }
}

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        let code = match error {
            ConsumerError::Topic(error) => return error.into(),
            ConsumerError::Read(error) => return error.into(),
            ConsumerError::Group(error) => return error.into(),
            ConsumerError::Fenced { .. } | ConsumerError::NotAssigned { .. } => Code::Rebalanced,
            ConsumerError::Busy { .. } => Code::Overloaded,
            ConsumerError::TooMany { .. } => Code::GroupLimit,
        };
        let problem = Self::caused(code, &error);
        match error {
            // The id to go on with, if there is one.
            ConsumerError::Fenced { .. } => problem.with("member", serde_json::Value::Null),
            ConsumerError::NotAssigned { member, .. } => problem.with("member", &*member),
            _ => problem,
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let code = match &error {
            ResolveError::Module { .. } | ResolveError::Version { .. } => Code::ModuleNotFound,
            ResolveError::Ambiguous { .. } => Code::InvalidPath,
        };
        Self::caused(code, &error)
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        Self::from(&error)
    }
}

impl From<&UploadError> for Problem {
    fn from(error: &UploadError) -> Self {
        let code = match error {
            UploadError::Invalid(_) => Code::InvalidModule,
            UploadError::TooLarge { .. } => Code::BodyTooLarge,
            UploadError::VersionExists { .. } => Code::ModuleExists,
            UploadError::TooMany { .. } => Code::ModuleLimit,
            UploadError::CompileTimeout { .. }
            | UploadError::CompileFailed { .. }
            | UploadError::Load(wasm::LoadError::Link(_)) => Code::CompileFailed,
            UploadError::Busy => Code::CompilerBusy,
            // What was compiled a moment ago is the server's own.
            UploadError::Load(wasm::LoadError::Artifact(_))
            | UploadError::Compiler { .. }
            | UploadError::Cache(_) => Code::Internal,
            UploadError::Storage(source) => commit_code(source),
        };
        match error {
            UploadError::Invalid(invalid) => Self::new(code, format!("{invalid}; {}", invalid.hint())),
            error => Self::caused(code, error),
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        let code = match &error {
            LoadError::Unknown { .. } => Code::ModuleNotFound,
            LoadError::Unusable { .. } => Code::Internal,
            LoadError::Busy { .. } => Code::CompilerBusy,
            LoadError::Storage(source) => read_code(source),
        };
        Self::caused(code, &error)
    }
}

impl From<DeleteError> for Problem {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Unknown(error) => Self::from(error),
            DeleteError::Storage(ref source) => Self::caused(commit_code(source), &error),
        }
    }
}

pub(in crate::http) fn storage_code(error: &storage::Error) -> Code {
    match error {
        storage::Error::Exists { .. } => Code::TopicExists,
        storage::Error::NotFound { .. } => Code::TopicNotFound,
        storage::Error::Partitions { .. } => Code::InvalidPartitions,
        storage::Error::Commit(source) => commit_code(source),
        storage::Error::Read(source) => read_code(source),
        storage::Error::Engine { .. } => Code::StorageFailed,
    }
}

fn commit_code(error: &CommitError) -> Code {
    match error {
        CommitError::Expected { .. } | CommitError::Fenced => Code::ChangedMeanwhile,
        CommitError::DiskFull { .. } => Code::DiskFull,
        CommitError::TopicGone { .. } => Code::TopicNotFound,
        CommitError::Closed => Code::Draining,
        CommitError::Unknown(_) => Code::OutcomeUnknown,
    }
}

fn read_code(error: &storage::ReadError) -> Code {
    match error {
        storage::ReadError::OutOfRange { .. } => Code::OffsetOutOfRange,
        storage::ReadError::TopicGone { .. } => Code::TopicNotFound,
        storage::ReadError::Damaged(_) | storage::ReadError::Engine(_) => Code::StorageFailed,
        storage::ReadError::Closed => Code::Draining,
    }
}

fn state_code(error: &crate::state::Error) -> Code {
    match error {
        crate::state::Error::StoreName(_) => Code::StoreNotFound,
        crate::state::Error::Read(source) => read_code(source),
        _ => Code::StorageFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::artifact::ArtifactError;

    #[test]
    fn what_the_compiler_says_of_a_module_is_told_from_what_the_server_cannot_do() {
        let not_found = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let gone = ArtifactError::Io { path: "compiled".into(), cause: not_found() };
        let detail = || "why".to_owned();
        for (error, code) in [
            (UploadError::CompileFailed { detail: detail() }, Code::CompileFailed),
            (UploadError::Load(wasm::LoadError::Link(detail())), Code::CompileFailed),
            (UploadError::Compiler { detail: detail() }, Code::Internal),
            (UploadError::Cache(not_found()), Code::Internal),
            (UploadError::Load(wasm::LoadError::Artifact(gone)), Code::Internal),
        ] {
            assert_eq!(Problem::from(&error).code(), code, "{error}");
        }
    }
}
