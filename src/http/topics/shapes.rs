//! What goes in and out of the topics' operations.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::{Offset, Partition};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct TopicPath {
    /// the topic
    pub(super) topic: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListQuery {
    /// only names that begin so
    pub(super) prefix: String,
    /// the server's own topics too
    pub(super) internal: bool,
    /// at most so many; default 1000
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// from the page before
    pub(super) page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ChangeQuery {
    /// check everything, change nothing
    pub(super) dry_run: bool,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DeleteQuery {
    /// delete it even if deployments use it; their tasks stop
    pub(super) force: bool,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(in crate::http) struct IfMatchHeader {
    /// change it only if it still has this ETag
    #[param(rename = "If-Match")]
    pub(super) if_match: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(in crate::http) struct DeleteHeader {
    /// delete it only if it still has this ETag
    #[param(rename = "If-Match")]
    pub(super) if_match: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(in crate::http) struct IfNoneMatchHeader {
    /// `*`: only if it does not exist
    #[param(rename = "If-None-Match")]
    pub(super) if_none_match: Option<String>,
}

/// A topic to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateTopic {
    /// 1 to 249 of `a-z A-Z 0-9 . _ -`
    #[schema(min_length = 1, max_length = 249, pattern = "^[a-zA-Z0-9._-]+$")]
    pub(super) name: String,
    /// default 1
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) partitions: u32,
    /// settings by Kafka's names; see `GET /v1/topics/{topic}/config`
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(super) config: BTreeMap<String, ConfigText>,
}

/// A topic that has to be there, exactly so.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EnsureTopic {
    /// default 1
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) partitions: u32,
    /// settings by Kafka's names
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(super) config: BTreeMap<String, ConfigText>,
}

/// A change of a topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeTopic {
    /// the new number, not less than now
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) partitions: Option<u32>,
    /// settings to change; null returns one to its default
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub(super) config: BTreeMap<String, Option<ConfigText>>,
}

/// A setting: text, or a number or boolean that is taken as its text.
#[derive(Debug)]
pub(in crate::http) struct ConfigText(pub(super) String);

/// What a view shows. Offsets, records and bytes are its source's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopicView)]
pub(in crate::http) struct ViewOfTopic {
    /// the topic that it shows
    pub(super) source: String,
    /// `name@version` of its code
    pub(super) module: String,
}

/// A topic in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TopicSummary {
    pub(super) name: String,
    pub(super) id: String,
    /// how many
    pub(super) partitions: u32,
    /// records kept, over all partitions
    pub(super) records: u64,
    /// bytes kept, over all partitions
    pub(super) bytes: u64,
    /// settings that differ from the defaults
    pub(super) config: BTreeMap<String, String>,
    /// deployments that use it
    pub(super) deployments: Vec<String>,
    /// it is a view: what it shows, and through which code. It can be read, and nothing else
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) view: Option<ViewOfTopic>,
    /// grows with every change; the ETag
    pub(super) revision: u64,
    /// RFC 3339
    pub(super) created_at: String,
}

/// A topic with its partitions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TopicDetail {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) partitions: Vec<PartitionDetail>,
    /// as it was asked for when the topic was created; one node holds one copy
    pub(super) replication_factor: u16,
    /// records kept, over all partitions
    pub(super) records: u64,
    /// bytes kept, over all partitions
    pub(super) bytes: u64,
    /// settings that differ from the defaults
    pub(super) config: BTreeMap<String, String>,
    /// deployments that use it
    pub(super) deployments: Vec<String>,
    /// it is a view: what it shows, and through which code. It can be read, and nothing else
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) view: Option<ViewOfTopic>,
    /// grows with every change; the ETag
    pub(super) revision: u64,
    /// RFC 3339
    pub(super) created_at: String,
}

/// A partition.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PartitionDetail {
    pub(super) partition: Partition,
    /// the oldest offset kept
    pub(super) log_start_offset: Offset,
    /// the first offset that is not yet acknowledged
    pub(super) high_watermark: Offset,
    /// bytes kept
    pub(super) bytes: u64,
}

/// A setting of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConfigEntry {
    pub(super) name: &'static str,
    /// in force
    pub(super) value: String,
    pub(super) default: &'static str,
    /// `topic`, `broker` (a default of this broker, changed while it ran) or `default`
    pub(super) source: &'static str,
    /// allowed values
    pub(super) expected: &'static str,
    pub(super) doc: String,
}

/// All settings of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConfigList {
    pub(super) items: Vec<ConfigEntry>,
}

fn one() -> u32 {
    1
}

impl<'de> Deserialize<'de> for ConfigText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConfigVisitor;
        impl Visitor<'_> for ConfigVisitor {
            type Value = ConfigText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number or a boolean")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigText, E> {
                Ok(ConfigText(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<ConfigText, E> {
                Ok(ConfigText(n.to_string()))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<ConfigText, E> {
                Ok(ConfigText(n.to_string()))
            }
            fn visit_bool<E: de::Error>(self, b: bool) -> Result<ConfigText, E> {
                Ok(ConfigText(b.to_string()))
            }
        }
        deserializer.deserialize_any(ConfigVisitor)
    }
}
