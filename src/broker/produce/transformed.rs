//! Records that go through a topic's transforms on their way into the commit.

use std::sync::Arc;

use super::plan::{Judged, Part, Place};
use super::records::{Encoded, Sent, stamp_time};
use super::{RECORD_FRAMING_MAX, RecordFate, log_of};
use crate::broker::append::rules_of;
use crate::broker::error::unreadable;
use crate::broker::inline::{Arrived, Chain, ChainResult, Changed, Fate, OnReject, StoredRecord};
use crate::broker::outbox::{Outbox, OutboxError};
use crate::broker::{Broker, ProduceError, TopicHandle};
use crate::model::TimestampMs;
use crate::model::batch::validate::Timestamps;
use crate::model::batch::{BatchBuilder, BatchError, HEADER_LEN, RecordBatch};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::storage::{Commit, Log};

impl Broker {
    /// Runs the chain and puts what comes out into the commit.
    pub(super) async fn transformed(
        &self,
        topic: &Arc<TopicHandle>,
        chain: &Arc<Chain>,
        encoded: Vec<Encoded>,
        on_reject: OnReject,
        commit: &mut Commit,
    ) -> Result<Vec<Part>, ProduceError> {
        let arrived = arrived(&encoded).map_err(|e| unreadable(&e))?;
        let mut results = chain.run(self, topic.name(), arrived, on_reject).await.into_iter();
        let mut outbox = Outbox::default();
        let mut parts = Vec::with_capacity(encoded.len());
        for Encoded { partition, batches, sent } in encoded {
            let log = log_of(topic, partition)?;
            let results: Vec<_> = results.by_ref().take(batches.len()).collect::<Result<_, _>>()?;
            let mut rebuilding = Rebuilding {
                topic,
                log,
                now_ms: self.0.clock.now_ms(),
                as_it_came: results.iter().all(|result| matches!(result, ChainResult::Whole)),
                part: Part::new(partition, sent.clone()),
            };
            let mut sent = sent.as_slice();
            for (batch, result) in batches.into_iter().zip(results) {
                let (own, rest) = sent.split_at_checked(batch.header().count as usize).unwrap_or((sent, &[]));
                sent = rest;
                match result {
                    ChainResult::Whole => rebuilding.whole(batch, commit)?,
                    ChainResult::Changed(changed) => {
                        for outside in &changed.outside {
                            let record = outside.record.view(0);
                            outbox.push(self, &outside.topic, partition, &record).map_err(|error| {
                                not_put(error, own.get(outside.origin as usize).map(|s| s.index))
                            })?;
                        }
                        rebuilding.changed(changed, own, commit)?;
                    }
                }
            }
            parts.push(rebuilding.part);
        }
        outbox.write_into(commit);
        Ok(parts)
    }
}

/// Every batch of the request, in order; its records are called by their numbers in the request.
fn arrived(encoded: &[Encoded]) -> Result<Vec<Arrived>, BatchError> {
    let mut arrived = Vec::with_capacity(encoded.len());
    for share in encoded {
        let mut names = share.sent.iter().map(|sent| sent.index);
        for batch in &share.batches {
            let names = names.by_ref().take(batch.header().count as usize).collect();
            let payload = batch.payload(BATCH_UNCOMPRESSED_MAX)?;
            arrived.push(Arrived { partition: share.partition, payload, names });
        }
    }
    Ok(arrived)
}

/// What came out of the chain for one partition, on its way into the commit.
struct Rebuilding<'a> {
    topic: &'a TopicHandle,
    log: &'a Arc<Log>,
    now_ms: TimestampMs,
    /// every record of the partition is kept: no verdict needs to be noted
    as_it_came: bool,
    part: Part,
}

impl Rebuilding<'_> {
    /// A batch of which every record was kept is stored as it came, compressed if its topic asks for it.
    fn whole(&mut self, batch: RecordBatch, commit: &mut Commit) -> Result<(), ProduceError> {
        let count = batch.header().count;
        let codec = self.topic.topic.config.codec();
        let batch = batch.with_codec(codec, BATCH_UNCOMPRESSED_MAX).map_err(|e| unreadable(&e))?;
        let slot = self.part.append(batch, self.log, commit);
        if !self.as_it_came {
            for position in 0..count {
                let first = Some(Place { slot, position });
                self.part.judge(Judged { fate: RecordFate::Stored, first, count: 1 });
            }
        }
        Ok(())
    }

    /// New batches of what the chain made of one; `sent` are the records that it was made of.
    fn changed(&mut self, changed: Changed, sent: &[Sent], commit: &mut Commit) -> Result<(), ProduceError> {
        let limit = self.topic.topic.config.message_bytes_max();
        let rules = rules_of(self.topic, self.now_ms);
        let opened = || {
            let mut builder = BatchBuilder::new();
            stamp_time(&mut builder, rules.timestamps);
            builder
        };
        let mut firsts: Vec<Option<Place>> = vec![None; sent.len()];
        let mut builder = opened();
        // Origins whose first record lies in the open batch, whose index is not known yet.
        let mut open: Vec<(u32, u32)> = Vec::new();
        let mut last = None;
        for StoredRecord { origin, record } in &changed.records {
            let size = record.size() + RECORD_FRAMING_MAX;
            let index = || sent.get(*origin as usize).map_or(0, |sent| sent.index as usize);
            if rules.key_required && record.key.is_none() {
                return Err(ProduceError::KeyMissing { topic: self.topic.name().clone(), index: index() });
            }
            if let Timestamps::Create { from, to } = rules.timestamps
                && !(from..=to).contains(&record.timestamp)
            {
                let (topic, timestamp) = (self.topic.name().clone(), record.timestamp);
                return Err(ProduceError::Timestamp { topic, index: index(), timestamp, from, to });
            }
            if size + HEADER_LEN > limit {
                let (topic, found, index) = (self.topic.name().clone(), record.size(), index());
                return Err(ProduceError::RecordTooLarge { topic, index, found, limit });
            }
            if builder.count() > 0 && builder.size() + size > limit {
                self.close(std::mem::replace(&mut builder, opened()), &mut open, &mut firsts, commit);
            }
            if last != Some(*origin) {
                open.push((*origin, builder.count()));
                last = Some(*origin);
            }
            builder.push_record(record);
        }
        self.close(builder, &mut open, &mut firsts, commit);

        for (fate, first) in changed.fates.into_iter().zip(firsts) {
            let (fate, count) = match fate {
                Fate::Stored(count) => (RecordFate::Stored, count),
                Fate::Dropped => (RecordFate::Dropped, 0),
                Fate::DeadLettered => (RecordFate::DeadLettered, 0),
                Fate::Rejected { deployment, reason } => (RecordFate::Rejected { deployment, reason }, 0),
            };
            self.part.judge(Judged { fate, first, count });
        }
        Ok(())
    }

    fn close(
        &mut self,
        builder: BatchBuilder,
        open: &mut Vec<(u32, u32)>,
        firsts: &mut [Option<Place>],
        commit: &mut Commit,
    ) {
        let Some(batch) = builder.finish(self.topic.topic.config.codec()) else { return };
        let slot = self.part.append(batch, self.log, commit);
        for (origin, position) in open.drain(..) {
            if let Some(first) = firsts.get_mut(origin as usize) {
                *first = Some(Place { slot, position });
            }
        }
    }
}

fn not_put(error: OutboxError, index: Option<u32>) -> ProduceError {
    let index = index.unwrap_or(0) as usize;
    match error {
        OutboxError::TooLarge { topic, found, limit } => {
            ProduceError::RecordTooLarge { topic, index, found, limit }
        }
        OutboxError::KeyMissing { topic } => ProduceError::KeyMissing { topic, index },
        OutboxError::Gone { topic, .. } => ProduceError::TopicGone(topic),
    }
}
