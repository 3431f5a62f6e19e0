//! Reading a processor's committed state, with read-your-writes: a read waits until the task has passed a position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::supervisor::{Entry, Pipelines};
use super::{DeploymentState, StateError};
use crate::model::deployment::DeploymentKind;
use crate::model::limits::{READ_BYTES_MAX, SCAN_ENTRIES_MAX};
use crate::model::partitioner::partition_of;
use crate::model::{Offset, Partition, TopicId, TopicName};
use crate::runtime::clock::monotonic;
use crate::state::{Expiry, TaskId, Ttls, committed};

/// Which task is read, and when.
#[derive(Debug, Clone, Default)]
pub struct StateAt {
    /// the task; `None`: that of the key, else that of `after`
    pub partition: Option<Partition>,
    /// wait until the processor has passed this record
    pub after: Option<(TopicName, Partition, Offset)>,
    /// at most so long
    pub wait: Duration,
}

/// A store and its size over all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoreView {
    /// its name
    pub name: String,
    /// keys
    pub keys: u64,
    /// bytes of keys and values
    pub bytes: u64,
}

/// Values and how far the state they belong to has come.
#[derive(Debug, Clone)]
pub struct StateRead {
    /// one per key asked for, in order
    pub values: Vec<Option<Bytes>>,
    /// the next offset of every input of the tasks that were read
    pub position: Vec<(TopicName, Partition, Offset)>,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct StateScan {
    /// only keys that begin so
    pub prefix: Bytes,
    /// first key, inclusive
    pub from: Option<Bytes>,
    /// last key, exclusive
    pub to: Option<Bytes>,
    /// from the last to the first
    pub reverse: bool,
    /// at most so many, at most [`SCAN_ENTRIES_MAX`]
    pub limit: usize,
    /// go on behind this key
    pub after: Option<Bytes>,
}

/// An entry of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    /// its key
    pub key: Bytes,
    /// its value
    pub value: Bytes,
    /// the task that holds it
    pub partition: Partition,
}

/// A page of a scan.
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// in key order, the tasks merged
    pub entries: Vec<ScanEntry>,
    /// behind which key the next page begins; `None`: this was the last
    pub next: Option<Bytes>,
    /// see [`StateRead::position`]
    pub position: Vec<(TopicName, Partition, Offset)>,
}

type Positions = BTreeMap<(TopicId, Partition), Offset>;

impl Pipelines {
    /// The stores of a processor: declared ones and those that its code has opened, in name order.
    ///
    /// # Errors
    /// `Deployment`, `NoState`, `State`, `Read`.
    pub async fn stores(&self, name: &str) -> Result<Vec<StoreView>, StateError> {
        let entry = self.stateful(name)?;
        let ids: Vec<_> = (0..entry.deployment.tasks).map(|task| task_id(&entry, task)).collect();
        let read = move |storage: &crate::storage::Storage| {
            ids.into_iter().map(|id| committed::stores(storage, id)).collect::<Result<Vec<_>, _>>()
        };
        let tasks = self.broker().storage().on_reader(read).await??;
        let mut stores: BTreeMap<String, (u64, u64)> =
            entry.deployment.spec.state.stores.iter().map(|s| (s.name.clone(), (0, 0))).collect();
        for store in tasks.into_iter().flatten() {
            let sum = stores.entry(store.name).or_default();
            sum.0 += store.keys;
            sum.1 += store.bytes;
        }
        Ok(stores.into_iter().map(|(name, (keys, bytes))| StoreView { name, keys, bytes }).collect())
    }

    /// Values of keys, of at most [`READ_BYTES_MAX`] together. Keys of different tasks are read from each task's own
    /// snapshot.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn state_get(
        &self,
        name: &str,
        store: &str,
        keys: Vec<Bytes>,
        at: StateAt,
    ) -> Result<StateRead, StateError> {
        let entry = self.ready(name, store, &at).await?;
        let mut by_task = BTreeMap::<Partition, Vec<usize>>::new();
        for (index, key) in keys.iter().enumerate() {
            let task = task_asked(&entry, &at, Some(key))?;
            by_task.entry(task.unwrap_or_default()).or_default().push(index);
        }
        let generation = task_id(&entry, 0);
        let topics = entry.deployment.spec.inputs().into_iter();
        let topics: Vec<_> =
            topics.filter_map(|name| Some(self.broker().topic(name.as_str()).ok()?.id())).collect();
        let expiry = self.expiry(&entry, store);
        let (store, count) = (store.to_owned(), keys.len());
        let read = move |storage: &crate::storage::Storage| {
            let mut values = vec![None; count];
            let mut positions = Positions::new();
            let mut room = READ_BYTES_MAX;
            for (task, indices) in by_task {
                let wanted: Vec<_> = indices.iter().map(|i| keys[*i].clone()).collect();
                let id = TaskId { task, ..generation };
                let inputs: Vec<_> = topics.iter().map(|topic| (*topic, task)).collect();
                let read = committed::get_many(storage, id, &store, &wanted, &inputs, expiry, &mut room)?;
                let Some((found, at)) = read else { return Ok(None) };
                positions.extend(at);
                for (index, value) in indices.into_iter().zip(found) {
                    values[index] = value;
                }
            }
            Ok::<_, crate::state::Error>(Some((values, positions)))
        };
        let read = self.broker().storage().on_reader(read).await??;
        let (values, positions) = read.ok_or(StateError::TooMuch { limit: READ_BYTES_MAX })?;
        Ok(StateRead { values, position: self.named(&positions) })
    }

    /// A page of a store in key order; of one task, or of all of them merged.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn state_scan(
        &self,
        name: &str,
        store: &str,
        scan: StateScan,
        at: StateAt,
    ) -> Result<ScanPage, StateError> {
        let entry = self.ready(name, store, &at).await?;
        let tasks = match task_asked(&entry, &at, None)? {
            Some(task) => vec![task],
            None => (0..entry.deployment.tasks).collect(),
        };
        let generation = task_id(&entry, 0);
        let expiry = self.expiry(&entry, store);
        let store = store.to_owned();
        let limit = scan.limit.clamp(1, SCAN_ENTRIES_MAX);
        let reverse = scan.reverse;
        let bytes_max = READ_BYTES_MAX / tasks.len().max(1);
        let read = move |storage: &crate::storage::Storage| {
            let mut entries = Vec::new();
            let mut positions = Positions::new();
            let mut horizon: Option<Bytes> = None;
            for partition in tasks {
                let range = committed::Scan {
                    prefix: scan.prefix.clone(),
                    from: scan.from.clone(),
                    to: scan.to.clone(),
                    after_key: scan.after.clone(),
                    reverse,
                    limit,
                    bytes_max,
                };
                let id = TaskId { task: partition, ..generation };
                let page = committed::scan(storage, id, &store, &range, expiry)?;
                positions.extend(page.positions);
                if page.more
                    && let Some((last, _)) = page.entries.last()
                {
                    horizon = Some(nearer(horizon, last.clone(), reverse));
                }
                entries.extend(page.entries.into_iter().map(|(key, value)| ScanEntry {
                    key,
                    value,
                    partition,
                }));
            }
            Ok::<_, crate::state::Error>((entries, positions, horizon))
        };
        let (mut entries, positions, horizon) = self.broker().storage().on_reader(read).await??;
        entries.sort_by(|a, b| (&a.key, a.partition).cmp(&(&b.key, b.partition)));
        if reverse {
            entries.reverse();
        }
        // A task that was not read to its end hides keys behind its last one; nothing of the others goes beyond that.
        if let Some(horizon) = &horizon {
            entries.retain(|e| if reverse { e.key >= *horizon } else { e.key <= *horizon });
        }
        let cut = entries.len() > limit;
        truncate(&mut entries, limit);
        let next = (cut || horizon.is_some()).then(|| entries.last().map(|e| e.key.clone())).flatten();
        Ok(ScanPage { entries, next, position: self.named(&positions) })
    }

    pub(super) fn stateful(&self, name: &str) -> Result<Entry, StateError> {
        let entry = self.entry(name)?;
        match entry.deployment.spec.kind {
            DeploymentKind::Processor => Ok(entry),
            kind => Err(StateError::NoState { name: entry.deployment.spec.name.clone(), kind }),
        }
    }

    /// The entry of now, once it has passed the position asked for. A deployment that is changed meanwhile goes on in its
    /// new form, within the same wait.
    pub(super) async fn reached(&self, name: &str, at: &StateAt) -> Result<Entry, StateError> {
        let until = monotonic() + at.wait;
        let left = || until.saturating_duration_since(monotonic());
        loop {
            let entry = self.stateful(name)?;
            let Some(after) = &at.after else { return Ok(entry) };
            if wait_for(&entry, after, left()).await? {
                return Ok(entry);
            }
            if !self.replaced(&entry, left()).await {
                let (topic, partition, asked) = after;
                return Err(behind(&entry, topic, *partition, *asked));
            }
        }
    }

    /// Waits until this form of a deployment, which ends, is in force no more. False: it still is after so long.
    pub(super) async fn replaced(&self, entry: &Entry, wait: Duration) -> bool {
        let mut turned = self.0.turned.subscribe();
        let in_force = || {
            let entries = self.0.entries.read();
            let now = entries.get(&entry.deployment.spec.name).and_then(|now| now.tasks.first());
            now.zip(entry.tasks.first()).is_some_and(|(now, then)| Arc::ptr_eq(now, then))
        };
        let replaced = async {
            while in_force() {
                if turned.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(wait, replaced).await;
        !in_force()
    }

    /// The same, if it has the store.
    pub(super) async fn ready(&self, name: &str, store: &str, at: &StateAt) -> Result<Entry, StateError> {
        let entry = self.reached(name, at).await?;
        if !entry.deployment.spec.state.stores.iter().any(|s| s.name == store) {
            let stores = self.stores(name).await?;
            if !stores.iter().any(|s| s.name == store) {
                let known = stores.into_iter().map(|s| s.name).collect();
                let deployment = entry.deployment.spec.name.clone();
                return Err(StateError::UnknownStore { deployment, name: store.to_owned(), known });
            }
        }
        Ok(entry)
    }

    /// How a store's entries look at this time.
    fn expiry(&self, entry: &Entry, store: &str) -> Option<Expiry> {
        Ttls::of(&entry.deployment.spec.state).at(store, self.broker().clock().now_ms())
    }

    pub(super) fn named(&self, positions: &Positions) -> Vec<(TopicName, Partition, Offset)> {
        let name = |id: &TopicId| self.broker().topic_by_id(*id).map(|t| t.name().clone());
        positions.iter().filter_map(|((id, p), offset)| Some((name(id)?, *p, *offset))).collect()
    }
}

pub(super) fn task_id(entry: &Entry, task: Partition) -> TaskId {
    TaskId { deployment: entry.deployment.id, generation: entry.deployment.generation, task }
}

/// The task that a request means: that of `partition=`, else that of its key, else that of `after=`.
pub(super) fn task_asked(
    entry: &Entry,
    at: &StateAt,
    key: Option<&[u8]>,
) -> Result<Option<Partition>, StateError> {
    let tasks = entry.deployment.tasks;
    let by_key = || key.map(|key| partition_of(key, tasks));
    let by_after = || at.after.as_ref().map(|(_, partition, _)| *partition);
    match at.partition.or_else(by_key).or_else(by_after) {
        Some(partition) if partition >= tasks => {
            Err(StateError::UnknownTask { deployment: entry.deployment.spec.name.clone(), partition, tasks })
        }
        other => Ok(other),
    }
}

/// Waits until the task's next offset is beyond the asked one. False: the task ends before.
async fn wait_for(
    entry: &Entry,
    (topic, partition, asked): &(TopicName, Partition, Offset),
    wait: Duration,
) -> Result<bool, StateError> {
    let deployment = &entry.deployment.spec.name;
    let reads = entry.deployment.spec.inputs().contains(topic);
    let Some(task) = entry.tasks.get(*partition as usize).filter(|_| reads) else {
        let (deployment, topic) = (deployment.clone(), topic.clone());
        return Err(StateError::NotAnInput { deployment, topic, partition: *partition });
    };
    let status = &task.status;
    let mut changed = status.watch();
    let position = || status.position(topic, *partition);
    let passed = || position().is_some_and(|next| next > *asked);
    let waited = async {
        while !passed() {
            tokio::select! {
                () = task.ending() => return,
                changed = changed.changed() => if changed.is_err() { return },
            }
        }
    };
    let _ = tokio::time::timeout(wait, waited).await;
    match (task.is_ending(), passed()) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(behind(entry, topic, *partition, *asked)),
    }
}

/// What a wait in vain ends with.
fn behind(entry: &Entry, topic: &TopicName, partition: Partition, asked: Offset) -> StateError {
    let task = entry.tasks.get(partition as usize);
    let reason = task.and_then(|task| match task.status.state() {
        _ if task.is_ending() => Some("the deployment is being changed".to_owned()),
        DeploymentState::Paused => Some("the deployment is paused".to_owned()),
        DeploymentState::Failed | DeploymentState::Retrying => task.status.last_error().map(|e| e.message),
        DeploymentState::Migrating => Some("the state of an older version is being migrated".to_owned()),
        DeploymentState::Running | DeploymentState::Starting => None,
    });
    StateError::Behind {
        deployment: entry.deployment.spec.name.clone(),
        topic: topic.clone(),
        partition,
        position: task.and_then(|task| task.status.position(topic, partition)).unwrap_or(0),
        asked,
        reason,
    }
}

/// The one of two horizons that a scan reaches first.
fn nearer(horizon: Option<Bytes>, last: Bytes, reverse: bool) -> Bytes {
    match horizon {
        Some(other) if reverse => other.max(last),
        Some(other) => other.min(last),
        None => last,
    }
}

/// At most `limit` entries, but every task's entry of the last key: the next page begins behind that key.
fn truncate(entries: &mut Vec<ScanEntry>, limit: usize) {
    if entries.len() > limit {
        let last = entries[limit - 1].key.clone();
        let same = entries[limit..].iter().take_while(|e| e.key == last).count();
        entries.truncate(limit + same);
    }
}
