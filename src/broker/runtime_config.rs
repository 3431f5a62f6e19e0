//! Settings that are changed while the server runs: the broker's defaults for topics, and those of groups. They are
//! stored before they are in force.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Broker;
use crate::model::limits::GROUP_CONFIGS_MAX;
use crate::model::runtime_config::{self, ConfigScope, HEARTBEAT_INTERVAL, SESSION_TIMEOUT};
use crate::model::topic::{ConfigChange, ConfigError, ConfigKey, KEYS};
use crate::storage::tables::runtime_config::{self as table, Row};
use crate::storage::{Commit, CommitError, ReadError, Storage};

/// Values by name.
pub type Settings = Arc<BTreeMap<String, String>>;

/// Why settings stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeConfigError {
    /// A name or a value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Too many groups have settings of their own.
    #[error("{limit} groups have settings of their own, which is the most")]
    TooMany {
        /// the bound
        limit: usize,
    },
    /// The storage said no.
    #[error("settings could not be stored")]
    Storage(#[from] CommitError),
}

/// Signs of life of members of the consumer protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPace {
    /// how often they give one, ms
    pub heartbeat_interval_ms: i32,
    /// after how long without they are given up, ms
    pub session_timeout_ms: i64,
}

/// What is set, by scope. A scope without settings is not in it.
pub(super) struct RuntimeConfig(ArcSwap<HashMap<ConfigScope, Settings>>);

// === impl RuntimeConfig ===

impl RuntimeConfig {
    pub(super) fn load(storage: &Storage) -> Result<Self, ReadError> {
        let rows = table::load_all(storage)?.into_iter();
        let scopes = rows.map(|Row { scope, set }| (scope, Arc::new(set))).collect();
        Ok(Self(ArcSwap::from_pointee(scopes)))
    }

    fn get(&self, scope: &ConfigScope) -> Settings {
        self.0.load().get(scope).cloned().unwrap_or_default()
    }

    fn put(&self, scope: ConfigScope, set: BTreeMap<String, String>) {
        let mut scopes = HashMap::clone(&self.0.load());
        if set.is_empty() {
            scopes.remove(&scope);
        } else {
            scopes.insert(scope, Arc::new(set));
        }
        self.0.store(Arc::new(scopes));
    }

    /// What topics that set nothing get, under the topics' names: the broker's own settings, then those of every broker.
    pub(super) fn topic_defaults(&self) -> Settings {
        let (own, every) = (self.get(&ConfigScope::Broker), self.get(&ConfigScope::EveryBroker));
        let value = |name: &str| own.get(name).or_else(|| every.get(name)).cloned();
        let default = |key| runtime_config::default_for(key).and_then(|broker| value(broker.name));
        Arc::new(KEYS.iter().filter_map(|key| Some((key.name.to_owned(), default(key)?))).collect())
    }

    /// What a scope has after these changes.
    fn changed(
        &self,
        scope: &ConfigScope,
        changes: &BTreeMap<String, ConfigChange>,
        only_these: bool,
    ) -> Result<BTreeMap<String, String>, RuntimeConfigError> {
        let own = self.get(scope);
        let below = match scope {
            ConfigScope::Broker => self.get(&ConfigScope::EveryBroker),
            ConfigScope::EveryBroker | ConfigScope::Group(_) => Settings::default(),
        };
        let mut set = if only_these { BTreeMap::new() } else { BTreeMap::clone(&own) };
        for (name, change) in changes {
            let Some(key) = runtime_config::find(scope, name) else {
                let names: Vec<_> = runtime_config::keys(scope).map(|key| key.name).collect();
                let suggestion = crate::model::suggest(name, names);
                return Err(ConfigError::Unknown { key: name.clone(), suggestion }.into());
            };
            let value = set.get(name).or_else(|| below.get(name)).map_or(key.default, String::as_str);
            match key.change(value, change)? {
                Some(value) => set.insert(name.clone(), value),
                None => set.remove(name),
            };
        }
        let is_new = !set.is_empty() && own.is_empty();
        let limit = GROUP_CONFIGS_MAX;
        if is_new && matches!(scope, ConfigScope::Group(_)) && self.0.load().len() >= limit {
            return Err(RuntimeConfigError::TooMany { limit });
        }
        Ok(set)
    }
}

// === impl Broker: settings ===

impl Broker {
    /// What is set on a scope.
    pub fn runtime_config(&self, scope: &ConfigScope) -> Settings {
        self.0.runtime_config.get(scope)
    }

    /// The pace of a group, there or not.
    pub fn group_pace(&self, group: &str) -> GroupPace {
        let set = self.0.runtime_config.get(&ConfigScope::Group(group.to_owned()));
        let ms = |key: &ConfigKey| {
            let value = set.get(key.name).map_or(key.default, String::as_str);
            value.parse().unwrap_or(i32::MAX)
        };
        GroupPace {
            heartbeat_interval_ms: ms(&HEARTBEAT_INTERVAL),
            session_timeout_ms: i64::from(ms(&SESSION_TIMEOUT)),
        }
    }

    /// The groups that have settings of their own, in name order.
    pub fn configured_groups(&self) -> Vec<String> {
        let scopes = self.0.runtime_config.0.load();
        let name = |scope: &ConfigScope| match scope {
            ConfigScope::Group(name) => Some(name.clone()),
            ConfigScope::Broker | ConfigScope::EveryBroker => None,
        };
        let mut names: Vec<_> = scopes.keys().filter_map(name).collect();
        names.sort_unstable();
        names
    }

    /// Changes settings of a scope, all or none; with `only_these`, what is not named returns to its default. The
    /// broker's are in force for topics when this ends. A dry run checks everything and changes nothing.
    ///
    /// # Errors
    /// `Config`, `TooMany`, `Storage`.
    pub async fn alter_runtime_config(
        &self,
        scope: ConfigScope,
        changes: BTreeMap<String, ConfigChange>,
        only_these: bool,
        dry_run: bool,
    ) -> Result<(), RuntimeConfigError> {
        let broker = self.clone();
        let done = crate::runtime::tasks::spawn("change of settings", async move {
            let _one = broker.0.catalog.one_change().await;
            let config = &broker.0.runtime_config;
            let set = config.changed(&scope, &changes, only_these)?;
            if dry_run || set == *config.get(&scope) {
                return Ok(());
            }
            let mut commit = Commit::new();
            table::put(&mut commit, &Row { scope: scope.clone(), set: set.clone() });
            broker.0.storage.commit(commit).await?;
            let is_group = matches!(scope, ConfigScope::Group(_));
            config.put(scope, set);
            if !is_group {
                broker.0.catalog.set_defaults(&broker.0.storage, config.topic_defaults());
            }
            Ok(())
        });
        // Only a panic or the end of the runtime breaks the task off.
        done.await.unwrap_or(Err(RuntimeConfigError::Storage(CommitError::Closed)))
    }
}
