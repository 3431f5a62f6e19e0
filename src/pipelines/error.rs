//! What deploying and querying can say no with.

use crate::broker::{ReadError, TopicError};
use crate::model::deployment::{DeploymentKind, SpecProblem};
use crate::model::limits::{OPENS_MAX, RUN_TIME_MAX, RUNS_MAX};
use crate::model::module::ModuleKind;
use crate::model::revision::{Revision, StateChange};
use crate::model::{DeploymentName, Offset, Partition, TopicName};
use crate::registry::{LoadError, ResolveError};
use crate::storage::CommitError;
use crate::wasm::Fault;

/// Applying, changing, finding deployments.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// No such deployment.
    #[error("deployment `{name}` does not exist{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// as asked for
        name: String,
        /// the nearest existing name
        suggestion: Option<String>,
    },
    /// The spec itself is wrong.
    #[error("the spec has {} problem{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, first(.0))]
    Spec(Vec<SpecProblem>),
    /// The module is not there.
    #[error(transparent)]
    Module(#[from] ResolveError),
    /// The module is of another kind.
    #[error("module `{module}` exports `{}`, a deployment of kind {} needs {}", found.export(), wanted.as_str(), needs(*wanted))]
    Kind {
        /// `name@version`
        module: String,
        /// what it is
        found: ModuleKind,
        /// what the spec says
        wanted: DeploymentKind,
    },
    /// A topic is missing or could not be created.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// An input could not be read while its start was looked up.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `If-Match` named another revision.
    #[error("deployment `{name}` has revision {actual}, the request expected {expected}")]
    Revision {
        /// the deployment
        name: DeploymentName,
        /// by the caller
        expected: u64,
        /// in force
        actual: u64,
    },
    /// `If-None-Match: *`, and it exists.
    #[error("deployment `{0}` exists already")]
    Exists(DeploymentName),
    /// It contradicts another deployment, its own past, or its topics.
    #[error("{detail}")]
    Conflict {
        /// with what
        with: Clash,
        /// a sentence
        detail: String,
    },
    /// The module's code.
    #[error("the module cannot be loaded")]
    Load(#[from] LoadError),
    /// The server stops.
    #[error("the change ended before it was made: {0}")]
    Stopping(String),
    /// No such revision is kept.
    #[error("deployment `{name}` has no revision {revision}{}", kept_range(*kept))]
    NoRevision {
        /// the deployment
        name: String,
        /// as asked for
        revision: u64,
        /// the oldest and the newest that are
        kept: Option<(u64, u64)>,
    },
    /// A rollback to the revision before, and none was another one.
    #[error("deployment `{0}` has no kept revision with another spec or other code to go back to")]
    NothingBefore(DeploymentName),
    /// A rollback to code that is not there any more.
    #[error("revision {} ran version {} of module `{}` ({}), which was deleted; upload it again, or roll back to another revision", .0.revision, .0.version, .0.spec.module.split('@').next().unwrap_or_default(), .0.digest)]
    VersionGone(Box<Revision>),
    /// The code cannot be loaded or opened.
    #[error("module `{module}` cannot {}: {fault}; {}", if *is_new { "start" } else { "take over" }, if *is_new { "nothing was deployed" } else { "what ran goes on" })]
    NotReady {
        /// `name@version`
        module: String,
        /// nothing ran before
        is_new: bool,
        /// of its start or its `open`
        fault: Fault,
    },
    /// Others are opened.
    #[error(
        "the code of {OPENS_MAX} deployments is being opened, which is the most at once; nothing has changed"
    )]
    Opening,
    /// `state: migrate`, and the module has no such export.
    #[error(
        "module `{0}` exports no `migrate`; upgrade with state: keep or clear, or to a version that has it"
    )]
    NoMigrate(String),
    /// A migration is not done, and the change says nothing about it.
    #[error(
        "deployment `{name}` is still migrating the state of version {from}; other code goes on with that by an upgrade with state: migrate, or begins anew with state: clear"
    )]
    Migrating {
        /// the deployment
        name: DeploymentName,
        /// whose state it was
        from: String,
    },
    /// A rollback across a change of the state.
    #[error("the state cannot go back: revision {revision} has {} it; roll back with state: clear, or with force: true to hand the state as it is to the older version", changed(*change))]
    StateGone {
        /// that changed it
        revision: u64,
        /// how
        change: StateChange,
    },
    /// The node holds as many as it may.
    #[error(
        "{limit} deployments exist, which is the most that this server holds (`limits.deployments` in its settings)"
    )]
    TooMany {
        /// the bound
        limit: usize,
    },
    /// What runs on produce has no position and cannot stand still.
    #[error("deployment `{name}` is inline: it runs on produce and cannot be {verb}")]
    Inline {
        /// the deployment
        name: DeploymentName,
        /// paused, resumed, rewound
        verb: &'static str,
    },
    /// Nothing runs beside it.
    #[error("deployment `{0}` has no shadow run")]
    NoShadow(DeploymentName),
    /// The same of views.
    #[error("deployment `{name}` is a view: it runs when it is read and cannot be {verb}")]
    View {
        /// the deployment
        name: DeploymentName,
        /// paused, resumed, rewound
        verb: &'static str,
    },
    /// The storage said no.
    #[error("the change could not be stored")]
    Commit(#[from] CommitError),
    /// The tables could not be read.
    #[error("the deployment's tables could not be read")]
    Tables(#[from] crate::storage::ReadError),
}

/// What a change of a deployment contradicts, as far as what resolves it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// its own kind or inputs, or the number of its tasks
    Past,
    /// another one's place on the topic
    Order,
    /// as many transforms as a topic may have
    Chain,
    /// inputs whose numbers of partitions differ
    Inputs,
    /// a topic that has the name of a view
    ViewName,
    /// keys that a store holds
    Store,
    /// where inputs begin and end, or what they are
    Position,
    /// what deployments of its kind have and can do
    Kind,
    /// the shadow run beside it
    Shadow,
    /// as many instances as the node may have
    Instances,
    /// changes by others, again and again
    Meanwhile,
    /// what a shadow run takes: a JSON pointer into its request
    Request(&'static str),
}

impl Clash {
    /// The error, with a sentence about this occurrence.
    pub(super) fn because(self, detail: impl Into<String>) -> DeployError {
        DeployError::Conflict { with: self, detail: detail.into() }
    }
}

fn first(problems: &[SpecProblem]) -> String {
    problems.first().map(|p| format!("{}: {}", p.pointer, p.detail)).unwrap_or_default()
}

fn changed(change: StateChange) -> &'static str {
    match change {
        StateChange::Keep => "kept",
        StateChange::Clear => "cleared",
        StateChange::Migrate => "migrated",
    }
}

fn kept_range(kept: Option<(u64, u64)>) -> String {
    kept.map(|(first, last)| format!("; {first} to {last} are kept")).unwrap_or_default()
}

fn needs(kind: DeploymentKind) -> String {
    let fitting = ModuleKind::ALL.into_iter().filter(|module| module.fits(kind));
    fitting.map(|module| format!("`{}`", module.export())).collect::<Vec<_>>().join(" or ")
}

/// Reading state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No such deployment.
    #[error(transparent)]
    Deployment(#[from] DeployError),
    /// Only processors keep state.
    #[error("deployment `{name}` is of kind {} and has no state", kind.as_str())]
    NoState {
        /// the deployment
        name: DeploymentName,
        /// what it is
        kind: DeploymentKind,
    },
    /// No task has such a store.
    #[error("deployment `{deployment}` has no store `{name}`; it has {}", list(known))]
    UnknownStore {
        /// the deployment
        deployment: DeploymentName,
        /// as asked
        name: String,
        /// those that exist
        known: Vec<String>,
    },
    /// `partition=` beyond the tasks.
    #[error("deployment `{deployment}` has tasks 0 to {}, not {partition}", tasks.saturating_sub(1))]
    UnknownTask {
        /// the deployment
        deployment: DeploymentName,
        /// as asked
        partition: Partition,
        /// how many there are
        tasks: u32,
    },
    /// `after=` was not reached in time.
    #[error("deployment `{deployment}` is at offset {position} of partition {partition} of topic `{topic}`, which has not passed {asked}{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Behind {
        /// the deployment
        deployment: DeploymentName,
        /// the input
        topic: TopicName,
        /// its partition
        partition: Partition,
        /// the next offset it will read
        position: Offset,
        /// as asked
        asked: Offset,
        /// why it stands still, when it does
        reason: Option<String>,
    },
    /// `after=` names a topic or partition that is no input.
    #[error("after={topic}:{partition}: deployment `{deployment}` does not read that partition")]
    NotAnInput {
        /// the deployment
        deployment: DeploymentName,
        /// as asked
        topic: TopicName,
        /// as asked
        partition: Partition,
    },
    /// The values of all keys together.
    #[error("the values have more than {limit} bytes together")]
    TooMuch {
        /// bytes
        limit: usize,
    },
    /// The state could not be read.
    #[error("the state could not be read")]
    State(#[from] crate::state::Error),
    /// The readers are stopping or overloaded.
    #[error("the state could not be read")]
    Read(#[from] crate::storage::ReadError),
}

/// Asking a processor's code.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The deployment, its task, or the position to wait for.
    #[error(transparent)]
    At(#[from] StateError),
    /// The code answers no queries.
    #[error("deployment `{deployment}` runs `{module}`, which exports no `query`")]
    NoQuery {
        /// the deployment
        deployment: DeploymentName,
        /// `name@version`
        module: String,
    },
    /// Nothing says which of several tasks is asked.
    #[error("deployment `{deployment}` has {tasks} tasks: name one with key=, partition= or after=")]
    WhichTask {
        /// the deployment
        deployment: DeploymentName,
        /// how many there are
        tasks: u32,
    },
    /// The state is between two versions.
    #[error("the state of deployment `{deployment}` is being migrated from version {from}")]
    Migrating {
        /// the deployment
        deployment: DeploymentName,
        /// whose state it was
        from: String,
    },
    /// The code's words.
    #[error("{0}")]
    BadRequest(String),
    /// The code's words.
    #[error("{0}")]
    NotFound(String),
    /// The code's words.
    #[error("the code could not answer: {0}")]
    Failed(String),
    /// The call failed.
    #[error("deployment `{deployment}`: {fault}")]
    Fault {
        /// the deployment
        deployment: DeploymentName,
        /// what it was
        fault: Fault,
    },
    /// Others are asked.
    #[error("too many queries of the deployment are under way")]
    Busy,
    /// It takes longer than a query waits, or comes again and again.
    #[error("deployment `{deployment}` is being changed")]
    Changing {
        /// the deployment
        deployment: DeploymentName,
    },
    /// A mistake of the server's own.
    #[error("the server failed on this query")]
    Panicked,
    /// The server stops.
    #[error("the server is stopping")]
    Closed,
}

impl From<crate::state::Error> for QueryError {
    fn from(error: crate::state::Error) -> Self {
        Self::At(error.into())
    }
}

impl From<crate::storage::ReadError> for QueryError {
    fn from(error: crate::storage::ReadError) -> Self {
        Self::At(error.into())
    }
}

/// A dry invocation.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The deployment, its module, or the spec.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The module's code.
    #[error("the module cannot be loaded")]
    Load(#[from] LoadError),
    /// Records, or what is asked for.
    #[error("{0}")]
    Invalid(String),
    /// The state that was given, or the one that is there.
    #[error("the state cannot be used")]
    State(#[from] crate::state::Error),
    /// The state could not be read.
    #[error("the state could not be read")]
    Read(#[from] crate::storage::ReadError),
    /// Others run.
    #[error("{RUNS_MAX} dry runs are under way, which is the most at once")]
    Busy,
    /// It took its time.
    #[error("the run took longer than {} seconds", RUN_TIME_MAX.as_secs())]
    TooLong,
    /// A mistake of the server's.
    #[error("the run ended by a mistake of the server's, which its log shows")]
    Panicked,
    /// The server stops.
    #[error("the server is stopping")]
    Closed,
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none yet".to_owned()
    } else {
        names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    }
}
