//! What goes in and out of the reads of records.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::apply::OnError;
use crate::broker::Isolation;
use crate::http::position::{OffsetText, Time, Until, Wait};
use crate::http::produce::Format;
use crate::model::{Offset, Partition, TimestampMs};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct TopicPath {
    /// the topic
    pub(super) topic: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct PartitionPath {
    /// the topic
    pub(super) topic: String,
    /// its partition, from 0
    pub(super) partition: Partition,
}

/// Which records a reader wants, with Kafka's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum IsolationLevel {
    /// those outside of transactions and those of committed ones, up to the first open one
    #[default]
    ReadCommitted,
    /// all that are acknowledged
    ReadUncommitted,
}

impl From<IsolationLevel> for Isolation {
    fn from(level: IsolationLevel) -> Self {
        match level {
            IsolationLevel::ReadCommitted => Self::Committed,
            IsolationLevel::ReadUncommitted => Self::Uncommitted,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PartitionQuery {
    /// a number, `earliest` (the default), `latest`, or `-N` for N before the end
    #[param(value_type = Option<String>)]
    pub(super) offset: Option<OffsetText>,
    /// begin at the first record at or after this time: milliseconds, RFC 3339, or back from now (`-15m`)
    #[param(value_type = Option<String>)]
    pub(super) timestamp: Option<Time>,
    /// at most so many records; default 500
    #[param(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<usize>,
    /// stop after so many bytes of records, one record at least; default 1 MiB
    #[param(minimum = 1, maximum = 16777216)]
    pub(super) max_bytes: Option<usize>,
    /// when there is nothing, wait so long for a record: milliseconds or `10s`, at most a minute
    #[param(value_type = Option<String>)]
    pub(super) wait: Wait,
    /// how `value` is written
    #[param(inline)]
    pub(super) format: Format,
    /// also records of open and aborted transactions, with `read_uncommitted`
    #[param(inline)]
    pub(super) isolation: IsolationLevel,
    /// leave headers out with `false`
    pub(super) headers: Option<bool>,
    /// only records with this key
    pub(super) key: Option<String>,
    /// only records with this binary key
    pub(super) key_base64: Option<String>,
    /// only records whose value holds this text
    pub(super) contains: Option<String>,
    /// a page with a filter looks at so many records at most, and less when they are large or time is short; default 200000
    #[param(minimum = 1, maximum = 1000000)]
    pub(super) scan_limit: Option<usize>,
    /// go on as a live stream of NDJSON
    pub(super) follow: bool,
    /// read through a transform, `name` or `name@1.2.3`: records are kept, dropped or replaced on the way, at their offsets.
    /// Parameters of its code are given as `param.NAME`
    pub(super) apply: Option<String>,
    /// with `apply`: what becomes of a record that its code fails on, rejects or makes several of; `stop` unless given
    #[param(inline)]
    pub(super) on_error: Option<OnError>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TopicQuery {
    /// go on where an earlier answer's `next_cursor` says
    pub(super) cursor: Option<String>,
    /// without a cursor: `earliest` (the default), `latest`, or `-N` for N before the end of every partition
    #[param(value_type = Option<String>)]
    pub(super) offset: Option<OffsetText>,
    /// without a cursor: begin at the first records at or after this time: milliseconds, RFC 3339, or back from now (`-15m`)
    #[param(value_type = Option<String>)]
    pub(super) timestamp: Option<Time>,
    /// end before the first record at or after this time, or where a cursor stands: that of `offset=latest&limit=1` reads
    /// what is there now
    #[param(value_type = Option<String>)]
    pub(super) until: Option<Until>,
    /// at most so many records; default 500
    #[param(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<usize>,
    /// stop after so many bytes of records, one record at least; default 1 MiB
    #[param(minimum = 1, maximum = 16777216)]
    pub(super) max_bytes: Option<usize>,
    /// when there is nothing, wait so long for a record: milliseconds or `10s`, at most a minute
    #[param(value_type = Option<String>)]
    pub(super) wait: Wait,
    /// how `value` is written
    #[param(inline)]
    pub(super) format: Format,
    /// also records of open and aborted transactions, with `read_uncommitted`
    #[param(inline)]
    pub(super) isolation: IsolationLevel,
    /// leave headers out with `false`
    pub(super) headers: Option<bool>,
    /// only records with this key
    pub(super) key: Option<String>,
    /// only records with this binary key
    pub(super) key_base64: Option<String>,
    /// only records whose value holds this text
    pub(super) contains: Option<String>,
    /// a page with a filter looks at so many records at most, and less when they are large or time is short; default 200000
    #[param(minimum = 1, maximum = 1000000)]
    pub(super) scan_limit: Option<usize>,
    /// go on as a live stream of NDJSON
    pub(super) follow: bool,
    /// read through a transform, `name` or `name@1.2.3`: records are kept, dropped or replaced on the way, at their offsets.
    /// Parameters of its code are given as `param.NAME`
    pub(super) apply: Option<String>,
    /// with `apply`: what becomes of a record that its code fails on, rejects or makes several of; `stop` unless given
    #[param(inline)]
    pub(super) on_error: Option<OnError>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(in crate::http) struct LastEventIdHeader {
    /// SSE: go on behind this event; beats `offset`, `timestamp` and `cursor`
    #[param(rename = "Last-Event-ID")]
    pub(super) last_event_id: Option<String>,
}

/// A stored record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Record)]
pub(in crate::http) struct RecordBody {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// milliseconds since 1970
    pub(super) timestamp: TimestampMs,
    /// raw text; null when there is none
    pub(super) key: Option<String>,
    /// a key that is not UTF-8
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_base64: Option<String>,
    /// as `format` says; null: a tombstone
    #[schema(schema_with = crate::http::openapi::any_json, required = false)]
    pub(super) value: serde_json::Value,
    /// a value that is not what `format` says
    pub(super) value_base64: Option<String>,
    /// why it is not
    pub(super) decode_error: Option<String>,
    /// name → string, null, `{"base64": …}`, or a list of these
    #[schema(schema_with = crate::http::openapi::header_map_schema, required = false)]
    pub(super) headers: serde_json::Value,
}

/// Records of one partition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PartitionPage)]
pub(in crate::http) struct PartitionPage {
    pub(super) records: Vec<RecordBody>,
    /// where the next read begins
    pub(super) next_offset: Offset,
    /// the first offset that is not yet acknowledged
    pub(super) high_watermark: Offset,
    /// the oldest kept
    pub(super) log_start_offset: Offset,
    /// with a filter, and through a transform: records that were looked at
    pub(super) scanned: Option<u64>,
    /// with a filter: records that it took
    pub(super) matched: Option<u64>,
    /// through a transform: records left out because its code had trouble with them
    pub(super) skipped: Option<u64>,
}

/// Records of all partitions, merged by timestamp.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopicPage)]
pub(in crate::http) struct TopicPage {
    pub(super) records: Vec<RecordBody>,
    /// where the next read begins; opaque
    pub(super) next_cursor: String,
    /// with `until`: there is nothing more before it
    pub(super) complete: Option<bool>,
    /// with a filter, and through a transform: records that were looked at
    pub(super) scanned: Option<u64>,
    /// with a filter: records that it took
    pub(super) matched: Option<u64>,
    /// through a transform: records left out because its code had trouble with them
    pub(super) skipped: Option<u64>,
}
