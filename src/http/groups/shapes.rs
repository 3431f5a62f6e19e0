//! What goes in and out of the groups' operations.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::position::Time;
use crate::model::{Offset, Partition};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct GroupPath {
    /// the group; any text, percent-encoded
    pub(super) group: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct MemberPath {
    /// the group; any text, percent-encoded
    pub(super) group: String,
    /// the member's id
    pub(super) member: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListQuery {
    /// only names that begin so
    pub(super) prefix: String,
    /// at most so many; default 1000
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// from the page before
    pub(super) page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ResetQuery {
    /// check everything, change nothing, answer with what would change
    pub(super) dry_run: bool,
    /// members go first, and hear of it by their next request
    pub(super) force: bool,
}

/// A group in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct GroupSummary {
    pub(super) id: String,
    /// `classic`: its members assign; `consumer`: the server does
    pub(super) kind: &'static str,
    /// as Kafka's tools show it: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, …
    pub(super) state: &'static str,
    /// such as `consumer`; empty for a group that only keeps offsets
    pub(super) protocol_type: String,
    /// how many
    pub(super) members: usize,
    /// records behind its committed offsets, over all partitions
    pub(super) total_lag: u64,
    /// it is the position of this deployment, which moves by rewind alone
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<String>,
}

/// A group with its members and offsets.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::http) struct GroupDetail {
    pub(super) id: String,
    /// `classic`: its members assign; `consumer`: the server does
    pub(super) kind: &'static str,
    /// as Kafka's tools show it
    pub(super) state: &'static str,
    /// such as `consumer`; empty for a group that only keeps offsets
    pub(super) protocol_type: String,
    /// how partitions are assigned; empty unless the group is stable
    pub(super) protocol: String,
    /// grows with every rebalance
    pub(super) generation: i32,
    pub(super) members: Vec<MemberDetail>,
    /// of every partition that has a committed offset or is assigned
    pub(super) offsets: Vec<OffsetDetail>,
    /// records behind the committed offsets, over all partitions
    pub(super) total_lag: u64,
    /// it is the position of this deployment, which moves by rewind alone
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<String>,
}

/// A member of a group.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MemberDetail {
    pub(super) id: String,
    /// of a static member
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance_id: Option<String>,
    /// as it calls itself
    pub(super) client_id: String,
    /// where it is
    pub(super) client_host: String,
    /// known while the group is stable
    pub(super) assignment: Vec<TopicPartitions>,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct TopicPartitions {
    pub(super) topic: String,
    pub(super) partitions: Vec<Partition>,
}

/// How far a group has read a partition.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OffsetDetail {
    pub(super) topic: String,
    pub(super) partition: Partition,
    /// of the next record to read; null: nothing is committed
    pub(super) committed: Option<i64>,
    /// what was kept with it
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) metadata: String,
    /// RFC 3339
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) committed_at: Option<String>,
    /// the oldest offset kept; null: the partition is not there any more
    pub(super) log_start_offset: Option<Offset>,
    /// the first offset that is not yet acknowledged
    pub(super) high_watermark: Option<Offset>,
    /// records from the committed offset to the end; null without either
    pub(super) lag: Option<u64>,
    /// who reads it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<String>,
}

/// Where a group goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Reset {
    /// only this topic; without it, every partition that has a committed offset
    #[serde(default)]
    pub(super) topic: Option<String>,
    /// only these partitions of the topic; without them, all
    #[serde(default)]
    pub(super) partitions: Option<Vec<Partition>>,
    /// `earliest`, `latest`, `{"offset": 12}`, `{"timestamp": …}` (milliseconds, RFC 3339, or back from now such as `-1h`)
    /// or `{"shift_by": -100}`
    #[schema(schema_with = crate::http::openapi::reset_to_schema)]
    pub(super) to: ResetTo,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ResetTo {
    /// the oldest record kept
    Earliest,
    /// the end of what is committed
    Latest,
    /// exactly here
    Offset(Offset),
    /// the first record at or after this time
    Timestamp(Time),
    /// so many records on from what is committed, or back; not past the ends of the log
    ShiftBy(i64),
}

/// What was reset, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ResetAnswer {
    pub(super) group: String,
    /// nothing was changed
    pub(super) dry_run: bool,
    pub(super) partitions: Vec<ResetPartition>,
}

/// A partition that was reset.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ResetPartition {
    pub(super) topic: String,
    pub(super) partition: Partition,
    /// null: nothing was committed
    pub(super) before: Option<i64>,
    pub(super) offset: Offset,
    /// records behind it
    pub(super) lag: u64,
}

impl<'de> Deserialize<'de> for ResetTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ToVisitor;
        impl<'de> Visitor<'de> for ToVisitor {
            type Value = ResetTo;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("earliest, latest, {\"offset\": …}, {\"timestamp\": …} or {\"shift_by\": …}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ResetTo, E> {
                match text {
                    "earliest" => Ok(ResetTo::Earliest),
                    "latest" => Ok(ResetTo::Latest),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResetTo, A::Error> {
                let to = match map.next_key::<String>()?.as_deref() {
                    Some("offset") => ResetTo::Offset(map.next_value()?),
                    Some("timestamp") => ResetTo::Timestamp(map.next_value()?),
                    Some("shift_by") => ResetTo::ShiftBy(map.next_value()?),
                    Some(other) => {
                        return Err(de::Error::unknown_field(other, &["offset", "timestamp", "shift_by"]));
                    }
                    None => return Err(de::Error::invalid_length(0, &self)),
                };
                match map.next_key::<String>()? {
                    None => Ok(to),
                    Some(_) => Err(de::Error::invalid_length(2, &self)),
                }
            }
        }
        deserializer.deserialize_any(ToVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_or_one_member() {
        let to = |text: &str| serde_json::from_str::<ResetTo>(text);
        assert_eq!(to("\"latest\"").unwrap(), ResetTo::Latest);
        assert_eq!(to("{\"offset\": 12}").unwrap(), ResetTo::Offset(12));
        assert_eq!(to("{\"shift_by\": -3}").unwrap(), ResetTo::ShiftBy(-3));
        assert_eq!(to("{\"timestamp\": 5}").unwrap(), ResetTo::Timestamp(Time::At(5)));
        for wrong in
            ["\"middle\"", "{}", "{\"offset\": -1}", "{\"ofset\": 1}", "7", "{\"offset\":1,\"shift_by\":1}"]
        {
            assert!(to(wrong).is_err(), "{wrong}");
        }
    }
}
