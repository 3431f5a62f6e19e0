//! The refusals of deployments: of changing them, of their state, and of dry runs.

use serde_json::json;

use super::{commit_code, read_code, state_code, with_fault};
use crate::broker::TopicError;
use crate::http::codes::Code;
use crate::http::error::{FieldError, Problem};
use crate::model::deployment::DeploymentKind;
use crate::pipelines::{Clash, DeployError, QueryError, RunError, StateError};
use crate::registry::ResolveError;
use crate::wasm::Fault;

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let code = match error {
            DeployError::Module(error) => return unresolved(&error),
            DeployError::Topic(error @ TopicError::Partitions { .. }) => {
                // Of the topics that a spec may have made only its outputs have a number of their own.
                let detail = error.to_string();
                return Self::caused(Code::InvalidPartitions, &error)
                    .at("/output/create_topics/partitions", detail);
            }
            DeployError::Topic(error) => return Self::from(error),
            DeployError::Read(error) => return Self::from(error),
            DeployError::Unknown { .. } => Code::DeploymentNotFound,
            DeployError::Spec(ref problems) => {
                let place = |p: &crate::model::deployment::SpecProblem| FieldError {
                    pointer: p.pointer.clone(),
                    detail: p.detail.clone(),
                };
                return Self::caused(Code::InvalidSpec, &error).errors(problems.iter().map(place));
            }
            DeployError::Kind { .. } => Code::ModuleKind,
            DeployError::Revision { .. } | DeployError::Exists(_) => Code::PreconditionFailed,
            DeployError::NotReady { ref fault, .. } => {
                let busy = matches!(fault, Fault::Busy(_));
                let code = if busy { Code::Overloaded } else { Code::ModuleNotReady };
                return with_fault(Self::caused(code, &error), fault);
            }
            DeployError::Opening => Code::Overloaded,
            DeployError::NoMigrate(_) => Code::MigrateMissing,
            DeployError::Migrating { .. } => Code::MigrationPending,
            DeployError::StateGone { .. } => Code::StateGone,
            DeployError::NoRevision { .. } | DeployError::NothingBefore(_) => Code::RevisionNotFound,
            DeployError::VersionGone(_) => Code::ModuleNotFound,
            DeployError::Conflict { with: Clash::Request(pointer), detail } => {
                return Self::new(Code::InvalidBody, detail.clone()).at(pointer, detail);
            }
            DeployError::Conflict { with, .. } => clash(with),
            DeployError::Load(error) => return error.into(),
            DeployError::Stopping(_) => Code::Draining,
            DeployError::TooMany { .. } => Code::DeploymentLimit,
            DeployError::Inline { .. } | DeployError::View { .. } => Code::DeploymentInline,
            DeployError::NoShadow(_) => Code::ShadowNotFound,
            DeployError::Commit(ref source) => commit_code(source),
            DeployError::Tables(ref source) => read_code(source),
        };
        Self::caused(code, &error)
    }
}

/// What it contradicts decides what resolves it.
fn clash(with: Clash) -> Code {
    match with {
        Clash::Past => Code::DeploymentConflict,
        Clash::Order => Code::DeploymentOrder,
        Clash::Chain => Code::DeploymentChain,
        Clash::Inputs => Code::DeploymentInputs,
        Clash::ViewName => Code::ViewName,
        Clash::Store => Code::StoreFilled,
        Clash::Position => Code::Position,
        Clash::Kind => Code::DeploymentKind,
        Clash::Shadow => Code::ShadowRuns,
        Clash::Instances => Code::DeploymentInstances,
        Clash::Meanwhile => Code::ChangedMeanwhile,
        Clash::Request(_) => Code::InvalidBody,
    }
}

/// A spec that names a module which is not there: the spec is what is wrong.
fn unresolved(error: &ResolveError) -> Problem {
    Problem::caused(Code::InvalidSpec, error).at("/module", error.to_string())
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        let code = match error {
            StateError::Deployment(error) => return Self::from(error),
            StateError::NoState { kind: DeploymentKind::Inline | DeploymentKind::View, .. } => {
                Code::DeploymentInline
            }
            StateError::NoState { .. } => Code::DeploymentStateless,
            StateError::UnknownStore { .. } => Code::StoreNotFound,
            StateError::UnknownTask { .. } => Code::TaskNotFound,
            StateError::Behind { .. } => Code::StateBehind,
            StateError::NotAnInput { .. } => Code::NotAnInput,
            StateError::TooMuch { .. } => Code::AnswerTooLarge,
            StateError::State(ref source) => state_code(source),
            StateError::Read(ref source) => read_code(source),
        };
        let problem = Self::caused(code, &error);
        match error {
            StateError::Behind { topic, partition, position, .. } => problem
                .with("position", json!({ "topic": topic, "partition": partition, "offset": position })),
            StateError::UnknownStore { known, .. } => problem.with("stores", known),
            _ => problem,
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let code = match error {
            QueryError::At(error) => return Self::from(error),
            QueryError::NoQuery { .. } => Code::QueryMissing,
            QueryError::WhichTask { .. } => Code::TaskMissing,
            QueryError::Migrating { .. } => Code::MigrationPending,
            QueryError::BadRequest(_) => Code::QueryRefused,
            QueryError::NotFound(_) => Code::QueryNotFound,
            QueryError::Failed(_) => Code::QueryFailed,
            QueryError::Fault { fault: Fault::Busy(_), .. }
            | QueryError::Busy
            | QueryError::Changing { .. } => Code::Overloaded,
            QueryError::Panicked => Code::Internal,
            QueryError::Fault { ref fault, .. } => {
                return with_fault(Self::caused(Code::QueryFailed, &error), fault);
            }
            QueryError::Closed => Code::Draining,
        };
        Self::caused(code, &error)
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        let code = match error {
            RunError::Deploy(error) => return Self::from(error),
            RunError::Load(error) => return Self::from(error),
            RunError::Invalid(_) => Code::InvalidBody,
            RunError::State(crate::state::Error::Read(error)) | RunError::Read(error) => {
                return Self::from(DeployError::Tables(error));
            }
            RunError::State(ref source) => {
                let detail = source.to_string();
                return Self::new(Code::InvalidBody, detail.clone()).at("/state", detail);
            }
            RunError::Busy => Code::Overloaded,
            RunError::TooLong => Code::RunTooLong,
            RunError::Panicked => Code::Internal,
            RunError::Closed => Code::Draining,
        };
        Self::caused(code, &error)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;
    use crate::model::TopicName;

    #[test]
    fn a_number_of_partitions_that_cannot_be_is_found_in_the_spec() {
        let (name, asked) = (TopicName::parse("t").unwrap(), 0);
        let error = TopicError::Partitions { name, asked, least: 1, most: 9 };
        let rendered = Problem::from(DeployError::Topic(error)).render("");
        let problem: serde_json::Value = serde_json::from_slice(&rendered).unwrap();
        assert_eq!(problem["code"], "invalid_partitions", "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/output/create_topics/partitions", "{problem}");
    }

    #[test]
    fn a_query_that_panicked_is_not_told_as_the_end_of_the_server() {
        let status = |error: QueryError| Problem::from(error).into_response().status();
        assert_eq!(
            [QueryError::Panicked, QueryError::Closed].map(status),
            [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE]
        );
    }
}
