//! Batches on their way through a view, on the guests' threads: call by call, a failed one cut in halves until the record
//! that fails stands alone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::making::Making;
use super::pool::{self, Lease};
use super::{OnTrouble, Trouble, TroubleAt, View};
use crate::model::batch::{BatchError, RecordBatch, Records};
use crate::model::limits::{BATCH_BYTES_MAX, BATCH_UNCOMPRESSED_MAX};
use crate::model::{Offset, Partition, TimestampMs};
use crate::runtime::clock::monotonic;
use crate::wasm::{Fault, Input, Outcome, Output};

/// A look takes no longer, but for the call that is under way: then the reader gets what there is (a guess: below what
/// clients wait for a fetch).
const LOOK_MAX: Duration = Duration::from_millis(250);

/// What to look at.
pub(super) struct Job {
    pub(super) partition: Partition,
    /// records before it are not looked at
    pub(super) from: Offset,
    /// in offset order, without what is not for the reader
    pub(super) batches: Vec<RecordBatch>,
    /// where the next read begins when all of them are seen
    pub(super) next: Offset,
    /// enough bytes to show
    pub(super) room: usize,
    pub(super) now_ms: TimestampMs,
}

/// What was seen of it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) next: Offset,
    /// records handed to the code
    pub(super) scanned: u64,
    /// bytes of the batches, uncompressed
    pub(super) scanned_bytes: usize,
    pub(super) skipped: u64,
    /// why it ends at `next`
    pub(super) trouble: Option<Trouble>,
}

/// What stands in the way of looking at all.
pub(super) enum Blocked {
    /// no instance
    Fault(Fault),
    /// a batch that cannot be read
    Batch(BatchError),
}

impl From<BatchError> for Blocked {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

enum Verdict {
    Keep,
    Drop,
    Replace(Output),
    Bad(Trouble),
}

enum Step {
    Call(Range<usize>),
    Bad(Fault),
}

struct Passage {
    view: Arc<View>,
    lease: Lease,
    job: Job,
    began: Instant,
    done: Done,
    /// of batches that are finished
    bytes: usize,
}

impl View {
    /// Looks at batches until all are seen, there is enough to show, the time is over, or a record stops it.
    pub(super) async fn look(self: Arc<Self>, mut job: Job) -> Result<Done, Blocked> {
        let batches = std::mem::take(&mut job.batches);
        let lease = pool::lease(&self.pool).await.map_err(Blocked::Fault)?;
        let done = Done { next: job.from, ..Done::default() };
        let mut passage = Passage { view: self.clone(), lease, job, began: monotonic(), done, bytes: 0 };
        let mut goes_on = true;
        for batch in &batches {
            goes_on = passage.batch(batch).await?;
            if !goes_on {
                break;
            }
        }
        if goes_on {
            passage.done.next = passage.done.next.max(passage.job.next);
        }
        let Passage { lease, done, .. } = passage;
        self.pool.give_back(lease);
        let shown = done.batches.iter().map(|batch| u64::from(batch.header().count)).sum();
        self.counters.records_in.fetch_add(done.scanned, Ordering::Relaxed);
        self.counters.records_out.fetch_add(shown, Ordering::Relaxed);
        Ok(done)
    }
}

impl Passage {
    /// One batch; false: not all of it was seen, or nothing more is to be.
    async fn batch(&mut self, batch: &RecordBatch) -> Result<bool, Blocked> {
        let header = *batch.header();
        if header.next_offset() <= self.job.from {
            return Ok(true);
        }
        let payload = batch.payload(BATCH_UNCOMPRESSED_MAX)?;
        self.done.scanned_bytes += payload.bytes().len();
        let mut records = payload.records();
        let mut making = Making::new(batch, &payload, self.job.from);
        let mut inputs = Vec::new();
        let whole = loop {
            self.fill(&mut inputs, &mut records, header.base_offset)?;
            if inputs.is_empty() {
                break true;
            }
            let verdicts = self.judge(&inputs).await.map_err(Blocked::Fault)?;
            let cut_short = verdicts.len() < inputs.len();
            let stopped = self.apply(&mut making, &inputs, verdicts)?;
            if cut_short || stopped {
                break false;
            }
            inputs.clear();
            if self.is_over(making.size()) {
                // Perhaps it was the last record: then the next round finds nothing, and costs nothing.
                break self.done.next >= header.next_offset();
            }
        };
        if whole {
            self.done.next = header.next_offset();
        }
        if let Some(shown) = making.finish(whole)? {
            self.bytes += shown.header().size;
            self.done.batches.push(shown);
        }
        Ok(whole && !self.is_over(0))
    }

    fn is_over(&self, more: usize) -> bool {
        self.bytes + more >= self.job.room || self.began.elapsed() >= LOOK_MAX
    }

    /// The inputs of the next call.
    fn fill<'a>(
        &self,
        inputs: &mut Vec<Input<'a>>,
        records: &mut Records<'a>,
        base: Offset,
    ) -> Result<(), BatchError> {
        let records_max = self.view.of.limits.batch.records;
        let mut bytes = 0;
        while inputs.len() < records_max && bytes < BATCH_BYTES_MAX {
            let Some(record) = records.next() else { break };
            let record = record?;
            let offset = base + Offset::from(record.offset_delta);
            if offset < self.job.from {
                continue;
            }
            bytes += record.size();
            inputs.push(Input { topic: 0, partition: self.job.partition, offset, record });
        }
        Ok(())
    }

    /// Makes what the verdicts say; true: one of them stops the read.
    fn apply(
        &mut self,
        making: &mut Making<'_>,
        inputs: &[Input<'_>],
        verdicts: Vec<Verdict>,
    ) -> Result<bool, BatchError> {
        for (verdict, input) in verdicts.into_iter().zip(inputs) {
            match verdict {
                Verdict::Keep => making.keep(&input.record),
                Verdict::Drop => making.leave_out()?,
                Verdict::Replace(output) => making.replace(&input.record, &output)?,
                Verdict::Bad(trouble) => {
                    let (partition, offset, at_ms) = (self.job.partition, input.offset, self.job.now_ms);
                    self.view.note(TroubleAt { trouble: trouble.clone(), partition, offset, at_ms });
                    if self.view.of.on_trouble == OnTrouble::Stop {
                        self.done.next = input.offset;
                        self.done.trouble = Some(trouble);
                        return Ok(true);
                    }
                    self.done.skipped += 1;
                    making.leave_out()?;
                }
            }
            self.done.scanned += 1;
            self.done.next = input.offset + 1;
        }
        Ok(false)
    }

    /// Verdicts on the inputs from the first on; fewer than inputs when the time is over or one of them stops the read.
    ///
    /// # Errors
    /// The fault that lets no instance be made, and `Instance` when calls that fail have taken the time of a look before
    /// there was any verdict.
    async fn judge(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Verdict>, Fault> {
        let mut verdicts = Vec::with_capacity(inputs.len());
        let mut steps = self.first_steps(inputs);
        let mut has_failed = false;
        while let Some(step) = steps.pop() {
            let range = match step {
                Step::Call(range) if range.is_empty() => continue,
                Step::Call(range) => range,
                Step::Bad(fault) => {
                    verdicts.push(Verdict::Bad(fault.into()));
                    continue;
                }
            };
            let stops = self.view.of.on_trouble == OnTrouble::Stop
                && verdicts.iter().any(|verdict| matches!(verdict, Verdict::Bad(_)));
            let has_shown = self.done.scanned > 0 || !verdicts.is_empty();
            if stops || (has_shown && self.began.elapsed() >= LOOK_MAX) {
                break;
            }
            if has_failed && !has_shown && self.began.elapsed() >= self.view.search_max {
                let why = "none in time after calls that failed; the next read goes on with the search for the record \
                           that they fail on";
                return Err(Fault::Busy(why.to_owned()));
            }
            match self.call(&inputs[range.clone()]).await {
                Ok(outcomes) => verdicts.extend(outcomes.into_iter().map(verdict)),
                // Nobody's record.
                Err(fault @ (Fault::Open(_) | Fault::Instance(_) | Fault::Busy(_))) => return Err(fault),
                Err(fault) if range.len() == 1 => {
                    self.suspect(&inputs[range]);
                    steps.push(Step::Bad(fault));
                }
                Err(Fault::At { index, reason }) if (index as usize) < range.len() => {
                    let bad = range.start + index as usize;
                    steps.push(Step::Call(bad + 1..range.end));
                    steps.push(Step::Bad(Fault::At { index: 0, reason }));
                    steps.push(Step::Call(range.start..bad));
                }
                Err(_) => {
                    has_failed = true;
                    self.suspect(&inputs[range.clone()]);
                    let middle = range.start + range.len() / 2;
                    steps.push(Step::Call(middle..range.end));
                    steps.push(Step::Call(range.start..middle));
                }
            }
        }
        Ok(verdicts)
    }

    /// One call for all, but where a call has failed before: there the search goes on. Last step first.
    fn first_steps(&self, inputs: &[Input<'_>]) -> Vec<Step> {
        let suspect = self.view.suspects.lock().get(&self.job.partition).cloned().unwrap_or_default();
        let index_of = |offset| inputs.partition_point(|input| input.offset < offset);
        let (from, to) = (index_of(suspect.start), index_of(suspect.end));
        if from >= to {
            return vec![Step::Call(0..inputs.len())];
        }
        let middle = from + (to - from).div_ceil(2);
        [to..inputs.len(), middle..to, from..middle, 0..from].map(Step::Call).into()
    }

    /// A call with these has failed: the next look does not begin with all of them at once.
    fn suspect(&self, inputs: &[Input<'_>]) {
        if let (Some(first), Some(last)) = (inputs.first(), inputs.last()) {
            self.view.suspects.lock().insert(self.job.partition, first.offset..last.offset + 1);
        }
    }

    async fn call(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Outcome>, Fault> {
        let instance = pool::instance(&mut self.lease, &self.view, self.job.partition).await?;
        let outcomes = instance.process(inputs).await;
        if outcomes.is_err() {
            // It is spent.
            self.lease.instance = None;
        }
        outcomes
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Keep => Verdict::Keep,
        Outcome::Drop => Verdict::Drop,
        Outcome::Reject(reason) => Verdict::Bad(Trouble::Rejected(reason)),
        Outcome::Emit(mut outputs) => match (outputs.pop(), outputs.len()) {
            (None, _) => Verdict::Drop,
            (Some(output), 0) if output.route.is_some() => Verdict::Bad(Trouble::Routed),
            (Some(output), 0) => Verdict::Replace(output),
            (Some(_), others) => Verdict::Bad(Trouble::Several(others + 1)),
        },
    }
}
