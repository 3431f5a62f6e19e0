//! What a setting is: a name, a kind of value, a check, and what a change makes of a value.

use super::super::limits::CONFIG_VALUE_MAX;
use super::{ConfigChange, ConfigError};

/// What kind of text a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`
    Boolean,
    /// one of some words
    String,
    /// a whole number of 32 bits
    Int,
    /// a whole number of 64 bits
    Long,
    /// a number with a fraction
    Double,
    /// items with commas between
    List,
}

/// One setting: name, default, documentation, check.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Kafka's name, or ours
    pub name: &'static str,
    /// of its value
    pub kind: ConfigKind,
    /// as text
    pub default: &'static str,
    /// allowed values, in words; ends "expected …"
    pub expected: &'static str,
    /// one sentence or two
    pub doc: &'static str,
    /// false: kept and described, and that is all
    pub has_effect: bool,
    /// what a broker's properties file calls it, the first that counts first; empty: it has no such name
    pub synonyms: &'static [&'static str],
    /// whether a value, without space around it, is allowed
    pub check: fn(&str) -> bool,
}

// === impl ConfigKey ===

impl ConfigKey {
    /// The value as it is kept: without space around it.
    pub fn parse(&self, value: &str) -> Result<String, ConfigError> {
        let value = self.bounded(value)?.trim();
        if (self.check)(value) {
            return Ok(value.to_owned());
        }
        let (key, found) = (self.name.to_owned(), value.to_owned());
        Err(ConfigError::Value { key, found, expected: self.expected })
    }

    /// The value after a change of `value`; `None`: none of its own.
    pub fn change(&self, value: &str, change: &ConfigChange) -> Result<Option<String>, ConfigError> {
        let (changed, is_append) = match change {
            ConfigChange::Set(value) => return self.parse(value).map(Some),
            ConfigChange::Unset => return Ok(None),
            ConfigChange::Append(changed) => (changed, true),
            ConfigChange::Subtract(changed) => (changed, false),
        };
        if self.kind != ConfigKind::List {
            return Err(ConfigError::NoList { key: self.name.to_owned() });
        }
        let mut list: Vec<&str> = items(value).collect();
        for item in items(self.bounded(changed)?) {
            if !is_append {
                list.retain(|have| *have != item);
            } else if !list.contains(&item) {
                list.push(item);
            }
        }
        self.parse(&list.join(",")).map(Some)
    }

    fn bounded<'a>(&self, value: &'a str) -> Result<&'a str, ConfigError> {
        if value.len() <= CONFIG_VALUE_MAX {
            return Ok(value);
        }
        let (key, found) = (self.name.to_owned(), format!("{} bytes long", value.len()));
        Err(ConfigError::Value { key, found, expected: "at most 32767 bytes" })
    }

    /// The documentation, with a word about effect where there is none.
    pub fn documentation(&self) -> String {
        let effect = if self.has_effect { "" } else { " Kept and described, without effect." };
        format!("{}{effect}", self.doc)
    }
}

/// The items of a list, without the space around them.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(super) fn whole<const LEAST: i64, const MOST: i64>(text: &str) -> bool {
    text.parse().is_ok_and(|n: i64| (LEAST..=MOST).contains(&n))
}

pub(super) fn boolean(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}
