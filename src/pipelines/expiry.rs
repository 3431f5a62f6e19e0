//! Removing what has expired from a task's stores: by the task itself, between its batches, some rows at a time, each piece in
//! one commit with the sizes of the stores. Nothing depends on it but space: what has expired is not seen any more.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::DeployError;
use super::error::Clash;
use super::instance::Worker;
use super::supervisor::Pipelines;
use super::task::{Stop, Task};
use crate::model::deployment::{Deployment, DeploymentSpec};
use crate::runtime::clock::monotonic;
use crate::state::committed::StoreStats;
use crate::state::{self, Allowed, TaskId, TaskState, Ttls, committed};
use crate::storage::{Commit, CommitError};

/// Rows that a piece looks at: some milliseconds of reading (a guess).
const PIECE_ROWS: usize = 2_000;
/// A round over all rows begins so often in the life of the entry that lives shortest, within these bounds: what is dead
/// takes a tenth more room, and a round over a gigabyte reads for some seconds (guesses).
const ROUNDS_IN_TTL: u64 = 10;
const BETWEEN_ROUNDS_MIN: Duration = Duration::from_secs(1);
const BETWEEN_ROUNDS_MAX: Duration = Duration::from_secs(600);
/// After a refused commit.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// Where a task's rounds stand.
pub(super) struct Rounds {
    ttls: Ttls,
    between: Duration,
    /// store and key behind which the round goes on
    at: Option<(Box<str>, Bytes)>,
    due: Instant,
}

impl Rounds {
    pub(super) fn new(ttls: Ttls) -> Self {
        let shortest = ttls.0.values().min().copied().unwrap_or(u64::MAX);
        let between = Duration::from_millis(shortest / ROUNDS_IN_TTL);
        let between = between.clamp(BETWEEN_ROUNDS_MIN, BETWEEN_ROUNDS_MAX);
        Self { ttls, between, at: None, due: monotonic() }
    }

    /// How long the next piece has time; `None`: there will be none.
    pub(super) fn wait(&self) -> Option<Duration> {
        (!self.ttls.0.is_empty()).then(|| self.due.saturating_duration_since(monotonic()))
    }

    /// Returns when the next piece is due.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let wait = self.wait();
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    fn is_due(&self) -> bool {
        self.wait().is_some_and(|wait| wait.is_zero())
    }

    /// The store of the next piece, and the key behind which it begins.
    fn piece(&self) -> Option<(Box<str>, Option<Bytes>)> {
        match &self.at {
            Some((store, key)) => Some((store.clone(), Some(key.clone()))),
            None => self.ttls.0.keys().next().map(|store| (store.clone(), None)),
        }
    }

    /// The piece of this store is done; `next` is where it was cut.
    fn done(&mut self, store: &str, next: Option<Bytes>) {
        let later = || self.ttls.0.keys().find(|other| &***other > store).cloned();
        self.at = match next {
            Some(key) => Some((store.into(), key)),
            // The empty key stands before all of a store's.
            None => later().map(|store| (store, Bytes::new())),
        };
        if self.at.is_none() {
            self.due = monotonic() + self.between;
        }
    }
}

impl Task {
    /// A piece of a round, if one is due.
    ///
    /// # Errors
    /// [`Stop`] when the storage is gone or cannot be read.
    pub(super) async fn expire(&mut self) -> Result<(), Stop> {
        if !self.rounds.is_due() {
            return Ok(());
        }
        let Some((store, after)) = self.rounds.piece() else { return Ok(()) };
        let (id, now_ms) = (self.id(), self.shared.broker.clock().now_ms());
        let Some(expiry) = self.rounds.ttls.at(&store, now_ms) else { return Ok(()) };
        let name = store.clone();
        let find = move |storage: &crate::storage::Storage| {
            committed::expired(storage, id, &name, after.as_deref(), expiry, PIECE_ROWS)
        };
        let found = match self.shared.broker.storage().on_reader(find).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(self.failed("state_unreadable", error.to_string())),
            Err(_) => return Err(Stop::Closed),
        };
        if !found.keys.is_empty() && !self.remove(&store, &found.keys, now_ms).await? {
            self.rounds.due = monotonic() + AFTER_REFUSAL;
            return Ok(());
        }
        self.rounds.done(&store, found.next);
        Ok(())
    }

    /// Removes keys that have expired, each looked at again. False: refused for now.
    async fn remove(&mut self, store: &str, keys: &[Bytes], now_ms: i64) -> Result<bool, Stop> {
        let unreadable = |e: state::Error| e.to_string();
        // What is under way is made first: it is no link of their chain.
        self.settle().await?;
        let made = self.flight.take_state_made();
        let mut own = None;
        let state = match self.instance.as_mut().and_then(Worker::state) {
            Some(state) => {
                (0..made).for_each(|_| state.committed());
                state
            }
            None => {
                let opened = self.open_state().map_err(|e| self.failed("state_unreadable", unreadable(e)))?;
                own.insert(opened)
            }
        };
        state.begin(now_ms);
        let mut commit = Commit::new();
        commit.behind(self.flight.fence());
        // It makes room.
        commit.past_reserve();
        let removed = state.remove_expired(store, keys);
        if removed.is_ok() {
            state.write_into(&mut commit);
        }
        if let Err(error) = removed {
            return Err(self.failed("state_unreadable", unreadable(error)));
        }
        match self.shared.broker.storage().commit(commit).await {
            Ok(_) => {
                self.status.tell();
                Ok(true)
            }
            Err(CommitError::Closed | CommitError::Unknown(_) | CommitError::Fenced) => Err(Stop::Closed),
            Err(error) => {
                tracing::debug!(%error, "expired state stays for now");
                self.drop_instance();
                Ok(false)
            }
        }
    }

    /// The task's state as it is committed.
    pub(super) fn open_state(&self) -> Result<TaskState, state::Error> {
        let spec = &self.deployment.spec.state;
        let state = TaskState::open(self.shared.broker.storage(), self.id(), Allowed::by(spec))?;
        Ok(state.timed(Ttls::of(spec))?.with_timers(spec.max_timers))
    }
}

impl Pipelines {
    /// Refuses to give or take away the ttl of a store that holds keys.
    pub(super) async fn check_stores(
        &self,
        spec: &DeploymentSpec,
        past: &Deployment,
    ) -> Result<(), DeployError> {
        let ttls = Ttls::of(&spec.state);
        if ttls.0.keys().eq(Ttls::of(&past.spec.state).0.keys()) {
            return Ok(());
        }
        let (deployment, generation) = (past.id, past.generation);
        let ids = (0..past.tasks).map(move |task| TaskId { deployment, generation, task });
        let read = move |storage: &crate::storage::Storage| {
            ids.map(|id| committed::stores(storage, id)).collect::<Result<Vec<_>, _>>()
        };
        let stores = self.broker().storage().on_reader(read).await??;
        match stores.into_iter().flatten().find(|s| s.keys > 0 && s.timed != ttls.has(&s.name)) {
            Some(StoreStats { name: store, timed, .. }) => {
                Err(Clash::Store.because(state::Error::Kind { store, timed }.to_string()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_through_all_stores_and_then_rests() {
        let ttls = Ttls([("a".into(), 60_000), ("b".into(), 20_000)].into());
        let mut rounds = Rounds::new(ttls);
        assert!(rounds.is_due());
        assert_eq!(rounds.between, Duration::from_secs(2));
        assert_eq!(rounds.piece(), Some(("a".into(), None)));
        rounds.done("a", Some("k".into()));
        assert_eq!(rounds.piece(), Some(("a".into(), Some("k".into()))));
        rounds.done("a", None);
        assert_eq!(rounds.piece(), Some(("b".into(), Some(Bytes::new()))));
        rounds.done("b", None);
        assert!(!rounds.is_due());
        assert_eq!(rounds.piece(), Some(("a".into(), None)));
        assert_eq!(Rounds::new(Ttls::default()).wait(), None);
    }
}
