//! What the deployments tell a scraper, rendered from the counts that their views show: a deleted deployment leaves nothing
//! behind, and one that was started anew counts anew, as counters may.

use std::sync::atomic::{AtomicU64, Ordering};

use super::supervisor::{Entry, Pipelines};
use super::view::{DeploymentState, DeploymentView, Totals};
use crate::model::DeploymentName;
use crate::model::deployment::{DeploymentKind, Desired, LatePolicy};
use crate::telemetry::calls::CallSums;
use crate::telemetry::exposition::Family;
use crate::telemetry::metric_names as names;

/// Every state, so that the one that has ended goes back to 0.
const STATES: [(DeploymentState, &str); 6] = [
    (DeploymentState::Starting, "starting"),
    (DeploymentState::Migrating, "migrating"),
    (DeploymentState::Running, "running"),
    (DeploymentState::Retrying, "retrying"),
    (DeploymentState::Paused, "paused"),
    (DeploymentState::Failed, "failed"),
];

type Count = fn(&Totals) -> u64;

/// Name and meaning of every count.
const COUNTS: [(&str, &str, Count); 5] = [
    (names::DEPLOYMENT_RECORDS_IN_TOTAL, "Records taken in by a deployment", |t| t.records_in),
    (names::DEPLOYMENT_RECORDS_OUT_TOTAL, "Records given out by a deployment", |t| t.records_out),
    (names::DEPLOYMENT_DEAD_LETTERS_TOTAL, "Dead letters of a deployment", |t| t.dead_letters),
    (names::DEPLOYMENT_RECORDS_SKIPPED_TOTAL, "Records skipped by a deployment", |t| t.skipped),
    (names::DEPLOYMENT_RESTARTS_TOTAL, "Instances made anew after a failure", |t| t.restarts),
];

impl Pipelines {
    /// The metrics of all deployments, in the text format of Prometheus.
    pub fn render_metrics(&self) -> String {
        let mut text = render(&self.list());
        self.render_calls(&mut text);
        text
    }

    /// What the calls of each deployment took and what their instances hold, those for records and those for queries.
    fn render_calls(&self, text: &mut String) {
        let mut errors = Family::counter(names::DEPLOYMENT_ERRORS_TOTAL, "Failures of a deployment, by kind");
        let mut cpu = Family::counter(names::WASM_CPU_SECONDS_TOTAL, "CPU time of a deployment's calls");
        let mut took =
            Family::histogram(names::DEPLOYMENT_INVOKE_DURATION_SECONDS, "Duration of a deployment's calls");
        let mut failed = Family::counter(
            names::DEPLOYMENT_QUERY_ERRORS_TOTAL,
            "Queries on which its code failed, by kind",
        );
        let mut asked = Family::histogram(
            names::DEPLOYMENT_QUERY_DURATION_SECONDS,
            "Duration of the calls for a deployment's queries",
        );
        let mut memory = Family::gauge(names::WASM_MEMORY_BYTES, "Linear memory of a deployment's instances");
        let entries = self.entries().into_iter().filter(|e| e.deployment.desired != Desired::Retired);
        for entry in entries {
            let name = &entry.deployment.spec.name;
            let (records, queries) = (calls(&entry), entry.queries.as_ref().map(|q| q.calls.sums()));
            failures(&mut errors, name, &records);
            durations(&mut took, name, &records);
            let mut seconds = records.cpu_seconds();
            let held = |n: &AtomicU64| n.load(Ordering::Relaxed);
            let mut bytes: u64 = entry.tasks.iter().map(|task| held(&task.status.counts.memory_bytes)).sum();
            if let Some(queries) = queries {
                failures(&mut failed, name, &queries);
                durations(&mut asked, name, &queries);
                seconds += queries.cpu_seconds();
            }
            bytes += entry.queries.as_ref().map_or(0, |queries| queries.memory_bytes());
            memory.line(&[("deployment", name)], bytes);
            cpu.line(&[("deployment", name)], seconds);
        }
        for family in [errors, cpu, took, failed, asked, memory] {
            family.end(text);
        }
    }
}

/// Of the calls for records.
fn calls(entry: &Entry) -> CallSums {
    let mut sums = CallSums::default();
    entry.tasks.iter().for_each(|task| sums.add(&task.status.counts.calls.sums()));
    if let Some(stage) = &entry.stage {
        sums.add(&stage.counters.calls.sums());
    }
    sums
}

fn failures(family: &mut Family, name: &DeploymentName, sums: &CallSums) {
    for (kind, count) in sums.failures() {
        family.line(&[("deployment", name), ("kind", &kind)], count);
    }
}

fn durations(family: &mut Family, name: &DeploymentName, sums: &CallSums) {
    let mut all = 0;
    for (bound, count) in sums.buckets() {
        family.part("_bucket", &[("deployment", name), ("le", &bound)], count);
        all = count;
    }
    family.part("_sum", &[("deployment", name)], sums.seconds());
    family.part("_count", &[("deployment", name)], all);
}

fn render(views: &[DeploymentView]) -> String {
    let mut text = String::new();
    let mut states = Family::gauge(names::DEPLOYMENT_STATE, "1 for the state that a deployment is in");
    for view in views {
        for (state, name) in STATES {
            let is = u8::from(view.state == state);
            states.line(&[("deployment", &view.name), ("kind", &view.kind.as_str()), ("state", &name)], is);
        }
    }
    states.end(&mut text);
    for (name, help, count) in COUNTS {
        let mut family = Family::counter(name, help);
        for view in views {
            family.line(&[("deployment", &view.name)], count(&view.totals));
        }
        family.end(&mut text);
    }
    let mut rejected = Family::counter(
        names::DEPLOYMENT_RECORDS_REJECTED_TOTAL,
        "Records that a deployment did not take, by why",
    );
    for view in views {
        let totals = &view.totals;
        // Every rejected record of a processor is a dead letter as well, one of a view is skipped; those of faults are the
        // others. What a source skips is a poll.
        let verdicts = totals.rejected;
        let faults = match view.kind {
            DeploymentKind::Source => 0,
            _ => (totals.dead_letters + totals.skipped).saturating_sub(verdicts),
        };
        for (reason, count) in [("verdict", verdicts), ("fault", faults)] {
            rejected.line(&[("deployment", &view.name), ("reason", &reason)], count);
        }
    }
    rejected.end(&mut text);
    let mut lag = Family::gauge(names::DEPLOYMENT_LAG_RECORDS, "Records not read yet");
    for view in views {
        lag.line(&[("deployment", &view.name)], view.totals.lag);
    }
    lag.end(&mut text);
    sources(views, &mut text);
    event_time(views, &mut text);
    text
}

fn event_time(views: &[DeploymentView], text: &mut String) {
    let mut late = Family::counter(names::DEPLOYMENT_LATE_RECORDS_TOTAL, "Records later than allowed");
    let mut ahead = Family::counter(
        names::DEPLOYMENT_AHEAD_RECORDS_TOTAL,
        "Records too far ahead of the clock to move the watermark",
    );
    let mut fired = Family::counter(names::DEPLOYMENT_TIMERS_FIRED_TOTAL, "Timers that fired");
    let mut set = Family::gauge(names::DEPLOYMENT_TIMERS, "Timers that are set");
    let mut lag = Family::gauge(
        names::DEPLOYMENT_WATERMARK_LAG_SECONDS,
        "How far the slowest watermark of a deployment is behind the clock",
    );
    for view in views.iter().filter(|view| view.tasks.iter().any(|task| task.time.is_some())) {
        let policy = match view.spec.time.clone().unwrap_or_default().late {
            LatePolicy::Update => "update",
            LatePolicy::Drop => "drop",
            LatePolicy::Output(_) => "output",
        };
        let times = || view.tasks.iter().filter_map(|task| task.time.as_ref());
        late.line(&[("deployment", &view.name), ("policy", &policy)], view.totals.late_records);
        ahead.line(&[("deployment", &view.name)], view.totals.ahead_records);
        fired.line(&[("deployment", &view.name)], view.totals.timers_fired);
        set.line(&[("deployment", &view.name)], times().map(|time| time.timers).sum::<u64>());
        if let Some(ms) = times().filter_map(|time| time.watermark_lag_ms).max() {
            lag.line(&[("deployment", &view.name)], ms as f64 / 1e3);
        }
    }
    for family in [late, ahead, fired, set, lag] {
        family.end(text);
    }
}

fn sources(views: &[DeploymentView], text: &mut String) {
    let mut polls = Family::counter(names::DEPLOYMENT_POLLS_TOTAL, "Polls of a source");
    let mut last = Family::gauge(names::DEPLOYMENT_LAST_POLL_SECONDS, "When a source was polled last");
    for view in views {
        for source in view.tasks.iter().filter_map(|task| task.source.as_ref()) {
            polls.line(&[("deployment", &view.name)], source.polls);
            if let Some(ms) = source.last_poll_ms {
                last.line(&[("deployment", &view.name)], ms / 1000);
            }
        }
    }
    polls.end(text);
    last.end(text);
}
