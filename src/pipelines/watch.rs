//! Watching a key of a processor's state: woken by the commits of the task that holds it, never by a clock.

use bytes::Bytes;
use tokio::sync::watch;

use super::reads::{StateRead, task_asked};
use super::{Pipelines, StateAt, StateError};
use crate::model::Partition;

/// A key that is watched. It stays with the deployment's name: what is deployed anew is watched on.
pub struct KeyWatch {
    pipelines: Pipelines,
    deployment: String,
    store: String,
    key: Bytes,
    task: Partition,
    /// moves with every commit of the task; closed when the task is replaced
    commits: Option<watch::Receiver<u64>>,
}

impl Pipelines {
    /// Begins to watch a key, once the processor has passed the position asked for.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn watch_key(
        &self,
        deployment: &str,
        store: &str,
        key: Bytes,
        at: StateAt,
    ) -> Result<KeyWatch, StateError> {
        let entry = self.ready(deployment, store, &at).await?;
        let task = task_asked(&entry, &at, Some(&key))?.unwrap_or_default();
        let (deployment, store) = (deployment.to_owned(), store.to_owned());
        Ok(KeyWatch { pipelines: self.clone(), deployment, store, key, task, commits: None })
    }
}

impl KeyWatch {
    /// The value of the key, and the position it is of. Every commit after it ends the next [`KeyWatch::changed`].
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn read(&mut self) -> Result<StateRead, StateError> {
        let entry = self.pipelines.entry(&self.deployment)?;
        let status = entry.tasks.get(self.task as usize).map(|task| &task.status);
        // Before the read: what is committed between the two is told, not lost.
        self.commits = status.map(|status| status.watch());
        drop(entry);
        let at = StateAt { partition: Some(self.task), ..StateAt::default() };
        self.pipelines.state_get(&self.deployment, &self.store, vec![self.key.clone()], at).await
    }

    /// Waits for the next commit of the task, or for another task in its place. Cancel safe.
    pub async fn changed(&mut self) {
        match &mut self.commits {
            Some(commits) => drop(commits.changed().await),
            None => std::future::pending().await,
        }
    }
}
