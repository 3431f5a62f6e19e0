//! Shadow runs: begin, look, stop.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::App;
use super::answer::rfc3339;
use super::codes::Code;
use super::deployments::DeploymentPath;
use super::error::Problem;
use super::extract::{Json, NoQuery, Path, Query};
use super::openapi::{Conflict, Missing, Unprocessable};
use super::runs::params;
use super::verdicts::{FaultView, LogLine, change, output, told as reason_and_fault, verdict_name};
use crate::model::deployment::{DeploymentKind, DeploymentSpec, RewindTo};
use crate::model::{Offset, Partition, duration};
use crate::pipelines::{Difference, Results, ShadowOptions, ShadowView, Told, Used};

/// What to run beside a deployment, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShadowRequest)]
pub(super) struct ShadowBody {
    /// the candidate: `name` or `name@version`; default: what the deployment's `module` means by now
    module: Option<String>,
    /// for the candidate alone, beside or instead of the deployment's own
    #[serde(default)]
    #[schema(schema_with = super::openapi::params_schema)]
    params: Map<String, Value>,
    /// what both versions of a processor begin with; default `copy`
    #[serde(default)]
    #[schema(inline)]
    state: ShadowState,
    /// ends after so many records
    #[schema(minimum = 1)]
    records: Option<u64>,
    /// ends after so long, such as `5m`; default 10 minutes, at most an hour
    #[schema(schema_with = super::openapi::size_schema, required = false)]
    duration: Option<Value>,
    /// where both versions of a processor begin; default: where the deployment stands
    #[schema(schema_with = super::openapi::rewind_to_schema, required = false)]
    from: Option<RewindTo>,
}

/// What both versions begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ShadowState {
    /// the deployment's state as it is now
    #[default]
    Copy,
    /// nothing
    Empty,
}

/// A shadow run and what it has found.
#[derive(Serialize, ToSchema)]
#[schema(as = Shadow)]
pub(super) struct ShadowBodyView {
    deployment: String,
    /// `name@version` of the candidate
    module: String,
    /// it goes on
    running: bool,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// why it ended
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    /// records of which both versions' results were compared
    records_compared: u64,
    equal: u64,
    different: u64,
    /// records for which there was no room, or that were deleted before they were read
    not_compared: u64,
    /// the version that runs; its CPU time inline is that of the deployment's own metrics
    current: UsedView,
    candidate: UsedView,
    /// the first differences
    differences: Vec<DifferenceView>,
    /// entries of the state that differ at the end: `before` is that of the version that runs, `after` the candidate's
    #[schema(schema_with = super::openapi::run_outputs_schema)]
    state_differences: Vec<Box<RawValue>>,
    /// more of the state differs
    more_state_differences: bool,
    /// what the candidate logged first
    logs: Vec<LogLine>,
}

/// What a version has used.
#[derive(Serialize, ToSchema)]
#[schema(as = ShadowUsed)]
struct UsedView {
    /// records on which it failed
    faults: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_record: Option<f64>,
    memory_bytes: usize,
}

/// A record of which the two made different things.
#[derive(Serialize, ToSchema)]
#[schema(as = ShadowDifference)]
struct DifferenceView {
    topic: String,
    partition: Partition,
    /// inline: its number in its batch
    offset: Offset,
    /// outputs that name no source, of the whole batch that ends with this record
    of_batch: bool,
    /// by the version that runs
    expected: ToldView,
    /// by the candidate
    found: ToldView,
}

/// What a version made of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ShadowResult)]
struct ToldView {
    /// `keep`, `drop`, `emit`, `reject`, `processed` or `fault`
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView>,
    #[schema(schema_with = super::openapi::run_outputs_schema)]
    outputs: Vec<Box<RawValue>>,
}

/// Begin a shadow run
///
/// Runs another version beside the deployment on the same input, and compares what comes out. Nothing is published.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/shadow", tag = "deployments", params(DeploymentPath),
    request_body = ShadowBody,
    responses((status = 202, description = "it runs", body = ShadowBodyView), Missing, Conflict, Unprocessable),
)]
pub(super) async fn start(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
    Json(body): Json<ShadowBody>,
) -> Result<(StatusCode, axum::Json<ShadowBodyView>), Problem> {
    let time = |value: Value| {
        let read = match &value {
            Value::String(text) => duration::parse_duration(text).ok(),
            other => other.as_u64().map(std::time::Duration::from_millis),
        };
        read.ok_or_else(|| {
            let detail = format!("{value}, expected a duration such as 5m, or milliseconds");
            Problem::new(Code::InvalidBody, format!("duration is {detail}")).at("/duration", detail)
        })
    };
    let options = ShadowOptions {
        module: body.module,
        params: params(body.params)?,
        empty_state: body.state == ShadowState::Empty,
        records: body.records,
        duration: body.duration.map(time).transpose()?,
        from: body.from,
    };
    let shadow = app.pipelines.start_shadow(&path.deployment, options).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view(shadow))))
}

/// Look at a shadow run
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/shadow", tag = "deployments", params(DeploymentPath),
    responses((status = 200, description = "what it has found so far", body = ShadowBodyView), Missing),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<ShadowBodyView>, Problem> {
    Ok(axum::Json(view(app.pipelines.shadow(&path.deployment)?)))
}

/// Stop a shadow run
///
/// Its results are forgotten, those of one that has ended as well.
#[utoipa::path(
    delete, path = "/v1/deployments/{deployment}/shadow", tag = "deployments", params(DeploymentPath),
    responses((status = 204, description = "stopped"), Missing),
)]
pub(super) async fn stop(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<StatusCode, Problem> {
    app.pipelines.stop_shadow(&path.deployment)?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(shadow: ShadowView) -> ShadowBodyView {
    let ShadowView { deployment, module, spec, started_ms, ended, results, lines } = shadow;
    let Results { equal, different, not_compared, .. } = results;
    let inline = spec.kind == DeploymentKind::Inline;
    ShadowBodyView {
        deployment: deployment.to_string(),
        module,
        running: ended.is_none(),
        started_at: rfc3339(started_ms),
        ended_at: ended.as_ref().map(|(at_ms, _)| rfc3339(*at_ms)),
        ended_by: ended.map(|(_, reason)| reason),
        records_compared: results.compared(),
        equal,
        different,
        not_compared,
        current: used(results.current, inline),
        candidate: used(results.candidate, false),
        differences: results.samples.into_iter().map(|d| difference(&spec, d)).collect(),
        state_differences: results.state.iter().filter_map(change).collect(),
        more_state_differences: results.more_state,
        logs: lines.into_iter().map(LogLine::of).collect(),
    }
}

fn used(used: Used, unknown: bool) -> UsedView {
    let known = used.records > 0 && !unknown;
    let per_record = || used.cpu.as_secs_f64() * 1e6 / used.records as f64;
    UsedView {
        faults: used.faults,
        cpu_us_per_record: known.then(per_record),
        memory_bytes: used.memory_bytes,
    }
}

fn difference(spec: &DeploymentSpec, difference: Difference) -> DifferenceView {
    let Difference { topic, partition, offset, expected, found, of_batch } = difference;
    DifferenceView {
        topic: topic.to_string(),
        partition,
        offset,
        of_batch,
        expected: told(spec, &expected),
        found: told(spec, &found),
    }
}

fn told(spec: &DeploymentSpec, told: &Told) -> ToldView {
    let (reason, fault) = reason_and_fault(told.verdict.as_ref());
    let outputs = told.outputs.iter();
    let outputs = outputs.filter_map(|m| output(spec, m.route.as_deref(), &m.record, m.timestamp));
    ToldView { verdict: verdict_name(told.verdict.as_ref()), reason, fault, outputs: outputs.collect() }
}
