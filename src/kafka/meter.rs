//! What the door counts. Handles are kept: looking one up is cheaper than making its labels again for every request.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::dispatch;
use super::wire::ApiKey;
use crate::telemetry::metric_names as names;

/// The metrics of the door.
pub(super) struct Meter {
    durations: HashMap<ApiKey, Histogram>,
    connections: Gauge,
    received: Counter,
    sent: Counter,
}

impl Meter {
    pub(super) fn new() -> Self {
        let histogram =
            |api: ApiKey| metrics::histogram!(names::KAFKA_REQUEST_DURATION_SECONDS, "api" => api.name());
        Self {
            durations: dispatch::SERVED.iter().map(|api| (*api, histogram(*api))).collect(),
            connections: metrics::gauge!(names::KAFKA_CONNECTIONS),
            received: metrics::counter!(names::KAFKA_RECEIVED_BYTES_TOTAL),
            sent: metrics::counter!(names::KAFKA_SENT_BYTES_TOTAL),
        }
    }

    /// A request has its answer.
    pub(super) fn answered(&self, api: ApiKey, took: Duration) {
        if let Some(histogram) = self.durations.get(&api) {
            histogram.record(took);
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.increment(bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.increment(bytes as u64);
    }

    pub(super) fn opened(&self) {
        self.connections.increment(1.0);
    }

    pub(super) fn closed(&self) {
        self.connections.decrement(1.0);
    }
}
