//! One run of a component over given records, as a deployment would run it: the same calls, limits, and isolation of a
//! record that fails. Nothing is published, and what the code writes into its state goes with the report.

mod timed;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::cut;
use super::time::TaskTime;
use crate::broker::output;
use crate::model::deployment::DeploymentSpec;
use crate::model::{Offset, Partition, Record, TimestampMs};
use crate::runtime::clock::Clock;
use crate::state::{Allowed, Scratch, Ttls};
use crate::wasm::{
    Component, Fault, Input, InstanceConfig, LogSink, Outcome, Output, Processor, Transformer,
};

/// A record to run over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// index into the deployment's input topics
    pub topic: u32,
    /// as if it lay there
    pub partition: Partition,
    /// as if it lay there
    pub offset: Offset,
    /// what the code sees
    pub record: Record,
}

/// What a run leads to, in the order in which it would be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// a record
    Stored {
        /// index of the sample that it was made of; `None`: the code names none
        source: Option<usize>,
        /// name of the route; `None`: the default output
        route: Option<String>,
        /// what would be stored
        record: Record,
        /// set by the code rather than taken from the source
        timestamp: Option<TimestampMs>,
    },
    /// a transform's judgement of an input
    Rejected(String),
    /// a processor's `error.at`: the input goes where `on_error` says, the others are processed
    Failed(String),
}

/// What became of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// a transform passes it on
    Keep,
    /// a transform leaves it out
    Drop,
    /// a transform replaces it
    Emit,
    /// a transform refuses it
    Reject(String),
    /// a processor has taken it
    Processed,
    /// later than `time.lateness` allows: it is passed over, or goes to the output of late ones
    Late,
    /// the code fails on it
    Fault(Fault),
}

/// What a record on which the code fails does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtFault {
    /// ends it, unless a processor itself names the record
    EndUnlessNamed,
    /// ends it
    End,
    /// is left out
    GoOn,
}

/// A run, to its end or as far as it came.
#[derive(Debug, Default)]
pub struct Report {
    /// in order
    pub entries: Vec<Entry>,
    /// one per sample; `None`: the run ended before it
    pub verdicts: Vec<Option<Verdict>>,
    /// what ended it early
    pub failed: Option<Failed>,
    /// it ended because the entries have more bytes than it may give
    pub cut: bool,
    /// of all calls
    pub cpu: Duration,
    /// linear memory, the largest of the instances
    pub memory_bytes: usize,
}

/// What ended a run.
#[derive(Debug)]
pub struct Failed {
    /// index of the sample that fails alone; `None`: no record is at fault
    pub sample: Option<usize>,
    /// what happened
    pub fault: Fault,
}

/// What runs, and where its lines go.
pub struct DryRun<'a> {
    /// the code
    pub component: &'a Component,
    /// its parameters, inputs, routes and limits
    pub spec: &'a DeploymentSpec,
    /// takes its lines
    pub log: Arc<dyn LogSink>,
    /// what a processor finds, and where it leaves what it has written
    pub state: &'a Scratch,
    /// what time it is for the stores
    pub clock: &'a Clock,
    /// what a failure means
    pub at_fault: AtFault,
    /// outputs without a route are a fault where the spec has no default output, as in a deployment
    pub strict: bool,
    /// of entries; a run that has passed it ends
    pub bytes_max: usize,
    /// event time ends with the records: every timer that goes by it fires
    pub flush: bool,
}

/// A live instance of either kind.
pub(super) enum Instance {
    Transform(Transformer),
    Processor(Processor),
}

impl DryRun<'_> {
    /// Takes the samples through fresh instances. Runs guest code on the caller's thread.
    pub async fn run(&self, samples: &[Sample]) -> Report {
        let (mut instance, mut time) = (None, self.time(samples));
        let mut report = self.go_on(&mut instance, &mut time, samples).await;
        if let Some(time) = time.as_mut().filter(|_| self.flush && report.failed.is_none() && !report.cut) {
            time.end();
            self.fire(&mut instance, time, &mut report).await;
        }
        report
    }

    /// As [`DryRun::run`], with the instance and the event time of an earlier call if it went well, which are left for the
    /// next one.
    pub(super) async fn go_on(
        &self,
        instance: &mut Option<Instance>,
        time: &mut Option<TaskTime>,
        samples: &[Sample],
    ) -> Report {
        let inputs: Vec<_> = samples.iter().map(Sample::input).collect();
        let mut report = Report { verdicts: vec![None; samples.len()], ..Report::default() };
        // The next part lies on top.
        let mut parts = timed::runs(&inputs, self.spec.limits.batch.records.max(1), time.as_ref());
        while let Some(part) = parts.pop() {
            let started = match instance.take() {
                Some(live) => Ok(live),
                None => self.start().await,
            };
            let done = match started {
                Ok(live) => {
                    self.attempt(live, &inputs[part.clone()], samples, &part, time, &mut report).await
                }
                Err(fault) => Err(fault),
            };
            let fault = match done {
                Ok(live) => {
                    *instance = Some(live);
                    if let Some(time) = time {
                        self.fire(instance, time, &mut report).await;
                    }
                    if report.failed.is_some() {
                        break;
                    }
                    report.cut |= report.bytes() > self.bytes_max;
                    if report.cut {
                        break;
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            if fault.is_of_no_record() {
                report.failed = Some(Failed { sample: None, fault });
                break;
            }
            if part.len() > 1 {
                // Its neighbours run again without it; it stands between them.
                parts.extend(cut::cut(&part, cut::to_blame(&fault, &part)));
                continue;
            }
            let bad = part.start;
            report.verdicts[bad] = Some(Verdict::Fault(fault.clone()));
            if let Some(time) = time {
                *time = time.judge(inputs[bad].topic as usize, &inputs[bad..=bad]).after;
            }
            if self.ends(&fault, &mut report.entries) {
                report.failed = Some(Failed { sample: Some(bad), fault });
                break;
            }
        }
        report
    }

    /// Does the fault of a record end the run? One that a processor names is a line of what comes out.
    fn ends(&self, fault: &Fault, entries: &mut Vec<Entry>) -> bool {
        if let Fault::At { reason, .. } = fault
            && !self.component.kind().is_transform()
        {
            entries.push(Entry::Failed(reason.clone()));
            return self.at_fault == AtFault::End;
        }
        self.at_fault != AtFault::GoOn
    }

    async fn start(&self) -> Result<Instance, Fault> {
        let spec = self.spec;
        let config = InstanceConfig {
            label: format!("{}/0", spec.name),
            params: spec.params.clone(),
            inputs: spec.input_names(),
            outputs: spec.route_names().cloned().collect(),
            limits: spec.limits.clone(),
            log: self.log.clone(),
            place: None,
            http: None,
        };
        if self.component.kind().is_transform() {
            return Ok(Instance::Transform(self.component.transformer(config).await?));
        }
        let state = self.state.open(Allowed::by(&spec.state), Ttls::of(&spec.state));
        let mut state = state.map_err(|e| Fault::Instance(e.to_string()))?.with_timers(spec.state.max_timers);
        state.begin(self.clock.now_ms());
        Ok(Instance::Processor(self.component.processor(config, state).await?))
    }

    /// One call. A fault takes the instance with it, and with the instance what it wrote.
    async fn attempt(
        &self,
        mut live: Instance,
        inputs: &[Input<'_>],
        samples: &[Sample],
        part: &Range<usize>,
        time: &mut Option<TaskTime>,
        report: &mut Report,
    ) -> Result<Instance, Fault> {
        let (cpu, memory_bytes) = match &mut live {
            Instance::Transform(transform) => {
                let before = transform.cpu_time();
                let outcomes = transform.process(inputs).await?;
                for (outcome, index) in outcomes.into_iter().zip(part.clone()) {
                    let verdict = judged(self.spec, outcome, samples, index, part, &mut report.entries);
                    report.verdicts[index] = Some(verdict);
                }
                (transform.cpu_time().saturating_sub(before), transform.memory_bytes())
            }
            Instance::Processor(processor) => {
                let before = processor.cpu_time();
                self.process(processor, inputs, samples, part, time, report).await?;
                (processor.cpu_time().saturating_sub(before), processor.memory_bytes())
            }
        };
        report.cpu += cpu;
        report.memory_bytes = report.memory_bytes.max(memory_bytes);
        Ok(live)
    }
}

/// Puts what a transform's outcome leads to among the entries. `part`: the samples of the call, of which this is the one
/// with the index.
pub(super) fn judged(
    spec: &DeploymentSpec,
    outcome: Outcome,
    samples: &[Sample],
    index: usize,
    part: &Range<usize>,
    entries: &mut Vec<Entry>,
) -> Verdict {
    match outcome {
        Outcome::Keep => {
            let record = samples[index].record.clone();
            entries.push(Entry::Stored { source: Some(index), route: None, record, timestamp: None });
            Verdict::Keep
        }
        Outcome::Drop => Verdict::Drop,
        Outcome::Emit(outputs) => {
            entries.extend(outputs.into_iter().map(|output| stored(spec, output, samples, part)));
            Verdict::Emit
        }
        Outcome::Reject(reason) => {
            entries.push(Entry::Rejected(reason.clone()));
            Verdict::Reject(reason)
        }
    }
}

/// What becomes of an output of the samples of a part.
pub fn stored(spec: &DeploymentSpec, output: Output, samples: &[Sample], part: &Range<usize>) -> Entry {
    let source = output.source.map(|index| part.start + index as usize);
    let origin = source.and_then(|index| samples.get(index)).map(|s| &s.record);
    let route = output.route.and_then(|index| spec.route_names().nth(index as usize));
    let (route, timestamp) = (route.cloned(), output.timestamp);
    let last = samples[part.clone()].last().map_or(0, |s| s.record.timestamp);
    Entry::Stored { source, route, record: output::fill(output, origin, last), timestamp }
}

impl Report {
    fn bytes(&self) -> usize {
        self.entries.iter().map(Entry::bytes).sum()
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Stored { record, .. } => record.size(),
            Self::Rejected(reason) | Self::Failed(reason) => reason.len(),
        }
    }
}

impl Sample {
    /// As it is handed over.
    pub fn input(&self) -> Input<'_> {
        let (topic, partition, offset) = (self.topic, self.partition, self.offset);
        Input { topic, partition, offset, record: self.record.view(0) }
    }
}

#[cfg(test)]
mod tests;
