//! Golden files of code that goes out. What it asks of the world is answered from a file, in the order of its requests, which
//! stand among what comes out; nothing leaves the process.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Ran;
use crate::cli::golden;
use crate::http::json_text::compact;
use crate::http::samples::{string, text_member, value_member};
use crate::model::deployment::DeploymentSpec;
use crate::model::limits::CURSOR_BYTES_MAX;
use crate::pipelines::cut;
use crate::pipelines::dry_run::{Failed, Sample, stored};
use crate::wasm::{
    Answered, Asked, Component, Fault, HttpAccess, Input, InstanceConfig, LogSink, Outside, Polled, Sink,
    Source,
};

/// How often a test tries records again, which a deployment may do a million times.
const RETRIES_MAX: u32 = 3;
/// Headers that say nothing of the code.
const OF_THE_TRANSPORT: [&str; 3] = ["content-length", "host", "transfer-encoding"];

/// What is asked and answered, and whatever else comes out, in order.
pub(super) struct Stage {
    lines: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Answered>>,
}

/// A poll of a source: what it is handed, where that is not what the poll before has given.
pub(super) struct Poll {
    cursor: Option<Bytes>,
}

/// A line of a source's input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollLine {
    cursor: Option<String>,
    cursor_base64: Option<String>,
}

/// A line of answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerLine {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
    body_text: Option<String>,
    body_base64: Option<String>,
}

fn ok() -> u16 {
    200
}

// === impl Stage ===

impl Stage {
    /// `answers`: the text of the file; after its last line the answer is 200 without a body.
    ///
    /// # Errors
    /// The first wrong line, and what is wrong.
    pub(super) fn new(answers: &str) -> Result<Arc<Self>, String> {
        let answers = parsed(answers)?
            .into_iter()
            .map(|(number, line)| answered(line).map_err(|why| format!("line {number}: {why}")))
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { lines: Mutex::default(), answers: Mutex::new(answers) }))
    }

    fn say(&self, line: String) {
        self.lines.lock().push(line);
    }

    /// What the code's wish, or its fault, looks like.
    fn say_why(&self, what: &str, why: &str) {
        self.say(format!("{{\"{what}\":{}}}", string(why)));
    }
}

impl Outside for Stage {
    fn answer(&self, asked: Asked) -> Answered {
        self.say(request(&asked));
        self.answers.lock().pop_front().unwrap_or_default()
    }
}

/// `{"request":"POST","url":…,"headers":{…},"body":…}`
fn request(asked: &Asked) -> String {
    let mut line = format!("{{\"request\":{},\"url\":{}", string(&asked.method), string(&asked.url));
    let headers: Vec<_> = asked
        .headers
        .iter()
        .filter(|(name, _)| !OF_THE_TRANSPORT.contains(&name.as_str()))
        .map(|(name, value)| {
            format!("{}:{}", string(name.as_str()), string(&String::from_utf8_lossy(value.as_bytes())))
        })
        .collect();
    if !headers.is_empty() {
        line.push_str(&format!(",\"headers\":{{{}}}", headers.join(",")));
    }
    if !asked.body.is_empty() {
        line.push(',');
        line.push_str(&value_member("body", Some(&asked.body)));
    }
    line + "}"
}

/// Lines of JSON with their numbers, without blank ones.
fn parsed<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Vec<(usize, T)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.map(|(number, line)| match serde_json::from_str(line) {
        Ok(line) => Ok((number, line)),
        Err(e) => Err(format!("line {number}: {e}")),
    });
    lines.collect()
}

fn decoded(text: &str) -> Result<Bytes, String> {
    BASE64.decode(text).map(Bytes::from).map_err(|e| format!("no base64: {e}"))
}

fn answered(line: AnswerLine) -> Result<Answered, String> {
    let body = match (line.body, line.body_text, line.body_base64) {
        (None, None, None) => Bytes::new(),
        (Some(json), None, None) => Bytes::from(compact(json.get()).into_owned()),
        (None, Some(text), None) => Bytes::from(text),
        (None, None, Some(encoded)) => decoded(&encoded)?,
        _ => return Err("give one of `body`, `body_text` and `body_base64`".to_owned()),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &line.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| format!("`{name}`: {e}"))?;
        headers.append(name, HeaderValue::from_str(value).map_err(|e| format!("`{value}`: {e}"))?);
    }
    let status = StatusCode::from_u16(line.status).map_err(|e| format!("`status`: {e}"))?;
    if status.is_informational() {
        return Err(format!("`status`: {} announces an answer and is none", line.status));
    }
    Ok(Answered { status, headers, body })
}

/// The polls of an input file, with their line numbers.
///
/// # Errors
/// The first wrong line, and what is wrong.
pub(super) fn polls(text: &str) -> Result<Vec<(usize, Poll)>, String> {
    let lines = parsed(text)?.into_iter();
    let poll = |(number, line)| match polled(line) {
        Ok(cursor) => Ok((number, Poll { cursor })),
        Err(why) => Err(format!("line {number}: {why}")),
    };
    lines.map(poll).collect()
}

fn polled(line: PollLine) -> Result<Option<Bytes>, String> {
    let cursor = match (line.cursor, line.cursor_base64) {
        (text, None) => text.map(Bytes::from),
        (None, Some(encoded)) => Some(decoded(&encoded)?),
        (Some(_), Some(_)) => return Err("give one of `cursor` and `cursor_base64`".to_owned()),
    };
    match cursor.as_ref().map_or(0, Bytes::len) {
        found if found > CURSOR_BYTES_MAX => {
            Err(format!("a cursor of {found} bytes, at most {CURSOR_BYTES_MAX} are allowed"))
        }
        _ => Ok(cursor),
    }
}

// === running ===

impl Ran {
    /// A call has ended.
    fn saw(&mut self, cpu: Duration, memory_bytes: usize) {
        self.cpu += cpu;
        self.memory_bytes = self.memory_bytes.max(memory_bytes);
    }
}

/// Code that goes out, and how it is run.
pub(super) struct Run<'a> {
    component: &'a Component,
    spec: &'a DeploymentSpec,
    config: InstanceConfig,
    stage: Arc<Stage>,
}

impl<'a> Run<'a> {
    /// # Errors
    /// A grant of the spec that does not read.
    pub(super) fn new(
        component: &'a Component,
        spec: &'a DeploymentSpec,
        log: Arc<dyn LogSink>,
        stage: Arc<Stage>,
    ) -> Result<Self, String> {
        let config = InstanceConfig {
            label: format!("{}/0", spec.name),
            params: spec.params.clone(),
            inputs: spec.input_names(),
            outputs: spec.route_names().cloned().collect(),
            limits: spec.limits.clone(),
            log,
            place: None,
            http: Some(HttpAccess::played(&spec.grants, stage.clone())?),
        };
        Ok(Self { component, spec, config, stage })
    }

    fn ended(&self, mut ran: Ran, failed: Option<Failed>) -> Ran {
        ran.lines = std::mem::take(&mut self.stage.lines.lock());
        ran.failed = failed;
        ran
    }

    /// A sink over records, in the calls that its deployment would make, but without pauses and with [`RETRIES_MAX`] retries
    /// at most. What it refuses after them is told and passed over, whatever the policy says; what else fails ends the run.
    pub(super) async fn deliver(&self, samples: &[Sample]) -> Ran {
        let inputs: Vec<_> = samples.iter().map(Sample::input).collect();
        let tries = self.spec.on_error.max_retries.min(RETRIES_MAX);
        // The next part lies on top. With each, the tries that failed.
        let mut parts: Vec<_> = self.calls(&inputs).into_iter().rev().map(|part| (part, 0)).collect();
        let (mut live, mut ran) = (None, Ran::default());
        while let Some((part, failed)) = parts.pop() {
            let fault = match self.hand_over(&mut live, &inputs[part.clone()], &mut ran).await {
                Ok(()) => continue,
                Err(fault) => fault,
            };
            let (asks, alone) = (matches!(fault, Fault::Retry(_)), part.len() == 1);
            match &fault {
                Fault::Retry(why) | Fault::Fatal(why) | Fault::At { reason: why, .. }
                    if failed < tries && (asks || alone) =>
                {
                    self.stage.say_why("retry", why);
                    parts.push((part, failed + 1));
                }
                Fault::Retry(why) | Fault::Fatal(why) | Fault::At { reason: why, .. } if alone => {
                    self.stage.say_why("error", why);
                }
                fault if !alone && !fault.is_of_no_record() => {
                    let bad = cut::to_blame(fault, &part);
                    parts.extend(cut::cut(&part, bad).map(|part| (part, 0)));
                }
                _ => {
                    let sample = cut::to_blame(&fault, &part);
                    return self.ended(ran, Some(Failed { sample, fault }));
                }
            }
        }
        self.ended(ran, None)
    }

    /// The records as tasks take them: those of one partition, as many as one call takes.
    fn calls(&self, inputs: &[Input<'_>]) -> Vec<Range<usize>> {
        let (mut calls, mut start) = (Vec::new(), 0);
        while start < inputs.len() {
            let end = start + cut::first_run(&inputs[start..], self.spec.limits.batch.records);
            calls.push(start..end);
            start = end;
        }
        calls
    }

    /// One call of the live sink, or of a new one. A fault takes it along.
    async fn hand_over(
        &self,
        live: &mut Option<Sink>,
        batch: &[Input<'_>],
        ran: &mut Ran,
    ) -> Result<(), Fault> {
        let mut sink = match live.take() {
            Some(sink) => sink,
            None => self.component.sink(self.config.clone()).await?,
        };
        let before = sink.cpu_time();
        let delivered = sink.deliver(batch).await;
        ran.saw(sink.cpu_time().saturating_sub(before), sink.memory_bytes());
        delivered?;
        *live = Some(sink);
        Ok(())
    }

    /// A source, polled once for each line.
    pub(super) async fn poll(&self, polls: &[Poll]) -> Ran {
        let (mut live, mut ran, mut cursor) = (None, Ran::default(), None);
        for (index, poll) in polls.iter().enumerate() {
            cursor = poll.cursor.clone().or(cursor);
            let polled = match self.poll_once(&mut live, cursor.as_deref(), &mut ran).await {
                Ok(polled) => polled,
                Err(Fault::Retry(why)) => {
                    self.stage.say_why("retry", &why);
                    continue;
                }
                Err(Fault::Fatal(why)) => {
                    self.stage.say_why("error", &why);
                    continue;
                }
                Err(fault) => {
                    let sample = (!fault.is_of_no_record()).then_some(index);
                    return self.ended(ran, Some(Failed { sample, fault }));
                }
            };
            for output in polled.outputs {
                self.stage.say(golden::line(&stored(self.spec, output, &[], &(0..0))));
            }
            if let Some(next) = polled.cursor {
                let more = if polled.more { ",\"more\":true" } else { "" };
                self.stage.say(format!("{{{}{more}}}", text_member("cursor", &next)));
                cursor = Some(next);
            }
        }
        self.ended(ran, None)
    }

    /// One poll of the live source, or of a new one. A fault takes it along.
    async fn poll_once(
        &self,
        live: &mut Option<Source>,
        cursor: Option<&[u8]>,
        ran: &mut Ran,
    ) -> Result<Polled, Fault> {
        let mut source = match live.take() {
            Some(source) => source,
            None => self.component.source(self.config.clone()).await?,
        };
        let before = source.cpu_time();
        let polled = source.poll(cursor).await;
        ran.saw(source.cpu_time().saturating_sub(before), source.memory_bytes());
        let polled = polled?;
        *live = Some(source);
        Ok(polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_their_order_and_then_there_is_nothing_to_say() {
        let stage = Stage::new(
            "{\"status\":503}\n\n{\"headers\":{\"etag\":\"a\"},\"body\":{\"n\": 1}}\n{\"body_text\":\"x\"}\n",
        )
        .unwrap();
        let ask = || {
            let (method, url) = ("POST".to_owned(), "http://a/b?c".to_owned());
            stage.answer(Asked { method, url, headers: HeaderMap::new(), body: Bytes::from("hi") })
        };
        assert_eq!(ask().status, 503);
        let second = ask();
        assert_eq!((second.status.as_u16(), &second.body[..]), (200, &b"{\"n\":1}"[..]));
        assert_eq!(second.headers["etag"], "a");
        assert_eq!(&ask().body[..], b"x");
        assert_eq!(ask(), Answered::default());
        let line = r#"{"request":"POST","url":"http://a/b?c","body_text":"hi"}"#;
        assert_eq!(*stage.lines.lock(), [line; 4]);
    }

    #[test]
    fn a_line_that_does_not_read_is_named() {
        for bad in [
            "{\"stat\":1}",
            "{\"status\":1}",
            "{\"status\":100}",
            "{\"body\":1,\"body_text\":\"a\"}",
            "{\"body_base64\":\"?\"}",
        ] {
            let why = Stage::new(&format!("{{}}\n{bad}\n")).err().unwrap();
            assert!(why.starts_with("line 2: "), "{why}");
        }
        let long = format!("{{\"cursor\":\"{}\"}}", "x".repeat(CURSOR_BYTES_MAX + 1));
        let both = "{\"cursor\":\"a\",\"cursor_base64\":\"YQ==\"}";
        for bad in ["{\"n\":1}", "{\"cursor_base64\":\"?\"}", both, &long] {
            let why = polls(&format!("{{}}\n{{\"cursor\":\"7\"}}\n{bad}\n")).err().unwrap();
            assert!(why.starts_with("line 3: "), "{why}");
        }
        assert_eq!(polls("{\"cursor_base64\":\"/w==\"}").unwrap()[0].1.cursor.as_deref(), Some(&b"\xff"[..]));
    }
}
