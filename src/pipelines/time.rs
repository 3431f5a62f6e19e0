//! Event time of a task: its watermark, made of the timestamps of what it has read, and which records come after it. Only
//! decides; clocks are arguments.
//!
//! A record is judged by the watermark that the records before it *in its input* have made, so it is late or not whatever
//! the batches are. And what the code can tell from `now` is the same for each: records for which the watermark has moved
//! since the call began, and that are behind it, begin a call of their own, before which the timers fire that have become
//! due.
//!
//! Where a deployment hands itself records through internal topics, what the code knows and timers go by is held back until
//! they are read: see [`Steps`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::TimestampMs;
use crate::model::deployment::{LatePolicy, TimeSpec};
use crate::model::limits::INTERNAL_TOPICS_MAX;
use crate::wasm::Input;

/// What a spec says, in milliseconds.
#[derive(Debug)]
struct Rules {
    out_of_order: i64,
    lateness: i64,
    /// of the clock
    ahead: i64,
    /// `None`: an input that is silent holds the watermark back for ever
    idle: Option<i64>,
    late: LatePolicy,
}

/// How far a task has come in event time. The first is how far its inputs have; of the others each says up to when everything is
/// read that any task had handed over once all of them had come so far by the one before. What has been handed on from
/// topic to topic takes a step for each, so with as many steps as there are topics nothing is missing, whatever their order.
pub(super) type Steps = [Option<TimestampMs>; INTERNAL_TOPICS_MAX + 1];

/// Where a task's event time stands.
#[derive(Debug, Clone)]
pub(super) struct TaskTime {
    rules: Arc<Rules>,
    /// the records of the inputs are judged by the first
    steps: Steps,
    /// how many internal topics there are, and steps behind the first
    topics: usize,
    /// what the code is told and timers go by: how far the inputs have come, unless there are internal topics
    watermark: Option<TimestampMs>,
    /// of the spec; internal topics stand behind them and are not among them
    inputs: Vec<InputTime>,
    /// what is later than this moves nothing
    latest: TimestampMs,
}

/// Of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct InputTime {
    pub(super) greatest: Option<TimestampMs>,
    /// when it was read last, in ticks
    read_tick: i64,
    pub(super) idle: bool,
}

/// Records of one input, looked at before they are handed over.
pub(super) struct Judged<'r, 'a> {
    /// for the code
    pub(super) kept: Cow<'r, [Input<'a>]>,
    /// for the output of late ones
    pub(super) aside: Vec<Input<'a>>,
    /// indexes of those that are not for it
    pub(super) passed: Vec<usize>,
    /// later than allowed, whatever becomes of them
    pub(super) late: u64,
    /// too far ahead of the clock to move the watermark
    pub(super) ahead: u64,
    /// how it stands after them
    pub(super) after: TaskTime,
}

impl Judged<'_, '_> {
    /// The index among all records of one that is handed over.
    pub(super) fn among_all(&self, kept: usize) -> usize {
        self.passed.iter().fold(kept, |at, passed| at + usize::from(*passed <= at))
    }
}

impl TaskTime {
    /// With a watermark and the greatest timestamps of the inputs, as stored.
    pub(super) fn new(
        spec: Option<&TimeSpec>,
        watermark: Option<TimestampMs>,
        greatest: impl IntoIterator<Item = Option<TimestampMs>>,
        tick: i64,
    ) -> Self {
        let TimeSpec { out_of_order, idle, ahead, lateness, late } = spec.cloned().unwrap_or_default();
        let ms = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let rules = Rules {
            out_of_order: ms(out_of_order),
            lateness: ms(lateness),
            ahead: ms(ahead),
            idle: (!idle.is_zero()).then(|| ms(idle)),
            late,
        };
        let input = |greatest| InputTime { greatest, read_tick: tick, idle: false };
        let inputs = greatest.into_iter().map(input).collect();
        let (steps, latest) = ([watermark; INTERNAL_TOPICS_MAX + 1], TimestampMs::MAX);
        Self { rules: Arc::new(rules), steps, topics: 0, watermark, inputs, latest }
    }

    /// The same of a task that reads so many internal topics as well. Its inputs have come as far as their records say: what
    /// is stored may have been held back.
    pub(super) fn with_internal(mut self, topics: usize) -> Self {
        let least = self.inputs.iter().map(|input| input.greatest).min().flatten();
        let own = &mut self.steps[0];
        *own = (*own).max(least.map(|least| least.saturating_sub(self.rules.out_of_order)));
        self.topics = topics.min(INTERNAL_TOPICS_MAX);
        self
    }

    /// What the clock shows from now on.
    pub(super) fn at(&mut self, now_ms: TimestampMs) {
        self.latest = now_ms.saturating_add(self.rules.ahead);
    }

    pub(super) fn watermark(&self) -> Option<TimestampMs> {
        self.watermark
    }

    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    /// How many steps there are behind the first: one for each internal topic.
    pub(super) fn topics(&self) -> usize {
        self.topics
    }

    /// Does nothing come in its inputs?
    pub(super) fn is_idle(&self) -> bool {
        self.inputs.iter().all(|input| input.idle)
    }

    /// All is read that any task had handed over when each had come so far by the step before. Has the watermark moved?
    pub(super) fn hand(&mut self, step: usize, reached: Option<TimestampMs>) -> bool {
        let before = self.watermark;
        if let Some(step) = self.steps.get_mut(step) {
            *step = (*step).max(reached);
        }
        self.settle();
        self.watermark > before
    }

    pub(super) fn inputs(&self) -> &[InputTime] {
        &self.inputs
    }

    /// Where late records go.
    pub(super) fn late(&self) -> &LatePolicy {
        &self.rules.late
    }

    /// An input is read.
    pub(super) fn read(&mut self, index: usize, tick: i64) {
        if let Some(input) = self.inputs.get_mut(index) {
            (input.read_tick, input.idle) = (tick, false);
        }
    }

    /// How many of the first records make one call at most: up to one that the code would take for one in time, because the
    /// watermark has passed it since the call began.
    pub(super) fn cut(&self, index: usize, records: &[Input<'_>]) -> usize {
        let mut time = self.clone();
        for (count, input) in records.iter().enumerate() {
            let at = input.record.timestamp;
            if time.is_behind(at) && time.watermark > self.watermark && time.is_handed_over(index, at) {
                return count.max(1);
            }
            time.see(index, at);
        }
        records.len()
    }

    /// Looks at records of an input.
    pub(super) fn judge<'r, 'a>(&self, index: usize, records: &'r [Input<'a>]) -> Judged<'r, 'a> {
        let mut after = self.clone();
        let (mut late, mut ahead) = (0, 0);
        let (mut aside, mut passed, mut kept) = (Vec::new(), Vec::new(), None);
        for (count, input) in records.iter().enumerate() {
            let at = input.record.timestamp;
            let is_late = after.is_late(index, at);
            late += u64::from(is_late);
            ahead += u64::from(self.is_own(index) && at > self.latest);
            match (&self.rules.late, is_late && self.is_own(index)) {
                (LatePolicy::Update, _) | (_, false) => {
                    if let Some(kept) = &mut kept {
                        Vec::push(kept, *input);
                    }
                    after.see(index, at);
                }
                (policy, true) => {
                    kept.get_or_insert_with(|| records[..count].to_vec());
                    passed.push(count);
                    if matches!(policy, LatePolicy::Output(_)) {
                        aside.push(*input);
                    }
                }
            }
        }
        let kept = kept.map_or(Cow::Borrowed(records), Cow::Owned);
        Judged { kept, aside, passed, late, ahead, after }
    }

    /// Behind the watermark.
    fn is_behind(&self, at: TimestampMs) -> bool {
        at >= 0 && self.watermark.is_some_and(|watermark| at < watermark)
    }

    /// Is it an input of the spec, not an internal topic?
    fn is_own(&self, index: usize) -> bool {
        index < self.inputs.len()
    }

    /// Further behind than allowed.
    fn is_late(&self, index: usize, at: TimestampMs) -> bool {
        let reached = if self.is_own(index) { self.steps[0] } else { self.watermark };
        at >= 0 && reached.is_some_and(|reached| at < reached.saturating_sub(self.rules.lateness))
    }

    /// What the deployment has handed itself always is.
    fn is_handed_over(&self, index: usize, at: TimestampMs) -> bool {
        self.rules.late == LatePolicy::Update || !self.is_own(index) || !self.is_late(index, at)
    }

    /// A record of an input, which has moved the input's time unless it has none itself, or an impossible one.
    fn see(&mut self, index: usize, at: TimestampMs) {
        let moves = 0..=self.latest;
        let Some(input) =
            self.inputs.get_mut(index).filter(|input| moves.contains(&at) && Some(at) > input.greatest)
        else {
            return;
        };
        input.greatest = Some(at);
        self.advance();
    }

    /// Inputs that are `caught_up` and silent for long enough are idle from now on. Has the watermark moved?
    pub(super) fn tick(&mut self, tick: i64, caught_up: impl Fn(usize) -> bool) -> bool {
        let Some(idle) = self.rules.idle else { return false };
        for (index, input) in self.inputs.iter_mut().enumerate() {
            input.idle |= tick.saturating_sub(input.read_tick) >= idle && caught_up(index);
        }
        let before = self.watermark;
        self.advance();
        self.watermark > before
    }

    /// When the next input may become idle, if that could move the watermark.
    pub(super) fn next_tick(&self) -> Option<i64> {
        let idle = self.rules.idle.filter(|_| self.inputs.len() > 1 || self.topics > 0)?;
        let waits = self.inputs.iter().filter(|input| !input.idle);
        waits.map(|input| input.read_tick.saturating_add(idle)).min()
    }

    /// The least of the inputs that are not idle; of all when every one is, the greatest, so that it does not matter which
    /// became idle first.
    fn advance(&mut self) {
        let active = || self.inputs.iter().filter(|input| !input.idle);
        let of_all = match active().next() {
            None => self.inputs.iter().filter_map(|input| input.greatest).max(),
            Some(_) => active().map(|input| input.greatest).min().flatten(),
        };
        let reached = of_all.map(|greatest| greatest.saturating_sub(self.rules.out_of_order));
        self.steps[0] = self.steps[0].max(reached);
        self.settle();
    }

    /// Inputs in which nothing comes do not hold back what the other tasks hand over.
    fn settle(&mut self) {
        let handed = self.steps[self.topics];
        let reached = match self.topics {
            0 => self.steps[0],
            _ if self.is_idle() => handed,
            _ => self.steps[0].min(handed),
        };
        self.watermark = self.watermark.max(reached);
    }

    /// The end of time: everything that is set fires.
    pub(super) fn end(&mut self) {
        self.steps[0] = Some(TimestampMs::MAX);
        self.watermark = Some(TimestampMs::MAX);
    }

    /// Those inputs alone count that are read here.
    pub(super) fn only(&mut self, is_read: impl Fn(usize) -> bool) {
        for (index, input) in self.inputs.iter_mut().enumerate() {
            input.idle = !is_read(index);
        }
    }
}

#[cfg(test)]
mod tests;
