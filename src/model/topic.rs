//! A topic and its settings under Kafka's names. `keys` is their table; here is what they mean to the code.

mod key;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Codec;
use super::limits::MESSAGE_BYTES_DEFAULT;
use super::{TopicId, TopicName};

pub use key::{ConfigKey, ConfigKind};
pub use keys::{KEYS, find as find_key};

/// When an acknowledgement may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// after the fdatasync that covers the record
    #[default]
    Fsync,
    /// after the unsynced write, as Kafka does; synced at least every second
    Os,
}

/// What happens to old records. Neither keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// the oldest go by time and size
    pub delete: bool,
    /// the last record of every key stays
    pub compact: bool,
}

/// Whose timestamps records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// the producer's
    CreateTime,
    /// of the moment in which the batch is stored
    LogAppendTime,
}

/// How far a producer's timestamp may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampBounds {
    /// milliseconds in the past; `None`: any
    pub before_ms: Option<u64>,
    /// milliseconds in the future; `None`: any
    pub after_ms: Option<u64>,
}

/// When and how a log is compacted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compaction {
    /// the part that is not compacted yet at which compaction runs, 0 to 1
    pub dirty_ratio_min: f64,
    /// younger records are left alone, milliseconds
    pub lag_min_ms: u64,
    /// older ones are compacted whatever the ratio, milliseconds; `None`: never for that reason
    pub lag_max_ms: Option<u64>,
    /// how long tombstones stay, milliseconds
    pub tombstones_kept_ms: u64,
}

/// Why a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error("unknown config `{key}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// as given
        key: String,
        /// the nearest known key
        suggestion: Option<String>,
    },
    /// A value out of range or of another kind.
    #[error("config `{key}` is `{found}`, expected {expected}")]
    Value {
        /// as given
        key: String,
        /// as given
        found: String,
        /// in words
        expected: &'static str,
    },
    /// Items were to be added to or taken from something that is no list.
    #[error("config `{key}` is no list; it can only be set or returned to its default")]
    NoList {
        /// as given
        key: String,
    },
}

/// What to do with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// give it this value
    Set(String),
    /// return it to its default
    Unset,
    /// put these items at the end of the list in force, those that it has not yet
    Append(String),
    /// take these items out of the list in force
    Subtract(String),
}

/// The settings of a topic. Each has Kafka's meaning and default unless its documentation says otherwise. Two are equal
/// when the same things were set on them.
#[derive(Debug, Clone, Default)]
pub struct TopicConfig {
    /// what was set, under Kafka's names, values as text; everything else has its default
    set: BTreeMap<String, String>,
    /// defaults of this broker that differ from those in [`KEYS`], under the topics' names; not stored with the topic
    defaults: Arc<BTreeMap<String, String>>,
}

// === impl TopicConfig: keys and values ===

impl TopicConfig {
    /// Checks every key and value, and that they fit together; the first that fails is the error.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, value) in entries {
            config.set(key, value)?;
        }
        config.check()?;
        Ok(config)
    }

    /// Sets one key. Space around the value is dropped, as Kafka does.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let value = known(key)?.parse(value)?;
        self.set.insert(key.to_owned(), value);
        Ok(())
    }

    /// Returns a key to its default; unknown keys are an error.
    pub fn unset(&mut self, key: &str) -> Result<(), ConfigError> {
        known(key)?;
        self.set.remove(key);
        Ok(())
    }

    /// Makes one change. After the last one, [`TopicConfig::check`] says whether they fit together.
    pub fn change(&mut self, key: &str, change: &ConfigChange) -> Result<(), ConfigError> {
        let known = known(key)?;
        match known.change(self.value(known), change)? {
            Some(value) => self.set.insert(key.to_owned(), value),
            None => self.set.remove(key),
        };
        Ok(())
    }

    /// Returns everything to its default.
    pub fn clear(&mut self) {
        self.set.clear();
    }

    /// Checks what no single value shows.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Compaction { lag_min_ms, lag_max_ms, .. } = self.compaction();
        if lag_max_ms.is_none_or(|most| lag_min_ms <= most) {
            return Ok(());
        }
        let (key, found) = ("min.compaction.lag.ms".to_owned(), lag_min_ms.to_string());
        Err(ConfigError::Value { key, found, expected: "at most the value of `max.compaction.lag.ms`" })
    }

    /// Gives what is not set here this broker's defaults, under the topics' names, instead of those in [`KEYS`].
    pub fn set_defaults(&mut self, defaults: Arc<BTreeMap<String, String>>) {
        self.defaults = defaults;
    }

    /// What was set, by name.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// The value in force, as text.
    pub fn value<'a>(&'a self, key: &ConfigKey) -> &'a str {
        self.text(key.name).unwrap_or(key.default)
    }
}

fn known(key: &str) -> Result<&'static ConfigKey, ConfigError> {
    find_key(key).ok_or_else(|| {
        let names = KEYS.iter().map(|k| k.name);
        ConfigError::Unknown { key: key.to_owned(), suggestion: super::suggest(key, names) }
    })
}

// === impl TopicConfig: meanings ===

impl TopicConfig {
    fn text(&self, name: &str) -> Option<&str> {
        self.set.get(name).or_else(|| self.defaults.get(name)).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|v| v.parse().ok())
    }

    /// A number of milliseconds; Kafka's largest number means that there is no bound.
    fn bound_ms(&self, name: &str, default: i64) -> Option<u64> {
        let n = self.number(name).unwrap_or(default);
        u64::try_from(n).ok().filter(|_| n < i64::MAX)
    }

    /// `None`: for ever.
    pub fn retention_ms(&self) -> Option<u64> {
        u64::try_from(self.number("retention.ms").unwrap_or(604_800_000)).ok()
    }

    /// `None`: no bound.
    pub fn retention_bytes(&self) -> Option<u64> {
        u64::try_from(self.number("retention.bytes").unwrap_or(-1)).ok()
    }

    /// Bytes at which a segment is closed, if that was set.
    pub fn segment_bytes(&self) -> Option<u64> {
        self.number("segment.bytes").and_then(|n| u64::try_from(n).ok())
    }

    /// Milliseconds after which a segment is closed, if that was set.
    pub fn segment_ms(&self) -> Option<u64> {
        self.number("segment.ms").and_then(|n| u64::try_from(n).ok())
    }

    /// What happens to old records.
    pub fn cleanup(&self) -> Cleanup {
        let Some(policy) = self.text("cleanup.policy") else {
            return Cleanup { delete: true, compact: false };
        };
        let has = |word| key::items(policy).any(|item| item == word);
        Cleanup { delete: has("delete"), compact: has("compact") }
    }

    /// When and how the log is compacted, if it is.
    pub fn compaction(&self) -> Compaction {
        let ratio = self.text("min.cleanable.dirty.ratio").and_then(|v| v.parse().ok());
        Compaction {
            dirty_ratio_min: ratio.unwrap_or(0.5),
            lag_min_ms: self.number("min.compaction.lag.ms").unwrap_or(0).unsigned_abs(),
            lag_max_ms: self.bound_ms("max.compaction.lag.ms", i64::MAX),
            tombstones_kept_ms: self.number("delete.retention.ms").unwrap_or(86_400_000).unsigned_abs(),
        }
    }

    /// Whose timestamps records have.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.text("message.timestamp.type") {
            Some("LogAppendTime") => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    /// How far timestamps of producers may be off; to be asked about only with `CreateTime`.
    pub fn timestamp_bounds(&self) -> TimestampBounds {
        TimestampBounds {
            before_ms: self.bound_ms("message.timestamp.before.max.ms", i64::MAX),
            after_ms: self.bound_ms("message.timestamp.after.max.ms", 3_600_000),
        }
    }

    /// Bytes of the largest batch.
    pub fn message_bytes_max(&self) -> usize {
        self.number("max.message.bytes")
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(MESSAGE_BYTES_DEFAULT)
    }

    /// When acknowledgements leave.
    pub fn durability(&self) -> Durability {
        match self.text("durability") {
            Some("os") => Durability::Os,
            _ => Durability::Fsync,
        }
    }

    /// The codec of batches that the server builds.
    pub fn codec(&self) -> Codec {
        self.client_codec().unwrap_or(Codec::None)
    }

    /// The codec that clients' batches are stored with; `None`: the one they came with.
    pub fn client_codec(&self) -> Option<Codec> {
        match self.text("compression.type")? {
            "uncompressed" | "none" => Some(Codec::None),
            "gzip" => Some(Codec::Gzip),
            "snappy" => Some(Codec::Snappy),
            "lz4" => Some(Codec::Lz4),
            "zstd" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

impl PartialEq for TopicConfig {
    fn eq(&self, other: &Self) -> bool {
        self.set == other.set
    }
}

impl Eq for TopicConfig {}

impl Serialize for TopicConfig {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.set.serialize(s)
    }
}

impl<'de> Deserialize<'de> for TopicConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let set = BTreeMap::<String, String>::deserialize(d)?;
        Self::parse(set.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(serde::de::Error::custom)
    }
}

/// A topic as it is stored. `revision` grows with every change and is the ETag of its description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// its name
    pub name: TopicName,
    /// its identity
    pub id: TopicId,
    /// partitions `0..partitions`
    pub partitions: u32,
    /// its settings
    pub config: TopicConfig,
    /// as asked for by who created it: kept and told, one node has one copy
    #[serde(default = "one")]
    pub replication_factor: u16,
    /// 1 at creation
    pub revision: u64,
    /// milliseconds since the epoch
    pub created_ms: i64,
}

/// Topics made before there was a replication factor have one copy.
fn one() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> TopicConfig {
        TopicConfig::parse(entries.iter().copied()).unwrap()
    }

    #[test]
    fn defaults_are_kafkas_except_durability() {
        let config = TopicConfig::default();
        assert_eq!(config.retention_ms(), Some(7 * 24 * 3_600_000));
        assert_eq!(config.retention_bytes(), None);
        assert_eq!(config.message_bytes_max(), 1_048_588);
        assert_eq!(config.durability(), Durability::Fsync);
        assert_eq!(config.cleanup(), Cleanup { delete: true, compact: false });
        assert_eq!(config.timestamp_type(), TimestampType::CreateTime);
        let bounds = TimestampBounds { before_ms: None, after_ms: Some(3_600_000) };
        assert_eq!(config.timestamp_bounds(), bounds);
        let compaction = Compaction {
            dirty_ratio_min: 0.5,
            lag_min_ms: 0,
            lag_max_ms: None,
            tombstones_kept_ms: 86_400_000,
        };
        assert_eq!(config.compaction(), compaction);
        assert_eq!((config.codec(), config.client_codec()), (Codec::None, None));
    }

    #[test]
    fn defaults_in_the_table_are_those_of_the_code() {
        let all = TopicConfig::parse(KEYS.iter().map(|key| (key.name, key.default))).unwrap();
        let none = TopicConfig::default();
        assert_eq!(all.retention_ms(), none.retention_ms());
        assert_eq!(all.retention_bytes(), none.retention_bytes());
        assert_eq!(all.message_bytes_max(), none.message_bytes_max());
        assert_eq!(all.durability(), none.durability());
        assert_eq!(all.cleanup(), none.cleanup());
        assert_eq!(all.compaction(), none.compaction());
        assert_eq!(all.timestamp_type(), none.timestamp_type());
        assert_eq!(all.timestamp_bounds(), none.timestamp_bounds());
        assert_eq!(all.client_codec(), none.client_codec());
    }

    #[test]
    fn values_mean_what_kafka_says() {
        let both = config(&[("cleanup.policy", "delete, compact"), ("compression.type", "zstd")]);
        assert_eq!(both.cleanup(), Cleanup { delete: true, compact: true });
        assert_eq!((both.codec(), both.client_codec()), (Codec::Zstd, Some(Codec::Zstd)));
        let none = config(&[("cleanup.policy", ""), ("compression.type", "uncompressed")]);
        assert_eq!(none.cleanup(), Cleanup { delete: false, compact: false });
        assert_eq!((none.codec(), none.client_codec()), (Codec::None, Some(Codec::None)));
        let append_time = config(&[("message.timestamp.type", "LogAppendTime"), ("segment.ms", " 100 ")]);
        assert_eq!(append_time.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((append_time.segment_ms(), append_time.segment_bytes()), (Some(100), None));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let error = TopicConfig::parse([("retention.mss", "1")]).unwrap_err();
        assert_eq!(error.to_string(), "unknown config `retention.mss`; did you mean `retention.ms`?");
    }

    #[test]
    fn a_bad_value_says_what_is_expected() {
        let error = TopicConfig::parse([("retention.ms", "soon")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config `retention.ms` is `soon`, expected a number of milliseconds, or -1 for ever"
        );
    }

    #[test]
    fn values_have_to_fit_together() {
        let entries = [("min.compaction.lag.ms", "11"), ("max.compaction.lag.ms", "10")];
        let error = TopicConfig::parse(entries).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config `min.compaction.lag.ms` is `11`, expected at most the value of `max.compaction.lag.ms`"
        );
    }

    #[test]
    fn lists_grow_and_shrink_by_items() {
        let mut config = TopicConfig::default();
        let compact = |c: &mut TopicConfig, change| c.change("cleanup.policy", &change).map(|()| c.cleanup());
        let cleanup = |delete, compact| Ok(Cleanup { delete, compact });
        let items = |text: &str| text.to_owned();
        let added = compact(&mut config, ConfigChange::Append(items("compact,delete")));
        assert_eq!(added, cleanup(true, true));
        assert_eq!(config.overrides()["cleanup.policy"], "delete,compact");
        assert_eq!(compact(&mut config, ConfigChange::Subtract(items("delete"))), cleanup(false, true));
        assert_eq!(compact(&mut config, ConfigChange::Unset), cleanup(true, false));
        let no_list = config.change("retention.ms", &ConfigChange::Append(items("1")));
        assert_eq!(no_list, Err(ConfigError::NoList { key: items("retention.ms") }));
    }

    #[test]
    fn defaults_of_the_broker_count_where_nothing_is_set() {
        let mut config = config(&[("retention.ms", "5")]);
        let same = config.clone();
        let defaults = [("retention.ms", "7"), ("cleanup.policy", "compact")];
        let defaults = defaults.map(|(k, v)| (k.to_owned(), v.to_owned()));
        config.set_defaults(Arc::new(defaults.into()));
        assert_eq!(config.retention_ms(), Some(5));
        assert_eq!(config.cleanup(), Cleanup { delete: false, compact: true });
        assert_eq!(config, same);
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"retention.ms":"5"}"#);
    }

    #[test]
    fn a_topic_stored_before_there_was_a_replication_factor_has_one_copy() {
        let row = r#"{"name":"a","id":"00000000-0000-0000-0000-000000000001","partitions":2,
                      "config":{"compression.type":"none"},"revision":1,"created_ms":5}"#;
        let topic: Topic = serde_json::from_str(row).unwrap();
        assert_eq!(topic.replication_factor, 1);
        assert_eq!(topic.config.codec(), Codec::None);
    }
}
