//! `millstream deployment`, also `dep`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::Call;
use super::failure::Failure;
use super::lifecycle;
use super::live;
use super::output::{Column, Format, at, count, plain, render_fields, render_table, size};
use super::position::Position;
use super::run::{self, Place};
use super::session::Session;
use super::shadow;
use super::template::date;
use crate::runtime::clock::Clock;

/// Deployments: list, describe, logs, pause, resume, restart, rewind, upgrade, rollback, history, run, shadow, delete
#[derive(Args)]
pub(super) struct Deployment {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All deployments
    List,
    /// Spec and state of a deployment, task by task
    Describe {
        name: String,
    },
    /// What its code logs
    Logs {
        name: String,
        /// Wait for more
        #[arg(short, long)]
        follow: bool,
        /// Since a time such as -15m or 2026-11-22T12:40:00Z
        #[arg(long, allow_hyphen_values = true)]
        since: Option<String>,
        /// Before a time, written likewise
        #[arg(long, allow_hyphen_values = true)]
        until: Option<String>,
        /// Only this level and above
        #[arg(long, value_parser = ["trace", "debug", "info", "warn", "error"])]
        level: Option<String>,
        /// Only lines with this text
        #[arg(long)]
        contains: Option<String>,
        /// The last so many lines
        #[arg(short = 'n', long)]
        limit: Option<u32>,
    },
    /// Stand still; positions and state are kept
    Pause {
        name: String,
    },
    /// Go on
    Resume {
        name: String,
    },
    /// Fresh instances; failed tasks try again
    Restart {
        name: String,
        /// Leave running tasks alone
        #[arg(long)]
        only_failed: bool,
    },
    /// Move the positions
    Rewind {
        name: String,
        /// earliest, latest, a time such as -1h, -N or +N records, or TOPIC/PARTITION/OFFSET, which may be given again;
        /// of a source earliest or cursor:TEXT
        #[arg(long, allow_hyphen_values = true, required = true)]
        to: Vec<String>,
        /// What becomes of the state
        #[arg(long, value_enum, default_value_t = Fate::Keep)]
        state: Fate,
        /// Show where each partition would go and how many records would be read again
        #[arg(long)]
        dry_run: bool,
    },
    Upgrade(lifecycle::Upgrade),
    Rollback(lifecycle::Rollback),
    History(lifecycle::History),
    Run(run::DeploymentRun),
    Shadow(shadow::Shadow),
    /// Delete a deployment
    Delete {
        name: String,
        /// What becomes of the state
        #[arg(long, value_enum, default_value_t = Fate::Clear)]
        state: Fate,
    },
}

/// What becomes of the state.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fate {
    Keep,
    Clear,
}

impl Fate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Clear => "clear",
        }
    }
}

/// Of a list of deployments.
pub(super) const COLUMNS: [Column; 8] = [
    ("NAME", |d| at(d, "/name")),
    ("KIND", |d| at(d, "/kind")),
    ("STATE", |d| at(d, "/state")),
    ("MODULE", |d| at(d, "/module")),
    ("LAG", |d| count(d, "/totals/lag")),
    ("IN", |d| count(d, "/totals/records_in")),
    ("OUT", |d| count(d, "/totals/records_out")),
    ("ERRORS", |d| count(d, "/totals/errors")),
];

const TASK_COLUMNS: [Column; 7] = [
    ("TASK", |t| at(t, "/partition")),
    ("STATE", task_state),
    ("POSITIONS", |t| if t.get("source").is_some() { polls(t) } else { positions(t) }),
    ("LAG", |t| count(t, "/totals/lag")),
    ("IN", |t| count(t, "/totals/records_in")),
    ("MEMORY", |t| size(t, "/memory_bytes")),
    ("LAST ERROR", |t| worst_error(t).unwrap_or_default()),
];

/// What it does, and whether others have to read what lies between the stages before it reads on.
fn task_state(task: &Value) -> String {
    let held_back = if task["held_back"] == true { " (held back)" } else { "" };
    format!("{}{held_back}", at(task, "/state"))
}

fn positions(task: &Value) -> String {
    let positions = task.get("positions").and_then(Value::as_array).into_iter().flatten();
    let one = |p: &Value| format!("{}:{}:{}", at(p, "/topic"), at(p, "/partition"), at(p, "/offset"));
    positions.map(one).collect::<Vec<_>>().join(" ")
}

/// The event times of the tasks that have one: watermark, how far behind the clock it is, timers.
fn event_time(view: &Value) -> String {
    let tasks = view.get("tasks").and_then(Value::as_array).into_iter().flatten();
    let one = |task: &Value| {
        let time = task.get("time")?;
        let mark = match time.get("watermark_ms").and_then(Value::as_i64) {
            Some(ms) => format!("{} ({} ms behind the clock)", date(ms), count(time, "/watermark_lag_ms")),
            None => "no watermark yet".to_owned(),
        };
        let inputs = time.get("inputs").and_then(Value::as_array).into_iter().flatten();
        let idle = inputs.filter(|input| input["idle"] == true);
        let idle: String = idle
            .map(|input| format!(", {}:{} is idle", at(input, "/topic"), at(input, "/partition")))
            .collect();
        Some(format!("{}: {mark}, {} timers{idle}", at(task, "/partition"), count(time, "/timers")))
    };
    tasks.filter_map(one).collect::<Vec<_>>().join("; ")
}

/// How far a source has come.
fn polls(task: &Value) -> String {
    let cursor = match (at(task, "/source/cursor"), at(task, "/source/cursor_base64")) {
        (text, base64) if text.is_empty() && base64.is_empty() => "no cursor yet".to_owned(),
        (text, base64) => format!("cursor {text}{base64}"),
    };
    let last = task.pointer("/source/last_poll_ms").and_then(Value::as_i64).map(date);
    let last = last.map(|at| format!(", the last at {at}")).unwrap_or_default();
    format!("{cursor}; {} polls{last}", count(task, "/source/polls"))
}

/// The last error of a deployment or a task, with its record.
pub(super) fn worst_error(view: &Value) -> Option<String> {
    let error = view.get("last_error").filter(|e| !e.is_null())?;
    let place = ["/topic", "/partition", "/offset"].map(|part| at(error, part));
    let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":");
    let place = match error.get("timer") {
        Some(timer) => {
            format!(" at timer `{}` of {} {}", at(timer, "/name"), at(timer, "/clock"), at(timer, "/at_ms"))
        }
        None if place.is_empty() => place,
        None => format!(" at {place}"),
    };
    Some(format!("{}{place}: {}", at(error, "/code"), at(error, "/message")))
}

pub(super) async fn run(session: &Session, args: Deployment) -> Result<(), Failure> {
    match args.command {
        Command::List => {
            let deployments = session.client.items(|| Call::get(&["v1", "deployments"]), None).await?;
            session.out.list(&deployments, &COLUMNS)
        }
        Command::Describe { name } => {
            let view = session.client.json(Call::get(&["v1", "deployments", &name])).await?;
            session.out.one(&view, describe)
        }
        Command::Logs { name, follow, since, until, level, contains, limit } => {
            let call = Call::get(&["v1", "deployments", &name, "logs"])
                .query_some("since", since)
                .query_some("until", until)
                .query_some("level", level)
                .query_some("contains", contains)
                .query_some("limit", limit)
                .query_if("follow", follow)
                .header("accept", "application/x-ndjson");
            let human = match session.out.format {
                None => session.out.stdout_is_terminal,
                Some(Format::Table) => true,
                Some(_) => false,
            };
            logs(session, if follow { call.takes(live::FOR_EVER) } else { call }, human).await
        }
        Command::Pause { name } => {
            act(session, Call::post(&["v1", "deployments", &name, "pause"]), &name).await
        }
        Command::Resume { name } => {
            act(session, Call::post(&["v1", "deployments", &name, "resume"]), &name).await
        }
        Command::Restart { name, only_failed } => {
            let call =
                Call::post(&["v1", "deployments", &name, "restart"]).query_if("only_failed", only_failed);
            act(session, call, &name).await
        }
        Command::Rewind { name, to, state, dry_run } => rewind(session, &name, &to, state, dry_run).await,
        Command::Upgrade(args) => lifecycle::upgrade(session, args).await,
        Command::Rollback(args) => lifecycle::rollback(session, args).await,
        Command::History(args) => lifecycle::history(session, args).await,
        Command::Run(args) => run::deployment(session, args).await,
        Command::Shadow(args) => shadow::run(session, args).await,
        Command::Delete { name, state } => {
            let fate = if state == Fate::Keep { "its state is kept" } else { "with its state" };
            session.confirm(&format!("delete deployment `{name}` ({fate})"))?;
            session
                .client
                .bytes(Call::delete(&["v1", "deployments", &name]).query("state", state.as_str()))
                .await?;
            session.out.hint(format!("deployment `{name}` is deleted"));
            Ok(())
        }
    }
}

/// A verb whose answer is the deployment.
async fn act(session: &Session, call: Call, name: &str) -> Result<(), Failure> {
    let view = session.client.json(call).await?;
    session.out.done(&view, &format!("deployment `{name}` is {}", at(&view, "/state")))
}

/// Of a rewind's plan.
const REWIND_COLUMNS: [Column; 5] = [
    ("TOPIC", |p| at(p, "/topic")),
    ("PARTITION", |p| at(p, "/partition")),
    ("FROM", |p| at(p, "/from")),
    ("TO", |p| at(p, "/to") + if p["clamped"] == true { " (end of the log)" } else { "" }),
    ("RECORDS", |p| if p["estimated"] == true { "about " } else { "" }.to_owned() + &at(p, "/records")),
];

async fn rewind(
    session: &Session,
    name: &str,
    to: &[String],
    state: Fate,
    dry_run: bool,
) -> Result<(), Failure> {
    let target = rewind_target(to, Clock::system().now_ms())
        .map_err(|e| Failure::Usage(format!("--to {}: {e}", to.join(" --to "))))?;
    if state == Fate::Clear && !dry_run {
        session.confirm(&format!("rewind deployment `{name}` and drop its state"))?;
    }
    let body = json!({"to": target, "state": state.as_str()});
    let call = Call::post(&["v1", "deployments", name, "rewind"]).query_if("dry_run", dry_run).json(&body);
    let plan = session.client.json(call).await?;
    let verb = if dry_run { "would be" } else { "is" };
    let about = if plan["estimated"] == true { "about " } else { "" };
    let cursor = plan.get("cursor").filter(|cursor| !cursor.is_null());
    let records = match plan.get("replayed").and_then(Value::as_i64).unwrap_or_default() {
        _ if cursor.is_some() => format!("its cursor goes {}", cursor_moves(&plan)),
        n if n >= 0 => format!("{about}{n} records are read again"),
        n => format!("{about}{} records are passed over", n.unsigned_abs()),
    };
    let line = format!("deployment `{name}` {verb} rewound; {records}");
    if !dry_run {
        return session.out.done(&plan, &line);
    }
    session.out.one(&plan, |plan| match plan.get("partitions").and_then(Value::as_array) {
        Some(partitions) if cursor.is_none() => {
            format!("{}{line}\n", render_table(partitions, &REWIND_COLUMNS))
        }
        _ => format!("{line}\n"),
    })
}

/// How the cursor of a source moves.
fn cursor_moves(plan: &Value) -> String {
    let end = |name: &str| match at(plan, name) {
        none if none.is_empty() => "none".to_owned(),
        cursor => format!("`{cursor}`"),
    };
    format!("from {} to {}", end("/cursor/from"), end("/cursor/to"))
}

/// The `to` of a rewind request.
fn rewind_target(texts: &[String], now_ms: i64) -> Result<Value, String> {
    if let [text] = texts
        && let Some(cursor) = text.strip_prefix("cursor:")
    {
        return Ok(json!({ "cursor": cursor }));
    }
    if texts.iter().any(|text| text.contains('/')) {
        let mut offsets = json!({});
        for text in texts {
            let Place { topic, partition, offset } = Place::parse(text)?;
            offsets[topic][partition.to_string()] = json!(offset);
        }
        return Ok(json!({ "offsets": offsets }));
    }
    let [text] = texts else { return Err("only TOPIC/PARTITION/OFFSET may be given again".to_owned()) };
    if let Some(forward) = text.strip_prefix('+') {
        return forward.parse::<i64>().map(|n| json!({"shift_by": n})).map_err(|e| e.to_string());
    }
    let position = Position::parse(text)?;
    Ok(match position {
        Position::Earliest => json!("earliest"),
        Position::Latest => json!("latest"),
        Position::Last(records) => json!({"shift_by": i64::try_from(records).map_or(i64::MIN, |n| -n)}),
        Position::Time(_) => json!({"timestamp": position.time_ms(now_ms)}),
        Position::Offset(_) => {
            return Err("an offset needs its partition: TOPIC/PARTITION/OFFSET".to_owned());
        }
    })
}

/// Shows what a deployment's code logs from a time on, for people.
pub(super) async fn follow_log(session: &Session, name: &str, since_ms: i64) -> Result<(), Failure> {
    let call = Call::get(&["v1", "deployments", name, "logs"]).query("follow", "true");
    let call = call.query("since", date(since_ms)).header("accept", "application/x-ndjson");
    logs(session, call.takes(live::FOR_EVER), true).await
}

/// Shows log lines as they come.
async fn logs(session: &Session, call: Call, human: bool) -> Result<(), Failure> {
    live::lines(session, call, |lines| show_lines(session, lines, human)).await
}

fn show_lines(session: &Session, lines: &[u8], human: bool) -> Result<(), Failure> {
    let mut out = Vec::new();
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()) {
        match serde_json::from_slice::<Value>(line) {
            Ok(entry) if human => out.extend_from_slice(log_line(&entry).as_bytes()),
            _ => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    session.out.bytes(&out)
}

fn log_line(entry: &Value) -> String {
    let time =
        entry.get("timestamp").and_then(Value::as_i64).map(date).unwrap_or_else(|| at(entry, "/timestamp"));
    let level = at(entry, "/level").to_uppercase();
    let task = format!("{}/{}", at(entry, "/deployment"), at(entry, "/partition"));
    format!("{time} {level:5} {task}  {}", at(entry, "/text"))
}

fn describe(view: &Value) -> String {
    let totals = view.get("totals").and_then(Value::as_object).into_iter().flatten();
    let totals =
        totals.filter(|(_, n)| n.as_u64() != Some(0)).map(|(name, n)| format!("{name} {}", plain(n)));
    let fields = [
        ("name", at(view, "/name")),
        ("kind", at(view, "/kind")),
        ("state", at(view, "/state")),
        ("module", at(view, "/module")),
        ("digest", at(view, "/digest")),
        ("revision", at(view, "/revision")),
        ("inputs", at(view, "/spec/input/topics")),
        ("output", at(view, "/spec/output/default")),
        ("params", at(view, "/spec/params")),
        ("totals", totals.collect::<Vec<_>>().join(", ")),
        ("event time", event_time(view)),
        ("last error", worst_error(view).unwrap_or_default()),
        ("again", at(view, "/last_error/reproduce")),
        ("notes", at(view, "/notes")),
    ];
    let tasks = view.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
    let tasks =
        if tasks.is_empty() { String::new() } else { format!("\n{}", render_table(&tasks, &TASK_COLUMNS)) };
    let frames = view.pointer("/last_error/backtrace").and_then(Value::as_array).into_iter().flatten();
    let frames: String = frames.map(|f| format!("    {}\n", plain(f))).collect();
    format!("{}{frames}{tasks}", render_fields(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{args, fake};

    #[tokio::test]
    async fn logs_of_a_span_are_asked_for_by_both_of_its_ends() {
        let words = ["deployment", "logs", "d", "--since", "-2h", "--until", "-1h"];
        let (asked, done) = fake::answered("200 OK", &words, async |session, command| {
            let args::Command::Deployment(args) = command else { unreachable!() };
            run(&session, args).await.map_err(|failure| failure.code())
        })
        .await;
        assert_eq!(done, Ok(()));
        assert_eq!(asked, "GET /v1/deployments/d/logs?since=-2h&until=-1h HTTP/1.1");
    }

    #[test]
    fn a_rewind_goes_to_ends_times_and_records_back_or_forward() {
        let target = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            rewind_target(&texts, 7_200_000)
        };
        assert_eq!(target(&["earliest"]), Ok(json!("earliest")));
        assert_eq!(target(&["-1h"]), Ok(json!({"timestamp": 3_600_000})));
        assert_eq!(target(&["-100"]), Ok(json!({"shift_by": -100})));
        assert_eq!(target(&["+100"]), Ok(json!({"shift_by": 100})));
        let offsets = json!({"offsets": {"a": {"0": 5, "1": 6}, "b": {"0": 7}}});
        assert_eq!(target(&["a/0/5", "a/1/6", "b/0/7"]), Ok(offsets));
        assert_eq!(target(&["cursor:page 7/8"]), Ok(json!({"cursor": "page 7/8"})));
        for bad in [&["42"][..], &["whenever"], &["earliest", "latest"], &["a/0/5", "latest"]] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_its_record() {
        let view = json!({"last_error": {"code": "trap", "message": "unreachable", "topic": "t", "partition": 0,
            "offset": 7}});
        assert_eq!(worst_error(&view).as_deref(), Some("trap at t:0:7: unreachable"));
        assert_eq!(worst_error(&json!({})), None);
    }

    #[test]
    fn a_task_that_is_held_back_says_so() {
        let mut task = json!({"state": "running", "held_back": false});
        assert_eq!(task_state(&task), "running");
        task["held_back"] = true.into();
        assert_eq!(task_state(&task), "running (held back)");
    }

    #[test]
    fn log_lines_are_readable() {
        let entry = json!({"timestamp": 0, "level": "warn", "deployment": "d", "partition": 0, "text": "hm"});
        assert_eq!(log_line(&entry), "1970-01-01T00:00:00.000Z WARN  d/0  hm");
    }
}
