//! `millstream deploy`: a file becomes deployments.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize as _;
use serde_json::Value;

use super::client::Call;
use super::deployment::worst_error;
use super::failure::Failure;
use super::output::at;
use super::session::Session;
use crate::runtime::clock::monotonic;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Apply deploy.yaml
#[derive(Args)]
pub(super) struct Deploy {
    /// YAML or JSON with one deployment or several documents; - reads stdin
    #[arg(short, long, default_value = "deploy.yaml")]
    file: PathBuf,
    /// Show what would change
    #[arg(long)]
    dry_run: bool,
    /// Wait until it runs (at most --timeout)
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(session: &Session, args: Deploy) -> Result<(), Failure> {
    let text = read(&args.file)?;
    let specs = parse(&text).map_err(|e| Failure::Refused(format!("{}: {e}", args.file.display())))?;
    for spec in specs {
        let name = at(&spec, "/name");
        if name.is_empty() {
            return Err(Failure::Refused(format!("{}: a deployment without `name`", args.file.display())));
        }
        let call = Call::put(&["v1", "deployments", &name]).query_if("dry_run", args.dry_run).json(&spec);
        let answer = session.client.json(call).await?;
        if args.dry_run {
            session.out.one(&answer, |a| changes(&name, a))?;
            continue;
        }
        let view = if args.wait { wait_until_running(session, &name).await? } else { answer };
        let state = at(&view, "/state");
        let revision = at(&view, "/revision");
        session.out.done(&view, &format!("deployment `{name}` is {state}, revision {revision}"))?;
        for note in view.get("notes").and_then(Value::as_array).into_iter().flatten() {
            session.out.hint(format!("deployment `{name}`: {}", note.as_str().unwrap_or_default()));
        }
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let what = || format!("cannot read {}", path.display());
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| Failure::local("cannot read stdin", e))?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::Usage(format!(
            "{} is not there; --file names another, and `millstream module new NAME` begins a project that has one",
            path.display()
        )),
        _ => Failure::local(&what(), e),
    })
}

/// Every document of the file; JSON is YAML too.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut specs = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|e| e.to_string())?;
        match value {
            Value::Null => {}
            Value::Object(_) => specs.push(value),
            _ => return Err("expected a deployment: name, kind, module, input, …".to_owned()),
        }
    }
    if specs.is_empty() { Err("there is no deployment in it".to_owned()) } else { Ok(specs) }
}

/// The server's list of changes, a line each.
pub(super) fn changes(name: &str, answer: &Value) -> String {
    let changes = answer.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if answer.get("created").and_then(Value::as_bool) == Some(true) {
        return format!("deployment `{name}` would be created\n");
    }
    if changes.is_empty() {
        return format!("deployment `{name}`: nothing would change\n");
    }
    let show = |name: &str, change: &Value| match change.get(name) {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(value) => value.to_string(),
    };
    let line = |c: &Value| format!("  {}: {} → {}\n", at(c, "/pointer"), show("from", c), show("to", c));
    format!("deployment `{name}` would change:\n{}", changes.iter().map(line).collect::<String>())
}

/// Polls until the deployment runs or is paused; a failed one is a failure with its error.
pub(super) async fn wait_until_running(session: &Session, name: &str) -> Result<Value, Failure> {
    let started = monotonic();
    loop {
        let view = session.client.json(Call::get(&["v1", "deployments", name])).await?;
        match at(&view, "/state").as_str() {
            "running" | "paused" => return Ok(view),
            "failed" => {
                let why = worst_error(&view).unwrap_or_else(|| "no reason is given".to_owned());
                return Err(Failure::Local(format!("deployment `{name}` failed: {why}")));
            }
            _ => {}
        }
        if started.elapsed() > session.timeout {
            let why = worst_error(&view).map(|e| format!(": {e}")).unwrap_or_default();
            let state = at(&view, "/state");
            return Err(Failure::TimedOut(format!("deployment `{name}` is still {state}{why}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_files_with_one_or_more_documents_are_read() {
        let yaml = "name: a\nparams: { top: 5, on: true }\n---\nname: b\n";
        let expected = vec![json!({"name": "a", "params": {"top": 5, "on": true}}), json!({"name": "b"})];
        assert_eq!(parse(yaml), Ok(expected));
        assert_eq!(parse("{\"name\": \"a\"}"), Ok(vec![json!({"name": "a"})]));
    }

    #[test]
    fn what_is_no_deployment_is_refused() {
        assert!(parse("").unwrap_err().contains("no deployment"));
        assert!(parse("- a\n").unwrap_err().contains("expected a deployment"));
        assert!(parse("a: [").is_err());
    }

    #[test]
    fn a_dry_run_shows_each_change() {
        let answer = json!({"changes": [{"pointer": "/params/top", "from": "5", "to": "9"}]});
        assert_eq!(changes("d", &answer), "deployment `d` would change:\n  /params/top: \"5\" → \"9\"\n");
        assert_eq!(changes("d", &json!({"created": true})), "deployment `d` would be created\n");
        assert_eq!(changes("d", &json!({"changes": []})), "deployment `d`: nothing would change\n");
    }
}
