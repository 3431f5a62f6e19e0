//! What the deployments tell a scraper. Set when somebody reads, from the same counts that their views show.

use super::supervisor::Pipelines;
use super::view::{DeploymentState, DeploymentView};
use crate::telemetry::metric_names as names;

/// Every state, so that the one that has ended goes back to 0.
const STATES: [(DeploymentState, &str); 5] = [
    (DeploymentState::Starting, "starting"),
    (DeploymentState::Running, "running"),
    (DeploymentState::Retrying, "retrying"),
    (DeploymentState::Paused, "paused"),
    (DeploymentState::Failed, "failed"),
];

impl Pipelines {
    /// Brings the metrics of all deployments up to date. To be called before the metrics are rendered.
    pub fn record_metrics(&self) {
        for view in self.list() {
            record(&view);
        }
    }
}

fn record(view: &DeploymentView) {
    let name = view.name.to_string();
    for (state, text) in STATES {
        let is = if view.state == state { 1.0 } else { 0.0 };
        let kind = view.kind.as_str();
        metrics::gauge!(names::DEPLOYMENT_STATE, "deployment" => name.clone(), "kind" => kind, "state" => text).set(is);
    }
    let totals = &view.totals;
    let counts = [
        (names::DEPLOYMENT_RECORDS_IN_TOTAL, totals.records_in),
        (names::DEPLOYMENT_RECORDS_OUT_TOTAL, totals.records_out),
        (names::DEPLOYMENT_RECORDS_REJECTED_TOTAL, totals.rejected),
        (names::DEPLOYMENT_DEAD_LETTERS_TOTAL, totals.dead_letters),
        (names::DEPLOYMENT_RECORDS_SKIPPED_TOTAL, totals.skipped),
        (names::DEPLOYMENT_ERRORS_TOTAL, totals.errors),
        (names::DEPLOYMENT_RESTARTS_TOTAL, totals.restarts),
    ];
    for (metric, count) in counts {
        metrics::counter!(metric, "deployment" => name.clone()).absolute(count);
    }
    let memory: u64 = view.tasks.iter().map(|t| t.memory_bytes).sum();
    metrics::gauge!(names::DEPLOYMENT_LAG_RECORDS, "deployment" => name.clone()).set(totals.lag as f64);
    metrics::gauge!(names::WASM_MEMORY_BYTES, "deployment" => name).set(memory as f64);
}
