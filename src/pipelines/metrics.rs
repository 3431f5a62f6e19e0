//! What the deployments tell a scraper, rendered from the counts that their views show: a deleted deployment leaves nothing
//! behind, and one that was started anew counts anew, as counters may.

use super::supervisor::Pipelines;
use super::view::{DeploymentState, DeploymentView, Totals};
use crate::telemetry::exposition::Family;
use crate::telemetry::metric_names as names;

/// Every state, so that the one that has ended goes back to 0.
const STATES: [(DeploymentState, &str); 5] = [
    (DeploymentState::Starting, "starting"),
    (DeploymentState::Running, "running"),
    (DeploymentState::Retrying, "retrying"),
    (DeploymentState::Paused, "paused"),
    (DeploymentState::Failed, "failed"),
];

type Count = fn(&Totals) -> u64;

/// Name and meaning of every count.
const COUNTS: [(&str, &str, Count); 7] = [
    (names::DEPLOYMENT_RECORDS_IN_TOTAL, "Records taken in by a deployment", |t| t.records_in),
    (names::DEPLOYMENT_RECORDS_OUT_TOTAL, "Records given out by a deployment", |t| t.records_out),
    (names::DEPLOYMENT_RECORDS_REJECTED_TOTAL, "Records rejected by a deployment", |t| t.rejected),
    (names::DEPLOYMENT_DEAD_LETTERS_TOTAL, "Dead letters of a deployment", |t| t.dead_letters),
    (names::DEPLOYMENT_RECORDS_SKIPPED_TOTAL, "Records skipped by a deployment", |t| t.skipped),
    (names::DEPLOYMENT_ERRORS_TOTAL, "Failed calls of a deployment", |t| t.errors),
    (names::DEPLOYMENT_RESTARTS_TOTAL, "Instances made anew after a failure", |t| t.restarts),
];

impl Pipelines {
    /// The metrics of all deployments, in the text format of Prometheus.
    pub fn render_metrics(&self) -> String {
        render(&self.list())
    }
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
    let mut lag = Family::gauge(names::DEPLOYMENT_LAG_RECORDS, "Records not read yet");
    let mut memory = Family::gauge(names::WASM_MEMORY_BYTES, "Linear memory of a processor's instances");
    for view in views {
        lag.line(&[("deployment", &view.name)], view.totals.lag);
        let bytes: u64 = view.tasks.iter().map(|task| task.memory_bytes).sum();
        memory.line(&[("deployment", &view.name)], bytes);
    }
    lag.end(&mut text);
    memory.end(&mut text);
    text
}
