//! `millstream deployment upgrade`, `rollback` and `history`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::failure::Failure;
use super::output::{Column, at, plain};
use super::session::Session;
use super::template::date;

/// Run another version; the old one goes on until the new one is ready
#[derive(Args)]
pub(super) struct Upgrade {
    name: String,
    /// NAME, NAME@1.2.3 or NAME@sha256:…
    #[arg(short, long)]
    module: String,
    /// What becomes of the state
    #[arg(long, value_enum, default_value_t = NewState::Keep)]
    state: NewState,
    /// A parameter that changes; `name=` removes it
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Check everything, start the new code, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only if this revision is in force
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NewState {
    Keep,
    Clear,
    Migrate,
}

/// Go back to the spec and version of an earlier revision
#[derive(Args)]
pub(super) struct Rollback {
    name: String,
    /// Default: the newest one before with another spec or other code
    #[arg(long)]
    revision: Option<u64>,
    /// Begin with an empty state
    #[arg(long)]
    clear_state: bool,
    /// Keep the state as it is, also when a later version has cleared or migrated it
    #[arg(long, conflicts_with = "clear_state")]
    force: bool,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only if this revision is in force
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

/// What has become of it, newest first
#[derive(Args)]
pub(super) struct History {
    name: String,
    /// One revision, whole
    #[arg(long)]
    revision: Option<u64>,
}

const REVISION_COLUMNS: [Column; 7] = [
    ("REVISION", |r| at(r, "/revision")),
    ("WHEN", |r| r.get("at_ms").and_then(Value::as_i64).map(date).unwrap_or_default()),
    ("WHAT", what),
    ("MODULE", |r| at(r, "/module")),
    ("STATE", |r| at(r, "/state")),
    ("FROM OFFSET", positions),
    ("CHANGES", changes),
];

fn what(revision: &Value) -> String {
    match at(revision, "/of") {
        of if of.is_empty() => at(revision, "/action"),
        of => format!("{} to {of}", at(revision, "/action")),
    }
}

fn positions(revision: &Value) -> String {
    let all = revision.get("positions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |p: &Value| format!("{}:{}:{}", at(p, "/topic"), at(p, "/partition"), at(p, "/offset"));
    let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
    format!("{}{more}", all.iter().take(3).map(one).collect::<Vec<_>>().join(" "))
}

/// Where the spec changed, in few words.
fn changes(revision: &Value) -> String {
    let changes = revision.get("changes").and_then(Value::as_array).into_iter().flatten();
    let pointers = changes.map(|c| at(c, "/pointer")).filter(|p| p.starts_with("/spec/"));
    pointers.map(|p| p.trim_start_matches("/spec").to_owned()).collect::<Vec<_>>().join(" ")
}

pub(super) async fn upgrade(session: &Session, args: Upgrade) -> Result<(), Failure> {
    let Upgrade { name, module, state, params, dry_run, if_revision } = args;
    if state == NewState::Clear && !dry_run {
        session.confirm(&format!("upgrade deployment `{name}` and drop its state"))?;
    }
    let state = match state {
        NewState::Keep => "keep",
        NewState::Clear => "clear",
        NewState::Migrate => "migrate",
    };
    let params = read_params(&params)?;
    let body = json!({"module": module, "state": state, "params": params});
    change(session, &name, "upgrade", &body, dry_run, if_revision).await
}

pub(super) async fn rollback(session: &Session, args: Rollback) -> Result<(), Failure> {
    let Rollback { name, revision, clear_state, force, dry_run, if_revision } = args;
    if clear_state && !dry_run {
        session.confirm(&format!("roll deployment `{name}` back and drop its state"))?;
    }
    let state = if clear_state { "clear" } else { "keep" };
    let body = json!({"revision": revision, "state": state, "force": force});
    change(session, &name, "rollback", &body, dry_run, if_revision).await
}

async fn change(
    session: &Session,
    name: &str,
    verb: &str,
    body: &Value,
    dry_run: bool,
    if_revision: Option<u64>,
) -> Result<(), Failure> {
    let call = Call::post(&["v1", "deployments", name, verb]).query_if("dry_run", dry_run).json(body);
    let call = match if_revision {
        Some(revision) => call.header("if-match", format!("\"{revision}\"")),
        None => call,
    };
    let answer = session.client.json(call).await?;
    if dry_run {
        return session.out.one(&answer, |a| super::deploy::changes(name, a));
    }
    let (state, revision, module) = (at(&answer, "/state"), at(&answer, "/revision"), at(&answer, "/module"));
    session.out.done(&answer, &format!("deployment `{name}` is {state} with {module}, revision {revision}"))
}

/// `name=value`, or `name=` for one that is to go.
fn read_params(words: &[String]) -> Result<Map<String, Value>, Failure> {
    let one = |word: &String| match word.split_once('=') {
        Some((name, "")) => Ok((name.to_owned(), Value::Null)),
        Some((name, value)) => Ok((name.to_owned(), json!(value))),
        None => Err(Failure::Usage(format!("--param {word}: expected NAME=VALUE"))),
    };
    words.iter().map(one).collect()
}

pub(super) async fn history(session: &Session, args: History) -> Result<(), Failure> {
    let History { name, revision } = args;
    if let Some(number) = revision {
        let path = ["v1", "deployments", &name, "revisions", &number.to_string()];
        let revision = session.client.json(Call::get(&path)).await?;
        return session.out.one(&revision, describe);
    }
    let list = || Call::get(&["v1", "deployments", &name, "revisions"]);
    let revisions = session.client.items(list, None).await?;
    session.out.list(&revisions, &REVISION_COLUMNS)
}

fn describe(revision: &Value) -> String {
    let mut text = String::new();
    for (name, cell) in REVISION_COLUMNS.iter().take(6) {
        text += &format!("{:<12} {}\n", name.to_lowercase(), cell(revision));
    }
    for change in revision.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let value = |name: &str| change.get(name).map(plain).filter(|v| !v.is_empty());
        let (from, to) = (value("from"), value("to"));
        let shown = |v: Option<String>| v.unwrap_or_else(|| "nothing".to_owned());
        text += &format!("  {}: {} → {}\n", at(change, "/pointer"), shown(from), shown(to));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revision_says_what_it_was_and_where_it_took_effect() {
        let position = |n: u64| json!({"topic": "t", "partition": n, "offset": n * 10});
        let revision = json!({"revision": 4, "action": "rolled_back", "of": 2, "at_ms": 0, "module": "m@1.0.0",
            "positions": [position(0), position(1), position(2), position(3)],
            "changes": [{"pointer": "/spec/params/top", "from": "5", "to": null}, {"pointer": "/version"}]});
        assert_eq!(what(&revision), "rolled_back to 2");
        assert_eq!(positions(&revision), "t:0:0 t:1:10 t:2:20 and 1 more");
        assert_eq!(changes(&revision), "/params/top");
        assert!(
            describe(&revision).ends_with("  /spec/params/top: 5 → nothing\n  /version: nothing → nothing\n")
        );
    }
}
