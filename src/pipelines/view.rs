//! A deployment as its users see it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::time::{InputTime, TaskTime};
use crate::model::deployment::{DeploymentKind, DeploymentSpec, Desired};
use crate::model::{DeploymentName, Offset, Partition, TimestampMs, TopicName};
use crate::state::Timer;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// loading code and state
    Starting,
    /// turning the state of an older version into its own; records wait
    Migrating,
    /// processing, or waiting for records
    Running,
    /// trying again after an error
    Retrying,
    /// told to stand still
    Paused,
    /// at least one task stopped for good; `restart` or `rewind` sets it going again
    Failed,
}

/// A deployment with its tasks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeploymentView {
    /// its name
    #[schema(value_type = String)]
    pub name: DeploymentName,
    /// inline, processor or source
    #[schema(value_type = String)]
    pub kind: DeploymentKind,
    /// how it goes: the worst of its tasks
    pub state: DeploymentState,
    /// what its owner wants: running or paused
    #[schema(value_type = String)]
    pub desired: Desired,
    /// `name@version` of the code that runs
    pub module: String,
    /// its digest
    pub digest: String,
    /// grows with every change; the ETag
    pub revision: u64,
    /// grows when the state is cleared
    pub generation: u32,
    /// sums over the tasks
    pub totals: Totals,
    /// one per partition, one for a source; empty for inline
    pub tasks: Vec<TaskView>,
    /// the last error of any task
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorView>,
    /// what is allowed and may yet surprise
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// as applied
    #[schema(value_type = Object)]
    pub spec: DeploymentSpec,
    /// milliseconds since the epoch
    pub created_ms: i64,
    /// milliseconds since the epoch
    pub updated_ms: i64,
}

/// Counts since its tasks were started last: by the server, or by a change, a pause, a restart or a rewind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// records read and committed (inline: handed to the code)
    pub records_in: u64,
    /// records written
    pub records_out: u64,
    /// refused by `reject`; a processor's are dead letters as well, a view's are those of the skipped that it rejected
    pub rejected: u64,
    /// records given up to the dead-letter topic
    pub dead_letters: u64,
    /// records, or polls of a source, passed over by `on_error: skip`
    pub skipped: u64,
    /// records passed over because they were deleted before they were read
    pub gap_records: u64,
    /// records that came later than `time.lateness` allows; what became of them says `time.late`
    pub late_records: u64,
    /// records further ahead of the server's clock than `time.ahead`, which did not move the watermark
    pub ahead_records: u64,
    /// timers that fired
    pub timers_fired: u64,
    /// calls that failed
    pub errors: u64,
    /// instances made after the first
    pub restarts: u64,
    /// records not yet read
    pub lag: u64,
}

impl Totals {
    /// Adds a task's.
    pub(super) fn add(&mut self, other: &Self) {
        self.records_in += other.records_in;
        self.records_out += other.records_out;
        self.rejected += other.rejected;
        self.dead_letters += other.dead_letters;
        self.skipped += other.skipped;
        self.gap_records += other.gap_records;
        self.late_records += other.late_records;
        self.ahead_records += other.ahead_records;
        self.timers_fired += other.timers_fired;
        self.errors += other.errors;
        self.restarts += other.restarts;
        self.lag += other.lag;
    }
}

/// A task: one partition index of the inputs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TaskView {
    /// its index
    pub partition: Partition,
    /// how it goes
    pub state: DeploymentState,
    /// it reads no input and fires no timer, because more than `max_lag` records lie in an internal topic of the
    /// deployment; left out when it does not
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
    /// where it stands in each input
    pub positions: Vec<InputPosition>,
    /// a source's cursor and polls
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceView>,
    /// its event time, if its code has timers or its spec a `time`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeView>,
    /// its counts
    pub totals: Totals,
    /// linear memory of its instance, bytes
    pub memory_bytes: u64,
    /// its last error
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorView>,
}

/// Bytes of a cursor that are shown.
const CURSOR_SHOWN: usize = 256;

/// How far a source has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceView {
    /// what the next poll is handed, if it is text; cut after 256 bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// in base64, if it is no text; cut after 256 bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor_base64: Option<String>,
    /// bytes of the whole cursor; 0 before the first
    pub cursor_bytes: usize,
    /// polls since its task was started last
    pub polls: u64,
    /// when the last one began, milliseconds since the epoch
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_poll_ms: Option<TimestampMs>,
}

impl SourceView {
    pub(super) fn of(cursor: Option<&[u8]>, polls: u64, last_poll_ms: Option<TimestampMs>) -> Self {
        let bytes = cursor.unwrap_or_default();
        let text = std::str::from_utf8(bytes).ok();
        let shown = |text: &str| text[..text.floor_char_boundary(CURSOR_SHOWN)].to_owned();
        Self {
            cursor: text.filter(|_| cursor.is_some()).map(shown),
            cursor_base64: cursor
                .filter(|_| text.is_none())
                .map(|bytes| STANDARD.encode(&bytes[..bytes.len().min(CURSOR_SHOWN)])),
            cursor_bytes: bytes.len(),
            polls,
            last_poll_ms,
        }
    }
}

/// How a task's event time stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimeView {
    /// no record before it is expected any more, except late ones; milliseconds since the epoch, null before there is one
    pub watermark_ms: Option<TimestampMs>,
    /// how far it is behind the server's clock
    pub watermark_lag_ms: Option<i64>,
    /// timers that are set
    pub timers: u64,
    /// what it is made of
    pub inputs: Vec<InputTimeView>,
}

/// The event time of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputTimeView {
    /// the input
    #[schema(value_type = String)]
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// the greatest timestamp read; null: none had one
    pub greatest_ms: Option<TimestampMs>,
    /// it has been silent for `time.idle` and does not hold the watermark back
    pub idle: bool,
}

impl TimeView {
    pub(super) fn of<'t>(
        time: &TaskTime,
        inputs: impl Iterator<Item = (&'t TopicName, Partition)>,
        timers: Option<u64>,
        now_ms: TimestampMs,
    ) -> Self {
        let input = |((topic, partition), time): ((&TopicName, Partition), &InputTime)| InputTimeView {
            topic: topic.clone(),
            partition,
            greatest_ms: time.greatest,
            idle: time.idle,
        };
        Self {
            watermark_ms: time.watermark(),
            watermark_lag_ms: time.watermark().map(|watermark| now_ms.saturating_sub(watermark)),
            timers: timers.unwrap_or(0),
            inputs: inputs.zip(time.inputs()).map(input).collect(),
        }
    }
}

/// A timer on which the code fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimerView {
    /// `event-time` or `wall`
    pub clock: &'static str,
    /// its name; bytes that are no text are replaced
    pub name: String,
    /// what it was set for, milliseconds since the epoch
    pub at_ms: TimestampMs,
}

impl TimerView {
    pub(super) fn of(timer: &Timer) -> Self {
        let name = String::from_utf8_lossy(&timer.name).into_owned();
        Self { clock: timer.clock.as_str(), name, at_ms: timer.at }
    }
}

/// A position in an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputPosition {
    /// the input
    #[schema(value_type = String)]
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// of the next record it will read
    pub offset: Offset,
    /// records not yet read
    pub lag: u64,
}

/// An error and the record it happened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorView {
    /// such as `trap`, `cpu_limit`, `rejected`
    pub code: String,
    /// one line
    pub message: String,
    /// demangled frames, innermost first
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// of the record
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub topic: Option<TopicName>,
    /// of the record
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// of the record
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// of a call for timers
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<TimerView>,
    /// the command that runs the code over the record again and stores nothing
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
    /// tries so far
    pub attempt: u32,
    /// milliseconds since the epoch
    pub at_ms: i64,
}

impl ErrorView {
    /// Of the first try, and of no record.
    pub(super) fn new(code: &str, message: String, at_ms: i64) -> Self {
        Self {
            code: code.to_owned(),
            message,
            backtrace: Vec::new(),
            topic: None,
            partition: None,
            offset: None,
            timer: None,
            reproduce: None,
            attempt: 1,
            at_ms,
        }
    }
}
