//! A setting as the config APIs describe it: value, where it comes from, type, other names. One shape for topics, the
//! broker and groups; the handlers put it into their messages.
//!
//! Facts: `DescribeConfigsResponse` (`ConfigSource`, `ConfigType`), `ConfigHelper` and KIP-226 (sources and synonyms).

use super::door::Door;
use crate::broker::runtime_config::Settings;
use crate::broker::view::View;
use crate::model::runtime_config::{self, ConfigScope, GROUP_KEYS};
use crate::model::topic::{ConfigKey, ConfigKind, KEYS, TopicConfig};

/// Where a value comes from; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Source {
    /// set on the topic
    Topic = 1,
    /// set on this broker while it ran
    Broker = 2,
    /// set on every broker while they ran
    EveryBroker = 3,
    /// given to the server when it was started
    Static = 4,
    /// nobody set it
    Default = 5,
    /// set on the group
    Group = 8,
}

/// The value of a setting under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Synonym {
    pub(super) name: &'static str,
    pub(super) value: Option<String>,
    pub(super) source: Source,
}

/// A setting with what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// `None`: there is no value
    pub(super) value: Option<String>,
    pub(super) source: Source,
    pub(super) kind: ConfigKind,
    /// cannot be altered while the server runs
    pub(super) is_read_only: bool,
    /// the value in force first, then what would be in force without it
    pub(super) synonyms: Vec<Synonym>,
    pub(super) documentation: String,
}

/// What was set on the broker while it ran.
#[derive(Debug, Default)]
pub(super) struct Layers {
    own: Settings,
    every: Settings,
}

// === impl Setting ===

impl Setting {
    /// A setting that can be altered; `synonyms` begins with the one in force.
    fn altered(key: &ConfigKey, synonyms: Vec<Synonym>) -> Self {
        let first = synonyms.first();
        Self {
            name: key.name,
            value: first.map_or_else(|| Some(key.default.to_owned()), |s| s.value.clone()),
            source: first.map_or(Source::Default, |s| s.source),
            kind: key.kind,
            is_read_only: false,
            synonyms,
            documentation: key.documentation(),
        }
    }
}

/// What a view is, as one more setting of it: the others are its source's.
pub(super) fn of_view(view: &View) -> Setting {
    let of = view.of();
    Setting {
        name: "millstream.view",
        value: Some(format!("{} through {}", of.source, of.module)),
        source: Source::Default,
        kind: ConfigKind::String,
        is_read_only: true,
        synonyms: Vec::new(),
        documentation: "The topic that this view shows, and the code that its records go through. A view can be read, and \
                        nothing else."
            .to_owned(),
    }
}

// === impl Layers ===

impl Layers {
    pub(super) fn of(door: &Door) -> Self {
        let settings = |scope| door.broker().runtime_config(&scope);
        Self { own: settings(ConfigScope::Broker), every: settings(ConfigScope::EveryBroker) }
    }

    /// Every setting of a topic, in name order.
    pub(super) fn of_topic(&self, config: &TopicConfig) -> impl Iterator<Item = Setting> {
        KEYS.iter().map(|key| {
            let own = config.overrides().get(key.name);
            let own = own.map(|v| Synonym { name: key.name, value: Some(v.clone()), source: Source::Topic });
            let broker = runtime_config::default_for(key).map(|key| self.synonyms(&key));
            Setting::altered(key, own.into_iter().chain(broker.into_iter().flatten()).collect())
        })
    }

    /// The settings of the broker that can be altered, in no order.
    pub(super) fn of_broker(&self) -> impl Iterator<Item = Setting> {
        let keys = runtime_config::keys(&ConfigScope::Broker);
        keys.map(|key| Setting::altered(&key, self.synonyms(&key)))
    }

    /// What was set on every broker, and nothing else.
    pub(super) fn of_every_broker(&self) -> impl Iterator<Item = Setting> {
        let keys = runtime_config::keys(&ConfigScope::EveryBroker);
        keys.filter_map(|key| {
            let value = Some(self.every.get(key.name)?.clone());
            let set = Synonym { name: key.name, value, source: Source::EveryBroker };
            Some(Setting::altered(&key, vec![set]))
        })
    }

    /// A setting of the broker in its layers, the one in force first.
    fn synonyms(&self, key: &ConfigKey) -> Vec<Synonym> {
        let name = key.name;
        let layer = |value: Option<&str>, source| {
            value.map(|value| Synonym { name, value: Some(value.to_owned()), source })
        };
        let own = layer(self.own.get(name).map(String::as_str), Source::Broker);
        let every = layer(self.every.get(name).map(String::as_str), Source::EveryBroker);
        [own, every, layer(Some(key.default), Source::Default)].into_iter().flatten().collect()
    }
}

/// Every setting of a group, in name order.
pub(super) fn of_group(set: &Settings) -> impl Iterator<Item = Setting> {
    GROUP_KEYS.iter().map(|key| {
        let own = set.get(key.name);
        let own = own.map(|v| Synonym { name: key.name, value: Some(v.clone()), source: Source::Group });
        let broker = key.synonyms.first().map(|name| Synonym {
            name,
            value: Some(key.default.to_owned()),
            source: Source::Default,
        });
        Setting::altered(key, own.into_iter().chain(broker).collect())
    })
}

/// The protocol's number of a type.
pub(super) fn type_code(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::String => 2,
        ConfigKind::Int => 3,
        ConfigKind::Long => 5,
        ConfigKind::Double => 6,
        ConfigKind::List => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[(&str, &str)]) -> Settings {
        Settings::new(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn topic(layers: &Layers, config: &[(&str, &str)], name: &str) -> Setting {
        let config = TopicConfig::parse(config.iter().copied()).unwrap();
        layers.of_topic(&config).find(|s| s.name == name).unwrap()
    }

    fn synonyms(setting: &Setting) -> Vec<(&str, &str, Source)> {
        setting.synonyms.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source)).collect()
    }

    #[test]
    fn a_setting_of_the_topic_stands_before_those_of_the_broker() {
        let layers = Layers {
            own: set(&[("log.retention.ms", "7")]),
            every: set(&[("log.retention.ms", "8"), ("log.cleanup.policy", "compact")]),
        };
        let setting = topic(&layers, &[("retention.ms", "5")], "retention.ms");
        assert_eq!((setting.value.as_deref(), setting.source), (Some("5"), Source::Topic));
        let expected = [
            ("retention.ms", "5", Source::Topic),
            ("log.retention.ms", "7", Source::Broker),
            ("log.retention.ms", "8", Source::EveryBroker),
            ("log.retention.ms", "604800000", Source::Default),
        ];
        assert_eq!(synonyms(&setting), expected);

        let setting = topic(&layers, &[], "cleanup.policy");
        assert_eq!((setting.value.as_deref(), setting.source), (Some("compact"), Source::EveryBroker));
        let every: Vec<_> = layers.of_every_broker().map(|s| (s.name, s.value.unwrap())).collect();
        assert_eq!(every.len(), 2);
        assert!(every.contains(&("log.cleanup.policy", "compact".to_owned())));
    }

    #[test]
    fn a_setting_that_no_broker_knows_has_no_other_name() {
        let setting = topic(&Layers::default(), &[], "durability");
        assert_eq!((setting.value.as_deref(), setting.source), (Some("fsync"), Source::Default));
        assert_eq!(setting.synonyms, []);
    }

    #[test]
    fn a_groups_setting_is_its_own_or_the_default() {
        let settings: Vec<_> = of_group(&set(&[("consumer.session.timeout.ms", "50000")])).collect();
        let values: Vec<_> = settings.iter().map(|s| (s.value.as_deref().unwrap(), s.source)).collect();
        assert_eq!(values, [("5000", Source::Default), ("50000", Source::Group)]);
    }
}
