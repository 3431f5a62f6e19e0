//! Settings beside those of topics that can be changed while the server runs: of the broker and of groups, under Kafka's
//! names (`DynamicBrokerConfig`, `GroupConfig`).
//!
//! What a topic can set, the broker can have a default for (`log.cleanup.policy` for `cleanup.policy`). A few more are
//! known because tools and test suites set them; they have no meaning here and say so.

use serde::{Deserialize, Serialize};

use super::topic::{ConfigKey, ConfigKind, KEYS};

/// What settings beside those of topics belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConfigScope {
    /// this broker
    Broker,
    /// every broker that has no setting of its own
    EveryBroker,
    /// a group, there or not
    Group(String),
}

/// Settings of the broker that are no defaults for topics, in alphabetical order.
const BROKER_KEYS: [ConfigKey; 6] = [
    inert("background.threads", "10", 1, "Threads for housekeeping."),
    inert("log.cleaner.threads", "1", 0, "Threads that compact."),
    inert("num.io.threads", "8", 1, "Threads that work on requests."),
    inert("num.network.threads", "3", 1, "Threads that read requests and write responses."),
    inert("sasl.kerberos.min.time.before.relogin", "60000", 0, "Time between two Kerberos logins."),
    inert("sasl.login.refresh.min.period.seconds", "60", 0, "Time between two refreshes of a login."),
];

/// Settings of groups, in alphabetical order. They are those of the consumer protocol (KIP-848), with Kafka's bounds.
pub const GROUP_KEYS: [ConfigKey; 2] = [HEARTBEAT_INTERVAL, SESSION_TIMEOUT];

/// How often members give a sign of life.
pub const HEARTBEAT_INTERVAL: ConfigKey = ConfigKey {
    name: "consumer.heartbeat.interval.ms",
    kind: ConfigKind::Int,
    default: "5000",
    expected: "a number of milliseconds from 5000 to 15000",
    doc: "How often members of a group with the consumer protocol send heartbeats.",
    has_effect: true,
    synonyms: &["group.consumer.heartbeat.interval.ms"],
    check: |v| v.parse().is_ok_and(|n: u32| (5_000..=15_000).contains(&n)),
};

/// After how long without a sign of life members are given up.
pub const SESSION_TIMEOUT: ConfigKey = ConfigKey {
    name: "consumer.session.timeout.ms",
    kind: ConfigKind::Int,
    default: "45000",
    expected: "a number of milliseconds from 45000 to 60000",
    doc: "After how long without heartbeat a member of a group with the consumer protocol is given up.",
    has_effect: true,
    synonyms: &["group.consumer.session.timeout.ms"],
    check: |v| v.parse().is_ok_and(|n: u32| (45_000..=60_000).contains(&n)),
};

/// A number of threads or a time that nothing here asks for.
const fn inert(name: &'static str, default: &'static str, least: u8, doc: &'static str) -> ConfigKey {
    let (expected, check): (_, fn(&str) -> bool) = match least {
        0 => ("a whole number, 0 or more", |v| v.parse::<u32>().is_ok()),
        _ => ("a whole number, 1 or more", |v| v.parse::<u32>().is_ok_and(|n| n > 0)),
    };
    ConfigKey { name, kind: ConfigKind::Int, default, expected, doc, has_effect: false, synonyms: &[], check }
}

/// The setting of the broker that gives topics their default for `key`; `None`: there is none.
pub fn default_for(key: &ConfigKey) -> Option<ConfigKey> {
    key.synonyms.first().map(|name| ConfigKey { name, ..*key })
}

/// Every setting of a scope that can be changed, in no order.
pub fn keys(scope: &ConfigScope) -> Box<dyn Iterator<Item = ConfigKey>> {
    match scope {
        ConfigScope::Group(_) => Box::new(GROUP_KEYS.into_iter()),
        ConfigScope::Broker | ConfigScope::EveryBroker => {
            Box::new(BROKER_KEYS.into_iter().chain(KEYS.iter().filter_map(default_for)))
        }
    }
}

/// The setting of this name.
pub fn find(scope: &ConfigScope, name: &str) -> Option<ConfigKey> {
    keys(scope).find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_a_default_for_what_topics_set() {
        let key = find(&ConfigScope::Broker, "log.cleanup.policy").unwrap();
        assert_eq!((key.name, key.default), ("log.cleanup.policy", "delete"));
        assert_eq!(
            key.parse("shred").unwrap_err().to_string(),
            "config `log.cleanup.policy` is `shred`, expected delete, compact, both with a comma between, or nothing"
        );
        assert!(find(&ConfigScope::Broker, "cleanup.policy").is_none());
        assert!(find(&ConfigScope::EveryBroker, "durability").is_none());
    }

    #[test]
    fn defaults_pass_their_own_checks() {
        for scope in [ConfigScope::Broker, ConfigScope::Group("g".to_owned())] {
            for key in keys(&scope) {
                assert!((key.check)(key.default), "{}", key.name);
            }
        }
    }
}
