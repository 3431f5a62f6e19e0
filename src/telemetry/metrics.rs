//! The recorder behind the `metrics` macros, and its text for Prometheus.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of every histogram in seconds: from a memory access (50 us) to the longest call a guest may make (30 s).
const SECONDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Renders what was recorded; cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Makes the process's recorder, once; a second call in one process (tests) gives `None`.
    pub fn install() -> Option<Self> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the list of bounds is not empty");
        let metrics = builder.install_recorder().ok().map(Self)?;
        super::metric_names::describe();
        metrics::gauge!("millstream_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Some(metrics)
    }

    /// A recorder that nothing records to; for tests that run many servers in one process.
    pub fn detached() -> Self {
        Self(PrometheusBuilder::new().build_recorder().handle())
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded samples into their histograms, so that they take no room until somebody reads. Call it every few
    /// seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}
