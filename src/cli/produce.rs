//! `millstream produce`: lines become records, sent as NDJSON in batches, one request at a time, so that their order is
//! kept and what is reported as stored is stored.

mod totals;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::totals::Totals;
use super::client::Call;
use super::consume::Encoding;
use super::failure::Failure;
use super::output::{plain, record_count, thousands};
use super::session::Session;
use super::topic::pair;
use crate::model::limits::{LINE_BYTES_MAX, MIB};
use crate::runtime::{clock::monotonic, tasks};

/// A batch is sent when it has this many bytes, however few records.
const BATCH_BYTES: usize = MIB;

/// Refused lines that are shown; the rest is counted.
const ERRORS_SHOWN: usize = 10;

/// Send records: lines of stdin or of a file
#[derive(Args)]
pub(super) struct Produce {
    /// The topic
    topic: String,
    /// Read this file instead of stdin
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Each line is a whole record: {"key": "u1", "value": {…}, "headers": {…}}
    #[arg(long, conflicts_with_all = ["key", "key_path", "headers"])]
    ndjson: bool,
    /// The key of every record
    #[arg(short, long)]
    key: Option<String>,
    /// Take the key from each value, by a JSON pointer such as /user_id
    #[arg(long, value_name = "POINTER", conflicts_with = "key")]
    key_path: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// This partition [default: by key]
    #[arg(short, long)]
    partition: Option<u32>,
    /// What a line is: its text as it stands, JSON that the server checks, or base64; with --ndjson, what values are
    /// [default: text; json with --ndjson]
    #[arg(long, value_enum)]
    format: Option<Encoding>,
    /// What is shown of what became of the lines: a summary at the end, or for each line an object on stdout
    #[arg(long, value_enum, default_value_t = Acks::Summary)]
    acks: Acks,
    /// Records of one request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

/// What is told about lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Acks {
    /// sums, and the first lines that failed
    Summary,
    /// {"line": 7, "partition": 2, "offset": 991, "status": "stored"}, or why nothing was stored
    Lines,
}

/// Lines on their way to one request.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    records: u64,
    /// number of the first line, from 1
    first_line: u64,
    /// bytes of input
    read: u64,
}

/// A record as the server reads it.
#[derive(Default, Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<LineValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Vec<&'a str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LineValue<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Cuts the lines into batches.
struct Batches {
    receiver: mpsc::Receiver<Vec<u8>>,
    /// the line that did not fit the batch before
    waiting: Option<Vec<u8>>,
    /// taken so far
    lines: u64,
}

pub(super) async fn run(session: &Session, args: Produce) -> Result<(), Failure> {
    if args.key_path.as_ref().is_some_and(|p| !p.starts_with('/')) {
        return Err(Failure::Usage(
            "--key-path is a JSON pointer and begins with `/`, such as /user_id".into(),
        ));
    }
    let started = monotonic();
    let (input, bytes) = open(args.file.as_ref())?;
    let progress = progress(session, bytes);
    let mut totals = Totals::default();

    // The reader runs ahead by two batches at most.
    let (lines, receiver) = mpsc::channel(2 * args.batch as usize);
    let reader =
        tasks::thread("input", move || read_lines(input, &lines)).map_err(|e| Failure::local("input", e))?;
    let mut batches = Batches { receiver, waiting: None, lines: 0 };
    while let Some(batch) = batches.next(&args).await? {
        let read = batch.read;
        if batch.records > 0 {
            args.send(session, batch, &mut totals, &progress).await?;
        }
        progress.inc(read);
        progress.set_message(thousands(totals.stored));
    }
    reader
        .join()
        .unwrap_or_else(|_| Err("the reader of the input panicked".into()))
        .map_err(Failure::Local)?;

    progress.finish_and_clear();
    if totals.requests == 0 {
        // Whoever sends nothing still learns that it would have gone nowhere.
        session.client.bytes(Call::get(&["v1", "topics", &args.topic])).await?;
    }
    report(session, &args.topic, &totals, started.elapsed())
}

// === impl Produce ===

impl Produce {
    /// Appends a line's record to the body. Empty lines are passed over where they cannot be a value.
    fn add_line(&self, batch: &mut Batch, line: &[u8], number: u64) -> Result<(), Failure> {
        batch.read += line.len() as u64 + 1;
        let blank = line.iter().all(u8::is_ascii_whitespace);
        if blank {
            // The server passes over it too, and numbers the lines behind it as they are numbered here.
            batch.body.push(b'\n');
            return Ok(());
        }
        if self.ndjson {
            batch.body.extend_from_slice(line);
        } else {
            let record =
                self.record(line).map_err(|why| Failure::Refused(format!("line {number}: {why}")))?;
            serde_json::to_writer(&mut batch.body, &record)
                .map_err(|e| Failure::local("cannot write JSON", e))?;
        }
        batch.body.push(b'\n');
        batch.records += 1;
        Ok(())
    }

    /// The envelope of a line that is a value. A JSON value stays as it is written.
    fn record<'a>(&'a self, line: &'a [u8]) -> Result<Envelope<'a>, String> {
        let mut record = Envelope { key: self.key.as_deref().map(Cow::Borrowed), ..Envelope::default() };
        let no_json = |e: serde_json::Error| format!("no JSON: {e}");
        if let Some(pointer) = &self.key_path {
            let value: Value = serde_json::from_slice(line).map_err(no_json)?;
            match value.pointer(pointer) {
                Some(key @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                    record.key = Some(plain(key).into());
                }
                Some(_) => return Err(format!("the value at {pointer} is no text and no number")),
                None => return Err(format!("nothing at {pointer}")),
            }
        }
        match (self.format.unwrap_or(Encoding::Text), std::str::from_utf8(line)) {
            (Encoding::Json, _) => {
                record.value = Some(LineValue::Json(serde_json::from_slice(line).map_err(no_json)?));
            }
            (Encoding::Base64, Ok(text)) => record.value_base64 = Some(text.trim().into()),
            (Encoding::Base64, Err(_)) => return Err("no base64".into()),
            (Encoding::Text, Ok(text)) => record.value = Some(LineValue::Text(text)),
            (Encoding::Text, Err(_)) => record.value_base64 = Some(BASE64.encode(line).into()),
        }
        for (name, value) in &self.headers {
            record.headers.entry(name).or_default().push(value);
        }
        Ok(record)
    }

    async fn send(
        &self,
        session: &Session,
        batch: Batch,
        totals: &mut Totals,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let topic = self.topic.as_str();
        let call = match self.partition {
            Some(p) => Call::post(&["v1", "topics", topic, "partitions", &p.to_string(), "records"]),
            None => Call::post(&["v1", "topics", topic, "records"]),
        };
        let default = if self.ndjson { Encoding::Json } else { Encoding::Text };
        let call = call.query("format", self.format.unwrap_or(default).as_str());
        let (first_line, records) = (batch.first_line, batch.records);
        let call = call.body("application/x-ndjson", Bytes::from(batch.body));
        if self.acks == Acks::Lines {
            let call = call.header("accept", "application/x-ndjson");
            let answers = session.client.bytes(call).await.inspect_err(|_| bar.finish_and_clear())?;
            let mut out = Vec::with_capacity(answers.len());
            let ended = totals.add_lines(records, first_line, &answers, &mut out);
            session.out.bytes(&out)?;
            return ended;
        }
        let shown = totals.rejected as usize;
        let summary = match session.client.json(call).await {
            Ok(summary) => summary,
            Err(failure) => {
                bar.finish_and_clear();
                if let Some(known) = totals.at_failure(&failure, first_line, records) {
                    session.out.hint(known);
                }
                return Err(failure);
            }
        };
        totals.add(records, &summary);
        let errors = summary.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for error in errors.iter().take(ERRORS_SHOWN.saturating_sub(shown)) {
            let line = error.get("line").and_then(Value::as_u64).map(|n| first_line + n.saturating_sub(1));
            let place = line.map(|n| format!("line {n}: ")).unwrap_or_default();
            let detail = error.get("detail").map_or_else(|| error.to_string(), plain);
            bar.suspend(|| session.out.hint(format!("{place}{detail}")));
        }
        Ok(())
    }
}

// === impl Batches ===

impl Batches {
    /// Waits for a line, then takes what else is ready, up to a batch: typed lines leave at once, a file's in full
    /// batches. `None` at the end of the input.
    async fn next(&mut self, args: &Produce) -> Result<Option<Batch>, Failure> {
        let first = match self.waiting.take() {
            Some(line) => Some(line),
            None => self.receiver.recv().await,
        };
        let Some(mut line) = first else { return Ok(None) };
        let mut batch = Batch { first_line: self.lines + 1, ..Batch::default() };
        loop {
            if batch.records > 0 && batch.body.len() + line.len() > BATCH_BYTES {
                self.waiting = Some(line);
                break;
            }
            self.lines += 1;
            args.add_line(&mut batch, &line, self.lines)?;
            if batch.records >= u64::from(args.batch) {
                break;
            }
            match self.receiver.try_recv() {
                Ok(next) => line = next,
                Err(_) => break,
            }
        }
        Ok(Some(batch))
    }
}

// === input ===

type Input = Box<dyn BufRead + Send>;

fn open(file: Option<&PathBuf>) -> Result<(Input, Option<u64>), Failure> {
    let Some(path) = file else {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    };
    let what = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).map_err(|e| Failure::local(&what(), e))?;
    let bytes = file.metadata().ok().map(|m| m.len());
    Ok((Box::new(BufReader::with_capacity(256 << 10, file)), bytes))
}

/// Runs on its own thread: stdin cannot be waited for otherwise. Stops when nobody takes lines any more.
fn read_lines(mut input: Input, lines: &mpsc::Sender<Vec<u8>>) -> Result<(), String> {
    for number in 1u64.. {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read =
            (&mut input).take(most).read_until(b'\n', &mut line).map_err(|e| format!("the input: {e}"))?;
        if read == 0 {
            break;
        }
        if read as u64 == most && line.last() != Some(&b'\n') {
            return Err(format!("line {number} has more than {LINE_BYTES_MAX} bytes"));
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if lines.blocking_send(line).is_err() {
            break;
        }
    }
    Ok(())
}

// === telling ===

fn progress(session: &Session, bytes: Option<u64>) -> ProgressBar {
    if !session.out.draws_progress() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {percent:>3} %  {msg} records stored  {elapsed}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} records stored  {elapsed}"),
    };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn report(session: &Session, topic: &str, totals: &Totals, elapsed: Duration) -> Result<(), Failure> {
    let seconds = elapsed.as_secs_f64();
    let rate = totals.sent as f64 / seconds.max(0.001);
    let mut line = format!(
        "{} stored in `{topic}` in {seconds:.2} s ({} a second, {} request{})",
        record_count(totals.stored),
        thousands(rate as u64),
        thousands(totals.requests),
        if totals.requests == 1 { "" } else { "s" }
    );
    for (number, what) in [
        (totals.dropped, "dropped by transforms"),
        (totals.dead_lettered, "dead-lettered"),
        (totals.rejected, "refused"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {} {what}", thousands(number)));
        }
    }
    let value = json!({
        "topic": topic, "sent": totals.sent, "stored": totals.stored, "dropped": totals.dropped,
        "dead_lettered": totals.dead_lettered, "rejected": totals.rejected, "requests": totals.requests,
        "seconds": (seconds * 1000.0).round() / 1000.0,
    });
    session.out.done(&value, &line)?;
    if totals.rejected > 0 {
        return Err(Failure::Refused(format!(
            "{} of {} refused",
            thousands(totals.rejected),
            record_count(totals.sent)
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "produce/tests.rs"]
mod tests;
