//! Rewind: other positions, with the state kept or cleared, in one commit. A cleared state gets the next generation at
//! once, so that nothing of the old one can be seen; the old one is deleted in the same commit.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

use super::error::Clash;
use super::lifecycle::by_itself;
use super::replace::{Cause, Replacement};
use super::supervisor::{Entry, Pipelines};
use super::{DeployError, DeploymentView};
use crate::broker::{Isolation, OffsetSpec, TopicHandle};
use crate::model::batch::{BatchError, RecordBatch};
use crate::model::deployment::{Deployment, DeploymentKind, RewindTo, StateFate};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, MIB};
use crate::model::revision::{Action, EffectiveFrom, StateChange};
use crate::model::{Offset, Partition, TopicId, TopicName};
use crate::state::{self, TaskId, positions};
use crate::storage::Commit;

/// What is read of a partition to count its records, and how much of it at a time: a second's work (a guess).
const COUNTED_BYTES_MAX: usize = 64 * MIB;
const COUNTED_STEP: usize = 4 * MIB;

/// Where every input partition goes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RewindPlan {
    /// in input and partition order
    pub partitions: Vec<RewindPartition>,
    /// records of the inputs that will be read again (or, where negative, passed over)
    pub replayed: i64,
    /// at least one partition's count is an estimate
    pub estimated: bool,
    /// of a source: how its cursor moves
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorMove>,
    /// the deployment afterwards; `None` in a dry run
    pub deployment: Option<DeploymentView>,
}

/// Where a source's cursor goes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CursorMove {
    /// as it is, text as it stands, other bytes in base64; null: there is none
    pub from: Option<String>,
    /// as it will be; null: the next poll begins from nothing
    pub to: Option<String>,
}

/// Where one input partition goes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RewindPartition {
    /// the input
    #[schema(value_type = String)]
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// the next offset as it is
    pub from: Offset,
    /// the next offset as it will be
    pub to: Offset,
    /// committed records from `to` to `from`, which will be read again; where negative, those that are passed over
    pub records: i64,
    /// There are more than were looked through: the rest is counted by offsets, of which some may be free, or of markers
    /// and aborted records.
    pub estimated: bool,
    /// the shift led beyond the log and ends where the log does
    pub clamped: bool,
    #[serde(skip)]
    id: TopicId,
    /// of the deployment's own
    #[serde(skip)]
    is_internal: bool,
}

impl RewindPartition {
    /// From one offset to another, forth or back; not counted yet.
    fn new(topic: &TopicHandle, partition: Partition, way: Range<Offset>, clamped: bool) -> Self {
        let (topic, id) = (topic.name().clone(), topic.id());
        let Range { start: from, end: to } = way;
        Self { topic, partition, from, to, records: 0, estimated: false, clamped, id, is_internal: false }
    }
}

impl Pipelines {
    /// Moves a processor's positions. The tasks stop, the commit is made, the tasks start with fresh instances.
    ///
    /// # Errors
    /// `Unknown`, `Inline`, `Read`, `Conflict` for an offset outside the log, `Commit`.
    pub async fn rewind(
        &self,
        name: &str,
        to: RewindTo,
        fate: StateFate,
        dry_run: bool,
    ) -> Result<RewindPlan, DeployError> {
        let name = name.to_owned();
        let work = async move |pipelines: Self| {
            let mut plan = pipelines.rewind_whole(&name, to, fate, dry_run).await?;
            // Takes long, so the tasks run meanwhile and other changes do not wait. What lies between two offsets stays.
            pipelines.count(&mut plan).await;
            Ok(plan)
        };
        self.change(work).await
    }

    async fn rewind_whole(
        &self,
        name: &str,
        to: RewindTo,
        fate: StateFate,
        dry_run: bool,
    ) -> Result<RewindPlan, DeployError> {
        let _one = self.0.changes.lock().await;
        let entry = by_itself(self.entry(name)?, "rewound")?;
        if entry.deployment.spec.kind == DeploymentKind::Source {
            return self.rewind_source(&entry, to, dry_run).await;
        }
        if !dry_run {
            // Nothing may move while the plan is made.
            self.halt(&entry.deployment.spec.name).await;
        }
        let plan = self.plan_rewind(&entry, &to, fate).await;
        let partitions = match plan {
            Ok(partitions) if !dry_run => partitions,
            other => {
                if !dry_run {
                    self.start(entry.deployment.clone()).await;
                }
                return Ok(plan_of(other?, None));
            }
        };

        let mut deployment = self.revised(&entry, |_| {});
        let mut commit = Commit::new();
        if fate == StateFate::Clear {
            state::clear_generation(&mut commit, deployment.id, deployment.generation);
            deployment.generation += 1;
            deployment.migration = None;
        }
        for p in &partitions {
            let id =
                TaskId { deployment: deployment.id, generation: deployment.generation, task: p.partition };
            positions::put(&mut commit, id, p.id, p.partition, p.to);
        }
        // A refused commit starts the deployment again as it was.
        let state = if fate == StateFate::Clear { StateChange::Clear } else { StateChange::Keep };
        let cause = Cause { state, ..Action::Rewound.into() };
        let to = |p: &RewindPartition| EffectiveFrom {
            topic: p.topic.clone(),
            partition: p.partition,
            offset: p.to,
        };
        let positions = Some(partitions.iter().map(to).collect());
        let replacement = Replacement { positions, ..Replacement::new(deployment, cause, commit) };
        let view = self.replace(replacement).await?;
        Ok(plan_of(partitions, Some(view)))
    }

    async fn plan_rewind(
        &self,
        entry: &Entry,
        to: &RewindTo,
        fate: StateFate,
    ) -> Result<Vec<RewindPartition>, DeployError> {
        if let RewindTo::Offsets(offsets) = to {
            let inputs = &entry.deployment.spec.input.topics;
            if let Some(other) = offsets.keys().find(|name| !inputs.contains(name)) {
                let detail = match entry.deployment.spec.internal_topics().any(|own| own == *other) {
                    true => format!(
                        "topic `{other}` is internal to this deployment: it is emptied with the state, and never read again"
                    ),
                    false => format!("topic `{other}` is no input of this deployment"),
                };
                return Err(Clash::Position.because(detail));
            }
            let tasks = entry.deployment.tasks;
            let beyond = |(name, of): (&TopicName, &BTreeMap<u32, Offset>)| {
                Some((name.clone(), of.keys().copied().find(|partition| *partition >= tasks)?))
            };
            if let Some((name, partition)) = offsets.iter().find_map(beyond) {
                let detail = format!("topic `{name}` has partitions 0 to {}, not {partition}", tasks - 1);
                return Err(Clash::Position.because(detail));
            }
        }
        if matches!(to, RewindTo::Cursor(_) | RewindTo::CursorBase64(_)) {
            return Err(
                Clash::Kind.because("only sources have a cursor; this one goes to a position of its inputs")
            );
        }
        let mut partitions = Vec::new();
        for name in &entry.deployment.spec.input.topics {
            let topic = self.broker().topic(name.as_str())?;
            for partition in 0..topic.topic.partitions {
                let from = self.position(entry, &topic, partition).await?;
                let (to, clamped) = self.target(&topic, partition, from, to).await?;
                partitions.push(RewindPartition::new(&topic, partition, from..to, clamped));
            }
        }
        if fate == StateFate::Clear {
            // What waits there was made of the state that goes, and is made anew from what is read again.
            for name in entry.deployment.spec.internal_topics() {
                let topic = self.broker().topic(name.as_str())?;
                for log in topic.logs() {
                    let from = self.position(entry, &topic, log.partition()).await?;
                    let emptied = RewindPartition::new(&topic, log.partition(), from..log.tail(), false);
                    partitions.push(RewindPartition { is_internal: true, ..emptied });
                }
            }
        }
        Ok(partitions)
    }

    /// The stored position; a task that has committed nothing stands at its start.
    async fn position(
        &self,
        entry: &Entry,
        topic: &TopicHandle,
        partition: Partition,
    ) -> Result<Offset, DeployError> {
        let Deployment { id, generation, start, .. } = &*entry.deployment;
        let task = TaskId { deployment: *id, generation: *generation, task: partition };
        let stored =
            self.broker().storage().on_reader(move |storage| positions::load(storage, task)).await??;
        let begun =
            || start.iter().find(|s| s.topic == topic.id() && s.partition == partition).map(|s| s.offset);
        Ok(stored.get(&(topic.id(), partition)).copied().or_else(begun).unwrap_or(0))
    }

    /// Where a rewind leads, and whether a shift was cut at the log's end.
    pub(super) async fn target(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        from: Offset,
        to: &RewindTo,
    ) -> Result<(Offset, bool), DeployError> {
        let (start, tail) = topic.log(partition).map_or((0, 0), |log| (log.start(), log.tail()));
        let at = match to {
            RewindTo::Earliest => OffsetSpec::Earliest,
            RewindTo::Latest => OffsetSpec::Latest,
            RewindTo::Timestamp(ms) => OffsetSpec::Timestamp(*ms),
            // Refused before: nobody but a source has one.
            RewindTo::Cursor(_) | RewindTo::CursorBase64(_) => OffsetSpec::Offset(from),
            RewindTo::ShiftBy(by) => {
                let shifted = i128::from(from) + i128::from(*by);
                let to = shifted.clamp(start.into(), tail.into());
                return Ok((Offset::try_from(to).unwrap_or(tail), to != shifted));
            }
            RewindTo::Offsets(offsets) => {
                let asked =
                    offsets.get(topic.name()).and_then(|p| p.get(&partition)).copied().unwrap_or(from);
                if !(start..=tail).contains(&asked) {
                    return Err(Clash::Position.because(format!(
                        "offset {asked} of partition {partition} of topic `{}` is outside {start}..={tail}",
                        topic.name()
                    )));
                }
                OffsetSpec::Offset(asked)
            }
        };
        Ok((self.broker().resolve_offset(topic, partition, at).await?, false))
    }

    /// Counts what the plan's partitions will read again or pass over. What cannot be read is estimated: the change that
    /// it tells of may have been made.
    async fn count(&self, plan: &mut RewindPlan) {
        for p in &mut plan.partitions {
            let (from, to) = (p.from.min(p.to), p.from.max(p.to));
            let counted = match self.broker().topic(p.topic.as_str()) {
                Ok(topic) => self.between(&topic, p.partition, from..to).await.ok(),
                Err(_) => None,
            };
            let (count, estimated) = counted.unwrap_or((to - from, true));
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            p.records = if p.to <= p.from { count } else { -count };
            p.estimated = estimated;
        }
        plan.replayed = plan.partitions.iter().filter(|p| !p.is_internal).map(|p| p.records).sum();
        plan.estimated = plan.partitions.iter().any(|p| p.estimated);
    }

    /// How many committed records lie in a range, and whether that is an estimate.
    async fn between(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        range: Range<Offset>,
    ) -> Result<(u64, bool), DeployError> {
        let Some(log) = topic.log(partition) else { return Ok((0, false)) };
        // What was deleted before it was read comes no more.
        let (mut at, mut count, mut bytes) = (range.start.max(log.start()), 0, 0);
        let end = range.end.min(log.stable());
        while at < end {
            if bytes >= COUNTED_BYTES_MAX {
                return Ok((count + (end - at), true));
            }
            let found = self.broker().visible(log, at, COUNTED_STEP, Isolation::Committed).await?;
            for batch in &found.batches {
                bytes += batch.bytes().len();
                count += counted(batch, at, end)?;
            }
            if found.next <= at {
                break;
            }
            at = found.next;
        }
        Ok((count, false))
    }
}

/// The records of a batch with offsets in `from..end`.
fn counted(batch: &RecordBatch, from: Offset, end: Offset) -> Result<u64, DeployError> {
    let header = batch.header();
    if header.base_offset >= from && header.next_offset() <= end {
        return Ok(header.count.into());
    }
    let damaged = |e: BatchError| crate::storage::ReadError::Damaged(e.to_string());
    let payload = batch.payload(BATCH_UNCOMPRESSED_MAX).map_err(damaged)?;
    let mut count = 0;
    for record in payload.records() {
        let offset = header.base_offset + Offset::from(record.map_err(damaged)?.offset_delta);
        count += u64::from((from..end).contains(&offset));
    }
    Ok(count)
}

fn plan_of(partitions: Vec<RewindPartition>, deployment: Option<DeploymentView>) -> RewindPlan {
    RewindPlan { partitions, replayed: 0, estimated: false, cursor: None, deployment }
}
