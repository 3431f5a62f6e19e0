//! Views that have names: topics for readers, with identities of their own and the partitions of their sources. To whoever
//! writes, alters or deletes they are no topics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};

use super::View;
use crate::broker::catalog::TopicHandle;
use crate::broker::{Broker, Inner, TopicError};
use crate::groups::Subscribable;
use crate::model::limits::TOPICS_MAX;
use crate::model::topic::Topic;
use crate::model::{Partition, TimestampMs, TopicId, TopicName, suggest};

/// A view and what its readers take it for.
#[derive(Clone)]
pub struct Named {
    /// of the topic that readers see
    pub name: TopicName,
    /// never given to another view
    pub number: u32,
    /// grows with every change
    pub revision: u64,
    /// milliseconds since the epoch
    pub created_ms: TimestampMs,
    /// the topic that it shows
    pub source: TopicName,
    /// what is in force; none while the name is only kept free for it
    pub view: Option<Arc<View>>,
}

/// The views of the node by name.
#[derive(Default)]
pub(in crate::broker) struct Views {
    named: RwLock<BTreeMap<TopicName, Named>>,
    changes: AtomicU64,
}

impl Views {
    fn find(&self, name: &str) -> Option<Named> {
        self.named.read().get(name).cloned()
    }

    fn list(&self) -> Vec<Named> {
        self.named.read().values().cloned().collect()
    }

    /// What a topic's name means if it is a view's.
    pub(in crate::broker) fn refusal(&self, name: &str) -> Option<TopicError> {
        let view = self.find(name)?;
        Some(TopicError::View { name: view.name, source_topic: view.source })
    }
}

impl Named {
    /// The topic that readers see. Its identity changes with its source's: offsets of a topic that was deleted mean nothing
    /// in the one that was made in its place.
    fn over(&self, source: &TopicHandle, cluster_id: &str, view: Arc<View>) -> Arc<TopicHandle> {
        let mut digest = Sha256::new();
        digest.update(b"view");
        digest.update(cluster_id.as_bytes());
        digest.update(self.number.to_be_bytes());
        digest.update(source.id().0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        let mut topic = source.topic.clone();
        topic.name = self.name.clone();
        topic.id = TopicId(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        topic.revision = self.revision;
        topic.created_ms = self.created_ms;
        source.as_topic(topic, view)
    }
}

impl TopicHandle {
    /// What its readers look through.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.view.as_ref()
    }

    /// The topic as it is seen through a view, for one reader.
    pub fn through(&self, view: Arc<View>) -> Arc<Self> {
        let (topic, logs, shared) = (self.topic.clone(), self.logs.clone(), self.shared.clone());
        Arc::new(Self { topic, logs, shared, view: Some(view) })
    }

    /// The same logs under another name and identity, seen through a view.
    fn as_topic(&self, topic: Topic, view: Arc<View>) -> Arc<Self> {
        let (logs, shared) = (self.logs.clone(), self.shared.clone());
        Arc::new(Self { topic, logs, shared, view: Some(view) })
    }
}

impl Broker {
    /// Keeps a name free for a view: from now on no topic can be created under it.
    ///
    /// # Errors
    /// `Exists` when a topic has it, `Internal`, `Unknown` when the source is not there, `View` when it is a view.
    pub async fn reserve_view(&self, name: &TopicName, source: &TopicName) -> Result<(), TopicError> {
        if name.is_internal() {
            return Err(TopicError::Internal(name.clone()));
        }
        let _one = self.0.catalog.one_change().await;
        if self.topic_named(name.as_str()).is_some() {
            let difference = Some("a view needs a name of its own among the topics".to_owned());
            return Err(TopicError::Exists { name: name.clone(), difference });
        }
        self.topic(source.as_str())?;
        let mut named = self.0.views.named.write();
        if named.len() >= TOPICS_MAX {
            return Err(TopicError::TooMany { limit: TOPICS_MAX });
        }
        named.entry(name.clone()).or_insert_with(|| Named {
            name: name.clone(),
            number: 0,
            revision: 0,
            created_ms: 0,
            source: source.clone(),
            view: None,
        });
        Ok(())
    }

    /// A view's name is taken.
    pub(in crate::broker) fn check_free(&self, name: &TopicName) -> Result<(), TopicError> {
        match self.0.views.refusal(name.as_str()) {
            Some(view) => Err(TopicError::Exists { name: name.clone(), difference: Some(view.to_string()) }),
            None => Ok(()),
        }
    }

    /// Gives a name back that no view has come under.
    pub fn release_view(&self, name: &TopicName) {
        let mut named = self.0.views.named.write();
        if named.get(name).is_some_and(|named| named.view.is_none()) {
            named.remove(name);
        }
    }

    /// Puts a view in force under its name; the next read goes through it.
    pub fn set_view(&self, view: Named) {
        self.0.views.named.write().insert(view.name.clone(), view);
        self.views_changed();
    }

    /// Takes a view out of force, with what groups have committed of it.
    pub async fn remove_view(&self, name: &TopicName) {
        if self.0.views.named.write().remove(name).is_none() {
            return;
        }
        self.views_changed();
        // Before a topic can be created under the name.
        if let Err(error) = self.groups().forget_topic(name).await {
            tracing::warn!(topic = %name, %error, "offsets of a deleted view go at the next start");
        }
    }

    fn views_changed(&self) {
        self.0.views.changes.fetch_add(1, Ordering::Release);
    }

    /// What is to be read under this name: a topic or a view.
    ///
    /// # Errors
    /// `Unknown`, with the nearest name.
    pub fn readable(&self, name: &str) -> Result<Arc<TopicHandle>, TopicError> {
        if let Some(found) = self.readable_named(name) {
            return Ok(found);
        }
        if let Some(view) = self.0.views.find(name) {
            // Its source was deleted by force, or it is only coming into being.
            return self
                .topic(view.source.as_str())
                .and(Err(TopicError::Unknown { name: name.to_owned(), suggestion: None }));
        }
        let views = self.0.views.list();
        match self.topic(name) {
            Err(TopicError::Unknown { name, suggestion: None }) => {
                let suggestion = suggest(&name, views.iter().map(|view| view.name.as_str()));
                Err(TopicError::Unknown { name, suggestion })
            }
            other => other,
        }
    }

    /// As [`Broker::readable`], without a search for the nearest name.
    pub fn readable_named(&self, name: &str) -> Option<Arc<TopicHandle>> {
        self.topic_named(name).or_else(|| self.shown(&self.0.views.find(name)?))
    }

    /// The topic or view of this identity.
    pub fn readable_by_id(&self, id: TopicId) -> Option<Arc<TopicHandle>> {
        let views = || self.0.views.list().iter().filter_map(|view| self.shown(view)).find(|t| t.id() == id);
        self.topic_by_id(id).or_else(views)
    }

    /// All topics and views in name order, internal ones included.
    pub fn readables(&self) -> Vec<Arc<TopicHandle>> {
        let mut all = self.topics();
        let views = self.views();
        if !views.is_empty() {
            all.extend(views);
            all.sort_by(|a, b| a.name().cmp(b.name()));
        }
        all
    }

    /// All views in name order.
    pub fn views(&self) -> Vec<Arc<TopicHandle>> {
        self.0.views.list().iter().filter_map(|view| self.shown(view)).collect()
    }

    /// Is this the name of a view?
    pub fn is_view(&self, name: &str) -> bool {
        self.0.views.named.read().contains_key(name)
    }

    fn shown(&self, named: &Named) -> Option<Arc<TopicHandle>> {
        let source = self.topic_named(named.source.as_str())?;
        Some(named.over(&source, self.storage().cluster_id(), named.view.clone()?))
    }

    /// Drops instances of views that nobody reads. To be called now and then.
    pub fn rest_views(&self) {
        for view in self.0.views.list().into_iter().filter_map(|named| named.view) {
            view.rest();
        }
    }

    /// For groups whose members the server assigns.
    pub(in crate::broker) fn subscribable(&self) -> impl Subscribable + use<> {
        ToGroups(Arc::downgrade(&self.0))
    }
}

/// The views as groups know topics. Holds nothing alive.
struct ToGroups(Weak<Inner>);

impl Subscribable for ToGroups {
    fn revision(&self) -> u64 {
        self.0.upgrade().map_or(0, |inner| inner.views.changes.load(Ordering::Acquire))
    }

    fn topics(&self) -> Vec<(TopicName, TopicId, Partition)> {
        let views = self.0.upgrade().map(|inner| Broker(inner).views()).unwrap_or_default();
        views.iter().map(|view| (view.name().clone(), view.id(), view.topic.partitions)).collect()
    }
}
