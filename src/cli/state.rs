//! `millstream state`: what processors keep.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::client::{Call, is_dots};
use super::consume::Encoding;
use super::failure::{Failure, Problem};
use super::live;
use super::output::{Column, Format, at, first, size};
use super::session::Session;
use crate::model::duration::{format_duration, parse_duration};
use crate::model::limits::{QUERY_BYTES_MAX, SCAN_ENTRIES_MAX, WAIT_MAX};

/// What processors keep: stores, get, watch, scan, query
#[derive(Args)]
pub(super) struct State {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The stores of a deployment
    Stores { deployment: String },
    /// The value of a key
    Get(Key),
    /// The value of a key, and what it is after every change, a line each
    Watch(Key),
    /// Entries in key order
    Scan {
        deployment: String,
        store: String,
        /// Only keys that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// From this key
        #[arg(long)]
        from: Option<String>,
        /// Up to this key, not included
        #[arg(long)]
        to: Option<String>,
        /// Last key first
        #[arg(long)]
        reverse: bool,
        /// At most so many entries
        #[arg(short = 'n', long, default_value_t = 100)]
        limit: usize,
        /// How values are shown
        #[arg(long, value_enum)]
        format: Option<Encoding>,
        #[command(flatten)]
        at: At,
    },
    /// What a processor's code answers over its state
    Query {
        deployment: String,
        /// What it is asked; - reads stdin
        #[arg(default_value = "")]
        request: String,
        /// Ask the task that this key belongs to
        #[arg(short, long)]
        key: Option<String>,
        #[command(flatten)]
        at: At,
    },
}

/// A key and its value.
#[derive(Args)]
struct Key {
    deployment: String,
    store: String,
    key: String,
    /// The key is base64 of its bytes
    #[arg(long)]
    key_base64: bool,
    /// How the value is shown
    #[arg(long, value_enum)]
    format: Option<Encoding>,
    #[command(flatten)]
    at: At,
}

/// Whose state, and how fresh.
#[derive(Args)]
struct At {
    /// The task [default: that of the key, else of --after; without both all for a scan]
    #[arg(short, long)]
    partition: Option<u32>,
    /// Only after this record is processed: TOPIC:PARTITION:OFFSET, as produce answered
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// How long to wait for that
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    wait: std::time::Duration,
}

impl At {
    fn apply(&self, call: Call) -> Call {
        let call = call.query_some("partition", self.partition);
        match &self.after {
            Some(position) => {
                let wait = self.wait.min(WAIT_MAX);
                call.query("after", position).query("wait", format_duration(wait)).takes(wait)
            }
            None => call,
        }
    }
}

impl Key {
    fn call(&self) -> Call {
        let Self { deployment, store, key, key_base64, format, at } = self;
        let mut path = vec!["v1", "deployments", deployment, "stores", store, "keys"];
        let call = if *key_base64 {
            Call::get(&path).query("key_base64", key)
        } else if is_dots(key) {
            Call::get(&path).query("key_base64", STANDARD.encode(key))
        } else {
            path.push(key);
            Call::get(&path)
        };
        at.apply(call).query_some("format", format.map(Encoding::as_str))
    }
}

const STORE_COLUMNS: [Column; 3] = [
    ("STORE", |s| at(s, "/name")),
    ("KEYS", |s| first(s, &["/keys", "/keys_estimate"])),
    ("BYTES", |s| size(s, "/bytes")),
];

const ENTRY_COLUMNS: [Column; 3] = [
    ("TASK", |e| at(e, "/partition")),
    ("KEY", |e| first(e, &["/key", "/key_base64"])),
    ("VALUE", |e| first(e, &["/value", "/value_base64"])),
];

pub(super) async fn run(session: &Session, args: State) -> Result<(), Failure> {
    match args.command {
        Command::Stores { deployment } => {
            let call = || Call::get(&["v1", "deployments", &deployment, "stores"]);
            let stores = session.client.items(call, None).await?;
            session.out.list(&stores, &STORE_COLUMNS)
        }
        Command::Get(key) => show(session, key.call(), "value", json!({"key": key.key})).await,
        Command::Watch(key) => watch(session, key.call().header("accept", "text/event-stream")).await,
        Command::Scan { deployment, store, prefix, from, to, reverse, limit, format, at } => {
            let page = limit.clamp(1, SCAN_ENTRIES_MAX).to_string();
            let call = || {
                let call = Call::get(&["v1", "deployments", &deployment, "stores", &store, "entries"])
                    .query_some("prefix", prefix.as_ref())
                    .query_some("from", from.as_ref())
                    .query_some("to", to.as_ref())
                    .query_if("reverse", reverse)
                    .query("limit", page.as_str())
                    .query_some("format", format.map(Encoding::as_str));
                at.apply(call)
            };
            let entries = session.client.items(call, Some(limit)).await?;
            session.out.list(&entries, &ENTRY_COLUMNS)
        }
        Command::Query { deployment, request, key, at } => {
            let request = if request == "-" { stdin()? } else { request.into_bytes() };
            let is_json = serde_json::from_slice::<IgnoredAny>(&request).is_ok();
            let kind = if is_json { "application/json" } else { "application/octet-stream" };
            let call = Call::post(&["v1", "deployments", &deployment, "query"]);
            let call = call.body(kind, request.into()).query_some("key", key);
            show(session, at.apply(call), "answer", Value::Null).await
        }
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut request = Vec::new();
    // One byte more than the server takes: it refuses what is too long in its own words.
    let most = QUERY_BYTES_MAX as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_end(&mut request);
    read.map_err(|e| Failure::local("cannot read stdin", e))?;
    Ok(request)
}

/// The events of a watched key, as the server writes them.
async fn watch(session: &Session, call: Call) -> Result<(), Failure> {
    let mut event = Vec::new();
    live::lines(session, call.takes(live::FOR_EVER), |lines| {
        let mut out = Vec::new();
        for line in lines.split(|b| *b == b'\n') {
            if let Some(name) = line.strip_prefix(b"event: ") {
                event = name.to_vec();
            }
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            match event.as_slice() {
                b"value" => out.extend([data, b"\n"].concat()),
                b"error" => {
                    session.out.bytes(&out)?;
                    let status =
                        serde_json::from_slice(data).ok().and_then(|p: Value| p.get("status")?.as_u64());
                    let problem = Problem::read(status.unwrap_or(500) as u16, None, data);
                    return Err(Failure::Problem(Box::new(problem)));
                }
                _ => {}
            }
        }
        session.out.bytes(&out)
    })
    .await
}

/// What comes as it is; with `-o`, in an object that says how fresh it is.
async fn show(session: &Session, call: Call, name: &str, about: Value) -> Result<(), Failure> {
    let response = session.client.send(call).await?;
    let position =
        response.headers().get("x-state-position").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = response.bytes().await.map_err(|e| session.client.failure(&e))?;

    match &session.out.format {
        None | Some(Format::Raw) => {
            session.out.bytes(&body)?;
            if session.out.stdout_is_terminal && !body.ends_with(b"\n") {
                session.out.text("\n")?;
            }
            if let Some(position) = position.filter(|_| session.verbose) {
                session.out.hint(format!("as of {position}"));
            }
            Ok(())
        }
        Some(_) => {
            let text = || Value::from(String::from_utf8_lossy(&body).into_owned());
            let value = serde_json::from_slice(&body).unwrap_or_else(|_| text());
            let mut answer = about.as_object().cloned().unwrap_or_default();
            answer.extend([(name.to_owned(), value), ("position".to_owned(), json!(position))]);
            session.out.one(&Value::Object(answer), |a| format!("{}\n", at(a, &format!("/{name}"))))
        }
    }
}
