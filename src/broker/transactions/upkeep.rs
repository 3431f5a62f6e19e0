//! What time does to transactions and producers: open ones are aborted when their time is over, ids and producers that
//! nobody uses are forgotten.

use std::sync::Arc;

use futures_util::future::join_all;

use super::super::Broker;
use super::{Claim, Entry, TransactionError, Work};
use crate::model::limits::{PRODUCER_KEPT, TRANSACTIONAL_ID_KEPT};
use crate::model::transaction::{Outcome, Phase};
use crate::storage::{Commit, CommitError, tables};

/// Transactions that are aborted at the same time.
const ABORTS_AT_ONCE: usize = 64;
/// Ids that are forgotten in one commit.
const EXPIRED_AT_ONCE: usize = 1_000;

impl Broker {
    /// Aborts the transactions whose time is over, and fences their producers. To be called about every second; gives
    /// their number.
    pub async fn abort_timed_out_transactions(&self) -> usize {
        let now_ms = self.0.clock.now_ms();
        let due = self.entries(|entry| entry.held.lock().transaction.time_out(now_ms).is_some());
        let mut aborted = 0;
        for some in due.chunks(ABORTS_AT_ONCE) {
            let outcomes = join_all(some.iter().map(|entry| self.abort_timed_out(entry, now_ms))).await;
            aborted += outcomes.into_iter().filter(|done| *done).count();
        }
        aborted
    }

    async fn abort_timed_out(&self, entry: &Arc<Entry>, now_ms: i64) -> bool {
        let claimed = entry.claim(|transaction| {
            // Ended meanwhile: somebody else's change, then.
            let change = transaction.time_out(now_ms).ok_or(TransactionError::Concurrent)?;
            Ok((change, Work::Ending(Outcome::Abort)))
        });
        let Ok((change, claim)) = claimed else { return false };
        let timeout_ms = change.next.timeout_ms;
        let made = self.to_its_end(move |broker| async move { broker.make(claim, change).await }).await;
        match made {
            Ok(_) => {
                tracing::info!(
                    transactional_id = entry.id,
                    timeout_ms,
                    "a transaction took too long and was aborted"
                );
                true
            }
            Err(error) => {
                tracing::warn!(
                    transactional_id = entry.id, %error,
                    "a transaction that took too long could not be aborted; tried again in a second"
                );
                false
            }
        }
    }

    /// Forgets transactional ids that nobody has used for seven days. Gives their number.
    ///
    /// # Errors
    /// When the commit that deletes their rows is refused; they are tried again next time.
    pub async fn expire_transactional_ids(&self) -> Result<usize, CommitError> {
        let kept_ms = i64::try_from(TRANSACTIONAL_ID_KEPT.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = self.0.clock.now_ms() - kept_ms;
        let is_unused = |entry: &Entry| {
            let transaction = &entry.held.lock().transaction;
            transaction.phase != Phase::Ongoing && transaction.updated_ms <= oldest_ms
        };
        let unused = self.entries(is_unused);
        let mut count = 0;
        for some in unused.chunks(EXPIRED_AT_ONCE) {
            let claims: Vec<Claim> = some
                .iter()
                .filter_map(|entry| {
                    let claim = entry.claim(|transaction| {
                        let is_used =
                            transaction.phase == Phase::Ongoing || transaction.updated_ms > oldest_ms;
                        if is_used { Err(TransactionError::Concurrent) } else { Ok(((), Work::Replacing)) }
                    });
                    claim.ok().map(|((), claim)| claim)
                })
                .collect();
            let mut commit = Commit::new();
            for Claim(entry) in &claims {
                tables::transactions::delete(&mut commit, &entry.id);
            }
            self.0.storage.commit(commit).await?;
            count += claims.len();
            for Claim(entry) in &claims {
                self.0.transactions.forget(entry);
            }
        }
        Ok(count)
    }

    /// Forgets producers that have written nothing to a partition for a day, unless a transaction of theirs is open there.
    /// Gives the number of (partition, producer) pairs.
    ///
    /// # Errors
    /// When a commit that deletes their rows is refused.
    pub async fn expire_producers(&self) -> Result<usize, CommitError> {
        let kept_ms = i64::try_from(PRODUCER_KEPT.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = self.0.clock.now_ms() - kept_ms;
        let mut count = 0;
        for partition in self.0.producers.with_expired(oldest_ms) {
            let log = partition.log();
            let Some(topic) = self.topic_by_id(log.topic_id()) else { continue };
            // In line, so that no batch puts its producer's row before this deletes it.
            let mut tickets = topic.lanes().take([log.partition()]);
            tickets.turn().await;
            let open = log.open_transactions();
            let is_open = |id| open.iter().any(|open| open.producer_id == id);
            let mut commit = Commit::new();
            let gone = partition.expire(oldest_ms, is_open, &mut commit);
            if gone == 0 {
                continue;
            }
            count += gone;
            let pending = self.0.storage.submit(commit).await?;
            drop(tickets);
            match pending.receipt().await {
                Ok(_) | Err(CommitError::TopicGone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let entries: Vec<_> = self.0.transactions.entries.read().values().cloned().collect();
        entries.into_iter().filter(|entry| wanted(entry)).collect()
    }
}

impl super::Transactions {
    /// The row of a claimed id is gone.
    pub(super) fn forget(&self, entry: &Arc<Entry>) {
        let producer_id = {
            let mut held = entry.held.lock();
            held.gone = true;
            held.transaction.producer.id
        };
        self.entries.write().remove(&entry.id);
        self.by_producer.write().remove(&producer_id);
    }
}
