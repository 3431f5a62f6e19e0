//! The topics in use: by name, with their logs, lanes and transforms. Changes are made one at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::RwLock;
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::inline::Chain;
use super::lane::Lanes;
use super::runtime_config::Settings;
use super::topic_change::{check_partitions, check_revision, told};
use super::view::View;
use super::{Broker, NewTopic, TopicChange, TopicError};
use crate::model::limits::TOPICS_MAX;
use crate::model::topic::{Topic, TopicConfig};
use crate::model::{DeploymentName, Partition, TopicId, TopicName, suggest};
use crate::runtime::clock::Clock;
use crate::runtime::events::What;
use crate::runtime::tasks;
use crate::storage::{self, Log, Storage};

/// A topic as it is now. A change makes a new one; lanes, transforms and logs are shared between them.
pub struct TopicHandle {
    /// name, id, partitions, settings
    pub topic: Topic,
    pub(super) logs: Vec<Arc<Log>>,
    pub(super) shared: Arc<Shared>,
    /// what its readers look through; such a handle is for reading alone
    pub(super) view: Option<Arc<View>>,
}

/// What outlives a change of settings.
#[derive(Default)]
pub(super) struct Shared {
    lanes: Lanes,
    pub(super) chain: ArcSwapOption<Chain>,
    sticky: AtomicU32,
}

/// How a deployment uses a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// reads it, and keeps state under its partitions
    StatefulInput,
    /// reads it
    Input,
    /// writes to it
    Output,
}

pub(super) struct Catalog {
    topics: ArcSwap<HashMap<TopicName, Arc<TopicHandle>>>,
    pub(super) uses: RwLock<BTreeMap<DeploymentName, Vec<(TopicName, Use)>>>,
    /// the transforms in force by topic, also of topics that are not there: one created again must not go without
    pub(super) chains: RwLock<HashMap<TopicName, Chain>>,
    /// what topics get that set nothing
    defaults: ArcSwap<BTreeMap<String, String>>,
    changes: tokio::sync::Mutex<()>,
    clock: Clock,
}

// === impl TopicHandle ===

impl TopicHandle {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.topic.name
    }

    /// Its identity.
    pub fn id(&self) -> TopicId {
        self.topic.id
    }

    /// The logs, one a partition.
    pub fn logs(&self) -> &[Arc<Log>] {
        &self.logs
    }

    /// The log of a partition.
    pub fn log(&self, partition: Partition) -> Option<&Arc<Log>> {
        self.logs.get(partition as usize)
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.shared.lanes
    }

    /// The transforms that run on produce.
    pub fn chain(&self) -> Option<Arc<Chain>> {
        self.shared.chain.load_full()
    }

    /// The partition for the keyless records of one request; the next request gets the next one.
    pub(super) fn sticky_partition(&self) -> Partition {
        self.shared.sticky.fetch_add(1, Ordering::Relaxed) % self.topic.partitions.max(1)
    }
}

// === impl Catalog ===

impl Catalog {
    pub(super) fn open(storage: &Storage, clock: Clock, defaults: Settings) -> Self {
        let handle = |mut topic: Topic| {
            topic.config.set_defaults(defaults.clone());
            storage.set_topic_defaults(&topic);
            let logs = storage.logs(topic.id);
            (topic.name.clone(), Arc::new(TopicHandle { topic, logs, shared: Arc::default(), view: None }))
        };
        Self {
            topics: ArcSwap::from_pointee(storage.topics().into_iter().map(handle).collect()),
            uses: RwLock::default(),
            chains: RwLock::default(),
            defaults: ArcSwap::new(defaults),
            changes: tokio::sync::Mutex::default(),
            clock,
        }
    }

    /// Keeps topics and what goes with them as they are until it is dropped.
    pub(super) async fn one_change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// Gives topics, those that are there and those to come, other defaults. Under [`Catalog::one_change`].
    pub(super) fn set_defaults(&self, storage: &Storage, defaults: Settings) {
        self.defaults.store(defaults);
        let defaults = self.defaults.load();
        let with_defaults = |old: &Arc<TopicHandle>| {
            let mut topic = old.topic.clone();
            topic.config.set_defaults(Settings::clone(&defaults));
            storage.set_topic_defaults(&topic);
            Arc::new(TopicHandle { topic, logs: old.logs.clone(), shared: old.shared.clone(), view: None })
        };
        let topics = self.topics.load();
        let topics = topics.iter().map(|(name, topic)| (name.clone(), with_defaults(topic))).collect();
        self.topics.store(Arc::new(topics));
    }

    /// The logs of all topics.
    pub(super) fn logs(&self) -> HashMap<(TopicId, Partition), Arc<Log>> {
        let topics = self.topics.load();
        let logs = topics.values().flat_map(|topic| topic.logs());
        logs.map(|log| ((log.topic_id(), log.partition()), log.clone())).collect()
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<TopicHandle>, TopicError> {
        let topics = self.topics.load();
        if let Some(handle) = topics.get(name) {
            return Ok(handle.clone());
        }
        let visible = topics.keys().filter(|n| !n.is_internal()).map(TopicName::as_str);
        Err(TopicError::Unknown { name: name.to_owned(), suggestion: suggest(name, visible) })
    }

    fn replace(&self, name: &TopicName, handle: Option<Arc<TopicHandle>>) {
        let mut topics = HashMap::clone(&self.topics.load());
        match handle {
            Some(handle) => topics.insert(name.clone(), handle),
            None => topics.remove(name),
        };
        self.topics.store(Arc::new(topics));
    }

    /// Could this topic be created now?
    fn check_new(&self, new: &NewTopic) -> Result<(), TopicError> {
        check_partitions(&new.name, new.partitions, 1)?;
        new.config.check()?;
        let topics = self.topics.load();
        if topics.contains_key(&new.name) {
            return Err(TopicError::Exists { name: new.name.clone(), difference: None });
        }
        if topics.len() >= TOPICS_MAX {
            return Err(TopicError::TooMany { limit: TOPICS_MAX });
        }
        Ok(())
    }

    pub(super) fn users(&self, topic: &TopicName, wanted: impl Fn(Use) -> bool) -> Vec<DeploymentName> {
        let uses = self.uses.read();
        let of =
            |list: &Vec<(TopicName, Use)>| list.iter().any(|(name, usage)| name == topic && wanted(*usage));
        uses.iter().filter(|(_, list)| of(list)).map(|(name, _)| name.clone()).collect()
    }
}

// === impl Broker: topics ===

impl Broker {
    /// The topic of this name.
    ///
    /// # Errors
    /// `Unknown`, with the nearest name; `View`, which only readers see: [`Broker::readable`].
    pub fn topic(&self, name: &str) -> Result<Arc<TopicHandle>, TopicError> {
        match self.0.catalog.find(name) {
            Err(unknown @ TopicError::Unknown { .. }) => Err(self.0.views.refusal(name).unwrap_or(unknown)),
            found => found,
        }
    }

    /// The topic of this name; unlike [`Broker::topic`] without a search for the nearest one.
    pub fn topic_named(&self, name: &str) -> Option<Arc<TopicHandle>> {
        self.0.catalog.topics.load().get(name).cloned()
    }

    /// All topics in name order, internal ones included.
    pub fn topics(&self) -> Vec<Arc<TopicHandle>> {
        let mut topics: Vec<_> = self.0.catalog.topics.load().values().cloned().collect();
        topics.sort_by(|a, b| a.name().cmp(b.name()));
        topics
    }

    /// The topic of this identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<TopicHandle>> {
        self.0.catalog.topics.load().values().find(|t| t.id() == id).cloned()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// `Exists`, `Internal`, `Config`, `Partitions`, `TooMany`, `Storage`.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<TopicHandle>, TopicError> {
        if new.name.is_internal() {
            return Err(TopicError::Internal(new.name));
        }
        self.create(new).await
    }

    /// Says what [`Broker::create_topic`] would say now, and creates nothing.
    ///
    /// # Errors
    /// `Exists`, `Internal`, `Config`, `Partitions`, `TooMany`.
    pub fn check_new_topic(&self, new: &NewTopic) -> Result<(), TopicError> {
        if new.name.is_internal() {
            return Err(TopicError::Internal(new.name.clone()));
        }
        self.check_free(&new.name)?;
        self.0.catalog.check_new(new)
    }

    /// Creates a topic of the server's own (`__…`), or takes it as it is.
    pub(crate) async fn ensure_internal(&self, new: NewTopic) -> Result<Arc<TopicHandle>, TopicError> {
        match self.create(new.clone()).await {
            Err(TopicError::Exists { .. }) => self.topic(new.name.as_str()),
            other => other,
        }
    }

    /// Creates a topic, or takes it when it is exactly as asked for. The flag says whether it was created.
    ///
    /// # Errors
    /// `Exists` with the difference, and those of [`Broker::create_topic`].
    pub async fn ensure_topic(&self, new: NewTopic) -> Result<(Arc<TopicHandle>, bool), TopicError> {
        match self.create_topic(new.clone()).await {
            Err(TopicError::Exists { name, .. }) => {
                let handle = self.topic(name.as_str())?;
                let have = &handle.topic;
                let difference = if have.partitions != new.partitions {
                    Some(format!("it has {} partitions, asked for {}", have.partitions, new.partitions))
                } else if have.config != new.config {
                    let text = |c: &TopicConfig| serde_json::to_string(c).unwrap_or_default();
                    Some(format!("its config is {}, asked for {}", text(&have.config), text(&new.config)))
                } else {
                    return Ok((handle, false));
                };
                Err(TopicError::Exists { name, difference })
            }
            created => Ok((created?, true)),
        }
    }

    async fn create(&self, new: NewTopic) -> Result<Arc<TopicHandle>, TopicError> {
        let (broker, name) = (self.clone(), new.name.clone());
        to_its_end(name, async move { broker.create_whole(new).await }).await
    }

    async fn create_whole(&self, new: NewTopic) -> Result<Arc<TopicHandle>, TopicError> {
        let catalog = &self.0.catalog;
        let name = new.name.clone();
        let _one = catalog.changes.lock().await;
        self.check_free(&name)?;
        catalog.check_new(&new)?;
        let mut config = new.config;
        config.set_defaults(catalog.defaults.load_full());
        let topic = Topic {
            name: new.name,
            id: TopicId(Uuid::new_v4()),
            partitions: new.partitions,
            config,
            replication_factor: new.replication_factor,
            revision: 1,
            created_ms: catalog.clock.now_ms(),
        };
        let logs = self.0.storage.create_topic(topic.clone()).await.map_err(|e| failed(&name, e))?;
        let shared = Shared::default();
        let chains = catalog.chains.read();
        shared.chain.store(chains.get(&name).cloned().map(Arc::new));
        let handle = Arc::new(TopicHandle { topic, logs, shared: Arc::new(shared), view: None });
        catalog.replace(&name, Some(handle.clone()));
        self.views_follow(&name);
        told(What::TopicCreated, &handle.topic);
        Ok(handle)
    }

    /// Changes settings or adds partitions; a dry run gives the topic as it would be.
    ///
    /// # Errors
    /// `Unknown`, `Config`, `Partitions`, `StatefulInput`, `Revision`, `Storage`.
    pub async fn alter_topic(&self, name: &str, change: TopicChange) -> Result<Topic, TopicError> {
        let (broker, name) = (self.clone(), self.topic(name)?.name().clone());
        to_its_end(name.clone(), async move { broker.alter_whole(name.as_str(), change).await }).await
    }

    async fn alter_whole(&self, name: &str, change: TopicChange) -> Result<Topic, TopicError> {
        let catalog = &self.0.catalog;
        let _one = catalog.changes.lock().await;
        let old = catalog.find(name)?;
        let name = old.name().clone();
        let mut topic = old.topic.clone();
        check_revision(&topic, change.if_revision)?;
        if change.only_these {
            topic.config.clear();
        }
        for (key, change) in &change.config {
            topic.config.change(key, change)?;
        }
        topic.config.check()?;
        if let Some(partitions) = change.partitions {
            check_partitions(&name, partitions, topic.partitions)?;
            let by = catalog.users(&name, |usage| usage == Use::StatefulInput);
            if partitions > topic.partitions && !by.is_empty() {
                return Err(TopicError::StatefulInput { name, by });
            }
            topic.partitions = partitions;
        }
        if topic == old.topic {
            return Ok(topic);
        }
        topic.revision += 1;
        if change.dry_run {
            return Ok(topic);
        }
        let logs = self.0.storage.update_topic(topic.clone()).await.map_err(|e| failed(&name, e))?;
        let handle = TopicHandle { topic: topic.clone(), logs, shared: old.shared.clone(), view: None };
        catalog.replace(&name, Some(Arc::new(handle)));
        told(What::TopicChanged, &topic);
        Ok(topic)
    }

    /// Deletes a topic with its records. `force` ignores the deployments that use it; their tasks will stop.
    ///
    /// # Errors
    /// `Unknown`, `Internal`, `Revision`, `InUse`, `Storage`.
    pub async fn delete_topic(
        &self,
        name: &str,
        force: bool,
        if_revision: Option<u64>,
    ) -> Result<(), TopicError> {
        let (broker, name) = (self.clone(), self.topic(name)?.name().clone());
        if name.is_internal() {
            return Err(TopicError::Internal(name));
        }
        to_its_end(name.clone(), async move { broker.delete_whole(name.as_str(), force, if_revision).await })
            .await
    }

    /// Deletes a topic of the server's own.
    pub(crate) async fn delete_internal(&self, name: &TopicName) -> Result<(), TopicError> {
        let (broker, own) = (self.clone(), name.clone());
        to_its_end(name.clone(), async move { broker.delete_whole(own.as_str(), true, None).await }).await
    }

    async fn delete_whole(
        &self,
        name: &str,
        force: bool,
        if_revision: Option<u64>,
    ) -> Result<(), TopicError> {
        let catalog = &self.0.catalog;
        let _one = catalog.changes.lock().await;
        let handle = catalog.find(name)?;
        let name = handle.name().clone();
        check_revision(&handle.topic, if_revision)?;
        let by = catalog.users(&name, |_| true);
        if !by.is_empty() && !force {
            return Err(TopicError::InUse { name, by });
        }
        catalog.replace(&name, None);
        self.views_follow(&name);
        let deleted = self.0.storage.delete_topic(handle.id()).await;
        match &deleted {
            Ok(()) => self.0.producers.forget_topic(handle.id()),
            Err(_) => {
                catalog.replace(&name, Some(handle.clone()));
                self.views_follow(&name);
            }
        }
        deleted.map_err(|e| failed(&name, e))?;
        told(What::TopicDeleted, &handle.topic);
        // Before anybody can create it again: groups know a topic by its name, and its views by theirs.
        for name in self.views_of(&name).iter().chain([&name]) {
            if let Err(error) = self.0.groups.forget_topic(name).await {
                tracing::warn!(topic = %name, %error, "offsets of a deleted topic go at the next start");
            }
        }
        Ok(())
    }
}

/// Runs a change to its end, also when whoever asked for it has gone: half a change would leave the catalog and the
/// storage of two minds.
async fn to_its_end<T: Send + 'static>(
    name: TopicName,
    work: impl Future<Output = Result<T, TopicError>> + Send + 'static,
) -> Result<T, TopicError> {
    let done = tasks::spawn("change of a topic", work).await;
    done.unwrap_or_else(|e| {
        let source = storage::Error::Engine { action: "finish a change of", message: e.to_string() };
        Err(TopicError::Storage { name, source })
    })
}

fn failed(name: &TopicName, source: storage::Error) -> TopicError {
    TopicError::Storage { name: name.clone(), source }
}
