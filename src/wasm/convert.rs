//! The list form: a batch as the guest's types, and the guest's answer as ours, checked.

use bytes::Bytes;

use super::bindings::{ContentOut, ErrorOut, HeaderIn, HeaderOut, InputIn, MessageIn, OutcomeOut, OutputOut};
use super::fault::Fault;
use super::host::log::cut;
use super::instance::{Budget, source_of};
use super::output::{Content, Input, Outcome, Output};
use crate::model::limits::RECORD_HEADERS_MAX;
use crate::model::limits::TIMESTAMP_MAX;
use crate::model::{Header, TimestampMs};

/// The headers of a whole batch in one list, and where each record's end.
pub(super) struct Headers<'a> {
    all: Vec<HeaderIn<'a>>,
    ends: Vec<usize>,
}

impl<'a> Headers<'a> {
    pub(super) fn of(batch: &[Input<'a>]) -> Self {
        let count = batch.iter().map(|input| input.record.headers().len()).sum();
        let mut all = Vec::with_capacity(count);
        let mut ends = Vec::with_capacity(batch.len());
        for input in batch {
            all.extend(input.record.headers().into_iter().map(|(name, value)| HeaderIn { name, value }));
            ends.push(all.len());
        }
        Self { all, ends }
    }
}

/// The batch as `list<input>`; keys, values and headers stay where they are.
pub(super) fn lower<'a>(batch: &'a [Input<'a>], headers: &'a Headers<'a>) -> Vec<InputIn<'a>> {
    let mut begin = 0;
    let mut out = Vec::with_capacity(batch.len());
    for (input, end) in batch.iter().zip(&headers.ends) {
        let record = &input.record;
        out.push(InputIn {
            topic: input.topic,
            partition: input.partition,
            offset: input.offset,
            message: MessageIn {
                key: record.key,
                value: record.value,
                timestamp: record.timestamp,
                headers: &headers.all[begin..*end],
            },
        });
        begin = *end;
    }
    out
}

/// Checks answers against the batch they belong to.
pub(super) struct Answers<'a> {
    pub(super) batch: &'a [Input<'a>],
    /// names of the routes
    pub(super) routes: &'a [String],
    pub(super) budget: Budget,
}

impl Answers<'_> {
    /// A transform's outcomes: exactly one per input.
    pub(super) fn outcomes(&mut self, outcomes: Vec<OutcomeOut>) -> Result<Vec<Outcome>, Fault> {
        if outcomes.len() != self.batch.len() {
            let (found, expected) = (outcomes.len(), self.batch.len());
            return Err(Fault::Protocol(format!(
                "{found} outcomes for {expected} inputs; one for each is expected"
            )));
        }
        (0u32..).zip(outcomes).map(|(source, outcome)| self.outcome(source, outcome)).collect()
    }

    fn outcome(&mut self, source: u32, outcome: OutcomeOut) -> Result<Outcome, Fault> {
        Ok(match outcome {
            OutcomeOut::Keep => Outcome::Keep,
            OutcomeOut::Drop => Outcome::Drop,
            OutcomeOut::Emit(outputs) if outputs.is_empty() => Outcome::Drop,
            OutcomeOut::Emit(outputs) => {
                let outputs = outputs.into_iter().map(|output| self.output(Some(source), output));
                Outcome::Emit(outputs.collect::<Result<_, _>>()?)
            }
            OutcomeOut::Reject(reason) => Outcome::Reject(cut(&reason)),
        })
    }

    /// The outputs of a processor or a source.
    pub(super) fn outputs(&mut self, outputs: Vec<OutputOut>) -> Result<Vec<Output>, Fault> {
        outputs.into_iter().map(|output| self.output(output.source, output)).collect()
    }

    fn output(&mut self, source: Option<u32>, output: OutputOut) -> Result<Output, Fault> {
        let from = source.map(|source| source_of(self.batch, source)).transpose()?;
        let output = Output {
            source,
            route: output.topic.map(|name| self.route(&name)).transpose()?,
            key: content(output.key, from.is_some()),
            value: content(output.value, from.is_some()),
            timestamp: output.timestamp,
            headers: output.headers.map(headers),
        };
        check(&output, from, &mut self.budget)?;
        Ok(output)
    }

    fn route(&self, name: &str) -> Result<u32, Fault> {
        let index = self.routes.iter().position(|route| route == name);
        index.and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
            let known = if self.routes.is_empty() { "none".to_owned() } else { self.routes.join(", ") };
            Fault::Protocol(format!("an output names the route `{name}`; the deployment declares: {known}"))
        })
    }
}

fn content(content: ContentOut, has_source: bool) -> Content {
    match content {
        ContentOut::Source if has_source => Content::Source,
        ContentOut::Source | ContentOut::Null => Content::Null,
        ContentOut::Bytes(bytes) => Content::Bytes(bytes.into()),
    }
}

fn headers(headers: Vec<HeaderOut>) -> Vec<Header> {
    headers.into_iter().map(|h| Header { name: h.name, value: h.value.map(Bytes::from) }).collect()
}

/// What every output has to keep to, in either form. What it takes over from its source counts as its own.
pub(super) fn check(output: &Output, source: Option<&Input<'_>>, budget: &mut Budget) -> Result<(), Fault> {
    let of_source = |pick: fn(&Input<'_>) -> Option<usize>| source.and_then(pick).unwrap_or(0);
    let content = |content: &Content, pick: fn(&Input<'_>) -> Option<usize>| match content {
        Content::Source => of_source(pick),
        Content::Null => 0,
        Content::Bytes(bytes) => bytes.len(),
    };
    let headers = match &output.headers {
        None => of_source(|input| Some(input.record.headers().size())),
        Some(headers) => {
            if headers.len() > RECORD_HEADERS_MAX {
                let found = headers.len();
                return Err(Fault::Protocol(format!(
                    "an output with {found} headers, at most {RECORD_HEADERS_MAX} are allowed"
                )));
            }
            headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len)).sum()
        }
    };
    let bytes = content(&output.key, |input| input.record.key.map(<[u8]>::len))
        + content(&output.value, |input| input.record.value.map(<[u8]>::len))
        + headers;
    budget.take(bytes)?;
    check_timestamp(output.timestamp, source)
}

/// -1 is Kafka's "no timestamp". Anything else below zero, or beyond the year 9999, would break the order of time in the
/// log, unless a producer had already done so.
fn check_timestamp(timestamp: Option<TimestampMs>, source: Option<&Input<'_>>) -> Result<(), Fault> {
    match timestamp {
        Some(t) if !(-1..=TIMESTAMP_MAX).contains(&t) && source.is_none_or(|i| i.record.timestamp != t) => {
            Err(Fault::Protocol(format!(
                "an output with the timestamp {t}; milliseconds since 1970 are expected"
            )))
        }
        _ => Ok(()),
    }
}

/// The guest's `error`, in a call over so many records or timers.
pub(super) fn error(error: ErrorOut, count: usize) -> Fault {
    match error {
        ErrorOut::Retry(reason) => Fault::Retry(cut(&reason)),
        ErrorOut::Fatal(reason) => Fault::Fatal(cut(&reason)),
        ErrorOut::At((index, reason)) if (index as usize) < count => {
            Fault::At { index, reason: cut(&reason) }
        }
        ErrorOut::At((index, reason)) => {
            let reason = cut(&reason);
            Fault::Protocol(format!("error at input {index} of a batch of {count}: {reason}"))
        }
    }
}
