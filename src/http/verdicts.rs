//! What code made of a record, and what it changed, as JSON: shared by the answers of dry runs and of shadow runs.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::samples::{members, string, text_member, value_member};
use crate::model::deployment::DeploymentSpec;
use crate::model::{Record, TimestampMs, TopicName};
use crate::pipelines::dry_run::Verdict;
use crate::state::Changed;
use crate::wasm::{Fault, LogLevel};

/// A line of the code.
#[derive(Serialize, ToSchema)]
#[schema(as = RunLogLine)]
pub(super) struct LogLine {
    level: &'static str,
    text: String,
}

impl LogLine {
    pub(super) fn of((level, text): (LogLevel, String)) -> Self {
        Self { level: level.as_str(), text }
    }
}

/// A failure of the code.
#[derive(Serialize, ToSchema)]
#[schema(as = RunFault)]
pub(super) struct FaultView {
    /// such as `trap` or `cpu_limit`
    code: &'static str,
    /// of a panic, its message
    message: String,
    /// demangled frames, innermost first
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backtrace: Vec<String>,
}

/// A transform's reason, and how the code failed.
pub(super) fn told(verdict: Option<&Verdict>) -> (Option<String>, Option<FaultView>) {
    match verdict {
        Some(Verdict::Reject(reason)) => (Some(reason.clone()), None),
        Some(Verdict::Fault(fault)) => (None, Some(FaultView::of(fault))),
        _ => (None, None),
    }
}

/// As in an answer.
pub(super) fn verdict_name(verdict: Option<&Verdict>) -> &'static str {
    match verdict {
        None => "not_run",
        Some(Verdict::Keep) => "keep",
        Some(Verdict::Drop) => "drop",
        Some(Verdict::Emit) => "emit",
        Some(Verdict::Processed) => "processed",
        Some(Verdict::Reject(_)) => "reject",
        Some(Verdict::Late) => "late",
        Some(Verdict::Fault(_)) => "fault",
    }
}

/// A record that would be stored, as JSON, with its route and its topic.
pub(super) fn output(
    spec: &DeploymentSpec,
    route: Option<&str>,
    record: &Record,
    timestamp: Option<TimestampMs>,
) -> Option<Box<RawValue>> {
    let topic = match route {
        Some(route) => {
            spec.route_names().position(|name| name == route).map(|at| spec.route_topics().swap_remove(at))
        }
        None => spec.output.default.clone(),
    };
    let named = [("route", route), ("topic", topic.as_ref().map(TopicName::as_str))];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{},", string(value?))));
    object(&(named.collect::<String>() + &members(record, timestamp)))
}

/// A change of state as JSON.
pub(super) fn change(changed: &Changed) -> Option<Box<RawValue>> {
    object(&format!(
        "\"store\":{},{},{},{}",
        string(&changed.store),
        text_member("key", &changed.key),
        value_member("before", changed.before.as_deref()),
        value_member("after", changed.after.as_deref()),
    ))
}

/// Members in braces. They are JSON, so it is always `Some`.
fn object(members: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(format!("{{{members}}}")).ok()
}

impl FaultView {
    pub(super) fn of(fault: &Fault) -> Self {
        let (message, backtrace) = match fault {
            Fault::Trap { message, backtrace } => (message.clone(), backtrace.clone()),
            other => (other.to_string(), Vec::new()),
        };
        Self { code: fault.code(), message, backtrace }
    }
}
