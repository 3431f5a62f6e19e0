//! What an open transaction includes: partitions and groups that are added before they are written to.

use std::sync::Arc;

use super::super::Broker;
use super::{Entry, TransactionError, Work};
use crate::model::limits::TRANSACTION_PARTITIONS_MAX;
use crate::model::topic::Durability;
use crate::model::transaction::{Phase, Producer, Transaction};
use crate::model::{Partition, TopicId};
use crate::storage::{Commit, tables};

impl Broker {
    /// Adds partitions to the producer's transaction; begins one if none is open.
    ///
    /// # Errors
    /// `EmptyId`, `UnknownId`, `Mapping`, `Fenced`, `Concurrent`, `PartitionsFull`, `Storage`; then none is added.
    pub async fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: Vec<(TopicId, Partition)>,
    ) -> Result<(), TransactionError> {
        let entry = self.0.transactions.find(id)?;
        let added = Added { partitions, group: None };
        self.to_its_end(move |broker| async move { broker.add(&entry, producer, added).await }).await
    }

    /// Adds a group, whose offsets will come, to the producer's transaction; begins one if none is open.
    ///
    /// # Errors
    /// `EmptyId`, `UnknownId`, `Mapping`, `Fenced`, `Concurrent`, `Storage`.
    pub async fn add_group(
        &self,
        id: &str,
        producer: Producer,
        group: String,
    ) -> Result<(), TransactionError> {
        let entry = self.0.transactions.find(id)?;
        let added = Added { partitions: Vec::new(), group: Some(group) };
        self.to_its_end(move |broker| async move { broker.add(&entry, producer, added).await }).await
    }

    async fn add(
        &self,
        entry: &Arc<Entry>,
        producer: Producer,
        added: Added,
    ) -> Result<(), TransactionError> {
        let now_ms = self.0.clock.now_ms();
        let (row, claim) = entry.claim(|transaction| {
            transaction.check(producer)?;
            if added.is_in(transaction) {
                return Ok((None, Work::Adding));
            }
            let mut next = transaction.clone();
            added.add_to(&mut next, now_ms);
            if next.partitions.len() > TRANSACTION_PARTITIONS_MAX {
                return Err(TransactionError::PartitionsFull { limit: TRANSACTION_PARTITIONS_MAX });
            }
            Ok((Some(next.encode()), Work::Adding))
        })?;
        let Some(row) = row else { return Ok(()) };
        let mut commit = Commit::new();
        // Nothing depends on it but records that come later; the sync that covers them covers this as well.
        commit.durability(Durability::Os);
        tables::transactions::put(&mut commit, &entry.id, row);
        self.0.storage.commit(commit).await?;
        // Partitions may have joined meanwhile, so it is added to what is there now.
        added.add_to(&mut entry.held.lock().transaction, now_ms);
        drop(claim);
        Ok(())
    }
}

/// What a request adds.
struct Added {
    partitions: Vec<(TopicId, Partition)>,
    group: Option<String>,
}

impl Added {
    fn is_in(&self, transaction: &Transaction) -> bool {
        transaction.phase == Phase::Ongoing
            && self.partitions.iter().all(|at| transaction.partitions.contains(at))
            && self.group.as_ref().is_none_or(|group| transaction.groups.contains(group))
    }

    /// Those who add beforehand speak version 1.
    fn add_to(&self, transaction: &mut Transaction, now_ms: i64) {
        transaction.add(self.partitions.iter().copied(), self.group.as_deref(), false, now_ms);
    }
}
