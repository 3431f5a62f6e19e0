//! A batch's way through the stages of its topic: what is kept, replaced, refused, and sent elsewhere.
//!
//! As long as every record is kept nothing is copied: the stages read views of the batch. Records are taken out of it
//! where a stage first changes something.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Arrived, ChainResult, Changed, Fate, OnReject, Outside, Stage, StoredRecord};
use crate::broker::ProduceError;
use crate::broker::dead_letter::{self, Reason};
use crate::broker::error::{RejectedRecord, unreadable};
use crate::broker::output::fill;
use crate::model::batch::{BatchError, Payload, Records};
use crate::model::deployment::{self, OnFault};
use crate::model::limits::BATCH_BYTES_MAX;
use crate::model::{Partition, Record, RecordView, TopicName};
use crate::wasm::{Fault, Input, Outcome};

/// Records of one call into a transform, at most. Enough to make the call itself cost nothing, few enough for what is
/// handed over to stay in the processor's cache (a guess).
const CALL_RECORDS: usize = 1024;

/// A batch on its way through the stages.
pub(super) struct Passage<'t> {
    at: Place<'t>,
    current: Current,
    done: Done,
}

/// What does not change on the way.
struct Place<'t> {
    topic: &'t TopicName,
    partition: Partition,
    names: Vec<u32>,
    on_reject: OnReject,
    now_ms: i64,
}

/// The records as the last stage left them.
enum Current {
    AsTheyCame(Payload),
    Made(Vec<StoredRecord>),
}

/// What has left the way.
struct Done {
    /// one per record of the batch
    fates: Vec<Fate>,
    outside: Vec<Outside>,
}

/// Views of the records, one after the other.
enum Views<'a> {
    AsTheyCame(Records<'a>),
    Made(std::slice::Iter<'a, StoredRecord>),
}

impl<'a> Iterator for Views<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::AsTheyCame(records) => records.next(),
            Self::Made(records) => records.next().map(|stored| Ok(stored.record.view(0))),
        }
    }
}

impl<'t> Passage<'t> {
    pub(super) fn new(topic: &'t TopicName, batch: Arrived, on_reject: OnReject, now_ms: i64) -> Self {
        let Arrived { partition, payload, names } = batch;
        let fates = Vec::new();
        Self {
            at: Place { topic, partition, names, on_reject, now_ms },
            current: Current::AsTheyCame(payload),
            done: Done { fates, outside: Vec::new() },
        }
    }

    /// Takes the batch through all stages.
    ///
    /// # Errors
    /// `Rejected` and `TransformFailed`; then nothing of the batch may be stored.
    pub(super) async fn through(mut self, stages: &[Arc<Stage>]) -> Result<ChainResult, ProduceError> {
        for stage in stages {
            let made = self.stage(stage).await?;
            if let Some(made) = made {
                self.current = Current::Made(made);
            }
        }
        Ok(self.finish())
    }

    /// Takes the records through one stage, call by call. `None`: all of them were kept.
    async fn stage(&mut self, stage: &Stage) -> Result<Option<Vec<StoredRecord>>, ProduceError> {
        let Self { at, current, done } = self;
        let mut made: Option<Vec<StoredRecord>> = None;
        let mut views = current.views();
        let mut inputs = Vec::new();
        let mut first = 0;
        loop {
            at.fill(&mut inputs, &mut views, first)?;
            if inputs.is_empty() {
                return Ok(made);
            }
            let outcomes = at.call(stage, current, first, &inputs).await?;
            let kept = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Keep));
            if !kept && made.is_none() {
                made = Some(current.first(first)?);
                done.begin(at.names.len());
            }
            match &mut made {
                None => {
                    stage.counters.records_out.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
                }
                Some(made) => {
                    let before = made.len();
                    for (index, (outcome, input)) in outcomes.into_iter().zip(&inputs).enumerate() {
                        let origin = current.origin(first + index);
                        let source = || current.record(first + index, &input.record);
                        done.apply(at, stage, outcome, origin, source, made);
                    }
                    let records = (made.len() - before) as u64;
                    stage.counters.records_out.fetch_add(records, Ordering::Relaxed);
                }
            }
            first += inputs.len();
            inputs.clear();
        }
    }

    fn finish(self) -> ChainResult {
        let Current::Made(mut records) = self.current else { return ChainResult::Whole };
        let Done { mut fates, mut outside } = self.done;
        // Of a record that is answered as rejected nothing is stored, whatever an earlier stage made of it.
        let rejected: Vec<bool> = fates.iter().map(|f| matches!(f, Fate::Rejected { .. })).collect();
        let kept = |origin: u32| !rejected.get(origin as usize).copied().unwrap_or(false);
        records.retain(|r| kept(r.origin));
        outside.retain(|o| kept(o.origin));
        let mut counts = vec![0u32; fates.len()];
        for record in &records {
            if let Some(count) = counts.get_mut(record.origin as usize) {
                *count += 1;
            }
        }
        for (fate, count) in fates.iter_mut().zip(counts) {
            if matches!(fate, Fate::Stored(_)) {
                *fate = if count == 0 { Fate::Dropped } else { Fate::Stored(count) };
            }
        }
        ChainResult::Changed(Changed { records, fates, outside })
    }
}

// === impl Place ===

impl Place<'_> {
    /// The inputs of the next call, the first of which is the record number `first`.
    fn fill<'a>(
        &self,
        inputs: &mut Vec<Input<'a>>,
        views: &mut Views<'a>,
        first: usize,
    ) -> Result<(), ProduceError> {
        let mut bytes = 0;
        while inputs.len() < CALL_RECORDS && bytes < BATCH_BYTES_MAX {
            let Some(record) = views.next() else { break };
            let record = record.map_err(|e| unreadable(&e))?;
            bytes += record.size();
            let offset = (first + inputs.len()) as u64;
            inputs.push(Input { topic: 0, partition: self.partition, offset, record });
        }
        Ok(())
    }

    /// One call. A fault that the deployment does not mind keeps every record.
    async fn call(
        &self,
        stage: &Stage,
        current: &Current,
        first: usize,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Outcome>, ProduceError> {
        let origin = |index: usize| current.origin(first + index);
        stage.counters.records_in.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        match stage.process(self.partition, inputs).await {
            Ok(outcomes) => {
                self.check_rejects(stage, &outcomes, origin)?;
                Ok(outcomes)
            }
            Err(fault) => {
                let bad = match &fault {
                    Fault::At { index, .. } => Some(origin(*index as usize)),
                    fault if fault.is_of_no_record() => None,
                    _ if inputs.len() == 1 => Some(origin(0)),
                    _ => None,
                };
                stage.failed(&fault, self.partition, bad, self.now_ms);
                // `open` is for code that fails: a node that is busy has not asked it.
                let failed = !matches!(fault, Fault::Busy(_));
                if failed && stage.deployment.spec.on_fault == OnFault::Open {
                    return Ok(vec![Outcome::Keep; inputs.len()]);
                }
                Err(ProduceError::TransformFailed {
                    deployment: stage.deployment.spec.name.clone(),
                    module: stage.deployment.module(),
                    record: bad.map(|origin| self.name(origin)),
                    source: fault,
                })
            }
        }
    }

    /// `on_reject: fail` with a producer that wants all or nothing.
    fn check_rejects(
        &self,
        stage: &Stage,
        outcomes: &[Outcome],
        origin: impl Fn(usize) -> u32,
    ) -> Result<(), ProduceError> {
        let spec = &stage.deployment.spec;
        if self.on_reject == OnReject::FailRecord || spec.on_reject != deployment::OnReject::Fail {
            return Ok(());
        }
        let rejected = outcomes.iter().enumerate().filter_map(|(index, outcome)| match outcome {
            Outcome::Reject(reason) => {
                Some(RejectedRecord { index: self.name(origin(index)), reason: reason.clone() })
            }
            _ => None,
        });
        let records: Vec<_> = rejected.collect();
        if records.is_empty() {
            return Ok(());
        }
        stage.counters.rejected.fetch_add(records.len() as u64, Ordering::Relaxed);
        Err(ProduceError::Rejected { deployment: spec.name.clone(), records })
    }

    /// What the request calls the record.
    fn name(&self, origin: u32) -> usize {
        self.names.get(origin as usize).copied().unwrap_or(origin) as usize
    }

    fn dead_letter(&self, stage: &Stage, record: Record, reason: &str) -> Record {
        let reason = Reason {
            deployment: &stage.deployment.spec.name,
            module: &stage.deployment.module_and_digest(),
            topic: Some(self.topic),
            partition: self.partition,
            offset: None,
            code: "rejected",
            error: reason,
            backtrace: &[],
            attempt: 1,
            reproduce: None,
        };
        dead_letter::letter(record, &reason)
    }
}

// === impl Current ===

impl Current {
    fn views(&self) -> Views<'_> {
        match self {
            Self::AsTheyCame(payload) => Views::AsTheyCame(payload.records()),
            Self::Made(records) => Views::Made(records.iter()),
        }
    }

    /// The record of the batch as it came that the record with this index was made of.
    fn origin(&self, index: usize) -> u32 {
        match self {
            Self::AsTheyCame(_) => u32::try_from(index).unwrap_or(u32::MAX),
            Self::Made(records) => records.get(index).map_or(0, |stored| stored.origin),
        }
    }

    /// The record with this index, of which `view` is a view. No bytes are copied.
    fn record(&self, index: usize, view: &RecordView<'_>) -> Record {
        match self {
            Self::AsTheyCame(payload) => view.to_owned_in(payload.bytes()),
            Self::Made(records) => records.get(index).map(|stored| stored.record.clone()).unwrap_or_default(),
        }
    }

    /// The first `count` records.
    fn first(&self, count: usize) -> Result<Vec<StoredRecord>, ProduceError> {
        let stored = |(index, view): (usize, Result<RecordView<'_>, BatchError>)| {
            let record = self.record(index, &view.map_err(|e| unreadable(&e))?);
            Ok(StoredRecord { origin: self.origin(index), record })
        };
        self.views().take(count).enumerate().map(stored).collect()
    }
}

// === impl Done ===

impl Done {
    /// Something changes: from now on every record has a fate of its own.
    fn begin(&mut self, records: usize) {
        if self.fates.is_empty() {
            self.fates = vec![Fate::Stored(1); records];
        }
    }

    /// One outcome: what goes on, what goes elsewhere, what became of the record.
    fn apply(
        &mut self,
        at: &Place<'_>,
        stage: &Stage,
        outcome: Outcome,
        origin: u32,
        source: impl Fn() -> Record,
        made: &mut Vec<StoredRecord>,
    ) {
        let spec = &stage.deployment.spec;
        match outcome {
            Outcome::Keep => made.push(StoredRecord { origin, record: source() }),
            Outcome::Drop => {}
            Outcome::Emit(outputs) => {
                let source = source();
                for output in outputs {
                    let route = output.route.and_then(|i| spec.output.routes.values().nth(i as usize));
                    let record = fill(output, Some(&source), source.timestamp);
                    match route {
                        None => made.push(StoredRecord { origin, record }),
                        Some(topic) => self.outside.push(Outside { origin, topic: topic.clone(), record }),
                    }
                }
            }
            Outcome::Reject(reason) => {
                stage.counters.rejected.fetch_add(1, Ordering::Relaxed);
                let fate = match spec.on_reject {
                    deployment::OnReject::Fail => Fate::Rejected { deployment: spec.name.clone(), reason },
                    deployment::OnReject::DeadLetter => {
                        stage.counters.dead_letters.fetch_add(1, Ordering::Relaxed);
                        let record = at.dead_letter(stage, source(), &reason);
                        self.outside.push(Outside { origin, topic: spec.dead_letter_topic(), record });
                        Fate::DeadLettered
                    }
                };
                if let Some(slot) = self.fates.get_mut(origin as usize) {
                    *slot = fate;
                }
            }
        }
    }
}
