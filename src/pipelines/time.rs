//! Event time of a task: its watermark, made of the timestamps of what it has read, and which records come after it. Only
//! decides; clocks are arguments.
//!
//! A record is judged by the watermark that the records before it *in its input* have made, so it is late or not whatever
//! the batches are. And what the code can tell from `now` is the same for each: records for which the watermark has moved
//! since the call began, and that are behind it, begin a call of their own, before which the timers fire that have become
//! due.
//!
//! Where a deployment hands itself records through internal topics, what the code knows and timers go by is held back until
//! they are read: see [`TaskTime::handed`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::TimestampMs;
use crate::model::deployment::{LatePolicy, TimeSpec};
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

/// Where a task's event time stands.
#[derive(Debug, Clone)]
pub(super) struct TaskTime {
    rules: Arc<Rules>,
    /// how far the inputs have come, by which their records are judged
    own: Option<TimestampMs>,
    /// what the code is told and timers go by: the same, unless there are internal topics
    watermark: Option<TimestampMs>,
    /// up to when everything is read that the tasks have handed this one; the outer `None`: there are no internal topics
    handed: Option<Option<TimestampMs>>,
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
        let (own, handed, latest) = (watermark, None, TimestampMs::MAX);
        Self { rules: Arc::new(rules), own, watermark, handed, inputs, latest }
    }

    /// The same of a task that reads internal topics as well. Its inputs have come as far as their records say: what is
    /// stored may have been held back.
    pub(super) fn with_internal(mut self) -> Self {
        let least = self.inputs.iter().map(|input| input.greatest).min().flatten();
        self.own = self.own.max(least.map(|least| least.saturating_sub(self.rules.out_of_order)));
        self.handed = Some(self.watermark);
        self
    }

    /// What the clock shows from now on.
    pub(super) fn at(&mut self, now_ms: TimestampMs) {
        self.latest = now_ms.saturating_add(self.rules.ahead);
    }

    pub(super) fn watermark(&self) -> Option<TimestampMs> {
        self.watermark
    }

    /// How far its inputs have come, without the internal topics.
    pub(super) fn own(&self) -> Option<TimestampMs> {
        self.own
    }

    /// Does nothing come in its inputs?
    pub(super) fn is_idle(&self) -> bool {
        self.inputs.iter().all(|input| input.idle)
    }

    /// Up to when everything that was handed over is read; `None`: it has no internal topics.
    pub(super) fn handed(&self) -> Option<Option<TimestampMs>> {
        self.handed
    }

    /// All that any task has handed over before its own inputs came so far is read now. Has the watermark moved?
    pub(super) fn hand(&mut self, reached: Option<TimestampMs>) -> bool {
        let before = self.watermark;
        if let Some(handed) = &mut self.handed {
            *handed = (*handed).max(reached);
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
        let reached = if self.is_own(index) { self.own } else { self.watermark };
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
        let idle = self.rules.idle.filter(|_| self.inputs.len() > 1 || self.handed.is_some())?;
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
        self.own = self.own.max(reached);
        self.settle();
    }

    /// Inputs in which nothing comes do not hold back what the other tasks hand over.
    fn settle(&mut self) {
        let reached = match self.handed {
            None => self.own,
            Some(handed) if self.is_idle() => handed,
            Some(handed) => self.own.min(handed),
        };
        self.watermark = self.watermark.max(reached);
    }

    /// The end of time: everything that is set fires.
    pub(super) fn end(&mut self) {
        self.own = Some(TimestampMs::MAX);
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Record;

    fn time(spec: serde_json::Value, inputs: usize) -> TaskTime {
        let spec: TimeSpec = serde_json::from_value(spec).unwrap();
        TaskTime::new(Some(&spec), None, vec![None; inputs], 0)
    }

    fn records(times: &[i64]) -> Vec<Record> {
        times.iter().map(|timestamp| Record { timestamp: *timestamp, ..Record::default() }).collect()
    }

    fn inputs(records: &[Record]) -> Vec<Input<'_>> {
        (0..)
            .zip(records)
            .map(|(offset, r)| Input { topic: 0, partition: 0, offset, record: r.view(0) })
            .collect()
    }

    fn offsets(inputs: &[Input<'_>]) -> Vec<u64> {
        inputs.iter().map(|input| input.offset).collect()
    }

    #[test]
    fn a_record_is_judged_by_those_before_it() {
        let time = time(serde_json::json!({ "out_of_order": 5, "late": "drop" }), 1);
        let records = records(&[10, 5, 20, 14, 15, -1, 30]);
        let inputs = inputs(&records);
        let judged = time.judge(0, &inputs);
        assert_eq!(
            offsets(&judged.kept),
            [0, 1, 2, 4, 5, 6],
            "14 is behind 20 - 5; without a time nothing is late"
        );
        assert_eq!((judged.late, judged.aside.len(), judged.after.watermark()), (1, 0, Some(25)));
        assert_eq!(time.cut(0, &inputs), 7, "what is dropped makes no cut");
    }

    #[test]
    fn late_records_go_aside_or_are_counted_and_handed_over() {
        let records = records(&[20, 14, 13, 8]);
        let inputs = inputs(&records);
        let aside = time(serde_json::json!({ "lateness": "7ms", "late": { "output": "late" } }), 1);
        let judged = aside.judge(0, &inputs);
        assert_eq!((offsets(&judged.kept), offsets(&judged.aside), judged.late), (vec![0, 1, 2], vec![3], 1));
        let update = time(serde_json::json!({}), 1);
        let judged = update.judge(0, &inputs);
        assert_eq!((judged.kept.len(), judged.late), (4, 3));
        assert!(matches!(judged.kept, Cow::Borrowed(_)), "nothing is copied");
        assert_eq!(update.cut(0, &inputs), 1, "the code knows of no watermark at 20");
        assert_eq!(judged.after.cut(0, &inputs[1..]), 3, "now it does");
    }

    #[test]
    fn a_record_that_is_too_far_ahead_of_the_clock_moves_nothing() {
        let mut time = time(serde_json::json!({ "ahead": "1s", "late": "drop" }), 1);
        time.at(10_000);
        let records = records(&[10_500, 11_001, 10_499, 11_000, 20_000, 10_999]);
        let inputs = inputs(&records);
        let judged = time.judge(0, &inputs);
        assert_eq!(offsets(&judged.kept), [0, 1, 3, 4], "those ahead are handed over");
        assert_eq!((judged.late, judged.ahead, judged.after.watermark()), (2, 2, Some(11_000)));
        time = judged.after;
        time.at(20_000);
        assert_eq!(time.judge(0, &inputs[4..]).after.watermark(), Some(20_000), "its time has come");
    }

    #[test]
    fn the_slowest_input_holds_it_back_until_it_is_idle() {
        let mut time = time(serde_json::json!({ "idle": "10ms" }), 2);
        let (first, early) = (records(&[100]), records(&[40]));
        time = time.judge(0, &inputs(&first)).after;
        assert_eq!((time.watermark(), time.next_tick()), (None, Some(10)));
        time.read(0, 5);
        assert!(!time.tick(9, |_| true));
        assert!(!time.tick(10, |index| index == 0), "records wait in the other one");
        assert!(time.tick(10, |_| true), "the one that never had a record does not hold it back any more");
        assert_eq!((time.watermark(), time.next_tick()), (Some(100), Some(15)));
        time.read(1, 12);
        let early = inputs(&early);
        let judged = time.judge(1, &early);
        assert_eq!((judged.late, judged.after.watermark()), (1, Some(100)), "it does not go back");
    }

    #[test]
    fn records_of_an_internal_topic_move_nothing_and_are_never_passed_over() {
        let time = time(serde_json::json!({ "late": "drop" }), 1);
        let (own, handed) = (records(&[100]), records(&[40, 900]));
        let time = time.judge(0, &inputs(&own)).after;
        let handed = inputs(&handed);
        let judged = time.judge(1, &handed);
        assert_eq!((judged.kept.len(), judged.late, judged.after.watermark()), (2, 1, Some(100)));
        assert_eq!(time.cut(1, &handed), 2);
    }

    #[test]
    fn what_is_still_to_be_read_of_internal_topics_holds_the_watermark_back() {
        let time = time(serde_json::json!({ "late": "drop", "idle": "10ms" }), 1).with_internal();
        let (own, handed, early) = (records(&[100, 99]), records(&[59, 60, 99]), records(&[200]));
        let (own, handed, early) = (inputs(&own), inputs(&handed), inputs(&early));
        let judged = time.judge(0, &own);
        assert_eq!((judged.late, judged.kept.len()), (1, 1), "its own records are late by themselves");
        let mut time = judged.after;
        assert_eq!((time.own(), time.watermark()), (Some(100), None));
        assert!(time.hand(Some(60)));
        assert_eq!(time.judge(1, &handed).late, 1);
        assert!(time.hand(Some(300)));
        assert_eq!(time.watermark(), Some(100), "its own inputs hold it back as well");
        assert_eq!(time.next_tick(), Some(10));
        assert!(time.tick(10, |_| true));
        assert_eq!((time.own(), time.watermark()), (Some(100), Some(300)), "until nothing comes there");
        time.read(0, 11);
        let judged = time.judge(0, &early);
        assert_eq!((judged.late, judged.after.watermark()), (0, Some(300)));
    }

    #[test]
    fn a_restart_knows_how_far_the_inputs_have_come() {
        let spec: TimeSpec = serde_json::from_value(serde_json::json!({ "late": "drop" })).unwrap();
        let time = TaskTime::new(Some(&spec), Some(60), [Some(100)], 0).with_internal();
        assert_eq!((time.own(), time.watermark(), time.handed()), (Some(100), Some(60), Some(Some(60))));
        let early = records(&[99]);
        assert_eq!(time.judge(0, &inputs(&early)).late, 1);
    }

    #[test]
    fn which_of_all_is_idle_first_does_not_matter() {
        let ends = [[0, 1], [1, 0]].map(|order| {
            let mut time = time(serde_json::json!({ "idle": "10ms" }), 2);
            for (index, at) in [(0, 100), (1, 50)] {
                let records = records(&[at]);
                time = time.judge(index, &inputs(&records)).after;
            }
            time.read(order[0], 0);
            time.read(order[1], 5);
            time.tick(10, |_| true);
            time.tick(15, |_| true);
            time.watermark()
        });
        assert_eq!(ends, [Some(100); 2]);
    }

    proptest! {
        /// However the records are cut into calls, the same ones are late, and the code knows it of each.
        #[test]
        fn batches_change_nothing(
            times in prop::collection::vec(0_i64..60, 1..40), cuts in prop::collection::vec(1_usize..9, 40),
            out_of_order in 0_i64..10, drops: bool,
        ) {
            let late = if drops { "drop" } else { "update" };
            let spec = serde_json::json!({ "out_of_order": out_of_order, "late": late });
            let records = records(&times);
            let inputs = inputs(&records);
            let whole = time(spec.clone(), 1).judge(0, &inputs);
            let mut now = time(spec, 1);
            let (mut rest, mut kept, mut late) = (&inputs[..], Vec::new(), 0);
            let mut greatest = None;
            for most in cuts {
                let count = now.cut(0, &rest[..most.min(rest.len())]);
                let (run, after) = rest.split_at(count);
                rest = after;
                let judged = now.judge(0, run);
                for input in judged.kept.iter() {
                    let at = input.record.timestamp;
                    let behind = greatest.is_some_and(|greatest| at < greatest - out_of_order);
                    prop_assert_eq!(now.watermark().is_some_and(|w| at < w), behind, "what `now` tells the code");
                    greatest = greatest.max(Some(at));
                }
                kept.extend(offsets(&judged.kept));
                late += judged.late;
                now = judged.after;
            }
            if rest.is_empty() {
                prop_assert_eq!((kept, late), (offsets(&whole.kept), whole.late));
                prop_assert_eq!(now.watermark(), whole.after.watermark());
            }
        }
    }
}
