//! `millstream deployment shadow`: another version beside a deployment, and what differs.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::Call;
use super::failure::Failure;
use super::output::{at, count, plain, size};
use super::run::{failure, list, output, parameter, side};
use super::session::Session;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Run another version beside a deployment on the same input and compare; nothing is published
#[derive(Args)]
pub(super) struct Shadow {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Begin
    Start {
        name: String,
        /// The candidate: NAME or NAME@VERSION [default: what the deployment's module means by now]
        #[arg(long, value_name = "MODULE")]
        module: Option<String>,
        /// A parameter of the candidate: NAME=VALUE
        #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
        params: Vec<(String, String)>,
        /// What both begin with
        #[arg(long, value_enum, default_value_t = State::Copy)]
        state: State,
        /// End after so many records
        #[arg(long)]
        records: Option<u64>,
        /// End after so long, such as 5m [default: 10m]
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
        /// Begin at the oldest records kept instead of where the deployment stands
        #[arg(long)]
        from_earliest: bool,
        /// Wait until it ends, and show what it has found
        #[arg(long)]
        wait: bool,
    },
    /// What it has found so far
    Show { name: String },
    /// Stop it and forget its results
    Stop { name: String },
}

/// What both versions begin with.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// The deployment's state as it is now
    Copy,
    /// Nothing
    Empty,
}

pub(super) async fn run(session: &Session, args: Shadow) -> Result<(), Failure> {
    match args.command {
        Command::Start { name, module, params, state, records, duration, from_earliest, wait } => {
            let params: serde_json::Map<_, _> =
                params.into_iter().map(|(name, value)| (name, json!(value))).collect();
            let state = if state == State::Copy { "copy" } else { "empty" };
            let mut body = json!({ "params": params, "state": state });
            let members = [
                ("module", module.map(|m| json!(m))),
                ("records", records.map(|n| json!(n))),
                ("duration", duration.map(|d| json!(d))),
                ("from", from_earliest.then(|| json!("earliest"))),
            ];
            for (member, value) in members {
                if let Some(value) = value {
                    body[member] = value;
                }
            }
            let begun = session.client.json(call(&name, Call::post).json(&body)).await?;
            if wait {
                return show(session, &name, true).await;
            }
            let line = format!("{} runs beside deployment `{name}`", at(&begun, "/module"));
            session.out.done(&begun, &line)
        }
        Command::Show { name } => show(session, &name, false).await,
        Command::Stop { name } => {
            session.client.bytes(call(&name, Call::delete)).await?;
            session.out.hint(format!("the shadow run of deployment `{name}` is stopped"));
            Ok(())
        }
    }
}

fn call(name: &str, method: fn(&[&str]) -> Call) -> Call {
    method(&["v1", "deployments", name, "shadow"])
}

async fn show(session: &Session, name: &str, to_end: bool) -> Result<(), Failure> {
    loop {
        let shadow = session.client.json(call(name, Call::get)).await?;
        if !to_end || shadow["running"] != true {
            return session.out.one(&shadow, report);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A shadow run for people.
fn report(shadow: &Value) -> String {
    let state = match at(shadow, "/ended_by") {
        reason if reason.is_empty() => "runs".to_owned(),
        reason => format!("ended: {reason}"),
    };
    let mut text = format!(
        "{} beside deployment `{}` {state}\n{} records compared: {} equal, {} different, {} not compared\n",
        at(shadow, "/module"),
        at(shadow, "/deployment"),
        count(shadow, "/records_compared"),
        count(shadow, "/equal"),
        count(shadow, "/different"),
        count(shadow, "/not_compared"),
    );
    for (name, label) in [("current", "current"), ("candidate", "candidate")] {
        let side = &shadow[name];
        let cpu = side["cpu_us_per_record"].as_f64().map(|us| format!("{us:.1} µs CPU a record, "));
        let (cpu, memory) = (cpu.unwrap_or_default(), size(side, "/memory_bytes"));
        let _ = writeln!(text, "{label:9} {cpu}{memory}, failed on {} records", at(side, "/faults"));
    }
    for difference in list(shadow, "differences") {
        let batch = if difference["of_batch"] == true { "  (of its batch)" } else { "" };
        let place = [at(difference, "/topic"), at(difference, "/partition"), at(difference, "/offset")];
        let _ = writeln!(text, "{}{batch}", place.join("/"));
        for (name, mark) in [("expected", '-'), ("found", '+')] {
            let told = &difference[name];
            let reason = told.get("reason").map(|r| format!(": {}", plain(r))).unwrap_or_default();
            let _ = writeln!(text, "  {mark} {}{reason}", at(told, "/verdict"));
            if let Some(fault) = told.get("fault") {
                text.push_str(&failure(fault));
            }
            text.extend(list(told, "outputs").map(|o| format!("  {mark}   → {}\n", output(o))));
        }
    }
    for changed in list(shadow, "state_differences") {
        let key = ["key", "key_base64"].into_iter().find_map(|name| changed.get(name));
        let key = format!("{}/{}", at(changed, "/store"), key.map(plain).unwrap_or_default());
        let _ =
            writeln!(text, "state {key}\n  - {}\n  + {}", side(changed, "before"), side(changed, "after"));
    }
    if shadow["more_state_differences"] == true {
        text.push_str("state … and more\n");
    }
    text.extend(list(shadow, "logs").map(|l| format!("log {} {}\n", at(l, "/level"), at(l, "/text"))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_marked_as_a_diff_marks_it() {
        let shadow = json!({
            "deployment": "d", "module": "m@2.0.0", "running": false, "ended_by": "its time is over",
            "records_compared": 3, "equal": 2, "different": 1, "not_compared": 0,
            "current": { "faults": 0, "cpu_us_per_record": 1.25, "memory_bytes": 1_048_576 },
            "candidate": { "faults": 1, "cpu_us_per_record": 2.0, "memory_bytes": 1_048_576 },
            "differences": [{
                "topic": "in", "partition": 0, "offset": 7,
                "expected": { "verdict": "emit", "outputs": [{ "topic": "out", "value": 1 }] },
                "found": { "verdict": "reject", "reason": "no", "outputs": [] },
            }],
        });
        let expected = "m@2.0.0 beside deployment `d` ended: its time is over\n\
            3 records compared: 2 equal, 1 different, 0 not compared\n\
            current   1.2 µs CPU a record, 1.0 MiB, failed on 0 records\n\
            candidate 2.0 µs CPU a record, 1.0 MiB, failed on 1 records\n\
            in/0/7\n  - emit\n  -   → out {\"value\":1}\n  + reject: no\n";
        assert_eq!(report(&shadow), expected);
    }
}
