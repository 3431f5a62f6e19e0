//! Views that have names: topics for readers, with identities of their own and the partitions of their sources. To whoever
//! writes, alters or deletes they are no topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};

use super::View;
use crate::broker::catalog::TopicHandle;
use crate::broker::{Broker, Inner, ReadError, TopicError};
use crate::groups::Subscribable;
use crate::model::limits::TOPICS_MAX;
use crate::model::topic::Topic;
use crate::model::{Partition, TimestampMs, TopicId, TopicName, suggest};
use crate::storage;

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

/// The views of the node.
#[derive(Default)]
pub(in crate::broker) struct Views {
    known: RwLock<Known>,
    changes: AtomicU64,
}

#[derive(Default)]
struct Known {
    by_name: BTreeMap<TopicName, Entry>,
    by_id: HashMap<TopicId, TopicName>,
}

#[derive(Clone)]
struct Entry {
    named: Named,
    /// none while there is nothing to be seen
    identity: Option<Identity>,
}

/// Who a view is to its readers.
#[derive(Clone, Copy)]
struct Identity {
    id: TopicId,
    /// the source that it belongs to
    source: TopicId,
}

impl Known {
    fn put(&mut self, name: &TopicName, entry: Option<Entry>) {
        let identity = entry.as_ref().and_then(|entry| entry.identity);
        let before = match entry {
            Some(entry) => self.by_name.insert(name.clone(), entry),
            None => self.by_name.remove(name),
        };
        let view = self.by_name.get(name).and_then(|entry| entry.named.view.as_ref()).map(Arc::as_ptr);
        if let Some(Entry { named, identity }) = before {
            if let Some(Identity { id, .. }) = identity {
                self.by_id.remove(&id);
            }
            // Behind the change: who wakes finds what is in force.
            if let Some(old) = named.view.filter(|old| Some(Arc::as_ptr(old)) != view) {
                old.replaced.send_replace(true);
            }
        }
        if let Some(Identity { id, .. }) = identity {
            self.by_id.insert(id, name.clone());
        }
    }
}

impl Views {
    fn find(&self, name: &str) -> Option<Entry> {
        self.known.read().by_name.get(name).cloned()
    }

    fn find_id(&self, id: TopicId) -> Option<Entry> {
        let known = self.known.read();
        known.by_name.get(known.by_id.get(&id)?).cloned()
    }

    fn list(&self) -> Vec<Entry> {
        self.known.read().by_name.values().cloned().collect()
    }

    /// What a topic's name means if it is a view's.
    pub(in crate::broker) fn refusal(&self, name: &str) -> Option<TopicError> {
        let view = self.find(name)?.named;
        Some(TopicError::View { name: view.name, source_topic: view.source })
    }
}

impl Named {
    /// The identity changes with the source's: offsets of a topic that was deleted mean nothing in the one that was made in
    /// its place.
    fn identity(&self, source: TopicId, cluster_id: &str) -> Identity {
        let mut digest = Sha256::new();
        digest.update(b"view");
        digest.update(cluster_id.as_bytes());
        digest.update(self.number.to_be_bytes());
        digest.update(source.0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        Identity { id: TopicId(uuid::Builder::from_custom_bytes(bytes).into_uuid()), source }
    }

    /// The topic that readers see.
    fn over(&self, source: &TopicHandle, id: TopicId, view: Arc<View>) -> Arc<TopicHandle> {
        let mut topic = source.topic.clone();
        topic.name = self.name.clone();
        topic.id = id;
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
            return Err(TopicError::Exists { name: name.clone(), difference: None });
        }
        self.topic(source.as_str())?;
        let mut known = self.0.views.known.write();
        if known.by_name.len() >= TOPICS_MAX {
            return Err(TopicError::TooMany { limit: TOPICS_MAX });
        }
        let free = || Named {
            name: name.clone(),
            number: 0,
            revision: 0,
            created_ms: 0,
            source: source.clone(),
            view: None,
        };
        known.by_name.entry(name.clone()).or_insert_with(|| Entry { named: free(), identity: None });
        Ok(())
    }

    /// A view's name is taken.
    pub(in crate::broker) fn check_free(&self, name: &TopicName) -> Result<(), TopicError> {
        match self.0.views.find(name.as_str()) {
            Some(Entry { named: Named { name, source: source_topic, .. }, .. }) => {
                Err(TopicError::NameOfView { name, source_topic })
            }
            None => Ok(()),
        }
    }

    /// Gives a name back that no view has come under.
    pub fn release_view(&self, name: &TopicName) {
        let mut known = self.0.views.known.write();
        if known.by_name.get(name).is_some_and(|entry| entry.named.view.is_none()) {
            known.put(name, None);
        }
    }

    /// Puts a view in force under its name; the next look goes through it, also of reads that wait.
    pub fn set_view(&self, view: Named) {
        let name = view.name.clone();
        let mut known = self.0.views.known.write();
        known.put(&name, Some(self.identified(view)));
        drop(known);
        self.views_changed();
    }

    /// Gives the views of a topic that has come or gone the identities that they have from now on.
    pub(in crate::broker) fn views_follow(&self, source: &TopicName) {
        for name in self.views_of(source) {
            let mut known = self.0.views.known.write();
            if let Some(entry) = known.by_name.get(&name).cloned() {
                known.put(&name, Some(self.identified(entry.named)));
            }
            drop(known);
            self.views_changed();
        }
    }

    /// The names of the views that show a topic.
    pub(in crate::broker) fn views_of(&self, source: &TopicName) -> Vec<TopicName> {
        let known = self.0.views.known.read();
        let of = known.by_name.values().filter(|entry| entry.named.source == *source);
        of.map(|entry| entry.named.name.clone()).collect()
    }

    /// Under the lock of the views, so that the last one to look at the source sees it as it is.
    fn identified(&self, named: Named) -> Entry {
        let source = named.view.as_ref().and_then(|_| self.topic_named(named.source.as_str()));
        let identity = source.map(|source| named.identity(source.id(), self.storage().cluster_id()));
        Entry { named, identity }
    }

    /// Takes a view out of force, which ends the reads that wait, with what groups have committed of it.
    pub async fn remove_view(&self, name: &TopicName) {
        if !self.is_view(name.as_str()) {
            return;
        }
        self.0.views.known.write().put(name, None);
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
                .topic(view.named.source.as_str())
                .and(Err(TopicError::Unknown { name: name.to_owned(), suggestion: None }));
        }
        let views = self.0.views.list();
        match self.topic(name) {
            Err(TopicError::Unknown { name, suggestion: None }) => {
                let suggestion = suggest(&name, views.iter().map(|view| view.named.name.as_str()));
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
        self.topic_by_id(id).or_else(|| self.shown(&self.0.views.find_id(id)?))
    }

    /// What a topic is read through now: a view may have been replaced since its handle was made.
    ///
    /// # Errors
    /// As for a deleted topic, when the view is gone.
    pub(in crate::broker) fn view_now(&self, topic: &TopicHandle) -> Result<Option<Arc<View>>, ReadError> {
        match topic.view() {
            Some(view) if view.is_replaced() => {
                let now = self.readable_by_id(topic.id()).and_then(|now| now.view().cloned());
                let source = storage::ReadError::TopicGone { topic: topic.id() };
                now.map(Some).ok_or(ReadError::Storage { topic: topic.name().clone(), partition: 0, source })
            }
            view => Ok(view.cloned()),
        }
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
        self.0.views.known.read().by_name.contains_key(name)
    }

    fn shown(&self, Entry { named, identity }: &Entry) -> Option<Arc<TopicHandle>> {
        let Identity { id, source } = (*identity)?;
        let source = self.topic_named(named.source.as_str()).filter(|topic| topic.id() == source)?;
        Some(named.over(&source, id, named.view.clone()?))
    }

    /// Drops instances of views that nobody reads. To be called now and then.
    pub fn rest_views(&self) {
        for view in self.0.views.list().into_iter().filter_map(|entry| entry.named.view) {
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

    fn has_topic(&self, id: TopicId) -> bool {
        self.0.upgrade().is_some_and(|inner| inner.views.find_id(id).is_some())
    }
}
