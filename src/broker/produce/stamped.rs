//! Records of a producer that numbers them: one batch, which goes the way of Kafka's clients, past the same state of
//! producers.

use super::Records;
use crate::broker::{AppendEntry, AppendError, AppendRequest, Appended, Broker};
use crate::model::Partition;
use crate::model::batch::{Codec, ProducerStamp};
use crate::model::producer::advance;

/// What became of numbered records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped {
    /// where they are
    pub partition: Partition,
    /// how many were sent
    pub count: u32,
    /// of the record that follows them
    pub next_sequence: i32,
    /// now, or before
    pub appended: Appended,
}

impl Broker {
    /// Stores the records as their producer's next ones, or says where they are when they came before.
    ///
    /// # Errors
    /// `Invalid` when they are of several partitions. See [`AppendError`] for the rest.
    pub async fn produce_stamped(
        &self,
        records: Records,
        stamp: ProducerStamp,
    ) -> Result<Stamped, AppendError> {
        let topic = records.topic().clone();
        // Transforms take records uncompressed; what comes out of them is compressed.
        let codec = if topic.chain().is_some() { Codec::None } else { topic.topic.config.codec() };
        let (partition, batch) = records.stamped(stamp, codec)?;
        let count = batch.header().count;
        let entry = AppendEntry { topic, partition, batch: batch.bytes().clone() };
        let request = AppendRequest { entries: vec![entry], ..AppendRequest::default() };
        let result = self.append(request).await.results.pop().unwrap_or(Err(AppendError::Closed));
        let next_sequence = advance(stamp.base_sequence, count);
        Ok(Stamped { partition, count, next_sequence, appended: result? })
    }
}
