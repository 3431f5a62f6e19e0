//! The changes of a transactional id that are commits: a producer begins, a transaction ends.

use std::sync::Arc;

use super::super::lane::Tickets;
use super::super::{Broker, TopicHandle};
use super::{Claim, Entry, TransactionError, Work};
use crate::model::batch::control::{MarkerKind, marker};
use crate::model::limits::TRANSACTION_TIMEOUT_MAX;
use crate::model::transaction::{Change, End, Outcome, Producer, RuleError, Transaction};
use crate::model::{Partition, TopicId};
use crate::runtime::tasks;
use crate::storage::{Commit, CommitError, tables};

/// Epoch of the coordinator in markers: there is one node, and it is never replaced.
const COORDINATOR_EPOCH: i32 = 0;

/// A producer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialize {
    /// with transactions, or without
    pub transactional_id: Option<String>,
    /// how long a transaction may stay open; only with transactions
    pub timeout_ms: i32,
    /// what it was, when it goes on after an error
    pub asked: Option<Producer>,
}

/// What a step of a change found out.
enum Step<T> {
    Done(T),
    /// the epochs are used up
    NeedsId,
}

impl Broker {
    /// Gives a producer its id and epoch. With a transactional id, the producer that had it before is fenced, and its open
    /// transaction aborted.
    ///
    /// # Errors
    /// `EmptyId`, `Timeout`, `Fenced`, `Concurrent`, `IdsFull`, `Storage`.
    pub async fn init_producer(&self, request: Initialize) -> Result<Producer, TransactionError> {
        let Initialize { transactional_id, timeout_ms, asked } = request;
        let Some(id) = transactional_id else {
            return Ok(Producer { id: self.next_producer_id().await?, epoch: 0 });
        };
        if id.is_empty() {
            return Err(TransactionError::EmptyId);
        }
        let most_ms = u32::try_from(TRANSACTION_TIMEOUT_MAX.as_millis()).unwrap_or(u32::MAX);
        let timeout = u32::try_from(timeout_ms).ok().filter(|ms| (1..=most_ms).contains(ms));
        let timeout_ms = timeout.ok_or(TransactionError::Timeout { asked_ms: timeout_ms, most_ms })?;
        self.to_its_end(move |broker| async move { broker.initialize(&id, timeout_ms, asked).await }).await
    }

    async fn initialize(
        &self,
        id: &str,
        timeout_ms: u32,
        asked: Option<Producer>,
    ) -> Result<Producer, TransactionError> {
        let now_ms = self.0.clock.now_ms();
        let transactions = &self.0.transactions;
        let entry = match transactions.find(id) {
            Ok(entry) => entry,
            Err(_) => {
                let fresh = self.next_producer_id().await?;
                transactions.find_or_make(id, || Transaction::new(fresh, timeout_ms, now_ms))?
            }
        };
        let mut fresh = None;
        loop {
            let claimed = entry.claim(|transaction| {
                let change = transaction.initialize(asked, timeout_ms, fresh, now_ms);
                let work = match &change {
                    Ok(Change { ends: Some((outcome, _)), .. }) => Work::Ending(*outcome),
                    _ => Work::Replacing,
                };
                Ok((step(change)?, work))
            });
            match claimed? {
                (Step::Done(change), claim) => return self.make(claim, change).await,
                (Step::NeedsId, _) => fresh = Some(self.next_producer_id().await?),
            }
        }
    }

    /// Ends a transaction: all its records and offsets become valid, or none. `bumps`: the client speaks version 2, and
    /// goes on with the producer that it is given.
    ///
    /// # Errors
    /// `EmptyId`, `UnknownId`, `Mapping`, `Fenced`, `Phase`, `Concurrent`, `Storage`.
    pub async fn end_transaction(
        &self,
        id: &str,
        producer: Producer,
        outcome: Outcome,
        bumps: bool,
    ) -> Result<Producer, TransactionError> {
        let entry = self.0.transactions.find(id)?;
        self.to_its_end(move |broker| async move { broker.end(&entry, producer, outcome, bumps).await }).await
    }

    async fn end(
        &self,
        entry: &Arc<Entry>,
        producer: Producer,
        outcome: Outcome,
        bumps: bool,
    ) -> Result<Producer, TransactionError> {
        let now_ms = self.0.clock.now_ms();
        let mut fresh = None;
        loop {
            let claimed = entry.claim(|transaction| {
                let end = transaction.end(producer, outcome, bumps, fresh, now_ms);
                Ok(((step(end)?, transaction.producer), Work::Ending(outcome)))
            });
            match claimed? {
                ((Step::Done(End::Already), current), _) => return Ok(current),
                ((Step::Done(End::Make(change)), _), claim) => return self.make(claim, *change).await,
                ((Step::NeedsId, _), _) => fresh = Some(self.next_producer_id().await?),
            }
        }
    }

    /// Commits a change of a claimed id, with the markers of the transaction that it ends.
    pub(super) async fn make(&self, claim: Claim, change: Change) -> Result<Producer, TransactionError> {
        let Change { next, ends } = change;
        let entry = claim.0.clone();
        let mut tickets = Vec::new();
        if ends.is_some() {
            tickets = self.line_up(&entry.partitions());
            for ticket in &mut tickets {
                ticket.turn().await;
            }
        }
        // Those before us in line may have added partitions.
        let mut topics = self.topics_of(&entry.partitions());
        loop {
            let mut commit = Commit::new();
            if let Some((outcome, producer)) = ends {
                self.put_markers(&topics, outcome, producer, &mut commit);
                let is_committed = outcome == Outcome::Commit;
                // Markers carry the id of the transaction, whatever id the producer goes on with.
                self.0.groups.complete_transaction(producer.id, is_committed, &mut commit).await;
                commit.past_reserve();
            }
            tables::transactions::put(&mut commit, &entry.id, next.encode());
            let pending = self.0.storage.submit(commit).await?;
            tickets.clear();
            match pending.receipt().await {
                Ok(_) => break,
                // A deleted topic needs no marker.
                Err(CommitError::TopicGone { topic }) if topics.iter().any(|(t, _)| t.id() == topic) => {
                    topics.retain(|(t, _)| t.id() != topic);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let producer = next.producer;
        let old = std::mem::replace(&mut entry.held.lock().transaction, next).producer.id;
        if old != producer.id {
            let mut by_producer = self.0.transactions.by_producer.write();
            by_producer.remove(&old);
            by_producer.insert(producer.id, entry.clone());
        }
        drop(claim);
        Ok(producer)
    }

    pub(super) fn put_markers(
        &self,
        topics: &[(Arc<TopicHandle>, Vec<Partition>)],
        outcome: Outcome,
        producer: Producer,
        commit: &mut Commit,
    ) {
        let kind = match outcome {
            Outcome::Commit => MarkerKind::Commit,
            Outcome::Abort => MarkerKind::Abort,
        };
        let now_ms = self.0.clock.now_ms();
        for (topic, partitions) in topics {
            for log in partitions.iter().filter_map(|partition| topic.log(*partition)) {
                commit.append(log, marker(kind, producer.id, producer.epoch, COORDINATOR_EPOCH, now_ms));
            }
        }
    }

    /// The transaction's partitions by topic, without topics that were deleted.
    pub(super) fn topics_of(
        &self,
        partitions: &[(TopicId, Partition)],
    ) -> Vec<(Arc<TopicHandle>, Vec<Partition>)> {
        let mut topics: Vec<(Arc<TopicHandle>, Vec<Partition>)> = Vec::new();
        let mut gone = None;
        for (id, partition) in partitions {
            match topics.last_mut() {
                Some((topic, list)) if topic.id() == *id => list.push(*partition),
                _ if gone == Some(*id) => {}
                _ => match self.topic_by_id(*id) {
                    Some(topic) => topics.push((topic, vec![*partition])),
                    None => gone = Some(*id),
                },
            }
        }
        topics
    }

    /// Places in the lanes of the transaction's partitions.
    fn line_up(&self, partitions: &[(TopicId, Partition)]) -> Vec<Tickets> {
        let topics = self.topics_of(partitions);
        self.0.line_up.take(topics.iter().map(|(topic, list)| (topic.lanes(), list.iter().copied())))
    }

    pub(super) async fn next_producer_id(&self) -> Result<i64, CommitError> {
        self.0.transactions.next_producer_id(&self.0.storage).await
    }

    /// Runs a change to its end, also when whoever asked for it has gone: what is committed has to be known here as well.
    pub(super) async fn to_its_end<T, E, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CommitError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let done = tasks::spawn("transaction", work(self.clone())).await;
        done.unwrap_or_else(|e| Err(CommitError::Unknown(format!("a change was ended: {e}")).into()))
    }
}

impl Entry {
    fn partitions(&self) -> Vec<(TopicId, Partition)> {
        self.held.lock().transaction.partitions.iter().copied().collect()
    }
}

/// Tells a missing producer id from a refusal.
fn step<T>(decided: Result<T, RuleError>) -> Result<Step<T>, TransactionError> {
    match decided {
        Ok(decided) => Ok(Step::Done(decided)),
        Err(RuleError::NeedsId) => Ok(Step::NeedsId),
        Err(refusal) => Err(refusal.into()),
    }
}
