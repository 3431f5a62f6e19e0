//! A topic's settings under Kafka's names, with their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch::Codec;
use super::limits::{MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX};
use super::{TopicId, TopicName};

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

/// Why a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error("unknown topic config `{key}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// as given
        key: String,
        /// the nearest known key
        suggestion: Option<String>,
    },
    /// A value out of range or of another kind.
    #[error("topic config `{key}` is `{found}`, expected {expected}")]
    Value {
        /// as given
        key: String,
        /// as given
        found: String,
        /// in words
        expected: &'static str,
    },
}

/// The settings of a topic. Each has Kafka's meaning and default unless its documentation says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicConfig {
    /// what was set, under Kafka's names, values as text; everything else has its default
    set: BTreeMap<String, String>,
}

/// One setting: name, default, documentation, check.
pub struct ConfigKey {
    /// Kafka's name, or ours
    pub name: &'static str,
    /// as text
    pub default: &'static str,
    /// allowed values, in words; ends "expected …"
    pub expected: &'static str,
    /// one sentence
    pub doc: &'static str,
    check: fn(&str) -> bool,
}

/// Every known setting, in alphabetical order.
pub const KEYS: [ConfigKey; 6] = [
    ConfigKey {
        name: "cleanup.policy",
        default: "delete",
        expected: "delete",
        doc: "What happens to old records. Only `delete` (by time and size) exists.",
        check: |v| v == "delete",
    },
    ConfigKey {
        name: "compression.type",
        default: "none",
        expected: "none or lz4",
        doc: "How batches that the server builds (HTTP, transforms, processors) are compressed.",
        check: |v| matches!(v, "none" | "uncompressed" | "lz4" | "producer"),
    },
    ConfigKey {
        name: "durability",
        default: "fsync",
        expected: "fsync or os",
        doc: "When a record is acknowledged: after its fdatasync, or from the page cache (synced within a second).",
        check: |v| matches!(v, "fsync" | "os"),
    },
    ConfigKey {
        name: "max.message.bytes",
        default: "1048588",
        expected: "a number of bytes from 1024 to 67108864",
        doc: "The largest record batch.",
        check: |v| v.parse::<usize>().is_ok_and(|n| (1024..=MESSAGE_BYTES_MAX).contains(&n)),
    },
    ConfigKey {
        name: "retention.bytes",
        default: "-1",
        expected: "a number of bytes, or -1 for no bound",
        doc: "The oldest records of a partition go when it is larger than this.",
        check: |v| v.parse::<i64>().is_ok_and(|n| n >= -1),
    },
    ConfigKey {
        name: "retention.ms",
        default: "604800000",
        expected: "a number of milliseconds, or -1 for ever",
        doc: "Records older than this go.",
        check: |v| v.parse::<i64>().is_ok_and(|n| n >= -1),
    },
];

// === impl TopicConfig ===

impl TopicConfig {
    /// Checks every key and value; the first that fails is the error.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, value) in entries {
            config.set(key, value)?;
        }
        Ok(config)
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let Some(known) = KEYS.iter().find(|k| k.name == key) else {
            let names = KEYS.iter().map(|k| k.name);
            return Err(ConfigError::Unknown { key: key.to_owned(), suggestion: super::suggest(key, names) });
        };
        if !(known.check)(value) {
            let (key, found) = (key.to_owned(), value.to_owned());
            return Err(ConfigError::Value { key, found, expected: known.expected });
        }
        self.set.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Returns a key to its default; unknown keys are an error.
    pub fn unset(&mut self, key: &str) -> Result<(), ConfigError> {
        if self.set.remove(key).is_none() && !KEYS.iter().any(|k| k.name == key) {
            let names = KEYS.iter().map(|k| k.name);
            return Err(ConfigError::Unknown { key: key.to_owned(), suggestion: super::suggest(key, names) });
        }
        Ok(())
    }

    /// What was set, by name.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// The value in force, as text.
    pub fn value<'a>(&'a self, key: &'a ConfigKey) -> &'a str {
        self.set.get(key.name).map_or(key.default, String::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.set.get(name).and_then(|v| v.parse().ok())
    }

    /// `None`: for ever.
    pub fn retention_ms(&self) -> Option<u64> {
        u64::try_from(self.number("retention.ms").unwrap_or(604_800_000)).ok()
    }

    /// `None`: no bound.
    pub fn retention_bytes(&self) -> Option<u64> {
        u64::try_from(self.number("retention.bytes").unwrap_or(-1)).ok()
    }

    /// Bytes of the largest batch.
    pub fn message_bytes_max(&self) -> usize {
        self.number("max.message.bytes")
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(MESSAGE_BYTES_DEFAULT)
    }

    /// When acknowledgements leave.
    pub fn durability(&self) -> Durability {
        match self.set.get("durability").map(String::as_str) {
            Some("os") => Durability::Os,
            _ => Durability::Fsync,
        }
    }

    /// The codec of batches that the server builds.
    pub fn codec(&self) -> Codec {
        match self.set.get("compression.type").map(String::as_str) {
            Some("lz4") => Codec::Lz4,
            _ => Codec::None,
        }
    }
}

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
    /// 1 at creation
    pub revision: u64,
    /// milliseconds since the epoch
    pub created_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas_except_durability() {
        let config = TopicConfig::default();
        assert_eq!(config.retention_ms(), Some(7 * 24 * 3_600_000));
        assert_eq!(config.retention_bytes(), None);
        assert_eq!(config.message_bytes_max(), 1_048_588);
        assert_eq!(config.durability(), Durability::Fsync);
        for key in &KEYS {
            assert!((key.check)(key.default), "the default of {} passes its own check", key.name);
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let error = TopicConfig::parse([("retention.mss", "1")]).unwrap_err();
        assert_eq!(error.to_string(), "unknown topic config `retention.mss`; did you mean `retention.ms`?");
    }

    #[test]
    fn a_bad_value_says_what_is_expected() {
        let error = TopicConfig::parse([("retention.ms", "soon")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "topic config `retention.ms` is `soon`, expected a number of milliseconds, or -1 for ever"
        );
    }
}
