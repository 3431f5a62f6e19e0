//! A batch's way through the stages of its topic: what is kept, replaced, refused, and sent elsewhere.

use std::sync::atomic::Ordering;

use super::{ChainResult, Fate, Outside, Stage, StoredRecord};
use crate::broker::ProduceError;
use crate::broker::dead_letter::{self, Reason};
use crate::broker::error::RejectedRecord;
use crate::broker::output::fill;
use crate::model::batch::{BatchBuilder, Codec, RecordBatch};
use crate::model::deployment::{self, OnFault};
use crate::model::limits::BATCH_UNCOMPRESSED_MAX;
use crate::model::{Partition, Record, RecordView, TopicName};
use crate::wasm::{Fault, Input, Outcome};

/// A batch on its way through the stages.
pub(super) struct Passage {
    topic: TopicName,
    partition: Partition,
    /// the records as they are now: a batch, and for each of its records the one it came from
    batch: Option<RecordBatch>,
    origins: Vec<u32>,
    untouched: bool,
    /// what the last stage that changed anything made
    records: Vec<StoredRecord>,
    fates: Vec<Fate>,
    outside: Vec<Outside>,
    /// the request's index of each record, when one rejected record fails the request
    indices: Option<Vec<usize>>,
}

impl Passage {
    pub(super) fn new(
        topic: TopicName,
        partition: Partition,
        batch: &RecordBatch,
        indices: Option<Vec<usize>>,
    ) -> Self {
        let count = batch.header().count;
        Self {
            topic,
            partition,
            batch: Some(batch.clone()),
            origins: (0..count).collect(),
            untouched: true,
            records: Vec::new(),
            fates: vec![Fate::Stored(1); count as usize],
            outside: Vec::new(),
            indices,
        }
    }

    pub(super) async fn through(&mut self, stage: &Stage, now_ms: i64) -> Result<(), ProduceError> {
        let Some(batch) = self.batch.clone() else { return Ok(()) };
        let unreadable = |e: crate::model::batch::BatchError| ProduceError::Unknown(e.to_string());
        let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).map_err(unreadable)?;
        let views: Vec<RecordView<'_>> = payload.records().collect::<Result<_, _>>().map_err(unreadable)?;
        let inputs: Vec<_> = views
            .iter()
            .map(|record| Input {
                topic: 0,
                partition: self.partition,
                offset: u64::from(record.offset_delta),
                record: *record,
            })
            .collect();
        stage.counters.records_in.fetch_add(inputs.len() as u64, Ordering::Relaxed);

        let outcomes = match stage.process(self.partition, &inputs).await {
            Ok(outcomes) => outcomes,
            Err(fault) => {
                stage.failed(&fault, self.partition, now_ms);
                if stage.deployment.spec.on_fault == OnFault::Open {
                    return Ok(());
                }
                return Err(self.fault(stage, fault));
            }
        };
        if outcomes.iter().all(|o| matches!(o, Outcome::Keep)) {
            stage.counters.records_out.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        self.check_rejects(stage, &outcomes)?;
        self.untouched = false;
        let mut records = Vec::with_capacity(outcomes.len());
        for ((outcome, view), origin) in outcomes.into_iter().zip(&views).zip(self.origins.clone()) {
            let source = || view.to_owned_in(payload.bytes());
            self.apply(stage, outcome, origin, source, &mut records);
        }
        stage.counters.records_out.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.rebuild(records);
        Ok(())
    }

    /// One outcome: what goes on, what goes elsewhere, what became of the record.
    fn apply(
        &mut self,
        stage: &Stage,
        outcome: Outcome,
        origin: u32,
        source: impl Fn() -> Record,
        records: &mut Vec<StoredRecord>,
    ) {
        let spec = &stage.deployment.spec;
        match outcome {
            Outcome::Keep => records.push(StoredRecord { origin, record: source() }),
            Outcome::Drop => {}
            Outcome::Emit(outputs) => {
                let source = source();
                for output in outputs {
                    let route = output.route.and_then(|i| spec.output.routes.values().nth(i as usize));
                    let record = fill(output, Some(&source), source.timestamp);
                    match route {
                        None => records.push(StoredRecord { origin, record }),
                        Some(topic) => {
                            let (topic, partition) = (topic.clone(), self.partition);
                            self.outside.push(Outside { origin, topic, partition, record });
                        }
                    }
                }
            }
            Outcome::Reject(reason) => {
                stage.counters.rejected.fetch_add(1, Ordering::Relaxed);
                let fate = match spec.on_reject {
                    deployment::OnReject::Fail => Fate::Rejected { deployment: spec.name.clone(), reason },
                    deployment::OnReject::DeadLetter => {
                        stage.counters.dead_letters.fetch_add(1, Ordering::Relaxed);
                        self.outside.push(self.dead_letter(stage, origin, source(), &reason));
                        Fate::DeadLettered
                    }
                };
                if let Some(slot) = self.fates.get_mut(origin as usize) {
                    *slot = fate;
                }
            }
        }
    }

    fn dead_letter(&self, stage: &Stage, origin: u32, record: Record, reason: &str) -> Outside {
        let module = stage.deployment.module_and_digest();
        let record = dead_letter::letter(
            record,
            &Reason {
                deployment: &stage.deployment.spec.name,
                module: &module,
                topic: &self.topic,
                partition: self.partition,
                offset: None,
                code: "rejected",
                error: reason,
                attempt: 1,
            },
        );
        let topic = stage.deployment.spec.dead_letter_topic();
        Outside { origin, topic, partition: self.partition, record }
    }

    /// `on_reject: fail` with a request that wants all or nothing.
    fn check_rejects(&self, stage: &Stage, outcomes: &[Outcome]) -> Result<(), ProduceError> {
        let Some(indices) = &self.indices else { return Ok(()) };
        if stage.deployment.spec.on_reject != deployment::OnReject::Fail {
            return Ok(());
        }
        let rejected: Vec<_> = outcomes
            .iter()
            .zip(&self.origins)
            .filter_map(|(outcome, origin)| match outcome {
                Outcome::Reject(reason) => {
                    let index = indices.get(*origin as usize).copied().unwrap_or_default();
                    Some(RejectedRecord { index, reason: reason.clone() })
                }
                _ => None,
            })
            .collect();
        if rejected.is_empty() {
            return Ok(());
        }
        stage.counters.rejected.fetch_add(rejected.len() as u64, Ordering::Relaxed);
        Err(ProduceError::Rejected { deployment: stage.deployment.spec.name.clone(), records: rejected })
    }

    fn fault(&self, stage: &Stage, fault: Fault) -> ProduceError {
        let record = match &fault {
            Fault::At { index, .. } => {
                let origin = self.origins.get(*index as usize).map(|o| *o as usize);
                origin.map(|o| self.indices.as_ref().and_then(|i| i.get(o).copied()).unwrap_or(o))
            }
            _ => None,
        };
        ProduceError::TransformFailed {
            deployment: stage.deployment.spec.name.clone(),
            module: stage.deployment.module(),
            record,
            source: fault,
        }
    }

    /// The next stage sees what this one made.
    fn rebuild(&mut self, records: Vec<StoredRecord>) {
        let mut builder = BatchBuilder::new();
        for stored in &records {
            builder.push_record(&stored.record);
        }
        self.origins = records.iter().map(|r| r.origin).collect();
        self.batch = builder.finish(Codec::None);
        self.records = records;
    }

    pub(super) fn finish(mut self) -> ChainResult {
        if self.untouched {
            return ChainResult {
                whole: self.batch,
                records: Vec::new(),
                fates: self.fates,
                outside: self.outside,
            };
        }
        // Of a record that is answered as rejected nothing is stored, whatever an earlier stage made of it.
        let rejected: Vec<bool> = self.fates.iter().map(|f| matches!(f, Fate::Rejected { .. })).collect();
        let kept = |origin: u32| !rejected.get(origin as usize).copied().unwrap_or(false);
        self.records.retain(|r| kept(r.origin));
        self.outside.retain(|o| kept(o.origin));
        let mut counts = vec![0u32; self.fates.len()];
        for record in &self.records {
            if let Some(count) = counts.get_mut(record.origin as usize) {
                *count += 1;
            }
        }
        let mut fates = self.fates;
        for (fate, count) in fates.iter_mut().zip(counts) {
            if matches!(fate, Fate::Stored(_)) {
                *fate = if count == 0 { Fate::Dropped } else { Fate::Stored(count) };
            }
        }
        ChainResult { whole: None, records: self.records, fates, outside: self.outside }
    }
}
