//! What a task does about time: its event time is found and stored with its positions, and what is due is handed to its code.
//! Timers that have become due by records fire in the records' commit, as many as one call takes; the others in commits of their
//! own, before the next records.

use super::super::flight::Done;
use super::super::instance::{Ask, Worker};
use super::super::output::{CollectError, Defaults, collect_with};
use super::super::status::TaskInput;
use super::super::time::TaskTime;
use super::super::trial::{Trial, to_blame};
use super::super::view::{DeploymentState, ErrorView, TimerView};
use super::{Stop, Task};
use crate::broker::dead_letter::{self, Reason};
use crate::broker::outbox::Outbox;
use crate::model::TimestampMs;
use crate::model::deployment::{DeploymentKind, OnErrorPolicy};
use crate::model::limits::TIMERS_DUE_MAX;
use crate::runtime::backoff;
use crate::state::watermarks::{self, Watermarks};
use crate::state::{self, Timer, TimerClock};
use crate::storage::{Commit, ReadError, Storage};
use crate::wasm::{Answer, Fault, Input};

/// How long a task sleeps for a timer by the clock before it looks again: somebody may have set the clock meanwhile.
const SLEEP_MS_MAX: i64 = 10_000;
impl Task {
    /// Finds the event time of the inputs that is stored, for code or a spec that has one.
    pub(super) async fn begin_time(&mut self) -> Result<(), Stop> {
        let spec = &self.deployment.spec;
        self.fires = self.shared.registry.is_timed(self.deployment.digest);
        self.time = None;
        self.next_timers = [TimestampMs::MIN; 2];
        if spec.kind != DeploymentKind::Processor || (!self.fires && spec.time.is_none()) {
            self.fires = false;
            return Ok(());
        }
        let id = self.id();
        let storage = self.shared.broker.storage();
        let load = move |storage: &Storage| Ok((watermarks::load(storage, id)?, state::timers(storage, id)?));
        let (stored, timers) = match storage.on_reader(load).await {
            Ok(Ok(stored)) => stored,
            Ok(Err::<_, ReadError>(error)) => {
                return Err(self.failed("state_unreadable", error.to_string()));
            }
            Err(_) => return Err(Stop::Closed),
        };
        if timers == 0 {
            self.next_timers = [TimestampMs::MAX; 2];
        }
        let of = |i: &TaskInput| stored.greatest.get(&(i.log.topic_id(), i.log.partition())).copied();
        let greatest = self.inputs.iter().take(spec.input.topics.len()).map(of);
        let tick = self.shared.broker.clock().tick_ms();
        let time = TaskTime::new(spec.time.as_ref(), stored.watermark, greatest, tick);
        self.time =
            Some(if spec.internal.is_empty() { time } else { time.with_internal(spec.internal.len()) });
        self.status.set_clock(self.shared.broker.clock().clone());
        self.status.set_time(None, Some(timers));
        Ok(())
    }

    /// Tells how its event time stands.
    pub(super) fn note_time(&self) {
        if self.time.is_some() {
            self.status.set_time(self.time.clone(), None);
        }
    }

    /// An input is read now.
    pub(super) fn read_now(&mut self, index: usize) {
        let clock = self.shared.broker.clock();
        if let Some(time) = &mut self.time {
            time.read(index, clock.tick_ms());
            time.at(clock.now_ms());
        }
    }

    /// Puts the event time and the number of timers into a commit; what is known of the timers then.
    pub(in crate::pipelines) fn put_time(
        &mut self,
        commit: &mut Commit,
        done: &mut Done,
    ) -> [TimestampMs; 2] {
        if let Some(time) = &done.time {
            let inputs = self.inputs.iter().zip(time.inputs());
            let greatest = inputs.filter_map(|(input, time)| {
                Some(((input.log.topic_id(), input.log.partition()), time.greatest?))
            });
            let watermarks = Watermarks { watermark: time.watermark(), greatest: greatest.collect() };
            watermarks::put(commit, self.id(), &watermarks);
        }
        match self.instance.as_mut().and_then(Worker::state).filter(|_| self.fires) {
            Some(state) => {
                done.timers = Some(state.timers());
                TimerClock::ALL.map(|clock| state.next_timer(clock))
            }
            None => self.next_timers,
        }
    }

    /// Returns when a timer may be due, or an input is idle.
    pub(super) fn moment(&self) -> impl Future<Output = ()> + use<> {
        let clock = self.shared.broker.clock().clone();
        let at = self.next_timers[TimerClock::Wall as usize];
        let now = clock.now_ms();
        let fires = self.fires && !self.timers_wait;
        let timer = (fires && at != TimestampMs::MAX)
            .then(|| clock.tick_ms() + at.saturating_sub(now).clamp(0, SLEEP_MS_MAX));
        // Records were let in between, and none came.
        let left = (fires && self.is_due(TimerClock::EventTime)).then(|| clock.tick_ms());
        let idle = self.time.as_ref().and_then(TaskTime::next_tick);
        let tick = timer.into_iter().chain(left).chain(idle).min();
        async move {
            match tick {
                Some(tick) => clock.sleep_until(tick).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Looks which inputs are idle, and hands over what is due, unless too much lies in an internal topic: it might add to it.
    ///
    /// # Errors
    /// [`Stop`] as for records.
    pub(super) async fn fire(&mut self) -> Result<(), Stop> {
        self.pass_time();
        self.timers_wait = false;
        if !self.fires {
            return Ok(());
        }
        for clock in TimerClock::ALL {
            let mut trial = Trial::default();
            while self.is_due(clock) && !trial.makes_room() {
                if self.backlog.is_full() {
                    self.timers_wait = true;
                    break;
                }
                self.check_orders()?;
                self.fire_some(clock, &mut trial).await?;
            }
        }
        Ok(())
    }

    /// How many of the first records make one call at most: all, unless the code can tell by a timer what the watermark is.
    pub(super) fn cut(&self, index: usize, records: &[Input<'_>]) -> usize {
        let asks = self.deployment.spec.time.is_some()
            || self.next_timers[TimerClock::EventTime as usize] != TimestampMs::MAX;
        let time = self.time.as_ref().filter(|_| self.fires && asks);
        time.map_or(records.len(), |time| time.cut(index, records))
    }

    fn pass_time(&mut self) {
        let tick = self.shared.broker.clock().tick_ms();
        let (inputs, next) = (&self.inputs, &self.next);
        let caught_up = |index: usize| inputs[index].log.stable() <= next[index];
        let moved = self.time.as_mut().is_some_and(|time| time.tick(tick, caught_up));
        if self.take_time() || moved {
            self.note_time();
        }
    }

    fn is_due(&self, clock: TimerClock) -> bool {
        let present = match clock {
            TimerClock::EventTime => self.time.as_ref().and_then(TaskTime::watermark),
            TimerClock::Wall => Some(self.shared.broker.clock().now_ms()),
        };
        present.is_some_and(|present| self.next_timers[clock as usize] <= present)
    }

    /// Hands over some timers that may be due, in a commit of their own.
    async fn fire_some(&mut self, clock: TimerClock, trial: &mut Trial) -> Result<(), Stop> {
        if let Err(fault) = self.call(Ask::Start).await? {
            return self.timers_failed(&[], fault, trial).await;
        }
        trial.count_call(self.instance.as_mut().and_then(Worker::state).map_or(0, |state| state.timers()));
        let watermark = self.time.as_ref().and_then(TaskTime::watermark);
        let due = self.take_due(clock, watermark, trial.most)?;
        if due.is_empty() {
            let state = self.instance.as_mut().and_then(Worker::state);
            // Code without state sets none.
            let next = state.map_or(TimestampMs::MAX, |state| state.next_timer(clock));
            self.next_timers[clock as usize] = next;
            return Ok(());
        }
        let answer = match self.call(Ask::Timers(&due)).await? {
            Ok(answer) => answer,
            Err(fault) => return self.timers_failed(&due, fault, trial).await,
        };
        match self.store_fired(&answer, &due).await? {
            Ok(true) => trial.passed(due.len()),
            // They are taken again.
            Ok(false) => {}
            Err(fault) => return self.timers_failed(&due, fault, trial).await,
        }
        Ok(())
    }

    /// Takes what is due out of the state, of which the code is told next.
    fn take_due(
        &mut self,
        clock: TimerClock,
        watermark: Option<TimestampMs>,
        most: usize,
    ) -> Result<Vec<Timer>, Stop> {
        let Some(state) = self.instance.as_mut().and_then(Worker::state) else { return Ok(Vec::new()) };
        state.move_watermark(watermark);
        let due = state.take_due(clock, most);
        due.map_err(|error| self.failed("state_unreadable", error.to_string()))
    }

    /// Fires what has become due by records whose answer is not stored yet, to be stored with it. How many; `None`: they
    /// failed, and with them went what the records have changed.
    pub(in crate::pipelines) async fn fire_along(
        &mut self,
        after: Option<&TaskTime>,
        answer: &mut Answer,
    ) -> Result<Option<u64>, Stop> {
        let Some(after) = after.filter(|_| self.fires && !self.backlog.is_full()) else { return Ok(Some(0)) };
        let due = self.take_due(TimerClock::EventTime, after.watermark(), TIMERS_DUE_MAX)?;
        if due.is_empty() {
            return Ok(Some(0));
        }
        match self.call(Ask::Timers(&due)).await? {
            Ok(fired) => {
                answer.outputs.extend(fired.outputs);
                Ok(Some(due.len() as u64))
            }
            Err(fault) => {
                tracing::debug!(deployment = %self.deployment.spec.name, %fault, "timers fire alone");
                Ok(None)
            }
        }
    }

    async fn store_fired(&mut self, answer: &Answer, due: &[Timer]) -> Result<Result<bool, Fault>, Stop> {
        let timestamp = due.last().map_or(0, |timer| timer.at);
        let defaults = Defaults { partition: self.status.partition, timestamp };
        let (broker, spec) = (&self.shared.broker, &self.deployment.spec);
        let outbox = match collect_with(broker, spec, &[], &answer.outputs, defaults) {
            Ok(outbox) => outbox,
            Err(CollectError::Fault(fault)) => {
                self.drop_instance();
                return Ok(Err(fault));
            }
            Err(CollectError::Gone(reason)) => return Err(self.failed("topic_gone", reason)),
        };
        let done = Done { records_out: outbox.count(), fired: due.len() as u64, ..Done::default() };
        self.commit_fired(outbox, done).await.map(Ok)
    }

    async fn commit_fired(&mut self, outbox: Outbox, done: Done) -> Result<bool, Stop> {
        let mut commit = Commit::new();
        outbox.write_into(&mut commit);
        let state = self.write_state(&mut commit);
        let done = Done { state, time: self.time.clone(), ..done };
        self.commit(commit, None, done).await
    }

    /// As for records: tried again, cut until the one that fails stands alone, and given up. `due`: none when no instance
    /// could be made.
    async fn timers_failed(&mut self, due: &[Timer], fault: Fault, trial: &mut Trial) -> Result<(), Stop> {
        // What is told of the failure stands after what came before it.
        self.settle().await?;
        let on_error = self.deployment.spec.on_error.clone();
        if matches!(fault, Fault::Busy(_)) {
            self.refused += 1;
            self.status.set_error(self.timer_error(&fault, None, 1));
            self.status.set_state(DeploymentState::Retrying);
            return self.pause(backoff::pause(on_error.backoff, self.refused)).await;
        }
        trial.failed += 1;
        let bad = to_blame(due, &fault);
        let view = self.timer_error(&fault, bad.map(|i| &due[i]), trial.failed);
        self.status.set_error(view.clone());
        let whole = due.is_empty() || matches!(fault, Fault::Open(_) | Fault::Instance(_));
        let again = whole || due.len() == 1 || matches!(fault, Fault::Retry(_));
        if trial.failed <= on_error.max_retries && again {
            self.status.set_state(DeploymentState::Retrying);
            return self.pause(backoff::pause(on_error.backoff, trial.failed)).await;
        }
        if whole {
            return Err(Stop::failed(view));
        }
        match bad {
            Some(_) if due.len() == 1 => {
                self.give_up_timer(&due[0], &fault, trial.failed, view).await?;
                trial.passed(1);
            }
            bad => trial.narrow(due, bad),
        }
        Ok(())
    }

    /// The one timer that fails, after its retries: `on_error` decides.
    async fn give_up_timer(
        &mut self,
        timer: &Timer,
        fault: &Fault,
        attempt: u32,
        view: ErrorView,
    ) -> Result<(), Stop> {
        let policy = self.deployment.spec.on_error.policy;
        loop {
            let mut outbox = Outbox::default();
            match policy {
                OnErrorPolicy::Stop => return Err(Stop::failed(view)),
                OnErrorPolicy::Skip => {}
                OnErrorPolicy::DeadLetter => self.give_timer_to_dead(&mut outbox, timer, fault, attempt)?,
            }
            // Of its state nothing changes but that it is gone. What is due first may be another one, set by `open`.
            if let Err(fault) = self.call(Ask::Start).await? {
                return Err(Stop::failed(self.timer_error(&fault, None, 1)));
            }
            if let Some(state) = self.instance.as_mut().and_then(Worker::state) {
                let gone = state.cancel_timer(timer.clock, &timer.name);
                gone.map_err(|error| self.failed("state_unreadable", error.to_string()))?;
            }
            let done = match policy {
                OnErrorPolicy::Skip => Done { skipped: 1, fired: 1, ..Done::default() },
                _ => Done { dead_letters: 1, fired: 1, ..Done::default() },
            };
            if self.commit_fired(outbox, done).await? {
                return Ok(());
            }
        }
    }

    fn give_timer_to_dead(
        &self,
        outbox: &mut Outbox,
        timer: &Timer,
        fault: &Fault,
        attempt: u32,
    ) -> Result<(), Stop> {
        let error = fault.to_string();
        let reason = Reason {
            deployment: &self.deployment.spec.name,
            module: &self.deployment.module_and_digest(),
            topic: None,
            partition: self.status.partition,
            offset: None,
            code: fault.code(),
            error: &error,
            backtrace: dead_letter::frames(fault),
            attempt,
            reproduce: None,
        };
        let letter = dead_letter::letter(dead_letter::record_of(timer), &reason);
        let topic = self.deployment.spec.dead_letter_topic();
        let put = outbox.push(&self.shared.broker, &topic, self.status.partition, &letter.view(0));
        put.map_err(|error| self.failed("dead_letter", error.to_string()))
    }

    fn timer_error(&self, fault: &Fault, timer: Option<&Timer>, attempt: u32) -> ErrorView {
        let now_ms = self.shared.broker.clock().now_ms();
        let backtrace = dead_letter::frames(fault).to_vec();
        let timer = timer.map(TimerView::of);
        ErrorView { backtrace, timer, attempt, ..ErrorView::new(fault.code(), fault.to_string(), now_ms) }
    }
}
