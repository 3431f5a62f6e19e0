//! How long requests take, by route, method and status. Handles are kept: looking one up is cheaper than making its
//! labels again for every request.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::Histogram;
use parking_lot::RwLock;

use crate::telemetry::metric_names as names;

type Labels = (&'static str, u16);

/// The histograms made so far. Their number is bounded: routes and methods are the router's, statuses ours.
#[derive(Default)]
pub(super) struct Meter(RwLock<HashMap<Box<str>, HashMap<Labels, Histogram>>>);

impl Meter {
    /// Counts a request. `route` is a pattern, never a path.
    pub(super) fn record(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let labels = (method_name(method), status.as_u16());
        if let Some(histogram) = self.0.read().get(route).and_then(|known| known.get(&labels)) {
            return histogram.record(took);
        }
        let histogram = metrics::histogram!(
            names::HTTP_REQUEST_DURATION_SECONDS, "method" => labels.0, "route" => route.to_owned(), "status" => labels.1.to_string()
        );
        histogram.record(took);
        self.0.write().entry(route.into()).or_default().insert(labels, histogram);
    }
}

/// Methods that nobody defined are one label value, or a client could make any number of them.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
