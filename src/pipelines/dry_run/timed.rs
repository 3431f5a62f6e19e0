//! Event time in a dry run: calls of processors, late records, and timers that become due by the records. Timers that go by
//! the server's clock do not fire.

use std::ops::Range;

use super::{AtFault, DryRun, Entry, Failed, Instance, Report, Sample, Verdict, stored};
use crate::model::deployment::LatePolicy;
use crate::pipelines::cut::first_run;
use crate::pipelines::time::TaskTime;
use crate::pipelines::trial::{Trial, to_blame};
use crate::state::{self, Allowed, Timer, TimerClock, Ttls};
use crate::wasm::{Fault, Input, Output, Processor};

/// Calls of `on-timer` after one run of records: code that sets timers which are due, each time anew, would go on for ever.
const FIRINGS_MAX: usize = 10_000;

/// The inputs in runs as tasks take them, the first one last. With an event time they are cut where a task would.
pub(super) fn runs(inputs: &[Input<'_>], records: usize, time: Option<&TaskTime>) -> Vec<Range<usize>> {
    let mut time = time.cloned();
    let (mut runs, mut start) = (Vec::new(), 0);
    while start < inputs.len() {
        let mut end = start + first_run(&inputs[start..], records);
        if let Some(time) = &mut time {
            let topic = inputs[start].topic as usize;
            end = start + time.cut(topic, &inputs[start..end]);
            *time = time.judge(topic, &inputs[start..end]).after;
        }
        runs.push(start..end);
        start = end;
    }
    runs.reverse();
    runs
}

impl DryRun<'_> {
    /// Where the event time stands before these samples, if there is one: at what the task has committed, if its state is
    /// that. Inputs of which there is no sample do not hold it back.
    pub(super) fn time(&self, samples: &[Sample]) -> Option<TaskTime> {
        let is_timed = self.component.is_timed() || self.spec.time.is_some();
        if !self.component.kind().is_processor() || !is_timed {
            return None;
        }
        let committed = self.state.watermarks().ok().and_then(|stored| stored.watermark);
        let none = self.spec.input.topics.iter().map(|_| None);
        let mut time = TaskTime::new(self.spec.time.as_ref(), committed, none, self.clock.tick_ms());
        time.at(self.clock.now_ms());
        time.only(|index| samples.iter().any(|sample| sample.topic as usize == index));
        Some(time)
    }

    /// Hands records to a processor, those that are not too late.
    pub(super) async fn process(
        &self,
        processor: &mut Processor,
        inputs: &[Input<'_>],
        samples: &[Sample],
        part: &Range<usize>,
        time: &mut Option<TaskTime>,
        report: &mut Report,
    ) -> Result<(), Fault> {
        let topic = inputs.first().map_or(0, |input| input.topic as usize);
        let judged = time.as_ref().map(|time| time.judge(topic, inputs));
        let kept = judged.as_ref().map_or(inputs, |judged| &*judged.kept);
        if let Some(state) = processor.state() {
            state.begin(self.clock.now_ms());
            state.move_watermark(time.as_ref().and_then(TaskTime::watermark));
        }
        let all = |kept: u32| judged.as_ref().map_or(kept as usize, |j| j.among_all(kept as usize));
        let mut outputs = match processor.process(kept).await {
            Ok(answer) => answer.outputs,
            Err(Fault::At { index, reason }) => {
                let index = u32::try_from(all(index)).unwrap_or(index);
                return Err(Fault::At { index, reason });
            }
            Err(fault) => return Err(fault),
        };
        self.check_routes(&outputs)?;
        if let Some(state) = processor.state() {
            state.settle();
        }
        report.verdicts[part.clone()].fill(Some(Verdict::Processed));
        for output in &mut outputs {
            output.source = output.source.and_then(|index| u32::try_from(all(index)).ok());
        }
        let stored = outputs.into_iter().map(|output| stored(self.spec, output, samples, part));
        report.entries.extend(stored);
        let Some(judged) = judged else { return Ok(()) };
        for index in &judged.passed {
            let index = part.start + index;
            report.verdicts[index] = Some(Verdict::Late);
            if let LatePolicy::Output(route) = judged.after.late() {
                let record = samples[index].record.clone();
                let route = Some(route.clone());
                report.entries.push(Entry::Stored { source: Some(index), route, record, timestamp: None });
            }
        }
        *time = Some(judged.after);
        Ok(())
    }

    /// Fires what is due by the records so far. A timer that fails ends the run, or is left out.
    pub(super) async fn fire(&self, instance: &mut Option<Instance>, time: &TaskTime, report: &mut Report) {
        if !self.component.is_timed() {
            return;
        }
        let (mut made, mut trial) = (report.bytes(), Trial::default());
        for _ in 0..FIRINGS_MAX {
            let before_call = report.entries.len();
            if !self.fire_some(instance, time, &mut trial, report).await {
                return;
            }
            // Many small ones take more than their bytes.
            made +=
                report.entries[before_call..].iter().map(|e| size_of::<Entry>() + e.bytes()).sum::<usize>();
            report.cut = made > self.bytes_max;
            if report.cut {
                return;
            }
        }
        report.cut = true;
    }

    /// One call. May there be more that are due?
    async fn fire_some(
        &self,
        instance: &mut Option<Instance>,
        time: &TaskTime,
        trial: &mut Trial,
        report: &mut Report,
    ) -> bool {
        let started = match instance.take() {
            Some(live) => Ok(live),
            None => self.start().await,
        };
        let mut due = Vec::new();
        let fault = match started {
            Ok(Instance::Processor(mut processor)) => {
                let before = processor.cpu_time();
                let fired = self.hand_over(&mut processor, time, trial.most, &mut due, report).await;
                report.cpu += processor.cpu_time().saturating_sub(before);
                match fired {
                    Ok(()) => {
                        *instance = Some(Instance::Processor(processor));
                        trial.passed(due.len());
                        return !due.is_empty();
                    }
                    Err(fault) => fault,
                }
            }
            Ok(Instance::Transform(_)) => return false,
            Err(fault) => fault,
        };
        let fault = match to_blame(&due, &fault) {
            _ if due.is_empty() || self.at_fault != AtFault::GoOn => fault,
            Some(_) if due.len() == 1 => {
                tracing::debug!(%fault, "a timer of a dry run is left out");
                trial.passed(1);
                match self.leave_out(&due[0]) {
                    Ok(()) => return true,
                    Err(error) => Fault::Instance(error.to_string()),
                }
            }
            bad => {
                trial.narrow(&due, bad);
                return true;
            }
        };
        report.failed = Some(Failed { sample: None, fault });
        false
    }

    /// Takes at most `most` that are due out of the state, and calls for them.
    async fn hand_over(
        &self,
        processor: &mut Processor,
        time: &TaskTime,
        most: usize,
        due: &mut Vec<Timer>,
        report: &mut Report,
    ) -> Result<(), Fault> {
        let Some(state) = processor.state() else { return Ok(()) };
        state.begin(self.clock.now_ms());
        state.move_watermark(time.watermark());
        let taken = state.take_due(TimerClock::EventTime, most);
        *due = taken.map_err(|error| Fault::Instance(error.to_string()))?;
        if due.is_empty() {
            return Ok(());
        }
        let outputs = processor.on_timer(due).await?.outputs;
        self.check_routes(&outputs)?;
        if let Some(state) = processor.state() {
            state.settle();
        }
        let stored = outputs.into_iter().map(|output| stored(self.spec, output, &[], &(0..0)));
        report.entries.extend(stored);
        Ok(())
    }

    /// Takes the timer out that fails.
    fn leave_out(&self, timer: &Timer) -> Result<(), state::Error> {
        let spec = &self.spec.state;
        let mut state = self.state.open(Allowed::by(spec), Ttls::of(spec))?;
        state.cancel_timer(timer.clock, &timer.name)?;
        state.settle();
        Ok(())
    }

    fn check_routes(&self, outputs: &[Output]) -> Result<(), Fault> {
        let needs_default = outputs.iter().any(|output| output.route.is_none());
        if self.strict && needs_default && self.spec.output.default.is_none() {
            return Err(Fault::no_output());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::texts;
    use super::*;
    use crate::model::Record;
    use crate::runtime::clock::Clock;
    use crate::state::{Scratch, TaskId};
    use crate::wasm::tests::example;
    use crate::wasm::{LogLevel, LogSink};

    struct Silent;

    impl LogSink for Silent {
        fn write(&self, _: LogLevel, _: String) {}
    }

    /// What keys and times lead to, with the verdicts.
    async fn run(time: serde_json::Value, records: &[(&str, i64)]) -> (Vec<String>, Vec<Verdict>) {
        let sample = |(offset, (key, timestamp)): (u64, &(&str, i64))| {
            let key = Some(key.as_bytes().to_vec().into());
            let record = Record { key, timestamp: *timestamp, value: Some("x".into()), ..Record::default() };
            Sample { topic: 0, partition: 0, offset, record }
        };
        let samples: Vec<_> = (0..).zip(records).map(sample).collect();
        let report = report("tumbling-count", time, &samples, 8 << 10, AtFault::End).await;
        assert!(report.failed.is_none(), "{:?}", report.failed);
        assert!(!report.cut);
        (texts(&report.entries), report.verdicts.into_iter().flatten().collect())
    }

    async fn report(
        guest: &str,
        time: serde_json::Value,
        samples: &[Sample],
        bytes_max: usize,
        at_fault: AtFault,
    ) -> Report {
        let spec = json!({
            "name": "d", "kind": "processor", "module": guest, "input": { "topics": ["in"] },
            "output": { "default": "out", "routes": { "late": "late" } }, "time": time,
        });
        let spec = serde_json::from_value(spec).unwrap();
        let run = DryRun {
            component: &example(guest),
            spec: &spec,
            log: std::sync::Arc::new(Silent),
            state: &Scratch::empty(TaskId { deployment: 0, generation: 0, task: 0 }),
            clock: &Clock::system(),
            at_fault,
            strict: false,
            bytes_max,
            flush: true,
        };
        run.run(samples).await
    }

    /// For the guest that does with timers what it is told, at 9.
    fn command(text: &str) -> Sample {
        let value = Some(text.as_bytes().to_vec().into());
        let record = Record { value, timestamp: 9, ..Record::default() };
        Sample { topic: 0, partition: 0, offset: 0, record }
    }

    #[tokio::test]
    async fn of_timers_that_are_due_together_only_those_that_fail_are_left_out() {
        let commands =
            ["a", "trap-b", "c", "refuse-d", "later-e", "f"].map(|name| format!("set event {name} 5"));
        let samples = commands.map(|text| command(&text));
        let report = report("timer-probe", json!({}), &samples, usize::MAX, AtFault::GoOn).await;
        assert!(report.failed.is_none() && !report.cut, "{:?}", report.failed);
        assert_eq!(texts(&report.entries), ["a=event 5", "c=event 5", "f=event 5"]);
    }

    #[tokio::test]
    async fn timers_that_are_set_anew_for_ever_end_where_their_outputs_are_too_large() {
        let samples = [command("set event again 5"), command("set event never 9999")];
        let report = report("timer-probe", json!({}), &samples, 8 << 10, AtFault::End).await;
        assert!(report.failed.is_none(), "{:?}", report.failed);
        assert!(report.cut);
        let most = (8 << 10) / size_of::<Entry>();
        assert!((10..=most + 1).contains(&report.entries.len()), "{} entries", report.entries.len());
    }

    #[tokio::test]
    async fn timers_that_are_left_after_many_calls_are_said_to_be_left() {
        let samples = [command("set event again 5")];
        let report = report("timer-probe", json!({}), &samples, usize::MAX, AtFault::End).await;
        assert!(report.failed.is_none(), "{:?}", report.failed);
        assert!(report.cut);
        assert_eq!(report.entries.len(), FIRINGS_MAX, "one in a call");
    }

    #[tokio::test]
    async fn windows_are_told_as_the_records_pass_them_and_at_the_end() {
        let records = [("a", 100), ("b", 200), ("a", 900), ("a", 1_000), ("a", 999), ("a", 2_500)];
        let (told, verdicts) = run(json!({}), &records).await;
        // The record of 999 is late: it begins a call of its own, before which the first windows are over.
        assert_eq!(told, ["a=0=2", "b=0=1", "a=0 late", "a=1000=1", "a=2000=1"]);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Processed));
        let (told, _) = run(json!({ "out_of_order": "1s" }), &records).await;
        assert_eq!(told, ["a=0=3", "b=0=1", "a=1000=1", "a=2000=1"]);
    }

    #[tokio::test]
    async fn records_that_are_too_late_are_dropped_or_go_aside() {
        let records = [("a", 100), ("a", 1_500), ("c", 1_200), ("a", 999), ("a", 1_600)];
        let (told, verdicts) = run(json!({ "late": "drop", "lateness": "400ms" }), &records).await;
        assert_eq!(told, ["a=0=1", "a=1000=2", "c=1000=1"]);
        assert_eq!(verdicts[3], Verdict::Late);
        let (told, _) = run(json!({ "late": { "output": "late" } }), &records).await;
        assert_eq!(
            told,
            ["c=x", "a=x", "a=0=1", "a=1000=2"],
            "as they came, beside the answer of their batch"
        );
    }
}
