//! What goes in and out of the operations of members.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::shapes::TopicPartitions;
use crate::broker::consumer::{CommittedOffset, Progress, Start};
use crate::http::consume::RecordBody;
use crate::http::position::{Span, Wait};
use crate::http::produce::Format;
use crate::model::{Offset, Partition};

/// A request for records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PullRequest)]
pub(in crate::http) struct PullBody {
    /// what to read: 1 to 100 topics that exist
    #[schema(min_items = 1, max_items = 100)]
    pub(super) topics: Vec<String>,
    /// as an answer before gave it; without it, a new member
    #[serde(default)]
    pub(super) member: Option<String>,
    /// at most so many records; default 500
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<usize>,
    /// stop after so many bytes of records, one record at least; default 1 MiB
    #[serde(default)]
    #[schema(minimum = 1, maximum = 16777216)]
    pub(super) max_bytes: Option<usize>,
    /// when there is nothing, wait so long for a record: milliseconds or `10s`, at most a minute
    #[serde(default)]
    #[schema(schema_with = crate::http::openapi::size_schema, required = false)]
    pub(super) wait: Wait,
    /// what has been worked through: `"previous"` for all that was given so far, or an answer's `next_commit`, from which the
    /// member goes on, so that an answer that was lost comes again
    #[serde(default)]
    #[schema(schema_with = crate::http::openapi::commit_schema, required = false)]
    pub(super) commit: Option<Commit>,
    /// without a request for so long, the member is removed: milliseconds or `45s`; default 45 s
    #[serde(default)]
    #[schema(schema_with = crate::http::openapi::size_schema, required = false)]
    pub(super) session_timeout: Option<Span>,
    /// where to begin when nothing is committed
    #[serde(default)]
    #[schema(inline)]
    pub(super) start: StartAt,
    /// how `value` is written
    #[serde(default)]
    #[schema(inline)]
    pub(super) format: Format,
    /// leave headers out with `false`
    #[serde(default)]
    pub(super) headers: Option<bool>,
}

/// Where to begin when nothing is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum StartAt {
    /// at the oldest record kept
    #[default]
    Earliest,
    /// at the end
    Latest,
}

/// What has been worked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Commit {
    /// all that was given
    Previous,
    /// this
    Offsets(Vec<OffsetBody>),
}

/// Offsets to commit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CommitBody {
    /// for this member; without it, for a group that has none
    #[serde(default)]
    pub(super) member: Option<String>,
    pub(super) offsets: Vec<OffsetBody>,
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OffsetBody {
    pub(super) topic: String,
    pub(super) partition: Partition,
    /// of the next record to read
    pub(super) offset: Offset,
    /// kept with it, at most 4096 characters
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(super) metadata: String,
}

/// Records for a member; `pull` writes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PullAnswer)]
pub(in crate::http) struct PullAnswer {
    /// pass it on with the next request
    member: String,
    /// what the member reads now
    assignment: Vec<TopicPartitions>,
    /// the group is rebalancing, and nothing can be read until it has; pull again
    #[schema(required = false)]
    rebalancing: bool,
    records: Vec<GroupRecord>,
    next_commit: NextCommit,
}

/// A record and its topic; `pull` writes it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct GroupRecord {
    topic: String,
    #[serde(flatten)]
    record: RecordBody,
}

/// What is to be committed when these records have been worked through, and those before them.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NextCommit {
    pub(super) offsets: Vec<OffsetBody>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct StreamQuery {
    /// what to read: topics that exist, with commas between them
    pub(super) topics: String,
    /// who commits
    #[serde(default)]
    #[param(inline)]
    pub(super) commit: CommitMode,
    /// where to begin when nothing is committed
    #[serde(default)]
    #[param(inline)]
    pub(super) start: StartAt,
    /// how `value` is written
    #[serde(default)]
    #[param(inline)]
    pub(super) format: Format,
    /// leave headers out with `false`
    #[serde(default)]
    pub(super) headers: Option<bool>,
}

/// Who commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum CommitMode {
    /// the client, with `POST /v1/groups/{group}/commit` and the member's id
    #[default]
    Manual,
    /// the server, when what it sent has been taken and the next is asked for
    OnDeliver,
}

impl From<StartAt> for Start {
    fn from(start: StartAt) -> Self {
        match start {
            StartAt::Earliest => Self::Earliest,
            StartAt::Latest => Self::Latest,
        }
    }
}

impl From<Commit> for Progress {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Previous => Self::Previous,
            Commit::Offsets(offsets) => Self::Offsets(offsets.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<OffsetBody> for CommittedOffset {
    fn from(OffsetBody { topic, partition, offset, metadata }: OffsetBody) -> Self {
        Self { topic, partition, offset, metadata }
    }
}

impl<'de> Deserialize<'de> for Commit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Offsets {
            offsets: Vec<OffsetBody>,
        }
        struct CommitVisitor;
        impl<'de> Visitor<'de> for CommitVisitor {
            type Value = Commit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"previous\" or {\"offsets\": […]}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Commit, E> {
                match text {
                    "previous" => Ok(Commit::Previous),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Commit, A::Error> {
                let Offsets { offsets } = Offsets::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Commit::Offsets(offsets))
            }
        }
        deserializer.deserialize_any(CommitVisitor)
    }
}
