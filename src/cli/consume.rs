//! `millstream consume` and `millstream tail`: pages of records until an end, or for ever.

mod group;
mod wanted;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::wanted::{Filter, Through};
use super::client::Call;
use super::failure::Failure;
use super::output::{Format, plain, record_count, thousands};
use super::position::{self, Position};
use super::session::Session;
use super::template::{self, Template, date};
use crate::model::TimestampMs;
use crate::runtime::{backoff, clock::Clock};

/// How long one request waits for new records.
const WAIT: Duration = Duration::from_secs(20);

/// Records of one request.
const PAGE: u64 = 1_000;

/// Read records
#[derive(Args)]
#[command(after_help = template::HELP)]
pub(super) struct Consume {
    /// The topic
    topic: String,
    #[arg(long, default_value = "earliest", value_parser = Position::parse, allow_hyphen_values = true, help = position::HELP)]
    from: Position,
    /// Where to stop, not included: latest (as of now), an offset (with --partition), or a time
    #[arg(long, value_parser = Position::parse, allow_hyphen_values = true)]
    to: Option<Position>,
    /// Stop after so many records
    #[arg(short = 'n', long = "limit", value_name = "RECORDS")]
    limit: Option<u64>,
    /// Wait for more at the end
    #[arg(short, long)]
    follow: bool,
    /// Read as a member of this group, and commit what was shown; --from counts where nothing is committed yet
    #[arg(short, long)]
    group: Option<String>,
    /// Only this partition [default: all, merged by timestamp]
    #[arg(short, long)]
    partition: Option<u32>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    through: Through,
    /// How values are shown in JSON
    #[arg(long, value_enum, default_value_t = Encoding::Json)]
    format: Encoding,
}

/// The last records and those that come: consume --from -10 --follow
#[derive(Args)]
pub(super) struct Tail {
    /// The topic
    topic: String,
    /// So many of the last records of every partition first
    #[arg(short = 'n', long = "last", default_value_t = 10)]
    last: u64,
    /// Only this partition [default: all, merged by timestamp]
    #[arg(short, long)]
    partition: Option<u32>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    through: Through,
    /// How values are shown in JSON
    #[arg(long, value_enum, default_value_t = Encoding::Json)]
    format: Encoding,
}

/// Between bytes and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
    /// the bytes are a JSON document
    Json,
    /// the bytes are UTF-8 text
    Text,
    /// base64 of the bytes
    Base64,
}

impl Encoding {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Base64 => "base64",
        }
    }
}

/// A record with its bytes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: u64,
    pub(super) offset: u64,
    pub(super) timestamp: TimestampMs,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// `name=value,…`
    pub(super) headers: String,
}

/// The server's page. Records stay as they came, so that no number or order of members changes on the way.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    /// of one partition
    next_offset: Option<u64>,
    /// of one partition
    high_watermark: Option<u64>,
    /// of all partitions
    next_cursor: Option<String>,
    /// of all partitions, with `until`
    complete: Option<bool>,
    /// with a filter, and through a transform: records that were looked at
    scanned: Option<u64>,
}

/// What of a record decides where reading ends.
#[derive(Deserialize)]
struct Place {
    offset: u64,
    timestamp: TimestampMs,
}

/// What one record becomes on stdout.
enum Shape {
    /// the server's object, on a line
    Line,
    /// place, key and value for people
    Human,
    Raw,
    Template(Template),
}

// === impl Tail ===

impl From<Tail> for Consume {
    fn from(tail: Tail) -> Self {
        Self {
            topic: tail.topic,
            from: Position::Last(tail.last),
            to: None,
            limit: None,
            follow: true,
            group: None,
            partition: tail.partition,
            filter: tail.filter,
            through: tail.through,
            format: tail.format,
        }
    }
}

// === impl Record ===

impl Record {
    /// From the server's object, written with `format=base64` or any other.
    fn read(topic: &str, value: &Value) -> Self {
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
        Self {
            topic: topic.to_owned(),
            partition: number("partition"),
            offset: number("offset"),
            timestamp: value.get("timestamp").and_then(Value::as_i64).unwrap_or_default(),
            key: bytes_of(value, "key", "key_base64"),
            value: bytes_of(value, "value", "value_base64"),
            headers: headers_of(value.get("headers")),
        }
    }
}

fn bytes_of(record: &Value, plain_name: &str, base64_name: &str) -> Option<Vec<u8>> {
    if let Some(text) = record.get(base64_name).and_then(Value::as_str) {
        return Some(BASE64.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()));
    }
    match record.get(plain_name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        Some(other) => Some(other.to_string().into_bytes()),
    }
}

/// `name=value` with commas between; a name that repeats has a list of values.
fn headers_of(headers: Option<&Value>) -> String {
    let text = |value: &Value| match value.get("base64").and_then(Value::as_str) {
        Some(base64) => String::from_utf8_lossy(&BASE64.decode(base64).unwrap_or_default()).into_owned(),
        None => plain(value),
    };
    let pairs = headers.and_then(Value::as_object).into_iter().flatten().flat_map(|(name, value)| {
        let values =
            if let Value::Array(list) = value { list.as_slice() } else { std::slice::from_ref(value) };
        values.iter().map(move |value| format!("{name}={}", text(value)))
    });
    pairs.collect::<Vec<_>>().join(",")
}

// === reading ===

pub(super) async fn run(session: &Session, args: Consume) -> Result<(), Failure> {
    let shape = match &session.out.format {
        None if session.out.stdout_is_terminal => Shape::Human,
        None | Some(Format::Ndjson | Format::Json) => Shape::Line,
        Some(Format::Table) => Shape::Human,
        Some(Format::Raw) => Shape::Raw,
        Some(Format::Template(template)) => Shape::Template(template.clone()),
        Some(Format::Yaml) => {
            return Err(Failure::Usage("records are no YAML; use ndjson or a format string".into()));
        }
    };
    if let Some(group) = &args.group {
        if !args.filter.is_open() {
            let why = "a group's members share every record; --key, --header and --contains are for reads without --group";
            return Err(Failure::Usage(why.into()));
        }
        if args.through != Through::default() {
            let why = "a group's members see the same records; deploy a view for them, --apply is for reads without --group";
            return Err(Failure::Usage(why.into()));
        }
        return group::run(session, &args, group, &shape).await;
    }
    read(session, args, &shape).await
}

/// Shows the records of a topic from now on, for people.
pub(super) async fn show(session: &Session, topic: &str) -> Result<(), Failure> {
    let (topic, partition, format) = (topic.to_owned(), None, Encoding::Json);
    let tail =
        Tail { topic, last: 0, partition, filter: Filter::default(), through: Through::default(), format };
    let args = Consume { from: Position::Latest, ..tail.into() };
    read(session, args, &Shape::Human).await
}

/// Pages until the end, or for ever.
async fn read(session: &Session, args: Consume, shape: &Shape) -> Result<(), Failure> {
    let by_offset = |p: &Position| matches!(p, Position::Offset(_));
    if args.partition.is_none() && (by_offset(&args.from) || args.to.as_ref().is_some_and(by_offset)) {
        return Err(Failure::Usage("an offset belongs to a partition; say which with --partition".into()));
    }
    let unreadable = |e| Failure::local("the server's answer is no page of records", e);
    let now = Clock::system().now_ms();
    let mut reader = Reader::new(args, now);
    let mut pause = 0;
    if let Some(call) = reader.end_call() {
        let body = session.client.bytes(call).await?;
        let page: Page<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
        reader.until = page.next_cursor;
    }

    loop {
        let body = match session.client.bytes(reader.next_call(shape)).await {
            Ok(body) => body,
            // A follower outlives restarts of the server.
            Err(failure) if reader.follows() && failure.code() == 6 && pause < 10 => {
                pause += 1;
                session.out.hint("connection lost; trying again");
                tokio::time::sleep(backoff::pause(Duration::from_millis(250), pause)).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        pause = 0;

        let page = serde_json::from_slice(&body).map_err(unreadable)?;
        let mut out = Vec::new();
        let goes_on = reader.take_page(&page, shape, &mut out).map_err(unreadable)?;
        session.out.bytes(&out)?;
        if !goes_on {
            if !reader.args.filter.is_open() {
                session.out.hint(format!(
                    "{} of {} match",
                    thousands(reader.shown),
                    record_count(reader.scanned)
                ));
            }
            return Ok(());
        }
    }
}

/// Where a run of pages stands.
struct Reader {
    args: Consume,
    /// cursor or offset of the next page
    next: Option<String>,
    /// `--to latest`, or no `--follow`: the first page's high watermark
    end: Option<u64>,
    /// the same of all partitions: the cursor behind what was there when reading began
    until: Option<String>,
    left: u64,
    until_ms: Option<i64>,
    /// with a filter: records that the server looked at, and those that it gave
    scanned: u64,
    shown: u64,
}

impl Reader {
    fn new(args: Consume, now_ms: i64) -> Self {
        let until_ms = args.to.as_ref().and_then(|to| to.time_ms(now_ms));
        let end = if let Some(Position::Offset(end)) = args.to { Some(end) } else { None };
        let left = args.limit.unwrap_or(u64::MAX);
        Self { next: None, end, until: None, left, until_ms, scanned: 0, shown: 0, args }
    }

    fn follows(&self) -> bool {
        self.args.follow && self.args.to.is_none()
    }

    /// Asks where all partitions end, when reading ends there.
    fn end_call(&self) -> Option<Call> {
        if self.args.partition.is_some() || self.follows() || self.until_ms.is_some() {
            return None;
        }
        let call = Call::get(&["v1", "topics", self.args.topic.as_str(), "records"]);
        Some(call.query("offset", "latest").query("limit", "1"))
    }

    fn next_call(&self, shape: &Shape) -> Call {
        let topic = self.args.topic.as_str();
        let call = match self.args.partition {
            Some(p) => Call::get(&["v1", "topics", topic, "partitions", &p.to_string(), "records"]),
            None => Call::get(&["v1", "topics", topic, "records"]),
        };
        let call = match (&self.next, self.args.partition) {
            (Some(offset), Some(_)) => call.query("offset", offset),
            (Some(cursor), None) => call.query("cursor", cursor),
            (None, _) => match &self.args.from {
                Position::Earliest => call.query("offset", "earliest"),
                Position::Latest => call.query("offset", "latest"),
                Position::Offset(offset) => call.query("offset", offset.to_string()),
                Position::Last(records) => call.query("offset", format!("-{records}")),
                Position::Time(time) => call.query("timestamp", time),
            },
        };
        let call = self.args.through.ask(self.args.filter.apply(call));
        let call = match &self.until {
            Some(until) => call.query("until", until),
            None => call,
        };
        let format = if matches!(shape, Shape::Line) { self.args.format } else { Encoding::Base64 };
        let call = call.query("format", format.as_str()).query("limit", self.left.clamp(1, PAGE).to_string());
        if self.follows() { call.query("wait", format!("{}s", WAIT.as_secs())).takes(WAIT) } else { call }
    }

    /// Renders a page's records; false when there is nothing more to ask for.
    fn take_page(&mut self, page: &Page<'_>, shape: &Shape, out: &mut Vec<u8>) -> serde_json::Result<bool> {
        if !self.follows() && self.args.partition.is_some() && self.end.is_none() {
            self.end = page.high_watermark;
        }
        self.scanned += page.scanned.unwrap_or(0);
        for record in &page.records {
            let place: Place = serde_json::from_str(record.get())?;
            let past_end = self.end.is_some_and(|end| place.offset >= end);
            let past_time = self.until_ms.is_some_and(|until| place.timestamp >= until);
            if self.left == 0 || past_end || past_time {
                return Ok(false);
            }
            self.left -= 1;
            self.shown += 1;
            render(&self.args.topic, record.get(), shape, out)?;
        }

        let next = match self.args.partition {
            Some(_) => page.next_offset.map(|offset| offset.to_string()),
            None => page.next_cursor.clone(),
        };
        let stands = page.records.is_empty() && next == self.next;
        self.next = next;
        let reached = self.end.zip(page.next_offset).is_some_and(|(end, next)| next >= end);
        let reached = reached || page.complete == Some(true);
        // A filter or a transform may leave nothing before the end.
        let nothing = page.records.is_empty() && page.scanned.is_none();
        let at_end = reached || (self.args.partition.is_none() && nothing) || stands;
        Ok(self.left > 0 && self.next.is_some() && (self.follows() || !at_end))
    }
}

fn render(topic: &str, record: &str, shape: &Shape, out: &mut Vec<u8>) -> serde_json::Result<()> {
    if let Shape::Line = shape {
        out.extend_from_slice(record.as_bytes());
        out.push(b'\n');
        return Ok(());
    }
    let record = Record::read(topic, &serde_json::from_str(record)?);
    match shape {
        Shape::Template(template) => {
            template.render(&record, out);
            return Ok(());
        }
        Shape::Raw => out.extend(record.value.unwrap_or_default()),
        Shape::Human | Shape::Line => {
            let text = |bytes: &Option<Vec<u8>>| match bytes {
                Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                None => "null".to_owned(),
            };
            let (key, value) = (text(&record.key), text(&record.value));
            let line =
                format!("{}:{}  {}  {key}  {value}", record.partition, record.offset, date(record.timestamp));
            out.extend_from_slice(line.as_bytes());
        }
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
#[path = "consume/tests.rs"]
mod tests;
