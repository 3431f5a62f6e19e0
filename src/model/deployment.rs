//! What a deployment asks for: the spec as its user writes it (JSON; the CLI also reads YAML), with every check that
//! needs nothing but the spec itself. Whether topics and modules exist is checked by `pipelines`.

mod ceiling;
mod check;
mod destination;
mod grants;
mod guest_limits;
mod internal;
mod rewind;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{POLL_INTERVAL_DEFAULT, STATE_BYTES_DEFAULT, STATE_KEYS_DEFAULT, TIMERS_DEFAULT};
use super::module::{Digest, Version};
use super::revision::Migration;
use super::{DeploymentName, Offset, Partition, TimestampMs, TopicId, TopicName, duration};

pub use ceiling::Ceiling;
pub use destination::{Destination, GrantedHost};
pub use grants::{Grants, HttpGrant, SecretGrant};
pub use guest_limits::{BatchLimits, GuestLimits, OutputLimits};
pub use internal::{InternalTopic, owner_of};
pub use rewind::RewindTo;
pub use time::{LatePolicy, TimeSpec};

/// Where its code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentKind {
    /// on produce, before the append
    Inline,
    /// by itself, topic to topic; without outputs the plain consumer
    Processor,
    /// by itself, topic to the outside
    Sink,
    /// on read: a topic for readers, under the deployment's name
    View,
    /// by itself, from the outside into topics
    Source,
}

impl DeploymentKind {
    /// As in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Processor => "processor",
            Self::Sink => "sink",
            Self::View => "view",
            Self::Source => "source",
        }
    }

    /// Runs by itself, with a position in each partition of its inputs.
    pub fn has_tasks(self) -> bool {
        matches!(self, Self::Processor | Self::Sink)
    }

    /// Leaves something behind that a later deployment of its name can go on from.
    pub fn remembers(self) -> bool {
        self.has_tasks() || self == Self::Source
    }

    /// May be granted hosts and secrets.
    pub fn goes_out(self) -> bool {
        matches!(self, Self::Sink | Self::Source)
    }
}

/// Where a new processor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// the oldest record kept
    #[default]
    Earliest,
    /// the next record produced
    Latest,
    /// the first record at or after this time (milliseconds since the epoch)
    Timestamp(TimestampMs),
}

/// `input` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// inline and view: exactly one
    pub topics: Vec<TopicName>,
    /// processors only
    #[serde(default)]
    pub start: Start,
}

impl InputSpec {
    /// A source has none.
    fn is_absent(&self) -> bool {
        self.topics.is_empty()
    }
}

/// `source` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSpec {
    /// time between two polls
    #[serde(with = "duration::text")]
    pub interval: Duration,
}

impl Default for SourceSpec {
    fn default() -> Self {
        Self { interval: POLL_INTERVAL_DEFAULT }
    }
}

/// `output.create_topics` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTopics {
    /// of each topic that has to be created
    pub partitions: u32,
}

/// `output` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// where outputs go that name no route; a processor without it may not emit such outputs
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<TopicName>,
    /// route name → topic
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, TopicName>,
    /// create missing output topics when deployed
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_topics: Option<CreateTopics>,
}

/// A store that is to exist from the start. Stores also come into being when the code opens them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// 1 to 64 characters of `a-z A-Z 0-9 . _ -`
    pub name: String,
    /// entries are gone so long after their last write; `None`: they stay
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration::optional")]
    pub ttl: Option<Duration>,
}

/// `state` of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSpec {
    /// declared stores
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreSpec>,
    /// bytes of keys and values that one task may hold
    #[serde(with = "duration::bytes")]
    pub max_bytes: u64,
    /// keys that one task may hold
    pub max_keys: u64,
    /// timers that one task may hold
    pub max_timers: u64,
}

impl Default for StateSpec {
    fn default() -> Self {
        Self {
            stores: Vec::new(),
            max_bytes: STATE_BYTES_DEFAULT,
            max_keys: STATE_KEYS_DEFAULT,
            max_timers: TIMERS_DEFAULT,
        }
    }
}

/// What happens with a record that faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnErrorPolicy {
    /// the task stops at this record and says so
    #[default]
    Stop,
    /// the record is passed over and counted
    Skip,
    /// the record goes to the dead-letter topic
    DeadLetter,
}

/// `on_error` of a spec. Every policy comes after `max_retries` tries with growing pauses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnError {
    /// what happens when the tries are used up
    pub policy: OnErrorPolicy,
    /// tries after the first
    pub max_retries: u32,
    /// pause before the first retry; doubles up to 30 s
    #[serde(with = "duration::text")]
    pub backoff: Duration,
    /// where dead letters go; created when missing. Default: `<deployment>.dlq`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicName>,
}

impl Default for OnError {
    fn default() -> Self {
        Self { policy: OnErrorPolicy::Stop, max_retries: 3, backoff: Duration::from_millis(200), topic: None }
    }
}

/// What an inline transform's `reject` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// the request's batch is refused, naming record and reason
    #[default]
    Fail,
    /// the record goes to the dead-letter topic, the rest of the batch is stored
    DeadLetter,
}

/// What an inline transform's fault (trap, limit, error) does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// the request fails with `transform_failed`; nothing is stored
    #[default]
    Closed,
    /// the batch is stored as it came, untransformed
    Open,
}

/// A deployment as its user writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentSpec {
    /// unique on the server; may be left out where the path names it
    pub name: DeploymentName,
    /// where its code runs
    pub kind: DeploymentKind,
    /// `name`, `name@1.2.3` or `name@sha256:…`; resolved to a digest when deployed
    pub module: String,
    /// what it reads; a source has none
    #[serde(default, skip_serializing_if = "InputSpec::is_absent")]
    pub input: InputSpec,
    /// sources only
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,
    /// what it writes
    #[serde(default)]
    pub output: OutputSpec,
    /// processors only: short name → a topic between its stages
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub internal: BTreeMap<String, InternalTopic>,
    /// what its code reads with `config.get`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "scalars")]
    pub params: BTreeMap<String, String>,
    /// processors only
    #[serde(default)]
    pub state: StateSpec,
    /// processors only: their event time
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSpec>,
    /// faults of a processor; for inline only `topic` (dead letters) counts; for a view `stop` or `skip` without retries
    #[serde(default)]
    pub on_error: OnError,
    /// inline only; what a processor's code rejects becomes a dead letter
    #[serde(default)]
    pub on_reject: OnReject,
    /// inline only
    #[serde(default)]
    pub on_fault: OnFault,
    /// inline only: place in the topic's chain, lowest first, unique per topic
    #[serde(default)]
    pub order: i32,
    /// processors only: a position below the log start moves to the log start and is counted, instead of `input_gap`
    #[serde(default)]
    pub skip_input_gap: bool,
    /// bounds of its code
    #[serde(default)]
    pub limits: GuestLimits,
    /// sinks and sources only: where its code may go out to
    #[serde(default)]
    pub grants: Grants,
}

/// Parameters may be written as numbers and booleans; the code sees text.
fn scalars<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(d)?;
    values
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => Ok((name, text)),
            serde_json::Value::Number(n) => Ok((name, n.to_string())),
            serde_json::Value::Bool(b) => Ok((name, b.to_string())),
            _ => Err(serde::de::Error::custom(format!(
                "parameter `{name}` must be text, a number or a boolean"
            ))),
        })
        .collect()
}

/// What is wrong with a spec: a JSON pointer into it and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecProblem {
    /// such as `/input/topics`
    pub pointer: String,
    /// what was found and what is expected
    pub detail: String,
}

/// What its owner wants of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// processing
    #[default]
    Running,
    /// standing still, positions kept
    Paused,
    /// deleted; its state and positions wait for a deployment of the same name
    Retired,
}

/// A deployment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// never reused; the prefix of its state
    pub id: u32,
    /// as applied
    pub spec: DeploymentSpec,
    /// the module version that `spec.module` meant when it was applied
    pub version: Version,
    /// and its digest: what runs
    pub digest: Digest,
    /// 1 at creation; grows with every change and is the ETag
    pub revision: u64,
    /// grows when the state is cleared; part of every state key
    pub generation: u32,
    /// running or paused
    pub desired: Desired,
    /// tasks: the partitions of its inputs (0: inline, 1: a source)
    pub tasks: u32,
    /// where each input partition began, resolved when deployed
    pub start: Vec<StartPosition>,
    /// milliseconds since the epoch
    pub created_ms: i64,
    /// state of an older version that is to be migrated, or was
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// milliseconds since the epoch
    pub updated_ms: i64,
}

impl Deployment {
    /// `name@1.2.3`, what runs.
    pub fn module(&self) -> String {
        let name = self.spec.module.split('@').next().unwrap_or_default();
        format!("{name}@{}", self.version)
    }

    /// `name@1.2.3 sha256:…`, as dead letters name it.
    pub fn module_and_digest(&self) -> String {
        format!("{} {}", self.module(), self.digest)
    }
}

/// A resolved beginning of one input partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPosition {
    /// the input topic
    pub topic: TopicId,
    /// its partition
    pub partition: Partition,
    /// the first offset to read
    pub offset: Offset,
}

/// What becomes of the state when a deployment is rewound or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateFate {
    /// stays as it is
    #[default]
    Keep,
    /// is dropped
    Clear,
}
