//! Who runs: the deployments of this node, their tasks and their stages. Changes are made one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};

use super::DeployError;
use super::failing::Failing;
use super::instance::Worker;
use super::internal::Backlog;
use super::logs::{DeploymentLog, Logs};
use super::queries::{Queried, Queries};
use super::ready::Ready;
use super::running::{self, Running};
use super::shadow::Shadows;
use super::shown::Shown;
use super::source::{self, SourceTask};
use super::status::Status;
use super::task::{Order, Task};
use super::view::{DeploymentState, DeploymentView, ErrorView, Totals};
use super::views;
use crate::broker::inline::{Chain, Stage};
use crate::broker::view::View;
use crate::broker::{Broker, catalog::Use, dead_letter};
use crate::model::deployment::{Ceiling, Deployment, DeploymentKind, DeploymentSpec, Desired};
use crate::model::limits::{OPENS_MAX, RUNS_MAX};
use crate::model::module::{Digest, ModuleKind};
use crate::model::{DeploymentName, Partition, TopicName, suggest};
use crate::registry::Registry;
use crate::storage::tables::counters::{self, Counter};
use crate::storage::{Commit, tables};
use crate::wasm::{Fault, Outbound, Places, Source};

/// How long the answer to a change waits for tasks to begin; opening one takes milliseconds.
const SETTLE_WAIT: Duration = Duration::from_secs(2);

/// Bounds of all deployments together.
#[derive(Debug, Clone)]
pub struct Options {
    /// guest instances of tasks alive at once; a deployment that would pass it is refused
    pub instances_max: usize,
    /// deployments, retired ones included
    pub deployments_max: usize,
    /// the most that each of them may ask for
    pub ceiling: Ceiling,
    /// how sinks and sources go out
    pub outbound: Outbound,
}

/// Handle of the deployments; cheap to clone.
#[derive(Clone)]
pub struct Pipelines(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) logs: Logs,
    pub(super) options: Options,
    /// one change of deployments at a time
    pub(super) changes: tokio::sync::Mutex<()>,
    pub(super) entries: RwLock<BTreeMap<DeploymentName, Entry>>,
    /// of the next new deployment
    pub(super) next_id: AtomicU32,
    /// places for code that is opened before a change
    pub(super) opens: Arc<Semaphore>,
    /// places for dry runs
    pub(super) runs: Arc<Semaphore>,
    pub(super) shadows: Shadows,
    /// moves when an entry gets another form, or goes
    pub(super) turned: watch::Sender<()>,
}

/// What every task needs.
pub(super) struct Shared {
    pub(super) broker: Broker,
    pub(super) registry: Registry,
    pub(super) outbound: Outbound,
    pub(super) failing: Failing,
    pub(super) queried: Queried,
}

/// A deployment and what runs of it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) deployment: Arc<Deployment>,
    pub(super) tasks: Vec<Arc<Running>>,
    pub(super) stage: Option<Arc<Stage>>,
    pub(super) view: Option<Arc<View>>,
    /// of a processor whose code answers them
    pub(super) queries: Option<Arc<Queries>>,
    /// what of its limits is above today's ceiling
    pub(super) above: Arc<[String]>,
}

// === impl Pipelines ===

impl Pipelines {
    /// Takes the stored deployments into use: inline stages first, so that nothing is produced past them.
    ///
    /// # Errors
    /// When the tables cannot be read or the log topic cannot be made.
    pub async fn open(broker: Broker, registry: Registry, options: Options) -> anyhow::Result<Self> {
        let logs = Logs::start(&broker).await?;
        let stored = tables::deployments::load_all(broker.storage())?;
        let next_id = AtomicU32::new(counters::load(broker.storage(), Counter::Deployment)?);
        let outbound = options.outbound.clone();
        let (failing, queried) = Default::default();
        let shared = Arc::new(Shared { broker, registry, outbound, failing, queried });
        let (changes, entries) = (Default::default(), RwLock::default());
        let [opens, runs] = [OPENS_MAX, RUNS_MAX].map(|places| Arc::new(Semaphore::new(places)));
        let (shadows, turned) = (Shadows::default(), watch::Sender::default());
        let inner = Inner { shared, logs, options, changes, entries, next_id, opens, runs, shadows, turned };
        let pipelines = Self(Arc::new(inner));
        let shown = Shown::of(&pipelines.0);
        pipelines.broker().groups().show(Arc::new(shown));
        for deployment in stored {
            pipelines.start(Arc::new(deployment)).await;
        }
        pipelines.sweep_internal().await;
        Ok(pipelines)
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.0.shared.broker
    }

    /// The running entry of this name; retired ones are hidden.
    pub(super) fn entry(&self, name: &str) -> Result<Entry, DeployError> {
        let entries = self.0.entries.read();
        match entries.get(name) {
            Some(entry) if entry.deployment.desired != Desired::Retired => Ok(entry.clone()),
            _ => {
                let visible = entries.iter().filter(|(_, e)| e.deployment.desired != Desired::Retired);
                let suggestion = suggest(name, visible.map(|(n, _)| n.as_str()));
                Err(DeployError::Unknown { name: name.to_owned(), suggestion })
            }
        }
    }

    /// Every entry, also retired ones.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.entries.read().values().cloned().collect()
    }

    /// Installs the stage or starts the tasks. The caller holds the change lock, or nobody else is there yet.
    pub(super) async fn start(&self, deployment: Arc<Deployment>) {
        self.start_with(deployment, Ready::default()).await;
    }

    /// The same with what was made before.
    pub(super) async fn start_with(&self, deployment: Arc<Deployment>, mut ready: Ready) {
        let name = deployment.spec.name.clone();
        let above = self.0.options.ceiling.notes(&deployment.spec).into();
        let deployed = deployment.clone();
        let (stage, view, queries) = (None, None, None);
        let mut entry = Entry { deployment: deployed, tasks: Vec::new(), stage, view, queries, above };
        // Also kept state forbids that its topics are widened.
        self.broker().attach(&name, self.uses(&deployment));
        if deployment.desired != Desired::Retired {
            match deployment.spec.kind {
                DeploymentKind::View => entry.view = self.show_view(&deployment, ready.view.take()).await,
                DeploymentKind::Inline => {
                    entry.stage = match ready.stage.take() {
                        Some(stage) => Some(stage),
                        None => Some(Arc::new(self.stage(&deployment).await)),
                    }
                }
                DeploymentKind::Source => {
                    entry.tasks.push(self.start_source(&deployment, ready.source.take()));
                }
                DeploymentKind::Processor | DeploymentKind::Sink => {
                    let log = self.log(&deployment.spec);
                    if self.0.shared.registry.is_queried(deployment.digest) {
                        entry.queries = Some(Queries::of(&deployment, log.clone(), &self.0.shared.queried));
                    }
                    let log = (log, Arc::new(Backlog::of(self.broker(), &deployment)));
                    let new = || Places::new(deployment.spec.limits.instances);
                    let places = ready.places.take().unwrap_or_else(new);
                    let start = |task| {
                        let place = (places.clone(), ready.instances.remove(&task));
                        self.start_task(&deployment, task, log.clone(), place)
                    };
                    entry.tasks = (0..deployment.tasks).map(start).collect();
                }
            }
        }
        self.0.entries.write().insert(name, entry);
        self.0.turned.send_replace(());
        self.install_chains(&deployment.spec.input.topics);
    }

    pub(super) async fn stage(&self, deployment: &Arc<Deployment>) -> Stage {
        let component = self.0.shared.registry.component(deployment.digest).await;
        let component = component.map_err(|e| {
            tracing::error!(deployment = %deployment.spec.name, error = %e, "an inline transform cannot be loaded");
            Fault::Instance(e.to_string())
        });
        let log = self.log(&deployment.spec);
        Stage::new(
            Deployment::clone(deployment),
            component,
            Box::new(move |partition| log.instance(partition)),
        )
    }

    pub(super) fn log(&self, spec: &DeploymentSpec) -> DeploymentLog {
        self.0.logs.deployment(&spec.name, spec.limits.log_lines)
    }

    fn start_source(&self, deployment: &Arc<Deployment>, instance: Option<Source>) -> Arc<Running> {
        let name = deployment.spec.name.clone();
        let status = Arc::new(Status::new(name, source::TASK, self.0.shared.failing.clone()));
        let (log, shared) = (self.log(&deployment.spec), self.0.shared.clone());
        Running::start(status.clone(), wanted(deployment), |reins| {
            let task = SourceTask::new(shared, deployment.clone(), status, log, instance, reins);
            self.broker().guests().spawn("source task", task.work())
        })
    }

    fn start_task(
        &self,
        deployment: &Arc<Deployment>,
        task: Partition,
        log: (DeploymentLog, Arc<Backlog>),
        place: (Places, Option<Worker>),
    ) -> Arc<Running> {
        let (name, failing) = (deployment.spec.name.clone(), self.0.shared.failing.clone());
        let status = Arc::new(Status::new(name, task, failing));
        Running::start(status.clone(), wanted(deployment), |reins| {
            let task = Task::new(self.0.shared.clone(), deployment.clone(), status, log, place, reins);
            self.broker().guests().spawn("task of a deployment", task.work())
        })
    }

    /// Stops the tasks of a deployment, which stays in its place and keeps its topics and its transform. When it returns,
    /// every commit of theirs is made or refused, also those of a task that did not end in time.
    pub(super) async fn halt(&self, name: &DeploymentName) {
        let tasks = self.0.entries.read().get(name).map(|e| e.tasks.clone());
        if !running::stop(&tasks.unwrap_or_default()).await {
            // What the writer had taken up when the fences were closed is written before this. Should it fail, so does
            // whatever the caller commits.
            let _ = self.broker().storage().commit(Commit::new()).await;
        }
    }

    /// Takes a halted deployment out of use.
    pub(super) fn remove(&self, name: &DeploymentName) {
        let entry = self.0.entries.write().remove(name);
        self.0.turned.send_replace(());
        let Some(entry) = entry else { return };
        self.broker().detach(name);
        self.install_chains(&entry.deployment.spec.input.topics);
    }

    /// Tells the tasks of a deployment what to do.
    pub(super) fn order(entry: &Entry, order: Order, whom: impl Fn(&Status) -> bool) {
        for task in entry.tasks.iter().filter(|t| whom(&t.status)) {
            task.order(order);
        }
    }

    /// Puts the stages of these topics in force.
    pub(super) fn install_chains(&self, topics: &[TopicName]) {
        for name in topics {
            self.broker().set_chain(name, self.chain_of(name, None));
        }
    }

    /// The stages of a topic; with a new one, as they would be with it in the place of its deployment's old one.
    pub(super) fn chain_of(&self, topic: &TopicName, new: Option<&Arc<Stage>>) -> Option<Chain> {
        let entries = self.0.entries.read();
        let is_replaced =
            |e: &&Entry| new.is_some_and(|n| n.deployment().spec.name == e.deployment.spec.name);
        let others = entries.values().filter(|e| !is_replaced(e));
        let on_topic = others.filter(|e| e.deployment.spec.input.topics.contains(topic));
        let stages = on_topic.filter_map(|e| e.stage.clone());
        let new = new.filter(|n| n.deployment().spec.input.topics.contains(topic)).cloned();
        Chain::new(stages.chain(new).collect())
    }

    /// Stops every task. Called once, at the end.
    pub async fn close(&self) {
        self.end_shadows("the server stops");
        let entries = self.entries();
        let all: Vec<_> = entries.into_iter().flat_map(|e| e.tasks).collect();
        running::stop(&all).await;
    }

    /// The most that anybody may ask for.
    pub fn ceiling(&self) -> &Ceiling {
        &self.0.options.ceiling
    }

    /// All deployments in name order.
    pub fn list(&self) -> Vec<DeploymentView> {
        self.entries().iter().filter(|e| e.deployment.desired != Desired::Retired).map(Entry::view).collect()
    }

    /// One deployment.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn describe(&self, name: &str) -> Result<DeploymentView, DeployError> {
        Ok(self.entry(name)?.view())
    }

    /// The deployment as it is once every task has taken up what it was told, or after a moment: then the answer to a
    /// change says what came of it.
    pub(super) async fn settled(&self, name: &str) -> Result<DeploymentView, DeployError> {
        let entry = self.entry(name)?;
        let begun = async {
            for task in &entry.tasks {
                let mut changed = task.status.watch();
                while task.status.state() == DeploymentState::Starting {
                    if changed.changed().await.is_err() {
                        break;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(SETTLE_WAIT, begun).await;
        self.describe(name)
    }

    /// The deployments that run this code.
    pub fn users_of(&self, digest: Digest) -> Vec<DeploymentName> {
        let uses = |e: &Entry| e.deployment.digest == digest && e.deployment.desired != Desired::Retired;
        self.entries().into_iter().filter(uses).map(|e| e.deployment.spec.name.clone()).collect()
    }

    /// The topics that a deployment needs as they are.
    pub(super) fn uses(&self, deployment: &Deployment) -> Vec<(TopicName, Use)> {
        let spec = &deployment.spec;
        let input = if spec.kind.has_tasks() { Use::StatefulInput } else { Use::Input };
        // Of code that is gone it is not known whether it rejects.
        let module = self.0.shared.registry.kind(deployment.digest).unwrap_or(ModuleKind::Transform);
        let dead = spec.wants_dead_letters(module).then(|| spec.dead_letter_topic());
        let inputs = spec.inputs().into_iter().map(|topic| (topic, input));
        inputs.chain(spec.outputs().cloned().chain(dead).map(|t| (t, Use::Output))).collect()
    }

    /// Instances that the tasks of this node may have alive.
    pub(super) fn instances(&self) -> usize {
        self.entries().iter().map(|e| live_max(&e.deployment.spec, e.tasks.len())).sum()
    }
}

/// Instances that so many tasks of a deployment may have alive at once.
pub(super) fn live_max(spec: &DeploymentSpec, tasks: usize) -> usize {
    tasks.min(spec.limits.instances as usize)
}

/// What a deployment's tasks are to do.
pub(super) fn wanted(deployment: &Deployment) -> Order {
    if deployment.desired == Desired::Paused { Order::Pause } else { Order::Run }
}

// === impl Entry ===

impl Entry {
    pub(super) fn view(&self) -> DeploymentView {
        let tasks: Vec<_> = self.tasks.iter().map(|t| t.status.view()).collect();
        let mut totals = Totals::default();
        for task in &tasks {
            totals.add(&task.totals);
        }
        let mut last_error = tasks.iter().filter_map(|t| t.last_error.clone()).max_by_key(|e| e.at_ms);
        if let Some(stage) = &self.stage {
            totals = stage_totals(stage);
            last_error = stage_error(stage);
        }
        if let Some(view) = &self.view {
            (totals, last_error) = (views::totals(view), views::last_error(view));
        }
        let state = tasks.iter().map(|t| t.state).max_by_key(|s| severity(*s));
        let deployment = &self.deployment;
        DeploymentView {
            name: deployment.spec.name.clone(),
            kind: deployment.spec.kind,
            state: state.unwrap_or(DeploymentState::Running),
            desired: deployment.desired,
            module: deployment.module(),
            digest: deployment.digest.to_string(),
            revision: deployment.revision,
            generation: deployment.generation,
            totals,
            tasks,
            last_error,
            notes: notes(&deployment.spec).into_iter().chain(self.above.iter().cloned()).collect(),
            spec: deployment.spec.clone(),
            created_ms: deployment.created_ms,
            updated_ms: deployment.updated_ms,
        }
    }
}

/// What no rule forbids: code that emits nothing needs no output.
fn notes(spec: &DeploymentSpec) -> Vec<String> {
    let mut notes = Vec::new();
    if spec.kind == DeploymentKind::Processor && spec.output.default.is_none() {
        let note = "there is no output.default: a record that the code emits without a route is an error";
        notes.push(note.to_owned());
    }
    notes
}

/// The worst state of any task is the deployment's.
fn severity(state: DeploymentState) -> u8 {
    match state {
        DeploymentState::Running => 0,
        DeploymentState::Starting => 1,
        DeploymentState::Migrating => 2,
        DeploymentState::Paused => 3,
        DeploymentState::Retrying => 4,
        DeploymentState::Failed => 5,
    }
}

fn stage_totals(stage: &Stage) -> Totals {
    let get = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
    let counts = &stage.counters;
    Totals {
        records_in: get(&counts.records_in),
        records_out: get(&counts.records_out),
        rejected: get(&counts.rejected),
        dead_letters: get(&counts.dead_letters),
        errors: get(&counts.errors),
        ..Totals::default()
    }
}

fn stage_error(stage: &Stage) -> Option<ErrorView> {
    let error = stage.last_error()?;
    let place = error.record.map(|n| format!("record {n} of its batch: ")).unwrap_or_default();
    let view = ErrorView {
        backtrace: dead_letter::frames(&error.fault).to_vec(),
        ..ErrorView::new(error.fault.code(), format!("{place}{}", error.fault), error.at_ms)
    };
    if error.fault.is_of_no_record() {
        return Some(view);
    }
    let topic = stage.deployment().spec.input.topics.first().cloned();
    Some(ErrorView { topic, partition: Some(error.partition), ..view })
}
