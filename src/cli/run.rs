//! `millstream module run` and `deployment run`: dry invocations on the server, from a file or of stored records, and
//! what came of them for people.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::failure::Failure;
use super::output::{at, plain, size};
use super::session::Session;
use crate::model::limits::RUN_TIME_MAX;

/// What both commands read.
#[derive(Args)]
pub(super) struct Records {
    /// NDJSON, a record a line as `produce` takes it, with topic, partition and offset where the code looks at them; -
    /// (the default) reads stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A stored record: TOPIC/PARTITION/OFFSET
    #[arg(long, value_name = "PLACE", value_parser = Place::parse, conflicts_with = "file")]
    record: Option<Place>,
    /// A parameter of the code: NAME=VALUE
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// Event time ends with the records: every timer that goes by it fires
    #[arg(long)]
    flush: bool,
}

/// Run a version over records: what comes out, what it changes, what it logs; nothing is stored
#[derive(Args)]
pub(super) struct ModuleRun {
    /// NAME or NAME@VERSION
    module: String,
    #[command(flatten)]
    records: Records,
    /// An input topic's name, as the code sees it
    #[arg(long = "input", value_name = "TOPIC")]
    inputs: Vec<String>,
    /// A route that the code may name
    #[arg(long = "route", value_name = "NAME")]
    routes: Vec<String>,
    /// What its stores hold: a JSON file {store: {key: value}}
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Run a deployment's code over records: what comes out, what it would change; nothing is stored
#[derive(Args)]
pub(super) struct DeploymentRun {
    name: String,
    #[command(flatten)]
    records: Records,
    /// So many records from --record on
    #[arg(long, default_value_t = 1, requires = "record")]
    limit: u32,
    /// Another version or module instead of its own
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// What the code finds in its stores
    #[arg(long, value_enum, default_value_t = State::None)]
    state: State,
}

/// What a deployment's code finds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Nothing
    None,
    /// What is committed by now
    Committed,
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
}

impl Place {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`, expected TOPIC/PARTITION/OFFSET such as clicks/1/8812");
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|o| o.parse().ok()).ok_or_else(wrong)?;
        let partition = parts.next().and_then(|p| p.parse().ok()).ok_or_else(wrong)?;
        let topic = parts.next().filter(|t| !t.is_empty()).ok_or_else(wrong)?.to_owned();
        Ok(Self { topic, partition, offset })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}`, expected NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A stored record as a line of input.
pub(super) async fn fetch(session: &Session, place: &Place) -> Result<Value, Failure> {
    let partition = place.partition.to_string();
    let call = Call::get(&["v1", "topics", &place.topic, "partitions", &partition, "records"])
        .query("offset", place.offset.to_string())
        .query("limit", "1")
        .query("format", "base64");
    let mut page = session.client.json(call).await?;
    let record = page.pointer_mut("/records/0").map(Value::take);
    match record {
        Some(Value::Object(mut record)) if record.get("offset") == Some(&json!(place.offset)) => {
            record.retain(|_, member| !member.is_null());
            record.insert("topic".to_owned(), json!(place.topic));
            Ok(Value::Object(record))
        }
        _ => Err(Failure::Refused(format!("there is no record at {place} for readers of committed records"))),
    }
}

impl Records {
    fn params(&self) -> Map<String, Value> {
        self.params.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    }

    /// The lines of the file or of stdin.
    fn given(&self) -> Result<Vec<Value>, Failure> {
        if self.file.is_none() && std::io::stdin().is_terminal() {
            return Err(Failure::Usage("no records: name a FILE, a --record, or pipe them in".to_owned()));
        }
        let path = self.file.clone().unwrap_or_else(|| "-".into());
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|e| Failure::local("cannot read stdin", e))?;
            text
        } else {
            let text = std::fs::read_to_string(&path);
            text.map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))?
        };
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let parsed = lines.map(|(number, line)| {
            let file = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
            let wrong = |e| {
                let detail = format!(
                    "{file}, line {number}: no JSON: {e}; a line is a record such as {{\"value\": 1}}"
                );
                Failure::Refused(detail)
            };
            serde_json::from_str(line).map_err(wrong)
        });
        parsed.collect()
    }
}

pub(super) async fn module(session: &Session, args: ModuleRun) -> Result<(), Failure> {
    let (name, version) = args.module.split_once('@').unwrap_or((&args.module, "latest"));
    let records = match &args.records.record {
        Some(place) => vec![fetch(session, place).await?],
        None => args.records.given()?,
    };
    let mut inputs = args.inputs;
    if let Some(place) = args.records.record.as_ref().filter(|place| !inputs.contains(&place.topic)) {
        inputs.push(place.topic.clone());
    }
    let mut body = json!({ "records": records, "params": args.records.params(), "inputs": inputs, "outputs": args.routes,
        "flush": args.records.flush });
    if let Some(path) = args.state {
        let wrong = |e: &dyn std::fmt::Display| Failure::Refused(format!("{}: {e}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(&e))?;
        body["state"] = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    }
    run(session, Call::post(&["v1", "modules", name, "versions", version, "run"]).json(&body)).await
}

pub(super) async fn deployment(session: &Session, args: DeploymentRun) -> Result<(), Failure> {
    let state = if args.state == State::Committed { "committed" } else { "none" };
    let mut body = json!({ "params": args.records.params(), "state": state, "flush": args.records.flush });
    match &args.records.record {
        Some(Place { topic, partition, offset }) => {
            body["from"] =
                json!({ "topic": topic, "partition": partition, "offset": offset, "limit": args.limit });
        }
        None => body["records"] = json!(args.records.given()?),
    }
    if let Some(module) = args.module {
        body["module"] = json!(module);
    }
    run(session, Call::post(&["v1", "deployments", &args.name, "run"]).json(&body)).await
}

async fn run(session: &Session, call: Call) -> Result<(), Failure> {
    let answer = session.client.json(call.takes(RUN_TIME_MAX)).await?;
    session.out.one(&answer, report)?;
    let records = answer.get("records").and_then(Value::as_array).cloned().unwrap_or_default();
    if records.is_empty() {
        session.out.hint("no record was there, so nothing ran");
    }
    let failed = records.iter().filter(|r| r["verdict"] == "fault").count();
    match at(&answer, "/ended_by/message") {
        cause if failed == 0 && !cause.is_empty() => Err(Failure::Refused(cause)),
        _ if failed == 0 => Ok(()),
        _ => Err(Failure::Refused(format!("the code fails on {failed} of {} records", records.len()))),
    }
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A run for people. Of a failure the code's own words come first.
fn report(answer: &Value) -> String {
    let mut text = String::new();
    for record in list(answer, "records") {
        let place =
            format!("{}/{}/{}", at(record, "/topic"), at(record, "/partition"), at(record, "/offset"));
        let reason = record.get("reason").map(|r| format!(": {}", plain(r))).unwrap_or_default();
        let _ = writeln!(text, "{place}  {}{reason}", at(record, "/verdict"));
        if let Some(fault) = record.get("fault") {
            text.push_str(&failure(fault));
        }
        for (name, label) in [("becomes", "becomes"), ("reproduce", "again")] {
            if let Some(words) = record.get(name) {
                let _ = writeln!(text, "    {label}: {}", plain(words));
            }
        }
        text.extend(list(record, "outputs").map(|o| format!("    → {}\n", output(o))));
    }
    text.extend(list(answer, "unsourced").map(|o| format!("→ {}\n", output(o))));
    if let Some(ended) = answer.get("ended_by")
        && !list(answer, "records").any(|r| r["verdict"] == "fault")
    {
        text.push_str(&failure(ended));
    }
    for changed in list(answer, "state_changes") {
        let key = ["key", "key_base64"].into_iter().find_map(|name| changed.get(name));
        let _ = writeln!(
            text,
            "state {}/{}: {} → {}",
            at(changed, "/store"),
            key.map(plain).unwrap_or_default(),
            side(changed, "before"),
            side(changed, "after")
        );
    }
    if answer["more_state_changes"] == true {
        text.push_str("state … and more\n");
    }
    text.extend(list(answer, "logs").map(|l| format!("log {} {}\n", at(l, "/level"), at(l, "/text"))));
    if answer["cut"] == true {
        text.push_str("the outputs have more bytes than a run may give; the rest is missing\n");
    }
    let ms = |name: &str| answer[name].as_f64().unwrap_or_default() / 1e3;
    let _ = writeln!(
        text,
        "{}: {} records, {:.1} ms CPU, {:.1} ms, {}",
        at(answer, "/module"),
        list(answer, "records").count(),
        ms("cpu_us"),
        ms("wall_us"),
        size(answer, "/memory_bytes")
    );
    text
}

pub(super) fn failure(fault: &Value) -> String {
    let mut text = format!("    {} ({})\n", at(fault, "/message"), at(fault, "/code"));
    text.extend(list(fault, "backtrace").take(20).map(|frame| format!("      {}\n", plain(frame))));
    text
}

/// An output on one line: where to, and its members as they came.
pub(super) fn output(output: &Value) -> String {
    let Value::Object(members) = output else { return output.to_string() };
    let mut members = members.clone();
    members.remove("route");
    let topic = members.remove("topic").map(|topic| format!("{} ", plain(&topic)));
    format!("{}{}", topic.unwrap_or_default(), Value::Object(members))
}

/// A value of a change, in whichever form it has.
pub(super) fn side(changed: &Value, name: &str) -> String {
    let forms = [name.to_owned(), format!("{name}_text"), format!("{name}_base64")];
    match forms.iter().find_map(|form| changed.get(form)) {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_topic_partition_and_offset() {
        let place = Place { topic: "clicks".into(), partition: 1, offset: 8812 };
        assert_eq!(Place::parse("clicks/1/8812"), Ok(place));
        for bad in ["clicks", "clicks/1", "/1/2", "clicks/x/1", "clicks/1/-1"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_failure_begins_with_the_codes_own_words() {
        let answer = json!({
            "module": "m@1.0.0", "cpu_us": 1500, "wall_us": 2500, "memory_bytes": 1_048_576,
            "records": [{
                "topic": "in", "partition": 0, "offset": 7, "verdict": "fault", "outputs": [],
                "fault": { "code": "trap", "message": "no such user", "backtrace": ["m::mask"] },
                "becomes": "the task stops at it", "reproduce": "millstream deployment run d --record in/0/7",
            }],
            "state_changes": [{ "store": "s", "key": "k", "before": null, "after": { "n": 1 } }],
        });
        let expected = "in/0/7  fault\n    no such user (trap)\n      m::mask\n    becomes: the task stops at it\n    \
            again: millstream deployment run d --record in/0/7\nstate s/k: nothing → {\"n\":1}\n\
            m@1.0.0: 1 records, 1.5 ms CPU, 2.5 ms, 1.0 MiB\n";
        assert_eq!(report(&answer), expected);
    }
}
