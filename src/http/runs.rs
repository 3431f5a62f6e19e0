//! Dry invocations: `POST …/run` of a version and of a deployment.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::App;
use super::codes::Code;
use super::deployments::DeploymentPath;
use super::error::Problem;
use super::extract::{Json, NoQuery, Path, Query};
use super::modules::VersionPath;
use super::openapi::{Conflict, Missing, Unprocessable};
use super::samples::Line;
use super::verdicts::{FaultView, LogLine, change, output, told, verdict_name};
use crate::broker::dead_letter::reproduce;
use crate::model::deployment::DeploymentKind;
use crate::model::module::{ModuleRef, VersionSelector};
use crate::model::{DeploymentName, Offset, Partition, TopicName};
use crate::pipelines::dry_run::{Entry, Sample};
use crate::pipelines::{GivenRecord, RunRecords, RunReport, RunState};
use crate::state::Given;

/// Records for a module, and what it is to find around it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleRun {
    /// 1 to 1000: key, value, value_text or value_base64, headers, timestamp, topic, partition, offset
    #[schema(schema_with = super::openapi::run_records_schema)]
    records: Vec<Line>,
    #[serde(default)]
    #[schema(schema_with = super::openapi::params_schema)]
    params: Map<String, Value>,
    /// names of its input topics; default `in`
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    inputs: Vec<Value>,
    /// names of its routes
    #[serde(default)]
    outputs: Vec<String>,
    /// store → key → value as JSON; what a processor finds
    #[serde(default)]
    #[schema(schema_with = super::openapi::any_json)]
    state: BTreeMap<String, BTreeMap<String, Box<RawValue>>>,
    /// as in a deployment
    #[schema(schema_with = super::openapi::any_json, required = false)]
    limits: Option<Value>,
    /// event time of a processor
    #[schema(schema_with = super::openapi::any_json, required = false)]
    time: Option<Value>,
    /// event time ends with the records: every timer that goes by it fires
    #[serde(default)]
    flush: bool,
}

/// Records for a deployment's code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeploymentRun {
    /// 1 to 1000; this or `from`
    #[schema(schema_with = super::openapi::run_records_schema, required = false)]
    records: Option<Vec<Line>>,
    from: Option<From_>,
    /// another version, or another module
    module: Option<String>,
    /// beside or instead of the deployment's own
    #[serde(default)]
    #[schema(schema_with = super::openapi::params_schema)]
    params: Map<String, Value>,
    /// what a processor finds
    #[serde(default)]
    #[schema(inline)]
    state: StateChoice,
    /// event time ends with the records: every timer that goes by it fires
    #[serde(default)]
    flush: bool,
}

/// Committed records as they lie in an input.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RunFrom)]
pub(super) struct From_ {
    /// an input; the first one unless it is named
    #[schema(value_type = Option<String>)]
    topic: Option<TopicName>,
    #[serde(default)]
    partition: Partition,
    /// of the first record
    offset: Offset,
    /// at most so many; default 1
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What a processor finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateChoice {
    /// nothing
    #[default]
    None,
    /// what the task of the records' partition has committed by now; it is not changed
    Committed,
}

/// What a run came to. Nothing of it is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = RunReport)]
pub(super) struct RunView {
    /// `name@version`
    module: String,
    /// one per record, in order
    records: Vec<RecordView>,
    /// outputs that name no record as their source
    #[schema(schema_with = super::openapi::run_outputs_schema)]
    unsourced: Vec<Box<RawValue>>,
    /// what ended the run before all records were through
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<FaultView>,
    /// the outputs have more bytes than a run may give; what comes after is missing
    cut: bool,
    /// `{store, key, before, after}`, or with `key_base64`, `before_text`, `before_base64` and so on
    #[schema(schema_with = super::openapi::run_outputs_schema)]
    state_changes: Vec<Box<RawValue>>,
    /// more changed than is shown
    more_state_changes: bool,
    logs: Vec<LogLine>,
    /// lines beyond those shown
    logs_left_out: u64,
    /// CPU time of all calls, microseconds
    cpu_us: u64,
    /// from the first instance's start to the end, microseconds
    wall_us: u64,
    /// linear memory of an instance
    memory_bytes: usize,
}

/// A record and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = RunRecord)]
pub(super) struct RecordView {
    topic: String,
    partition: Partition,
    offset: Offset,
    /// `keep`, `drop`, `emit`, `reject`, `processed`, `late`, `fault`, or `not_run`
    verdict: &'static str,
    /// a transform's reason
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView>,
    /// what a deployment would do with a record that is refused or fails
    #[serde(skip_serializing_if = "Option::is_none")]
    becomes: Option<String>,
    /// the command that runs it again
    #[serde(skip_serializing_if = "Option::is_none")]
    reproduce: Option<String>,
    #[schema(schema_with = super::openapi::run_outputs_schema)]
    outputs: Vec<Box<RawValue>>,
}

/// Run a version over given records
///
/// As a deployment would, and without any effect: nothing is stored.
#[utoipa::path(
    post, path = "/v1/modules/{name}/versions/{version}/run", tag = "modules", params(VersionPath),
    request_body = ModuleRun,
    responses((status = 200, description = "what it came to, also when the code fails", body = RunView), Missing, Unprocessable),
)]
pub(super) async fn run_module(
    State(app): State<App>,
    Path(path): Path<VersionPath>,
    Query(NoQuery {}): Query<NoQuery>,
    Json(body): Json<ModuleRun>,
) -> Result<axum::Json<RunView>, Problem> {
    let version = VersionSelector::parse(&path.version).map_err(|e| Problem::new(Code::InvalidPath, e))?;
    let module = app.registry.resolve(&ModuleRef { name: path.name.clone(), version })?;
    let inputs = if body.inputs.is_empty() { vec![json!("in")] } else { body.inputs };
    let routes: BTreeMap<_, _> = body.outputs.into_iter().map(|name| (name.clone(), name)).collect();
    let kinds =
        [DeploymentKind::Inline, DeploymentKind::Processor, DeploymentKind::Sink, DeploymentKind::Source];
    let kind = kinds.into_iter().find(|kind| module.kind.fits(*kind)).unwrap_or(DeploymentKind::Inline);
    let mut spec = json!({
        "name": path.name,
        "kind": kind.as_str(),
        "module": format!("{}@{}", path.name, module.version),
        "input": { "topics": inputs },
        "output": { "routes": routes },
        "params": body.params,
    });
    if let Some(limits) = body.limits {
        spec["limits"] = limits;
    }
    if let Some(time) = body.time {
        spec["time"] = time;
    }
    let Value::Object(spec) = spec else {
        return Err(Problem::new(Code::Internal, "a spec that is no object"));
    };
    let name = DeploymentName::parse(path.name.as_str());
    let name = name.map_err(|e| Problem::new(Code::InvalidPath, e.to_string()))?;
    let spec = super::spec::read(spec, &name, app.pipelines.ceiling())?;
    let value = |json: Box<RawValue>| super::json_text::compact(json.get()).into_owned().into();
    let entries = |stored: BTreeMap<String, Box<RawValue>>| {
        stored.into_iter().map(|(key, json)| (key.into_bytes(), value(json))).collect()
    };
    let state: Given = body.state.into_iter().map(|(store, stored)| (store, entries(stored))).collect();
    let records = given(body.records)?;
    let report = app.pipelines.run_module(spec, records, RunState::Given(state), body.flush).await?;
    Ok(axum::Json(view(&report, None)))
}

/// Run a deployment's code over records
///
/// Over given ones or some of an input, with its parameters and limits and perhaps its committed state. Nothing is stored.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/run", tag = "deployments", params(DeploymentPath),
    request_body = DeploymentRun,
    responses((status = 200, description = "what it came to, also when the code fails", body = RunView), Missing, Conflict, Unprocessable),
)]
pub(super) async fn run_deployment(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
    Json(body): Json<DeploymentRun>,
) -> Result<axum::Json<RunView>, Problem> {
    let from_log = body.from.is_some();
    let records = match (body.records, body.from) {
        (Some(records), None) => RunRecords::Given(given(records)?),
        (None, Some(From_ { topic, partition, offset, limit })) => {
            RunRecords::Log { topic, partition, offset, limit: limit.unwrap_or(1) }
        }
        _ => return Err(Problem::new(Code::InvalidBody, "give one of `records` and `from`")),
    };
    let state = match body.state {
        StateChoice::None => RunState::None,
        StateChoice::Committed => RunState::Committed,
    };
    let params = params(body.params)?;
    let (module, given_params) = (body.module.clone(), params.clone());
    let report =
        app.pipelines.run_deployment(&path.deployment, records, module, params, (state, body.flush)).await?;
    let again = Again { module: body.module, params: given_params, state: body.state };
    Ok(axum::Json(view(&report, from_log.then_some(&again))))
}

fn given(lines: Vec<Line>) -> Result<Vec<GivenRecord>, Problem> {
    let record = |(index, mut line): (usize, Line)| {
        let record = line.record().map_err(|why| {
            Problem::new(Code::InvalidBody, format!("record {index}: {why}"))
                .at(format!("/records/{index}"), why)
        })?;
        let Line { topic, partition, offset, .. } = line;
        Ok(GivenRecord { topic, partition, offset, record })
    };
    lines.into_iter().enumerate().map(record).collect()
}

pub(super) fn params(values: Map<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let text = |(name, value): (String, Value)| param(&name, value).map(|text| (name, text));
    values.into_iter().map(text).collect()
}

/// A parameter as the code sees it: numbers and booleans are taken as their text.
pub(super) fn param(name: &str, value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let detail = "must be text, a number or a boolean".to_owned();
            Err(Problem::new(Code::InvalidBody, format!("parameter `{name}` {detail}"))
                .at(format!("/params/{name}"), detail))
        }
    }
}

/// How a run of stored records is asked for on the command line.
struct Again {
    module: Option<String>,
    params: BTreeMap<String, String>,
    state: StateChoice,
}

impl Again {
    fn command(&self, run: &RunReport, sample: &Sample) -> Option<String> {
        let topic = run.topic(sample)?;
        let mut command = reproduce(&run.spec.name, &topic, sample.partition, sample.offset);
        if let Some(module) = &self.module {
            command.push_str(&format!(" --module {module}"));
        }
        for (name, value) in &self.params {
            command.push_str(&format!(" --param {}", shell_word(&format!("{name}={value}"))));
        }
        if self.state == StateChoice::Committed {
            command.push_str(" --state committed");
        }
        Some(command)
    }
}

/// A word as a shell reads it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn view(run: &RunReport, again: Option<&Again>) -> RunView {
    let report = &run.report;
    let mut outputs: Vec<Vec<Box<RawValue>>> = run.samples.iter().map(|_| Vec::new()).collect();
    let mut unsourced = Vec::new();
    for entry in &report.entries {
        if let Entry::Stored { source, route, record, timestamp } = entry {
            let made = output(&run.spec, route.as_deref(), record, *timestamp);
            let list = source.and_then(|index| outputs.get_mut(index)).unwrap_or(&mut unsourced);
            list.extend(made);
        }
    }
    let records =
        run.samples.iter().zip(&report.verdicts).zip(outputs).map(|((sample, verdict), outputs)| {
            let topic = run.topic(sample).as_ref().map(ToString::to_string).unwrap_or_default();
            let (reason, fault) = told(verdict.as_ref());
            let again = fault.as_ref().and(again);
            RecordView {
                reproduce: again.and_then(|again| again.command(run, sample)),
                topic,
                partition: sample.partition,
                offset: sample.offset,
                verdict: verdict_name(verdict.as_ref()),
                reason,
                fault,
                becomes: verdict.as_ref().and_then(|verdict| run.becomes(verdict)),
                outputs,
            }
        });
    let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    RunView {
        module: run.module.clone(),
        records: records.collect(),
        unsourced,
        ended_by: report.failed.as_ref().map(|failed| FaultView::of(&failed.fault)),
        cut: report.cut,
        state_changes: run.changes.entries.iter().filter_map(change).collect(),
        more_state_changes: run.changes.more,
        logs: run.lines.iter().cloned().map(LogLine::of).collect(),
        logs_left_out: run.lines_left_out,
        cpu_us: us(report.cpu),
        wall_us: us(run.wall),
        memory_bytes: report.memory_bytes,
    }
}
