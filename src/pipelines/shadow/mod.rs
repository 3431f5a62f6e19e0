//! Shadow runs: another version beside the one that is deployed, on the same input, and what differs. Nothing is
//! published and nothing is stored. For processors both versions run here, from the state and the positions of one moment,
//! over scratches in memory; the live tasks go on untouched. For inline transforms the candidate gets copies of the
//! batches that go through the live one. A shadow run ends with the server, and leaves nothing behind.

mod compare;
mod tap;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use compare::{Difference, Made, Results, Told, Used};

use self::compare::Board;
use self::tap::InlineTap;
use self::task::{ShadowTask, Side};
use super::DeployError;
use super::error::Clash;
use super::run::Lines;
use super::status::TaskInput;
use super::supervisor::{Entry, Pipelines};
use crate::broker::inline::Tap;
use crate::model::deployment::{DeploymentKind, DeploymentSpec, RewindTo};
use crate::model::limits::{SHADOW_STATE_BYTES_MAX, SHADOW_TIME_DEFAULT, SHADOW_TIME_MAX, SHADOWS_MAX};
use crate::model::module::Digest;
use crate::model::{DeploymentName, Offset, Partition};
use crate::runtime::tasks;
use crate::state::{Scratch, TaskId};
use crate::storage::PinnedState;
use crate::wasm::{Component, LogLevel, LogSink};

/// Why most shadow runs end.
const ALL_RECORDS: &str = "as many records were compared as asked for";

/// What to run beside a deployment.
#[derive(Debug, Clone, Default)]
pub struct ShadowOptions {
    /// `name` or `name@version`; `None`: what the deployment's module means by now
    pub module: Option<String>,
    /// beside or instead of the deployment's own, for the candidate alone
    pub params: BTreeMap<String, String>,
    /// both begin without state, rather than with a copy of the deployment's
    pub empty_state: bool,
    /// ends after so many records
    pub records: Option<u64>,
    /// ends after so long; see [`SHADOW_TIME_DEFAULT`]
    pub duration: Option<Duration>,
    /// where processors begin; `None`: where the deployment stands
    pub from: Option<RewindTo>,
}

/// A shadow run as its users see it.
#[derive(Debug, Clone)]
pub struct ShadowView {
    /// the deployment
    pub deployment: DeploymentName,
    /// `name@version` of the candidate
    pub module: String,
    /// the deployment's spec, for its topics
    pub spec: DeploymentSpec,
    /// milliseconds since the epoch
    pub started_ms: i64,
    /// when and why it ended
    pub ended: Option<(i64, String)>,
    /// what came out so far
    pub results: Results,
    /// what the candidate logged
    pub lines: Vec<(LogLevel, String)>,
}

pub(super) struct Shadow {
    module: String,
    spec: DeploymentSpec,
    started_ms: i64,
    board: Board,
    records: Option<u64>,
    /// records that may still be taken
    room: AtomicU64,
    ended: watch::Sender<Option<(i64, String)>>,
    lines: Arc<Lines>,
}

/// The shadow runs of a node, one for each deployment; ended ones stay until the next or a delete.
#[derive(Default)]
pub(super) struct Shadows(Mutex<BTreeMap<DeploymentName, Arc<Shadow>>>);

/// The code that runs has said it already.
struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

// === impl Shadow ===

impl Shadow {
    fn end(&self, reason: String, now_ms: i64) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some((now_ms, reason));
            }
            first
        });
    }

    fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// What the work says, or `None` when the shadow run ended before.
    async fn until_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            biased;
            _ = ended.wait_for(Option::is_some) => None,
            done = work => Some(done),
        }
    }

    /// As many records were compared as asked for; others that were taken for it are under way until then.
    fn is_done(&self) -> bool {
        self.records.is_some_and(|records| self.board.0.lock().compared() >= records)
    }

    /// How many of so many records may be compared.
    fn take_room(&self, records: usize) -> usize {
        let mut taken = 0;
        let _ = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
            taken = room.min(records as u64);
            Some(room - taken)
        });
        usize::try_from(taken).unwrap_or(usize::MAX)
    }

    fn view(&self, deployment: &DeploymentName) -> ShadowView {
        ShadowView {
            deployment: deployment.clone(),
            module: self.module.clone(),
            spec: self.spec.clone(),
            started_ms: self.started_ms,
            ended: self.ended.borrow().clone(),
            results: self.board.0.lock().clone(),
            lines: self.lines.first(),
        }
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// Begins a shadow run; the results of an earlier one are forgotten.
    ///
    /// # Errors
    /// `Unknown`, `Spec`, `Module`, `Kind`, `Conflict` when one is running or too many are, `Read`, `Tables`.
    pub async fn start_shadow(&self, name: &str, options: ShadowOptions) -> Result<ShadowView, DeployError> {
        let name = name.to_owned();
        self.change(async move |pipelines: Self| pipelines.start_shadow_whole(&name, options).await).await
    }

    async fn start_shadow_whole(
        &self,
        name: &str,
        options: ShadowOptions,
    ) -> Result<ShadowView, DeployError> {
        let _one = self.0.changes.lock().await;
        let entry = self.entry(name)?;
        let spec = candidate_spec(&entry, &options)?;
        self.check_shadow(&entry, &options)?;
        let module = self.resolve(&spec)?;
        let candidate = self.component(module.digest).await?;
        let shadow = Arc::new(Shadow {
            module: format!("{}@{}", module.name, module.version),
            spec: entry.deployment.spec.clone(),
            started_ms: self.broker().clock().now_ms(),
            board: Board::default(),
            records: options.records,
            room: AtomicU64::new(options.records.unwrap_or(u64::MAX)),
            ended: watch::channel(None).0,
            lines: Arc::default(),
        });
        if entry.deployment.spec.kind == DeploymentKind::Inline {
            self.shadow_stage(&entry, &shadow, candidate, spec);
        } else {
            self.shadow_tasks(&entry, &shadow, &candidate, &spec, &options).await?;
        }

        let name = entry.deployment.spec.name.clone();
        self.0.shadows.0.lock().insert(name.clone(), shadow.clone());
        let view = shadow.view(&name);
        let time = options.duration.unwrap_or(SHADOW_TIME_DEFAULT);
        let clock = self.broker().clock().clone();
        tasks::spawn("time of a shadow run", async move {
            if shadow.until_ended(tokio::time::sleep(time)).await.is_some() {
                shadow.end("its time is over".to_owned(), clock.now_ms());
            }
        });
        Ok(view)
    }

    fn check_shadow(&self, entry: &Entry, options: &ShadowOptions) -> Result<(), DeployError> {
        if options.duration.is_some_and(|duration| duration > SHADOW_TIME_MAX) {
            let most = SHADOW_TIME_MAX.as_secs();
            let detail = format!("a shadow run takes {most} seconds at most");
            return Err(Clash::Request("/duration").because(detail));
        }
        let kind = entry.deployment.spec.kind;
        if !matches!(kind, DeploymentKind::Inline | DeploymentKind::Processor) {
            let detail = format!(
                "a deployment of kind {} has no shadow run: what it does cannot be kept back",
                kind.as_str()
            );
            return Err(Clash::Kind.because(detail));
        }
        if options.from.is_some() && entry.deployment.spec.kind == DeploymentKind::Inline {
            let detail = "the shadow of an inline deployment sees what is produced from now on";
            return Err(Clash::Request("/from").because(detail));
        }
        let shadows = self.0.shadows.0.lock();
        let name = &entry.deployment.spec.name;
        if shadows.get(name).is_some_and(|shadow| shadow.is_running()) {
            let detail = format!("a shadow of deployment `{name}` runs already");
            return Err(Clash::Shadow.because(detail));
        }
        if shadows.values().filter(|shadow| shadow.is_running()).count() >= SHADOWS_MAX {
            let detail = format!("{SHADOWS_MAX} shadow runs are under way, which is the most at once");
            return Err(Clash::Shadow.because(detail));
        }
        Ok(())
    }

    fn shadow_stage(&self, entry: &Entry, shadow: &Arc<Shadow>, component: Component, spec: DeploymentSpec) {
        let Some(stage) = entry.stage.clone() else { return };
        let log: Arc<dyn LogSink> = shadow.lines.clone();
        let scratch = Scratch::empty(TaskId { deployment: entry.deployment.id, generation: 0, task: 0 });
        let clock = self.broker().clock().clone();
        let candidate = Side { component, spec, log, scratch, clock: clock.clone(), live: None, time: None };
        let (tap, heard) = InlineTap::new(shadow.clone());
        let tap: Arc<dyn Tap> = Arc::new(tap);
        stage.set_tap(tap.clone());
        let spec = entry.deployment.spec.clone();
        let work = tap::work(shadow.clone(), (stage, tap), spec, candidate, heard, clock);
        self.broker().guests().spawn("shadow of a transform", work).detach();
    }

    async fn shadow_tasks(
        &self,
        entry: &Entry,
        shadow: &Arc<Shadow>,
        candidate: &Component,
        candidate_spec: &DeploymentSpec,
        options: &ShadowOptions,
    ) -> Result<(), DeployError> {
        let deployment = &entry.deployment;
        let current = self.component(deployment.digest).await?;
        // State and positions of all tasks at the same moment: a task's commit holds both.
        let pinned = self.broker().storage().pin_state();
        let mut ready = Vec::new();
        for partition in 0..deployment.tasks {
            let (inputs, next) = self.shadow_inputs(entry, partition, &pinned, options.from.as_ref()).await?;
            let id = TaskId { deployment: deployment.id, generation: deployment.generation, task: partition };
            let scratch = || match options.empty_state {
                true => Scratch::empty(id),
                false => Scratch::pinned(id, pinned.clone()),
            };
            let side = |component: &Component, spec: &DeploymentSpec, log: Arc<dyn LogSink>| Side {
                component: component.clone(),
                spec: spec.clone(),
                log,
                scratch: scratch(),
                clock: self.broker().clock().clone(),
                live: None,
                time: None,
            };
            ready.push(ShadowTask {
                shadow: shadow.clone(),
                shared: self.0.shared.clone(),
                partition,
                inputs,
                next,
                current: side(&current, &deployment.spec, Arc::new(Silent)),
                candidate: side(candidate, candidate_spec, shadow.lines.clone()),
                state_bytes_max: SHADOW_STATE_BYTES_MAX / (2 * deployment.tasks.max(1) as usize),
            });
        }
        for task in ready {
            self.broker().guests().spawn("shadow of a task", task.work()).detach();
        }
        Ok(())
    }

    /// What a task reads and where it begins.
    async fn shadow_inputs(
        &self,
        entry: &Entry,
        partition: Partition,
        pinned: &PinnedState,
        from: Option<&RewindTo>,
    ) -> Result<(Vec<TaskInput>, Vec<Offset>), DeployError> {
        let deployment = &entry.deployment;
        let id = TaskId { deployment: deployment.id, generation: deployment.generation, task: partition };
        let moment = Scratch::pinned(id, pinned.clone());
        let stored = self.broker().storage().on_reader(move |_| moment.positions()).await??;
        let (mut inputs, mut next) = (Vec::new(), Vec::new());
        for (index, name) in (0..).zip(&deployment.spec.inputs()) {
            let topic = self.broker().topic(name.as_str())?;
            let Some(log) = topic.log(partition) else { continue };
            let begun = deployment.start.iter().find(|s| s.topic == topic.id() && s.partition == partition);
            let begun = begun.map_or(0, |s| s.offset);
            let stands = stored.get(&(topic.id(), partition)).copied().unwrap_or(begun);
            // An internal topic is read from where the task stands.
            next.push(match from.filter(|_| index < deployment.spec.input.topics.len()) {
                Some(to) => self.target(&topic, partition, stands, to).await?.0,
                None => stands,
            });
            inputs.push(TaskInput { topic: name.clone(), log: log.clone() });
        }
        Ok((inputs, next))
    }

    async fn component(&self, digest: Digest) -> Result<Component, DeployError> {
        Ok(self.0.shared.registry.component(digest).await?)
    }

    /// The shadow run of a deployment, going on or ended.
    ///
    /// # Errors
    /// `Unknown`, `NoShadow`.
    pub fn shadow(&self, name: &str) -> Result<ShadowView, DeployError> {
        let name = self.entry(name)?.deployment.spec.name.clone();
        let shadow = self.0.shadows.0.lock().get(&name).cloned();
        shadow.map(|shadow| shadow.view(&name)).ok_or(DeployError::NoShadow(name))
    }

    /// Ends the shadow run of a deployment and forgets its results.
    ///
    /// # Errors
    /// `Unknown`, `NoShadow`.
    pub fn stop_shadow(&self, name: &str) -> Result<(), DeployError> {
        let name = self.entry(name)?.deployment.spec.name.clone();
        let shadow = self.0.shadows.0.lock().remove(&name).ok_or(DeployError::NoShadow(name))?;
        shadow.end("it was stopped".to_owned(), self.broker().clock().now_ms());
        Ok(())
    }

    /// The deployment is not what it was: its shadow run ends, its results stay.
    pub(super) fn end_shadow(&self, name: &DeploymentName, reason: &str) {
        if let Some(shadow) = self.0.shadows.0.lock().get(name) {
            shadow.end(reason.to_owned(), self.broker().clock().now_ms());
        }
    }

    /// All of them end.
    pub(super) fn end_shadows(&self, reason: &str) {
        for shadow in self.0.shadows.0.lock().values() {
            shadow.end(reason.to_owned(), self.broker().clock().now_ms());
        }
    }

    /// A deployment is gone, and with it what its shadow run has found.
    pub(super) fn forget_shadow(&self, name: &DeploymentName) {
        self.0.shadows.0.lock().remove(name);
    }
}

fn candidate_spec(entry: &Entry, options: &ShadowOptions) -> Result<DeploymentSpec, DeployError> {
    let mut spec = entry.deployment.spec.clone();
    if let Some(module) = &options.module {
        spec.module.clone_from(module);
    }
    spec.params.extend(options.params.clone());
    let problems = spec.problems();
    if problems.is_empty() { Ok(spec) } else { Err(DeployError::Spec(problems)) }
}
