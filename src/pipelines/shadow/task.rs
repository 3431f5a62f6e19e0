//! A task of a shadow run: one partition index of a processor's inputs, read once for both versions, each with an
//! instance and a scratch of its own. It commits nothing.

use std::sync::Arc;

use super::Shadow;
use crate::broker::Isolation;
use crate::model::batch::RecordBatch;
use crate::model::deployment::DeploymentSpec;
use crate::model::limits::{BATCH_BYTES_MAX, BATCH_UNCOMPRESSED_MAX, MIB};
use crate::model::{Offset, Partition};
use crate::pipelines::dry_run::{AtFault, DryRun, Instance, Report, Sample};
use crate::pipelines::status::TaskInput;
use crate::pipelines::supervisor::Shared;
use crate::pipelines::time::TaskTime;
use crate::runtime::clock::Clock;
use crate::runtime::tasks;
use crate::state::{ChangesMax, Scratch};
use crate::storage::ReadError;
use crate::wasm::{Component, LogSink};

/// Bytes asked of the storage in one read.
const READ_BYTES: usize = MIB;
/// What one version may make of one batch and the timers that it makes due, beside the outputs of one call (a guess). Both lie
/// in memory until they are compared.
const OUTPUTS_MAX: usize = 64 * MIB;

/// One of the two versions.
pub(super) struct Side {
    pub(super) component: Component,
    pub(super) spec: DeploymentSpec,
    pub(super) log: Arc<dyn LogSink>,
    pub(super) scratch: Scratch,
    pub(super) clock: Clock,
    pub(super) live: Option<Instance>,
    /// of a processor that has an event time
    pub(super) time: Option<TaskTime>,
}

impl Side {
    pub(super) async fn go_on(&mut self, samples: &[Sample]) -> Report {
        let Self { component, spec, log, scratch, clock, live, time } = self;
        let of_call = usize::try_from(spec.limits.output.bytes).unwrap_or(usize::MAX);
        let run = DryRun {
            component,
            spec,
            log: log.clone(),
            state: scratch,
            clock,
            at_fault: AtFault::GoOn,
            strict: true,
            bytes_max: OUTPUTS_MAX.saturating_add(of_call),
            flush: false,
        };
        run.go_on(live, time, samples).await
    }

    /// Begins its event time where the task's stands.
    fn begin_time(&mut self, inputs: &[TaskInput]) -> Result<(), ReadError> {
        if self.component.kind().is_processor() && (self.component.is_timed() || self.spec.time.is_some()) {
            let stored = self.scratch.watermarks()?;
            let of = |i: &TaskInput| stored.greatest.get(&(i.log.topic_id(), i.log.partition())).copied();
            let (spec, tick) = (self.spec.time.as_ref(), self.clock.tick_ms());
            let greatest = inputs.iter().take(self.spec.input.topics.len()).map(of);
            self.time = Some(TaskTime::new(spec, stored.watermark, greatest, tick));
        }
        Ok(())
    }
}

pub(super) struct ShadowTask {
    pub(super) shadow: Arc<Shadow>,
    pub(super) shared: Arc<Shared>,
    pub(super) partition: Partition,
    pub(super) inputs: Vec<TaskInput>,
    pub(super) next: Vec<Offset>,
    pub(super) current: Side,
    pub(super) candidate: Side,
    /// what either scratch may grow to
    pub(super) state_bytes_max: usize,
}

impl ShadowTask {
    /// Compares until the shadow run ends.
    pub(super) async fn work(mut self) {
        let shadow = self.shadow.clone();
        let now = self.shared.broker.clock().clone();
        if let Some(reason) = shadow.until_ended(self.compare_all()).await {
            shadow.end(reason, now.now_ms());
        }
        let max = ChangesMax { entries: 20, bytes: MIB };
        // Both may have changed 256 MiB and read the disk: nothing for a thread of the guests, whose instances go first.
        let (expected, found) = (self.current.scratch, self.candidate.scratch);
        drop((self.current.live, self.candidate.live));
        let compare = move || expected.differences(&found, max);
        let compared = tasks::spawn_blocking("states of a shadow run", compare).await;
        match compared {
            Ok(Ok(changes)) => {
                let mut results = shadow.board.0.lock();
                let room = max.entries.saturating_sub(results.state.len());
                results.more_state |= changes.more || changes.entries.len() > room;
                results.state.extend(changes.entries.into_iter().take(room));
            }
            Ok(Err(error)) => tracing::warn!(%error, "the states of a shadow run cannot be compared"),
            Err(error) => tracing::warn!(%error, "the states of a shadow run were not compared"),
        }
    }

    /// Why it ended.
    async fn compare_all(&mut self) -> String {
        for side in [&mut self.current, &mut self.candidate] {
            if let Err(error) = side.begin_time(&self.inputs) {
                return format!("the state cannot be read: {error}");
            }
        }
        let mut turn = 0;
        loop {
            let count = self.inputs.len();
            let ready = (0..count)
                .map(|i| (turn + 1 + i) % count)
                .find(|i| self.inputs[*i].log.stable() > self.next[*i]);
            match ready {
                Some(index) => {
                    turn = index;
                    if let Some(reason) = self.step(index).await {
                        return reason;
                    }
                }
                None => {
                    if let Some(gone) = self.inputs.iter().find(|i| i.log.is_gone()) {
                        return format!("topic `{}` was deleted", gone.topic);
                    }
                    let both = self.inputs.iter().zip(&self.next);
                    let waits: Vec<_> =
                        both.map(|(i, next)| Box::pin(i.log.wait_stable_past(*next))).collect();
                    if waits.is_empty() {
                        return "there is nothing to read".to_owned();
                    }
                    let _ = futures_util::future::select_all(waits).await;
                }
            }
        }
    }

    /// Some batches of an input. `Some`: it ends.
    async fn step(&mut self, index: usize) -> Option<String> {
        let (log, from) = (self.inputs[index].log.clone(), self.next[index]);
        let visible = match self.shared.broker.visible(&log, from, READ_BYTES, Isolation::Committed).await {
            Ok(visible) => visible,
            Err(ReadError::OutOfRange { start, .. }) if from < start => {
                self.shadow.board.not_compared(start - from);
                self.next[index] = start;
                return None;
            }
            Err(error) => return Some(format!("an input cannot be read: {error}")),
        };
        for batch in &visible.batches {
            let samples = match self.samples(index, batch, from) {
                Ok(samples) => samples,
                Err(error) => return Some(format!("an input cannot be read: {error}")),
            };
            let mut rest = &samples[..];
            while !rest.is_empty() {
                let (run, after) = rest.split_at(run_length(rest, self.current.spec.limits.batch.records));
                rest = after;
                if let Some(reason) = self.compare(index, run).await {
                    return Some(reason);
                }
            }
        }
        self.next[index] = self.next[index].max(visible.next);
        None
    }

    fn samples(&self, index: usize, batch: &RecordBatch, from: Offset) -> Result<Vec<Sample>, String> {
        let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).map_err(|e| e.to_string())?;
        let topic = u32::try_from(index).unwrap_or(u32::MAX);
        let mut samples = Vec::new();
        for view in payload.records() {
            let view = view.map_err(|e| e.to_string())?;
            let offset = payload.header().base_offset + Offset::from(view.offset_delta);
            if offset >= from {
                let record = view.to_owned_in(payload.bytes());
                samples.push(Sample { topic, partition: self.partition, offset, record });
            }
        }
        Ok(samples)
    }

    async fn compare(&mut self, index: usize, samples: &[Sample]) -> Option<String> {
        let room = self.shadow.take_room(samples.len());
        let samples = &samples[..room];
        let now_ms = self.shared.broker.clock().now_ms();
        for side in [&mut self.current, &mut self.candidate] {
            let tick = side.clock.tick_ms();
            let (inputs, next) = (&self.inputs, &self.next);
            if let Some(time) = &mut side.time {
                time.read(index, tick);
                time.at(now_ms);
                time.tick(tick, |other| other != index && inputs[other].log.stable() <= next[other]);
            }
        }
        if samples.is_empty() {
            // Another task has the last ones, and ends the run with them.
            std::future::pending::<()>().await;
        }
        let expected = self.current.go_on(samples).await;
        let found = self.candidate.go_on(samples).await;
        for (who, report) in [("version that runs", &expected), ("candidate", &found)] {
            if let Some(failed) = &report.failed {
                return Some(format!("the {who} cannot be run: {}", failed.fault));
            }
            if report.cut {
                return Some(format!("the {who} makes more of one batch than can be compared"));
            }
        }
        self.shadow.board.compare(&self.inputs[index].topic, samples, expected, found);
        if self.shadow.is_done() {
            return Some(super::ALL_RECORDS.to_owned());
        }
        let grown = self.current.scratch.bytes().max(self.candidate.scratch.bytes());
        (grown > self.state_bytes_max).then(|| {
            format!(
                "a task has changed more than {} bytes of state, which lie in memory",
                self.state_bytes_max
            )
        })
    }
}

/// How many of the first samples make one call, as in a task.
fn run_length(samples: &[Sample], records: usize) -> usize {
    let mut bytes = 0;
    let fits = |sample: &&Sample| {
        bytes += sample.record.size();
        bytes <= BATCH_BYTES_MAX
    };
    samples.iter().take(records).take_while(fits).count().max(1).min(samples.len())
}
