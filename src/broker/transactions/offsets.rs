//! Offsets of groups as part of a transaction: kept aside by the groups until it ends, in force when it commits.

use super::super::Broker;
use super::super::append::TransactionOf;
use super::{TransactionError, Work};
use crate::groups::machine::OffsetCommitter;
use crate::groups::{GroupError, GroupId, NewOffset, PendingOffsets};
use crate::model::topic::Durability;
use crate::model::transaction::{Phase, Producer};
use crate::storage::{Commit, CommitError, tables};

/// Offsets that a producer has read up to, to be committed with what it has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOffsets {
    /// whose transaction; with version 2 the group joins by this request
    pub transaction: TransactionOf,
    /// who writes
    pub producer: Producer,
    /// whose offsets they are
    pub group: GroupId,
    /// the member that has read
    pub who: OffsetCommitter,
    /// of partitions that exist
    pub offsets: Vec<NewOffset>,
}

/// What the offsets of a transaction can be refused with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionOffsetsError {
    /// By the transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// By the group.
    #[error(transparent)]
    Group(#[from] GroupError),
}

impl From<CommitError> for TransactionOffsetsError {
    fn from(error: CommitError) -> Self {
        Self::Transaction(error.into())
    }
}

impl Broker {
    /// Adds offsets of a group to the producer's transaction; one result for each, in their order.
    ///
    /// # Errors
    /// Those of [`Broker::add_group`], `GroupNotAdded`, and the group's own.
    pub async fn add_offsets(
        &self,
        request: TransactionOffsets,
    ) -> Result<Vec<Result<(), GroupError>>, TransactionOffsetsError> {
        self.to_its_end(move |broker| async move { broker.keep_offsets(request).await }).await
    }

    async fn keep_offsets(
        &self,
        request: TransactionOffsets,
    ) -> Result<Vec<Result<(), GroupError>>, TransactionOffsetsError> {
        let TransactionOffsets { transaction, producer, group, who, offsets } = request;
        let TransactionOf { id, joins } = transaction;
        let now_ms = self.0.clock.now_ms();
        let entry = self.0.transactions.find(&id)?;
        let (row, claim) = entry.claim(|transaction| {
            transaction.check(producer)?;
            let is_in = transaction.phase == Phase::Ongoing && transaction.groups.contains(group.as_str());
            if is_in {
                return Ok((None, Work::Adding));
            }
            if !joins {
                return Err(TransactionError::GroupNotAdded(group.to_string()));
            }
            let mut next = transaction.clone();
            next.add([], Some(group.as_str()), true, now_ms);
            Ok((Some(next.encode()), Work::Adding))
        })?;

        let mut commit = Commit::new();
        // The commit that ends the transaction is behind it, and its sync covers this as well.
        commit.durability(Durability::Os);
        let pending = PendingOffsets {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            group: group.clone(),
            who,
            offsets,
        };
        let results = self.0.groups.add_pending_offsets(pending, &mut commit).await?;
        let joined = row.is_some();
        if let Some(row) = row {
            tables::transactions::put(&mut commit, &entry.id, row);
        }
        self.0.storage.commit(commit).await?;
        if joined {
            entry.held.lock().transaction.add([], Some(group.as_str()), true, now_ms);
        }
        drop(claim);
        Ok(results)
    }
}
