//! One run of a component over given records, as a deployment would run it: the same calls, limits, and isolation of a
//! record that fails. Nothing is published, and no state outlives the storage that the caller lends.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::output;
use crate::model::deployment::DeploymentSpec;
use crate::model::{Offset, Partition, Record, TimestampMs};
use crate::state::{Allowed, TaskId, TaskState};
use crate::storage::{Commit, Storage};
use crate::wasm::{
    Component, Fault, Input, InstanceConfig, LogSink, Outcome, Output, Processor, Transformer,
};

/// The task whose state a processor sees; the storage holds no other.
const TASK: TaskId = TaskId { deployment: 0, generation: 0, task: 0 };

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

/// A run to its end.
#[derive(Debug, Default)]
pub struct Report {
    /// in order
    pub entries: Vec<Entry>,
    /// of all calls
    pub cpu: Duration,
    /// linear memory, the largest of the instances
    pub memory_bytes: usize,
}

/// A run that the code ended.
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
    /// an empty one; processors need it
    pub storage: Option<&'a Storage>,
}

enum Instance {
    Transform(Transformer),
    Processor(Processor),
}

impl DryRun<'_> {
    /// Takes the samples through fresh instances. Runs guest code on the caller's thread.
    ///
    /// # Errors
    /// [`Failed`] with the first record that makes the code fail.
    pub async fn run(&self, samples: &[Sample]) -> Result<Report, Failed> {
        let inputs: Vec<_> = samples.iter().map(Sample::input).collect();
        let mut report = Report::default();
        let mut instance = None;
        // The next part lies on top.
        let mut parts = runs(inputs.len(), self.spec.limits.batch.records.max(1));
        while let Some(part) = parts.pop() {
            let whole = |fault| Failed { sample: None, fault };
            let live = match instance.take() {
                Some(live) => live,
                None => self.start().await.map_err(whole)?,
            };
            match self.attempt(live, &inputs[part.clone()], &samples[part.clone()], &mut report).await {
                Ok(live) => instance = Some(live),
                Err(Fault::At { index, reason }) if !self.component.kind().is_transform() => {
                    let at = part.start + index as usize;
                    // Its neighbours run again without it; it stands between them.
                    if part.len() == 1 {
                        report.entries.push(Entry::Failed(reason));
                    } else {
                        let cut = [at + 1..part.end, at..at + 1, part.start..at];
                        parts.extend(cut.into_iter().filter(|part| !part.is_empty()));
                    }
                }
                Err(Fault::At { index, reason }) => {
                    let fault = Fault::At { index: 0, reason };
                    return Err(Failed { sample: Some(part.start + index as usize), fault });
                }
                Err(fault @ (Fault::Open(_) | Fault::Instance(_))) => return Err(whole(fault)),
                Err(fault) if part.len() == 1 => return Err(Failed { sample: Some(part.start), fault }),
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Ok(report)
    }

    async fn start(&self) -> Result<Instance, Fault> {
        let spec = self.spec;
        let config = InstanceConfig {
            label: format!("{}/0", spec.name),
            params: spec.params.clone(),
            inputs: spec.input.topics.iter().map(ToString::to_string).collect(),
            outputs: spec.output.routes.keys().cloned().collect(),
            limits: spec.limits.clone(),
            log: self.log.clone(),
            place: None,
            http: None,
        };
        if self.component.kind().is_transform() {
            return Ok(Instance::Transform(self.component.transformer(config).await?));
        }
        let no_state = |why: String| Fault::Instance(why);
        let storage = self.storage.ok_or_else(|| no_state("a processor needs state".to_owned()))?;
        let state = TaskState::open(storage, TASK, Allowed::by(&spec.state));
        let state = state.map_err(|e| no_state(e.to_string()))?;
        Ok(Instance::Processor(self.component.processor(config, state).await?))
    }

    /// One call. A fault takes the instance with it, and with the instance what it wrote.
    async fn attempt(
        &self,
        mut live: Instance,
        inputs: &[Input<'_>],
        samples: &[Sample],
        report: &mut Report,
    ) -> Result<Instance, Fault> {
        let (cpu, memory_bytes) = match &mut live {
            Instance::Transform(transform) => {
                let before = transform.cpu_time();
                let outcomes = transform.process(inputs).await?;
                for (outcome, sample) in outcomes.into_iter().zip(samples) {
                    self.judged(outcome, sample, samples, &mut report.entries);
                }
                (transform.cpu_time().saturating_sub(before), transform.memory_bytes())
            }
            Instance::Processor(processor) => {
                let before = processor.cpu_time();
                let outputs = processor.process(inputs).await?.outputs;
                let mut commit = Commit::new();
                if let Some(state) = processor.state() {
                    state.write_into(&mut commit);
                }
                if let Some(storage) = self.storage {
                    storage.commit(commit).await.map_err(|e| Fault::Instance(e.to_string()))?;
                }
                report.entries.extend(outputs.into_iter().map(|output| self.stored(output, samples)));
                (processor.cpu_time().saturating_sub(before), processor.memory_bytes())
            }
        };
        report.cpu += cpu;
        report.memory_bytes = report.memory_bytes.max(memory_bytes);
        Ok(live)
    }

    fn judged(&self, outcome: Outcome, sample: &Sample, samples: &[Sample], entries: &mut Vec<Entry>) {
        match outcome {
            Outcome::Keep => {
                entries.push(Entry::Stored { route: None, record: sample.record.clone(), timestamp: None });
            }
            Outcome::Drop => {}
            Outcome::Emit(outputs) => {
                entries.extend(outputs.into_iter().map(|output| self.stored(output, samples)));
            }
            Outcome::Reject(reason) => entries.push(Entry::Rejected(reason)),
        }
    }

    fn stored(&self, output: Output, samples: &[Sample]) -> Entry {
        let source = output.source.and_then(|index| samples.get(index as usize)).map(|s| &s.record);
        let route = output.route.and_then(|index| self.spec.output.routes.keys().nth(index as usize));
        let (route, timestamp) = (route.cloned(), output.timestamp);
        let last = samples.last().map_or(0, |s| s.record.timestamp);
        Entry::Stored { route, record: output::fill(output, source, last), timestamp }
    }
}

impl Sample {
    fn input(&self) -> Input<'_> {
        let (topic, partition, offset) = (self.topic, self.partition, self.offset);
        Input { topic, partition, offset, record: self.record.view(0) }
    }
}

/// `0..len` in runs of `records`, the first one last.
fn runs(len: usize, records: usize) -> Vec<Range<usize>> {
    (0..len).step_by(records).rev().map(|start| start..(start + records).min(len)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::clock::Clock;
    use crate::storage::Options;
    use crate::wasm::LogLevel;
    use crate::wasm::tests::example;

    struct Silent;

    impl LogSink for Silent {
        fn write(&self, _: LogLevel, _: String) {}
    }

    async fn run(guest: &str, spec: serde_json::Value, values: &[&str]) -> Result<Vec<Entry>, Failed> {
        let mut spec = spec;
        for (name, value) in
            [("name", json!("d")), ("module", json!(guest)), ("input", json!({"topics": ["in"]}))]
        {
            spec[name] = value;
        }
        let spec = serde_json::from_value(spec).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::manual(0);
        let options = Options { dir: dir.path().to_owned(), memory: 64 << 20, clock, reader_threads: 1 };
        let storage = Storage::open(options).unwrap();
        let component = example(guest);
        let run =
            DryRun { component: &component, spec: &spec, log: Arc::new(Silent), storage: Some(&storage) };
        let sample = |(offset, value): (u64, &&str)| {
            let value = Some(value.as_bytes().to_vec().into());
            Sample { topic: 0, partition: 0, offset, record: Record { value, ..Record::default() } }
        };
        let samples: Vec<_> = (0..).zip(values).map(sample).collect();
        run.run(&samples).await.map(|report| report.entries)
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        let text = |bytes: &Option<bytes::Bytes>| {
            String::from_utf8(bytes.clone().unwrap_or_default().to_vec()).unwrap()
        };
        let of = |entry: &Entry| match entry {
            Entry::Stored { record, .. } => format!("{}={}", text(&record.key), text(&record.value)),
            Entry::Rejected(reason) => format!("rejected {reason}"),
            Entry::Failed(reason) => format!("failed {reason}"),
        };
        entries.iter().map(of).collect()
    }

    #[tokio::test]
    async fn a_transforms_records_and_rejections_stand_in_order() {
        let entries = run("template", json!({"kind": "inline"}), &["a", "heartbeat", "", "b"]).await.unwrap();
        assert_eq!(texts(&entries), ["=A", "rejected the value is empty", "=B"]);
    }

    #[tokio::test]
    async fn a_processor_keeps_its_state_from_batch_to_batch() {
        let spec = json!({"kind": "processor", "limits": {"batch": {"records": 1}}});
        let entries = run("word-count", spec, &["a b", "a"]).await.unwrap();
        assert_eq!(texts(&entries), ["a=1", "b=1", "a=2"]);
    }

    #[tokio::test]
    async fn the_record_that_traps_is_found_in_its_batch() {
        let failed =
            run("trap", json!({"kind": "processor"}), &["a", "b", "misbehave", "c"]).await.unwrap_err();
        assert_eq!(failed.sample, Some(2));
        assert!(matches!(failed.fault, Fault::Trap { .. }), "{}", failed.fault);
    }
}
