//! Golden files of code that goes out. What it asks of the world is answered from a file, in the order of its requests, which
//! stand among what comes out; nothing leaves the process.

use std::collections::{BTreeMap, VecDeque};
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
use crate::pipelines::dry_run::{Failed, Sample, stored};
use crate::wasm::{Answered, Asked, Component, Fault, HttpAccess, Input, InstanceConfig, LogSink, Outside};

/// How often in a row a test follows the code's wish to be called again.
const RETRIES_MAX: usize = 10;
/// Headers that say nothing of the code.
const OF_THE_TRANSPORT: [&str; 3] = ["content-length", "host", "transfer-encoding"];

/// What is asked and answered, and whatever else comes out, in order.
pub(super) struct Stage {
    lines: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Answered>>,
}

/// A line of a source's input: what its next poll is handed, where that is not what the poll before has given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
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
    Ok(Answered { status, headers, body })
}

/// The polls of an input file, with their line numbers.
///
/// # Errors
/// The first wrong line, and what is wrong.
pub(super) fn polls(text: &str) -> Result<Vec<(usize, Poll)>, String> {
    parsed(text)
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
    pub(super) component: &'a Component,
    pub(super) spec: &'a DeploymentSpec,
    pub(super) log: Arc<dyn LogSink>,
    pub(super) stage: Arc<Stage>,
}

impl Run<'_> {
    fn config(&self) -> Result<InstanceConfig, Fault> {
        let spec = self.spec;
        let http = HttpAccess::played(&spec.grants, self.stage.clone()).map_err(Fault::Instance)?;
        Ok(InstanceConfig {
            label: format!("{}/0", spec.name),
            params: spec.params.clone(),
            inputs: spec.input_names(),
            outputs: spec.route_names().cloned().collect(),
            limits: spec.limits.clone(),
            log: self.log.clone(),
            place: None,
            http: Some(http),
        })
    }

    fn ended(&self, mut ran: Ran, failed: Option<Failed>) -> Ran {
        ran.lines = std::mem::take(&mut self.stage.lines.lock());
        ran.failed = failed;
        ran
    }

    /// A sink over records, as its deployment would call it, without its pauses.
    pub(super) async fn deliver(&self, samples: &[Sample]) -> Ran {
        let inputs: Vec<_> = samples.iter().map(Sample::input).collect();
        let indices: Vec<_> = (0..inputs.len()).collect();
        let size = self.spec.limits.batch.records.max(1);
        // The next part lies on top.
        let mut parts: Vec<Vec<usize>> = indices.chunks(size).rev().map(<[usize]>::to_vec).collect();
        let (mut live, mut ran, mut retries) = (None, Ran::default(), 0);
        while let Some(mut part) = parts.pop() {
            let started = match (live.take(), self.config()) {
                (Some(sink), _) => Ok(sink),
                (None, Ok(config)) => self.component.sink(config).await,
                (None, Err(fault)) => Err(fault),
            };
            let mut sink = match started {
                Ok(sink) => sink,
                Err(fault) => return self.ended(ran, Some(Failed { sample: None, fault })),
            };
            let batch: Vec<Input<'_>> = part.iter().map(|index| inputs[*index]).collect();
            let before = sink.cpu_time();
            let delivered = sink.deliver(&batch).await;
            ran.saw(sink.cpu_time().saturating_sub(before), sink.memory_bytes());
            let fault = match delivered {
                Ok(()) => {
                    (live, retries) = (Some(sink), 0);
                    continue;
                }
                Err(fault) => fault,
            };
            match &fault {
                Fault::Retry(why) if retries < RETRIES_MAX => {
                    self.stage.say_why("retry", why);
                    retries += 1;
                    parts.push(part);
                    continue;
                }
                Fault::At { index, reason } => {
                    self.stage.say_why("error", reason);
                    part.remove((*index as usize).min(part.len() - 1));
                }
                _ if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second]);
                }
                Fault::Retry(why) | Fault::Fatal(why) => {
                    self.stage.say_why("error", why);
                    part.clear();
                }
                _ => return self.ended(ran, Some(Failed { sample: Some(part[0]), fault })),
            }
            retries = 0;
            parts.extend(Some(part).filter(|part| !part.is_empty()));
        }
        self.ended(ran, None)
    }

    /// A source, polled once for each line.
    pub(super) async fn poll(&self, polls: &[Poll]) -> Ran {
        let (mut live, mut ran, mut cursor) = (None, Ran::default(), None);
        for (index, poll) in polls.iter().enumerate() {
            match (&poll.cursor, poll.cursor_base64.as_deref().map(decoded)) {
                (Some(text), _) => cursor = Some(Bytes::from(text.clone())),
                (None, Some(Ok(bytes))) => cursor = Some(bytes),
                (None, Some(Err(why))) => {
                    let fault = Fault::Instance(format!("`cursor_base64`: {why}"));
                    return self.ended(ran, Some(Failed { sample: Some(index), fault }));
                }
                (None, None) => {}
            }
            let started = match (live.take(), self.config()) {
                (Some(source), _) => Ok(source),
                (None, Ok(config)) => self.component.source(config).await,
                (None, Err(fault)) => Err(fault),
            };
            let mut source = match started {
                Ok(source) => source,
                Err(fault) => return self.ended(ran, Some(Failed { sample: None, fault })),
            };
            let before = source.cpu_time();
            let polled = source.poll(cursor.as_deref()).await;
            ran.saw(source.cpu_time().saturating_sub(before), source.memory_bytes());
            let polled = match polled {
                Ok(polled) => polled,
                Err(Fault::Retry(why)) => {
                    self.stage.say_why("retry", &why);
                    continue;
                }
                Err(Fault::Fatal(why)) => {
                    self.stage.say_why("error", &why);
                    continue;
                }
                Err(fault) => return self.ended(ran, Some(Failed { sample: Some(index), fault })),
            };
            for output in polled.outputs {
                self.stage.say(golden::line(&stored(self.spec, output, &[], &(0..0))));
            }
            if let Some(next) = polled.cursor {
                let more = if polled.more { ",\"more\":true" } else { "" };
                self.stage.say(format!("{{{}{more}}}", text_member("cursor", &next)));
                cursor = Some(next);
            }
            live = Some(source);
        }
        self.ended(ran, None)
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
        for bad in
            ["{\"stat\":1}", "{\"status\":1}", "{\"body\":1,\"body_text\":\"a\"}", "{\"body_base64\":\"?\"}"]
        {
            let why = Stage::new(&format!("{{}}\n{bad}\n")).err().unwrap();
            assert!(why.starts_with("line 2: "), "{why}");
        }
        assert!(polls("{}\n{\"cursor\":\"7\"}\n{\"n\":1}\n").err().unwrap().starts_with("line 3: "));
    }
}
