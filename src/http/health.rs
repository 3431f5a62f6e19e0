//! What operators and machines ask: is it alive, is it ready, which version is it, how does it go.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::Problem;
use super::extract::{NoQuery, Query};
use crate::runtime::build;
use crate::wasm;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadyQuery {
    /// with the single checks
    verbose: bool,
}

/// Can it take requests?
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// with `verbose`
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// The single checks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checks {
    /// the storage takes writes
    storage: Check,
    /// the disk has more free than its reserve
    disk: Check,
    /// the server is not stopping
    serving: Check,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Check {
    ok: bool,
    /// what was found
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
    /// what it was built from, when its builder said so
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// what runs the components, such as `wasmtime 48.0.8`
    engine: String,
    /// such as `x86_64-linux`
    target: String,
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "it is", body = String, content_type = "text/plain")),
)]
pub(super) async fn healthz(Query(NoQuery {}): Query<NoQuery>) -> Result<&'static str, Problem> {
    Ok("ok\n")
}

/// Can it take requests?
#[utoipa::path(
    get, path = "/readyz", tag = "operations", params(ReadyQuery),
    responses(
        (status = 200, description = "it can", body = Readiness),
        (status = 503, description = "it cannot: the storage failed, the disk is nearly full, or it is stopping", body = Readiness),
    ),
)]
pub(super) async fn readyz(
    State(app): State<App>,
    Query(query): Query<ReadyQuery>,
) -> Result<Response, Problem> {
    let failure = app.storage.failed().borrow().clone();
    let disk = app.storage.disk();
    let stopping = app.shutdown.is_requested();
    let checks = Checks {
        storage: Check { ok: failure.is_none(), detail: failure },
        disk: Check {
            ok: !disk.full,
            detail: Some(format!("{} bytes free, {} kept back", disk.free, disk.reserve)),
        },
        serving: Check { ok: !stopping, detail: stopping.then(|| "the server is stopping".to_owned()) },
    };
    let ready = checks.storage.ok && checks.disk.ok && checks.serving.ok;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response =
        (status, axum::Json(Readiness { ready, checks: query.verbose.then_some(checks) })).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// What is running?
#[utoipa::path(
    get, path = "/version", tag = "operations",
    responses((status = 200, description = "the build", body = Version)),
)]
pub(super) async fn version(Query(NoQuery {}): Query<NoQuery>) -> Result<axum::Json<Version>, Problem> {
    let (name, version, commit) = (env!("CARGO_PKG_NAME"), build::VERSION, build::COMMIT);
    let (engine, target) = (wasm::engine_version(), build::target());
    Ok(axum::Json(Version { name, version, commit, engine, target }))
}

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "the text format, version 0.0.4", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    let mut response = (app.metrics_render)().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
