//! One step of a task: a run of records through the code and into one commit. When the code fails, the run is cut until
//! the record that fails stands alone, and the deployment's `on_error` decides about that one.

use std::ops::Range;

use super::cut;
use super::flight::{Done, Place, Refused};
use super::instance::Ask;
use super::output::{CollectError, Defaults, collect_with, owned};
use super::task::{Stop, Task};
use super::time::Judged;
use super::view::{DeploymentState, ErrorView};
use crate::broker::Broker;
use crate::broker::dead_letter::{self, Reason};
use crate::broker::outbox::{Outbox, OutboxError};
use crate::model::deployment::{DeploymentSpec, LatePolicy, OnErrorPolicy};
use crate::model::{Offset, Partition, Record, TopicId, TopicName};
use crate::runtime::backoff;
use crate::state::positions;
use crate::storage::{Commit, CommitError};
use crate::wasm::{Answer, Fault, Input};

/// Where the records of a run come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// of the input
    pub(super) index: usize,
    pub(super) topic: &'a TopicName,
    pub(super) topic_id: TopicId,
    pub(super) partition: Partition,
    /// the offset after the last record of the whole run
    pub(super) until: Offset,
}

/// A part of a run that is still to be done, and what is known of it.
struct Part {
    range: Range<usize>,
    /// tries that failed so far
    failed: u32,
}

impl Task {
    /// Takes the inputs through the code and commits, in order, every record once.
    ///
    /// # Errors
    /// [`Stop`] when the task has to stand still: asked to, or by `on_error: stop`, or the storage is gone.
    pub(super) async fn run(&mut self, inputs: &[Input<'_>], source: Source<'_>) -> Result<(), Stop> {
        // The last part lies on top; parts come off in the order of their records.
        let mut parts = vec![Part { range: 0..inputs.len(), failed: 0 }];
        while let Some(part) = parts.pop() {
            // A run of a sink may be many deliveries: a stop waits for one of them.
            self.check_orders()?;
            let last = parts.is_empty();
            let slice = &inputs[part.range.clone()];
            let next = match slice.last() {
                _ if last => source.until,
                Some(input) => input.offset + 1,
                None => continue,
            };
            match self.attempt(slice, source, next).await? {
                None => {}
                Some(fault) => self.split(part, inputs, source, next, fault, &mut parts).await?,
            }
        }
        Ok(())
    }

    /// Calls the code and commits. A fault leaves nothing behind: no state, no instance.
    async fn attempt(
        &mut self,
        inputs: &[Input<'_>],
        source: Source<'_>,
        next: Offset,
    ) -> Result<Option<Fault>, Stop> {
        // Timers that fail beside the records get a call and a commit of their own.
        let mut alone = false;
        loop {
            let judged = self.time.as_ref().map(|time| time.judge(source.index, inputs));
            let kept = judged.as_ref().map_or(inputs, |judged| &*judged.kept);
            let (mut answer, mut fired) = (Answer::default(), 0);
            if !kept.is_empty() {
                match self.call(Ask::Records(kept)).await? {
                    Ok(answered) => answer = answered,
                    Err(fault) => return Ok(Some(of_all(fault, judged.as_ref()))),
                }
                let after = judged.as_ref().map(|judged| &judged.after).filter(|_| !alone);
                match self.fire_along(after, &mut answer).await? {
                    Some(count) => fired = count,
                    None => {
                        alone = true;
                        continue;
                    }
                }
            }
            loop {
                match self.store(&answer, kept, judged.as_ref(), fired, source, next).await? {
                    Ok(true) => return Ok(None),
                    // What a sink has delivered it does not deliver again: the commit alone is made anew.
                    Ok(false) if self.is_sink() => {}
                    Ok(false) => break,
                    Err(_) if fired > 0 => {
                        alone = true;
                        break;
                    }
                    Err(fault) => return Ok(Some(of_all(fault, judged.as_ref()))),
                }
            }
        }
    }

    /// Commits what the code has answered. False: refused for now.
    async fn store(
        &mut self,
        Answer { outputs, rejected }: &Answer,
        inputs: &[Input<'_>],
        judged: Option<&Judged<'_, '_>>,
        fired: u64,
        source: Source<'_>,
        next: Offset,
    ) -> Result<Result<bool, Fault>, Stop> {
        let timestamp = inputs.last().map_or(0, |input| input.record.timestamp);
        let defaults = Defaults { partition: source.partition, timestamp };
        let (broker, spec) = (&self.shared.broker, &self.deployment.spec);
        let collected = collect_with(broker, spec, inputs, outputs, defaults)
            .and_then(|outbox| put_aside(broker, spec, outbox, judged, source.partition));
        let mut outbox = match collected {
            Ok(outbox) => outbox,
            Err(CollectError::Fault(fault)) => {
                self.drop_instance();
                return Ok(Err(fault));
            }
            Err(CollectError::Gone(reason)) => {
                return Err(Stop::failed(self.error("topic_gone", reason, Some(source), None)));
            }
        };
        let written = outbox.count();
        for (index, reason) in rejected {
            if let Some(input) = inputs.get(*index as usize) {
                self.give_to_dead(&mut outbox, input, source, ("rejected", reason, &[]), 1)?;
            }
        }
        let mut commit = Commit::new();
        if self.is_sink() && outbox.count() == 0 {
            // Some bytes, without which what was delivered would be delivered again.
            commit.past_reserve();
        }
        outbox.write_into(&mut commit);
        let passed_over = judged.map_or(0, |judged| judged.passed.len() as u64);
        let done = Done {
            records_in: inputs.len() as u64 + passed_over,
            records_out: written,
            rejected: rejected.len() as u64,
            dead_letters: rejected.len() as u64,
            late: judged.map_or(0, |judged| judged.late),
            ahead: judged.map_or(0, |judged| judged.ahead),
            fired,
            time: judged.map(|judged| judged.after.clone()),
            state: self.write_state(&mut commit),
            ..Done::default()
        };
        self.commit(commit, Some((source, next)), done).await.map(Ok)
    }

    /// Adds position and event time and submits; the task goes on while the commit is made. False: refused for now, the
    /// caller has to do the work again, for the instance is gone with its memory.
    pub(super) async fn commit(
        &mut self,
        mut commit: Commit,
        read: Option<(Source<'_>, Offset)>,
        mut done: Done,
    ) -> Result<bool, Stop> {
        #[cfg(feature = "torn-commit")]
        {
            // For `make crash` alone: the position in a commit of its own, which its check has to notice.
            let torn = std::mem::replace(&mut commit, Commit::new());
            let _ = self.shared.broker.storage().commit(torn).await;
        }
        if let Some((source, next)) = read {
            positions::put(&mut commit, self.id(), source.topic_id, source.partition, next);
        }
        let (time, next_timers) = (done.time.clone(), self.put_time(&mut commit, &mut done));
        let source = read.map(|(source, _)| source);
        while self.flight.is_full() {
            self.make_way().await?;
            // Nothing is submitted behind a change that has given up waiting.
            self.check_orders()?;
        }
        let place = read.map(|(source, next)| {
            let (topic, partition) = (source.topic.clone(), source.partition);
            Place { topic, partition, next }
        });
        match self.flight.submit(self.shared.broker.storage(), commit, place, done).await {
            Ok(()) => {
                self.refused = 0;
                self.time = time.or(self.time.take());
                self.next_timers = next_timers;
                if self.is_sink() {
                    self.settle().await?;
                }
                Ok(true)
            }
            Err(CommitError::DiskFull { .. }) => {
                self.drop_instance();
                self.settle().await?;
                self.refused += 1;
                let error =
                    self.error("disk_full", "the disk is nearly full; the task waits".into(), source, None);
                self.status.set_error(error);
                self.status.set_state(DeploymentState::Retrying);
                self.pause(backoff::pause(self.deployment.spec.on_error.backoff, self.refused)).await?;
                Ok(false)
            }
            Err(error) => {
                self.drop_instance();
                let place = source.map(|source| (source.topic.clone(), source.partition));
                Err(self.refusal(Refused { error, place }))
            }
        }
    }

    /// A part failed: try it again, cut it, or give the one record up.
    async fn split(
        &mut self,
        part: Part,
        inputs: &[Input<'_>],
        source: Source<'_>,
        next: Offset,
        fault: Fault,
        parts: &mut Vec<Part>,
    ) -> Result<(), Stop> {
        // What is told of the failure stands after what came before it.
        self.settle().await?;
        let Part { range, failed } = part;
        if matches!(fault, Fault::Busy(_)) {
            // Others have what the node has: no try of this code.
            self.refused += 1;
            self.status.set_error(self.fault_error(&fault, source, None, 1));
            self.status.set_state(DeploymentState::Retrying);
            self.pause(backoff::pause(self.deployment.spec.on_error.backoff, self.refused)).await?;
            parts.push(Part { range, failed });
            return Ok(());
        }
        let failed = failed + 1;
        // Instances that cannot be made are nobody's record: the whole part waits.
        let whole = fault.is_of_no_record();
        let bad = cut::to_blame(&fault, &range);
        let view = self.fault_error(&fault, source, bad.and_then(|i| inputs.get(i)), failed);
        self.status.set_error(view.clone());

        let tries = self.deployment.spec.on_error.max_retries;
        // So does one whose code asks for time.
        if failed <= tries && (whole || matches!(fault, Fault::Retry(_)) || range.len() == 1) {
            self.status.set_state(DeploymentState::Retrying);
            self.pause(backoff::pause(self.deployment.spec.on_error.backoff, failed)).await?;
            parts.push(Part { range, failed });
            return Ok(());
        }
        if whole {
            return Err(Stop::failed(view));
        }
        match bad {
            Some(i) if range.len() == 1 => match inputs.get(i) {
                Some(input) => self.give_up(input, source, next, &fault, failed, view).await,
                None => Ok(()),
            },
            _ => {
                parts.extend(cut::cut(&range, bad).map(|range| Part { range, failed: 0 }));
                Ok(())
            }
        }
    }

    /// The one record that fails, after its retries: `on_error` decides.
    async fn give_up(
        &mut self,
        input: &Input<'_>,
        source: Source<'_>,
        next: Offset,
        fault: &Fault,
        attempt: u32,
        view: ErrorView,
    ) -> Result<(), Stop> {
        let policy = self.deployment.spec.on_error.policy;
        let judged = self.time.as_ref().map(|time| time.judge(source.index, std::slice::from_ref(input)));
        let (late, ahead, time) =
            judged.map_or((0, 0, None), |judged| (judged.late, judged.ahead, Some(judged.after)));
        loop {
            let mut commit = Commit::new();
            match policy {
                OnErrorPolicy::Stop => return Err(Stop::failed(view)),
                OnErrorPolicy::Skip => {}
                OnErrorPolicy::DeadLetter => {
                    let mut outbox = Outbox::default();
                    let why = (fault.code(), &*fault.to_string(), dead_letter::frames(fault));
                    self.give_to_dead(&mut outbox, input, source, why, attempt)?;
                    outbox.write_into(&mut commit);
                }
            }
            let done = match policy {
                OnErrorPolicy::Skip => Done { records_in: 1, skipped: 1, ..Done::default() },
                _ => Done { records_in: 1, dead_letters: 1, ..Done::default() },
            };
            let done = Done { late, ahead, time: time.clone(), ..done };
            if self.commit(commit, Some((source, next)), done).await? {
                return Ok(());
            }
        }
    }

    /// Puts a record among the dead letters, with the code and the words for what was wrong with it, and where.
    fn give_to_dead(
        &self,
        outbox: &mut Outbox,
        input: &Input<'_>,
        source: Source<'_>,
        (code, error, backtrace): (&str, &str, &[String]),
        attempt: u32,
    ) -> Result<(), Stop> {
        let reason = Reason {
            deployment: &self.deployment.spec.name,
            module: &self.deployment.module_and_digest(),
            topic: Some(source.topic),
            partition: source.partition,
            offset: Some(input.offset),
            code,
            error,
            backtrace,
            attempt,
            reproduce: self.reproduce(source, input.offset),
        };
        let letter = dead_letter::letter(owned(input), &reason);
        let topic = self.deployment.spec.dead_letter_topic();
        let mut put =
            |letter: &Record| outbox.push(&self.shared.broker, &topic, source.partition, &letter.view(0));
        let put = match put(&letter) {
            Err(OutboxError::TooLarge { .. }) => put(&dead_letter::short_letter(owned(input), &reason)),
            other => other,
        };
        put.map_err(|error| {
            Stop::failed(self.error("dead_letter", error.to_string(), Some(source), Some(input.offset)))
        })
    }

    /// The command that runs a record again. A sink has no dry run: what it does is outside.
    fn reproduce(&self, source: Source<'_>, offset: Offset) -> Option<String> {
        let name = &self.deployment.spec.name;
        (!self.is_sink()).then(|| dead_letter::reproduce(name, source.topic, source.partition, offset))
    }

    fn fault_error(
        &self,
        fault: &Fault,
        source: Source<'_>,
        input: Option<&Input<'_>>,
        attempt: u32,
    ) -> ErrorView {
        let (code, message) = (fault.code(), fault.to_string());
        let source = Some(source).filter(|_| !fault.is_of_no_record());
        let view = self.error(code, message, source, input.map(|i| i.offset));
        ErrorView { backtrace: dead_letter::frames(fault).to_vec(), attempt, ..view }
    }

    fn error(
        &self,
        code: &str,
        message: String,
        source: Option<Source<'_>>,
        offset: Option<Offset>,
    ) -> ErrorView {
        let view = ErrorView::new(code, message, self.shared.broker.clock().now_ms());
        let Some(source) = source else { return view };
        ErrorView {
            topic: Some(source.topic.clone()),
            partition: Some(source.partition),
            offset,
            reproduce: offset.and_then(|offset| self.reproduce(source, offset)),
            ..view
        }
    }
}

/// Which of all inputs a fault names, that came of those which were handed over.
fn of_all(fault: Fault, judged: Option<&Judged<'_, '_>>) -> Fault {
    match (fault, judged) {
        (Fault::At { index, reason }, Some(judged)) => {
            let index = u32::try_from(judged.among_all(index as usize)).unwrap_or(index);
            Fault::At { index, reason }
        }
        (fault, _) => fault,
    }
}

/// Adds the late records that have an output of their own.
fn put_aside(
    broker: &Broker,
    spec: &DeploymentSpec,
    mut outbox: Outbox,
    judged: Option<&Judged<'_, '_>>,
    partition: Partition,
) -> Result<Outbox, CollectError> {
    let Some(judged) = judged.filter(|judged| !judged.aside.is_empty()) else { return Ok(outbox) };
    let topic = match judged.after.late() {
        LatePolicy::Output(route) => spec.output.routes.get(route),
        LatePolicy::Update | LatePolicy::Drop => None,
    };
    let Some(topic) = topic else { return Err(CollectError::Fault(Fault::no_output())) };
    for input in &judged.aside {
        outbox.push(broker, topic, partition, &input.record).map_err(|error| match error {
            OutboxError::Gone { .. } => CollectError::Gone(error.to_string()),
            other => CollectError::Fault(Fault::Fatal(format!("a late record: {other}"))),
        })?;
    }
    Ok(outbox)
}
