//! `millstream status`: one screen; and `millstream version`.

use clap::Args;
use serde_json::{Value, json};

use super::client::Call;
use super::deployment::{COLUMNS, worst_error};
use super::failure::Failure;
use super::output::{at, human_bytes, render_fields, render_table, thousands};
use super::session::Session;
use crate::runtime::build;
use crate::wasm;

/// One screen: health, topics, deployments
#[derive(Args)]
pub(super) struct Status {
    /// Only whether it is ready: nothing on stdout, exit code 0 or 6
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(session: &Session, args: Status) -> Result<(), Failure> {
    let ready = session.client.send_any(Call::get(&["readyz"]).query("verbose", "true")).await?;
    let is_ready = ready.status().is_success();
    if args.check {
        let not_ready = || Failure::TimedOut(format!("{} is not ready", session.client.base()));
        return if is_ready { Ok(()) } else { Err(not_ready()) };
    }
    let checks: Value =
        ready.bytes().await.ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let version = session.client.json(Call::get(&["version"])).await?;
    let topics = session.client.items(|| Call::get(&["v1", "topics"]), None).await?;
    let deployments = session.client.items(|| Call::get(&["v1", "deployments"]), None).await?;

    let all = json!({
        "url": session.client.base(), "ready": is_ready, "checks": checks, "version": version,
        "topics": topics, "deployments": deployments,
    });
    session.out.one(&all, screen)
}

fn screen(all: &Value) -> String {
    let list = |name: &str| all.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (topics, deployments) = (list("topics"), list("deployments"));
    let sum = |name: &str| topics.iter().filter_map(|t| t.get(name)?.as_u64()).sum::<u64>();
    let records = sum("records");
    let ready = if all.get("ready").and_then(Value::as_bool) == Some(true) { "ready" } else { "NOT READY" };
    let fields = [
        ("server", format!("{} {ready}", at(all, "/url"))),
        ("version", at(all, "/version/version")),
        ("problems", failing_checks(all.get("checks").unwrap_or(&Value::Null))),
        (
            "topics",
            format!("{} with {} records, {}", topics.len(), thousands(records), human_bytes(sum("bytes"))),
        ),
        ("deployments", deployments.len().to_string()),
    ];
    let mut text = render_fields(&fields);
    if !deployments.is_empty() {
        text.push('\n');
        text.push_str(&render_table(&deployments, &COLUMNS));
    }
    for deployment in &deployments {
        if let Some(error) = worst_error(deployment).filter(|_| at(deployment, "/state") != "running") {
            text.push_str(&format!("{}: {error}\n", at(deployment, "/name")));
        }
    }
    text
}

/// Checks that do not hold, with what was found.
fn failing_checks(readiness: &Value) -> String {
    let checks = readiness.get("checks").and_then(Value::as_object).into_iter().flatten();
    let failing = checks.filter(|(_, check)| check.get("ok").and_then(Value::as_bool) == Some(false));
    failing.map(|(name, check)| format!("{name}: {}", at(check, "/detail"))).collect::<Vec<_>>().join("; ")
}

/// What this binary is.
pub(super) fn version(session: &Session) -> Result<(), Failure> {
    let (target, engine) = (build::target(), wasm::engine_version());
    let version = json!({
        "version": build::VERSION, "commit": build::COMMIT, "engine": engine, "target": target,
    });
    session.out.one(&version, |v| {
        let commit = build::COMMIT.map(|commit| format!(", commit {commit}")).unwrap_or_default();
        format!("millstream {} ({target}, {engine}{commit})\n", at(v, "/version"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_names_what_fails() {
        let text = screen(&json!({
            "url": "http://x", "ready": false, "version": {"version": "0.1.0"},
            "checks": {"checks": {"storage": {"ok": true}, "disk": {"ok": false, "detail": "1 byte free"}}},
            "topics": [{"name": "t", "records": 1500, "bytes": 2048}],
            "deployments": [{"name": "d", "state": "failed", "last_error": {"code": "trap", "message": "boom"}}]
        }));
        assert!(text.starts_with("server       http://x NOT READY\n"), "{text}");
        assert!(text.contains("problems     disk: 1 byte free\n"), "{text}");
        assert!(text.contains("topics       1 with 1,500 records, 2.0 KiB\n"), "{text}");
        assert!(text.ends_with("d: trap: boom\n"), "{text}");
    }
}
