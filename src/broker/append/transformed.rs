//! Batches of clients on their way through a topic's transforms. What comes out keeps the client's codec, its producer and
//! its transaction, and as far as it can the offsets that the client is told: a record that was dropped leaves its offset
//! free, and of several that were made of one the others take the next ones.

use std::sync::Arc;

use super::super::inline::{Arrived, Chain, ChainResult, Changed, OnReject, StoredRecord};
use super::super::outbox::{Outbox, OutboxError};
use super::super::produce::RECORD_FRAMING_MAX;
use super::super::{Broker, ProduceError, TopicHandle};
use super::check::{of_refusal, rules_of};
use super::error::RecordError;
use super::{AppendError, Place, Standing, TransactionOf};
use crate::model::TopicName;
use crate::model::batch::validate::check_made;
use crate::model::batch::{BatchBuilder, BatchError, BatchHeader, ProducerStamp, RecordBatch};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::storage::Commit;

/// The sequence of batches that have none.
const NO_SEQUENCE: i32 = -1;

impl Broker {
    /// Runs the chain over batches of different partitions and puts what comes out into the commit; one result for each,
    /// in their order. A batch of which a record is rejected fails alone.
    pub(super) async fn transform(
        &self,
        topic: &Arc<TopicHandle>,
        chain: &Arc<Chain>,
        standing: Vec<Standing>,
        transaction: Option<&TransactionOf>,
        commit: &mut Commit,
    ) -> Vec<Result<Place, AppendError>> {
        let mut arrived = Vec::with_capacity(standing.len());
        let mut readable = Vec::with_capacity(standing.len());
        for one in standing {
            let arrival = arrival(&one);
            readable.push(arrival.as_ref().map(|_| one).map_err(ToString::to_string));
            arrived.extend(arrival.ok());
        }
        let mut made = chain.run(self, topic.name(), arrived, OnReject::FailBatch).await.into_iter();
        let place = |one: Result<Standing, String>| {
            let one = one.map_err(AppendError::Unknown)?;
            let ended = || Err(ProduceError::Unknown("a transform gave no answer".to_owned()));
            // With an error the batch's place among its producer's batches is given back.
            match made.next().unwrap_or_else(ended).map_err(of_chain)? {
                ChainResult::Whole => Ok(one.put(commit)),
                ChainResult::Changed(changed) => {
                    let partition = one.log.partition();
                    let put = self.put_changed(topic, one, &changed, transaction, commit);
                    put.inspect_err(|_| chain.forget(partition))
                }
            }
        };
        readable.into_iter().map(place).collect()
    }

    fn put_changed(
        &self,
        topic: &TopicHandle,
        standing: Standing,
        changed: &Changed,
        transaction: Option<&TransactionOf>,
        commit: &mut Commit,
    ) -> Result<Place, AppendError> {
        let Standing { log, batch, append_time, slot, .. } = standing;
        let header = batch.header();
        let rules = rules_of(topic, self.0.clock.now_ms());
        let made = changed
            .records
            .iter()
            .map(|made| (made.origin, made.record.key.is_some(), made.record.timestamp));
        check_made(made, &rules).map_err(|refusal| of_refusal(refusal, topic))?;
        let batches = rebuilt(header, &changed.records, topic.name(), rules.size_max)?;

        // What goes elsewhere is part of the same transaction, and no part of the producer's sequence.
        let stamp = header.producer().filter(|stamp| stamp.transactional);
        let mut outbox = Outbox::of(stamp.map(|stamp| ProducerStamp { base_sequence: NO_SEQUENCE, ..stamp }));
        for outside in &changed.outside {
            let record = outside.record.view(0);
            outbox
                .push(self, &outside.topic, log.partition(), &record)
                .map_err(|error| not_put(error, outside.origin))?;
        }
        if let (Some(_), Some(TransactionOf { id, .. })) = (stamp, transaction) {
            self.0.transactions.join(id, outbox.partitions(), self.0.clock.now_ms())?;
        }
        outbox.write_into(commit);

        let mut first = None;
        for batch in batches {
            let append = commit.append(&log, batch);
            first.get_or_insert(append);
        }
        if let Some(slot) = slot {
            slot.put(first, append_time, commit);
        }
        Ok(Place::Here { append: first, append_time })
    }
}

fn arrival(standing: &Standing) -> Result<Arrived, BatchError> {
    let payload = match &standing.payload {
        Some(payload) => payload.clone(),
        // The transforms have come since it was checked.
        None => standing.batch.payload(BATCH_UNCOMPRESSED_MAX)?,
    };
    let names = (0..standing.batch.header().count).collect();
    Ok(Arrived { partition: standing.log.partition(), payload, names })
}

/// The batches that take the place of one; none when none of its records is left. Only what does not fit into one
/// becomes several, of which the first has the sequence.
fn rebuilt(
    header: &BatchHeader,
    records: &[StoredRecord],
    topic: &TopicName,
    limit: usize,
) -> Result<Vec<RecordBatch>, AppendError> {
    let mut batches = Vec::new();
    if records.is_empty() {
        return Ok(batches);
    }
    // Offsets counted from the first one of the batch as it came.
    let (mut start, mut next) = (0, 0);
    let mut builder = like(header, header.base_sequence);
    for StoredRecord { origin, record } in records {
        if builder.count() > 0 && builder.size() + record.size() + RECORD_FRAMING_MAX > limit {
            batches.extend(builder.finish(header.codec));
            builder = like(header, NO_SEQUENCE);
            start = next;
        }
        let offset = next.max(*origin);
        builder.skip(offset - start - builder.next_delta());
        builder.push_record(record);
        next = offset + 1;
    }
    builder.set_last_offset_delta(header.last_offset_delta.saturating_sub(start));
    batches.extend(builder.finish(header.codec));
    match batches.iter().map(|batch| batch.bytes().len()).find(|size| *size > limit) {
        Some(found) => Err(AppendError::TooLarge { topic: topic.clone(), found, limit }),
        None => Ok(batches),
    }
}

/// A builder for a batch of the same producer and kind.
fn like(header: &BatchHeader, base_sequence: i32) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    if let Some(stamp) = header.producer() {
        builder.producer(ProducerStamp { base_sequence, ..stamp });
    }
    if header.log_append_time {
        builder.log_append_time(header.max_timestamp);
    }
    builder
}

fn of_chain(error: ProduceError) -> AppendError {
    match error {
        ProduceError::Rejected { deployment, records } => AppendError::Rejected { deployment, records },
        ProduceError::TransformFailed { deployment, record, source, .. } => {
            AppendError::TransformFailed { deployment, record, source }
        }
        other => AppendError::Unknown(other.to_string()),
    }
}

/// `origin`: the record of the batch that the output came from.
fn not_put(error: OutboxError, origin: u32) -> AppendError {
    let message = error.to_string();
    match error {
        OutboxError::Gone { topic, .. } => AppendError::TopicGone(topic),
        OutboxError::TooLarge { topic, found, limit } => AppendError::TooLarge { topic, found, limit },
        OutboxError::KeyMissing { .. } => {
            let records = vec![RecordError { index: origin, message: message.clone() }];
            AppendError::Invalid { message, records }
        }
    }
}

#[cfg(test)]
mod tests;
