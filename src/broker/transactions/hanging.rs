//! Transactions that no coordinator ends: an operator ends them in one partition, by a marker.

use std::sync::Arc;

use super::super::{Broker, TopicHandle};
use super::TransactionError;
use crate::model::Partition;
use crate::model::transaction::{Outcome, Producer};
use crate::storage::Commit;

impl Broker {
    /// Writes a marker for a producer into one partition, whatever the coordinator knows of it (`kafka-transactions.sh
    /// abort`). `None`: the topic does not have the partition.
    ///
    /// # Errors
    /// `Fenced` when a newer instance of the producer has written to the partition, `Storage`.
    pub async fn write_marker(
        &self,
        topic: &Arc<TopicHandle>,
        partition: Partition,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<Option<()>, TransactionError> {
        let Some(log) = topic.log(partition) else { return Ok(None) };
        let mut tickets = topic.lanes().take([partition]);
        tickets.turn().await;
        if let Some(current) = self.0.producers.of(log).epoch(producer.id).filter(|e| *e > producer.epoch) {
            return Err(TransactionError::Fenced { found: producer.epoch, current });
        }
        let mut commit = Commit::new();
        self.put_markers(&[(topic.clone(), vec![partition])], outcome, producer, &mut commit);
        commit.past_reserve();
        let pending = self.0.storage.submit(commit).await?;
        drop(tickets);
        pending.receipt().await?;
        Ok(Some(()))
    }
}
