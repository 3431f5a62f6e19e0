//! Dry invocations: given records, or some of a topic, through a module or a deployment's code, beside everything that
//! runs. Nothing is published and no state is changed: what the code writes lies in memory and goes with the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::dry_run::{AtFault, DryRun, Report, Sample, Verdict};
use super::error::{Clash, RunError};
use super::supervisor::Pipelines;
use crate::broker::{Isolation, ReadLimits};
use crate::model::deployment::{
    DeploymentKind, DeploymentSpec, LatePolicy, OnErrorPolicy, OnFault, OnReject,
};
use crate::model::limits::{
    BATCH_BYTES_MAX, RUN_CHANGES_BYTES_MAX, RUN_CHANGES_MAX, RUN_LOG_LINES_MAX, RUN_OUTPUT_BYTES_MAX,
    RUN_RECORDS_MAX, RUN_TIME_MAX,
};
use crate::model::module::ModuleVersion;
use crate::model::{Offset, Partition, Record, TopicName};
use crate::runtime::clock::monotonic;
use crate::runtime::guests::Ended;
use crate::state::{Changes, ChangesMax, Given, Scratch, TaskId};
use crate::wasm::{LogLevel, LogSink};

/// Whose state code sees that has none.
const NOBODY: TaskId = TaskId { deployment: 0, generation: 0, task: 0 };

/// A record that somebody wrote, and where it is said to lie.
#[derive(Debug, Clone)]
pub struct GivenRecord {
    /// `None`: the first input
    pub topic: Option<String>,
    /// `None`: 0
    pub partition: Option<Partition>,
    /// `None`: its index
    pub offset: Option<Offset>,
    /// the record
    pub record: Record,
}

/// What a run reads.
#[derive(Debug, Clone)]
pub enum RunRecords {
    /// these
    Given(Vec<GivenRecord>),
    /// committed records of an input as they lie in its log
    Log {
        /// `None`: the first input
        topic: Option<TopicName>,
        /// its partition
        partition: Partition,
        /// of the first
        offset: Offset,
        /// how many, if there are so many
        limit: usize,
    },
}

/// What a processor's stores hold when the run begins.
#[derive(Debug, Clone)]
pub enum RunState {
    /// nothing
    None,
    /// these entries
    Given(Given),
    /// what the task of the records' partition has committed by now
    Committed,
}

/// What a run came to.
#[derive(Debug)]
pub struct RunReport {
    /// `name@version`
    pub module: String,
    /// what it ran as
    pub spec: DeploymentSpec,
    /// the records that went in
    pub samples: Vec<Sample>,
    /// what came out
    pub report: Report,
    /// of the state
    pub changes: Changes,
    /// what the code logged
    pub lines: Vec<(LogLevel, String)>,
    /// how many more lines it logged
    pub lines_left_out: u64,
    /// from the start of the first instance
    pub wall: Duration,
}

impl Pipelines {
    /// Runs a module over records as a deployment with this spec would, whose topics need not exist.
    ///
    /// # Errors
    /// See [`RunError`]; what the code does wrong is in the report.
    pub async fn run_module(
        &self,
        spec: DeploymentSpec,
        records: Vec<GivenRecord>,
        state: RunState,
        flush: bool,
    ) -> Result<RunReport, RunError> {
        // A deployment's own limits are stored and stay good when the ceiling comes down; these are asked for now.
        let problems = self.ceiling().problems(&spec);
        if !problems.is_empty() {
            return Err(super::DeployError::Spec(problems).into());
        }
        let module = self.module_for(&spec)?;
        let samples = samples(&spec, records)?;
        self.run(spec, &module, samples, state, NOBODY, AtFault::End, (false, flush)).await
    }

    /// Runs a deployment's code, or another version of it, over records.
    ///
    /// # Errors
    /// See [`RunError`]; what the code does wrong is in the report.
    pub async fn run_deployment(
        &self,
        name: &str,
        records: RunRecords,
        module: Option<String>,
        params: BTreeMap<String, String>,
        (state, flush): (RunState, bool),
    ) -> Result<RunReport, RunError> {
        let deployment = self.entry(name)?.deployment;
        let mut spec = deployment.spec.clone();
        // What runs, rather than what its name means by now.
        let (own, _) = spec.module.split_once('@').unwrap_or((&spec.module, ""));
        let pinned = format!("{own}@{}", deployment.digest);
        // Of versions with the same bytes the digest means any.
        let called = module.is_none().then(|| deployment.module());
        spec.module = module.unwrap_or(pinned);
        spec.params.extend(params);
        let module = self.module_for(&spec)?;
        let samples = match records {
            RunRecords::Given(records) => {
                let samples = samples(&spec, records)?;
                let partitions = |topic: &TopicName| {
                    self.broker().topic_named(topic.as_str()).map(|topic| topic.topic.partitions)
                };
                check_places(&spec, &samples, partitions)?;
                samples
            }
            RunRecords::Log { topic, partition, offset, limit } => {
                self.read_log(&spec, topic, partition, offset, limit).await?
            }
        };
        let task = TaskId {
            deployment: deployment.id,
            generation: deployment.generation,
            task: samples.first().map_or(0, |s| s.partition),
        };
        if matches!(state, RunState::Committed) {
            if spec.kind == DeploymentKind::Inline {
                return Err(RunError::Invalid("an inline deployment has no state".to_owned()));
            }
            if samples.iter().any(|s| s.partition != task.task) {
                let detail =
                    "with committed state the records have to be of one partition, whose task has it";
                return Err(RunError::Invalid(detail.to_owned()));
            }
        }
        let at_fault = match spec.kind {
            DeploymentKind::Inline if spec.on_fault == OnFault::Closed => AtFault::End,
            DeploymentKind::Processor if spec.on_error.policy == OnErrorPolicy::Stop => AtFault::End,
            _ => AtFault::GoOn,
        };
        let report = self.run(spec, &module, samples, state, task, at_fault, (true, flush)).await?;
        Ok(RunReport { module: called.unwrap_or(report.module), ..report })
    }

    /// Checks a spec and finds its module.
    fn module_for(&self, spec: &DeploymentSpec) -> Result<Arc<ModuleVersion>, RunError> {
        if !matches!(spec.kind, DeploymentKind::Inline | DeploymentKind::Processor) {
            let instead = match spec.kind {
                DeploymentKind::View => "read its source with apply= to see what it makes of records",
                _ => "what it does lies outside",
            };
            let detail = format!("a deployment of kind {} has no dry run: {instead}", spec.kind.as_str());
            return Err(Clash::Kind.because(detail).into());
        }
        let problems = spec.problems();
        if !problems.is_empty() {
            return Err(super::DeployError::Spec(problems).into());
        }
        Ok(self.resolve(spec)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the two doors above are what callers see")]
    async fn run(
        &self,
        spec: DeploymentSpec,
        module: &ModuleVersion,
        samples: Vec<Sample>,
        state: RunState,
        task: TaskId,
        at_fault: AtFault,
        (strict, flush): (bool, bool),
    ) -> Result<RunReport, RunError> {
        let permit = self.0.runs.clone().try_acquire_owned().map_err(|_| RunError::Busy)?;
        let component = self.0.shared.registry.component(module.digest).await?;
        let module = format!("{}@{}", module.name, module.version);
        let (storage, clock) = (self.broker().storage().clone(), self.broker().clock().clone());
        let work = async move {
            let _permit = permit;
            let began = monotonic();
            let state = match state {
                RunState::None => Scratch::empty(task),
                RunState::Given(stores) => Scratch::given(task, stores)?,
                RunState::Committed => Scratch::pinned(task, storage.pin_state()),
            };
            let log = Arc::new(Lines::default());
            let run = DryRun {
                component: &component,
                spec: &spec,
                log: log.clone(),
                state: &state,
                clock: &clock,
                at_fault,
                strict,
                bytes_max: RUN_OUTPUT_BYTES_MAX,
                flush,
            };
            let report = run.run(&samples).await;
            let max = ChangesMax { entries: RUN_CHANGES_MAX, bytes: RUN_CHANGES_BYTES_MAX };
            let changes = state.changes(max)?;
            let (lines, lines_left_out) = std::mem::take(&mut *log.0.lock());
            let wall = began.elapsed();
            Ok(RunReport { module, spec, samples, report, changes, lines, lines_left_out, wall })
        };
        let running = self.broker().guests().spawn("dry run", work);
        match tokio::time::timeout(RUN_TIME_MAX, running).await {
            Ok(Ok(report)) => report,
            Ok(Err(Ended::Panicked)) => Err(RunError::Panicked),
            Ok(Err(Ended::Stopped)) => Err(RunError::Closed),
            Err(_) => Err(RunError::TooLong),
        }
    }

    async fn read_log(
        &self,
        spec: &DeploymentSpec,
        topic: Option<TopicName>,
        partition: Partition,
        offset: Offset,
        limit: usize,
    ) -> Result<Vec<Sample>, RunError> {
        check_count(limit)?;
        let inputs = spec.inputs();
        let index = index_of(spec, topic.as_ref().map(TopicName::as_str))?;
        let name = inputs.get(index as usize).map(TopicName::as_str).unwrap_or_default();
        let topic = self.broker().topic(name).map_err(super::DeployError::from)?;
        let limits = ReadLimits {
            records: limit,
            bytes: BATCH_BYTES_MAX,
            wait: Duration::ZERO,
            isolation: Isolation::Committed,
        };
        let page = self.broker().read(&topic, partition, offset, limits).await;
        let page = page.map_err(super::DeployError::from)?;
        let sample = |(offset, record)| Sample { topic: index, partition, offset, record };
        Ok(page.records.into_iter().map(sample).collect())
    }
}

/// The given records with the inputs that they name.
fn samples(spec: &DeploymentSpec, records: Vec<GivenRecord>) -> Result<Vec<Sample>, RunError> {
    check_count(records.len())?;
    let sample = |(index, given): (Offset, GivenRecord)| {
        let topic = index_of(spec, given.topic.as_deref())?;
        let (partition, offset) = (given.partition.unwrap_or(0), given.offset.unwrap_or(index));
        Ok(Sample { topic, partition, offset, record: given.record })
    };
    (0..).zip(records).map(sample).collect()
}

/// The partitions that records are said to lie in are there. Of a topic that was deleted nobody knows.
fn check_places(
    spec: &DeploymentSpec,
    samples: &[Sample],
    partitions: impl Fn(&TopicName) -> Option<u32>,
) -> Result<(), RunError> {
    let inputs = spec.inputs();
    let counts: Vec<_> = inputs.iter().map(|topic| partitions(topic).unwrap_or(u32::MAX)).collect();
    for (index, sample) in samples.iter().enumerate() {
        let (topic, partition) = (sample.topic as usize, sample.partition);
        if let (Some(name), Some(count)) = (inputs.get(topic), counts.get(topic))
            && partition >= *count
        {
            return Err(RunError::Invalid(format!(
                "record {index}: there is no partition {partition}; topic `{name}` has {count}, counted from 0"
            )));
        }
    }
    Ok(())
}

fn check_count(records: usize) -> Result<(), RunError> {
    if (1..=RUN_RECORDS_MAX).contains(&records) {
        return Ok(());
    }
    Err(RunError::Invalid(format!("{records} records, expected 1 to {RUN_RECORDS_MAX}")))
}

fn index_of(spec: &DeploymentSpec, topic: Option<&str>) -> Result<u32, RunError> {
    let Some(topic) = topic else { return Ok(0) };
    let (inputs, names) = (spec.inputs(), spec.input_names());
    match inputs.iter().zip(names).position(|(input, name)| input.as_str() == topic || name == topic) {
        Some(index) => Ok(u32::try_from(index).unwrap_or(u32::MAX)),
        None => {
            let inputs: Vec<_> = inputs.iter().map(|t| format!("`{t}`")).collect();
            Err(RunError::Invalid(format!("`{topic}` is no input; there is {}", inputs.join(", "))))
        }
    }
}

// === impl RunReport ===

impl RunReport {
    /// The input that a sample is of.
    pub fn topic(&self, sample: &Sample) -> Option<TopicName> {
        self.spec.inputs().into_iter().nth(sample.topic as usize)
    }

    /// What a deployment with this spec would do with a record that was refused or that the code fails on.
    pub fn becomes(&self, verdict: &Verdict) -> Option<String> {
        let spec = &self.spec;
        let dead_letter = || format!("a dead letter in topic `{}`", spec.dead_letter_topic());
        let inline = spec.kind == DeploymentKind::Inline;
        Some(match verdict {
            Verdict::Reject(_) if !inline || spec.on_reject == OnReject::DeadLetter => dead_letter(),
            Verdict::Reject(_) => "the batch is refused, and nothing of it is stored".to_owned(),
            Verdict::Fault(_) if inline && spec.on_fault == OnFault::Open => {
                "its batch is stored as it came".to_owned()
            }
            Verdict::Fault(_) if inline => "the request fails, and nothing of it is stored".to_owned(),
            Verdict::Fault(_) => {
                let fate = match spec.on_error.policy {
                    OnErrorPolicy::Stop => "the task stops at it".to_owned(),
                    OnErrorPolicy::Skip => "it is passed over".to_owned(),
                    OnErrorPolicy::DeadLetter => dead_letter(),
                };
                format!("after {} tries more: {fate}", spec.on_error.max_retries)
            }
            Verdict::Late => match spec.time.clone().unwrap_or_default().late {
                LatePolicy::Output(route) => format!("it comes too late and goes to the route `{route}`"),
                LatePolicy::Drop | LatePolicy::Update => "it comes too late and is passed over".to_owned(),
            },
            Verdict::Keep | Verdict::Drop | Verdict::Emit | Verdict::Processed => return None,
        })
    }
}

/// Lines of the code, the first ones.
#[derive(Default)]
pub(super) struct Lines(Mutex<(Vec<(LogLevel, String)>, u64)>);

impl Lines {
    /// Some of them.
    pub(super) fn first(&self) -> Vec<(LogLevel, String)> {
        const SHOWN: usize = 100;
        self.0.lock().0.iter().take(SHOWN).cloned().collect()
    }
}

impl LogSink for Lines {
    fn write(&self, level: LogLevel, text: String) {
        let mut lines = self.0.lock();
        if lines.0.len() < RUN_LOG_LINES_MAX {
            lines.0.push((level, text));
        } else {
            lines.1 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lie_in_partitions_that_are_there() {
        let spec = serde_json::json!({
            "name": "d", "kind": "processor", "module": "m", "input": { "topics": ["a", "b"] }
        });
        let spec: DeploymentSpec = serde_json::from_value(spec).unwrap();
        let given = |topic: &str, partition| GivenRecord {
            topic: Some(topic.to_owned()),
            partition,
            offset: None,
            record: Record { key: None, value: None, timestamp: 0, headers: Vec::new() },
        };
        let check = |given: Vec<GivenRecord>| {
            let samples = samples(&spec, given).unwrap();
            check_places(&spec, &samples, |topic| (topic.as_str() == "a").then_some(2))
        };
        assert!(check(vec![given("a", None), given("a", Some(1)), given("b", Some(9))]).is_ok());
        let told = check(vec![given("a", Some(1)), given("a", Some(2))]).unwrap_err().to_string();
        assert!(told.contains("record 1: there is no partition 2; topic `a` has 2"), "{told}");
    }
}
