//! The packed form: two lists each way, whatever the number of records. The layout is drawn in `wit/millstream.wit`.
//!
//! What comes back is believed in nothing: order, indexes and lengths are checked before a byte is used. Outputs are
//! slices of the one buffer that came back.

use bytes::{BufMut as _, Bytes};

use super::bindings::{Action, EntryIn, EntryOut, PackedIn, PackedOut, RecordsOut};
use super::convert::check;
use super::entries::{Data, Entry};
use super::fault::Fault;
use super::host::log::cut;
use super::instance::{Budget, source_of};
use super::output::{Answer, Content, Input, Outcome, Output};
use crate::model::{Header, RecordView};

/// A key, value or headers that are null.
const NULL: i32 = -1;
/// A key, value or headers as the source has them.
const SOURCE: i32 = -2;
/// A processor's output that came from no single input.
const NO_SOURCE: i32 = -1;

/// The entries of one call, reused from call to call.
#[derive(Default)]
pub(super) struct Buffer(Vec<Entry>);

impl Buffer {
    /// Packs a batch.
    pub(super) fn pack<'a>(&'a mut self, batch: &'a [Input<'a>]) -> Result<PackedIn<'a>, Fault> {
        self.0.clear();
        self.0.reserve(batch.len());
        let mut len = 0;
        for (index, input) in batch.iter().enumerate() {
            let (entry, bytes) = entry(input).map_err(|what| Fault::At {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                reason: format!("it cannot be packed: {what}"),
            })?;
            self.0.push(Entry(entry));
            len += bytes;
        }
        Ok(PackedIn { entries: &self.0, data: Data { batch, len } })
    }
}

/// An input's entry, and how many bytes of data belong to it.
fn entry(input: &Input<'_>) -> Result<(EntryIn, usize), &'static str> {
    let RecordView { timestamp, key, value, .. } = input.record;
    let mut headers = 0;
    for (name, value) in input.record.headers() {
        u16::try_from(name.len()).map_err(|_| "a header name of more than 65535 bytes")?;
        value.map(len_i32).transpose()?;
        headers += 2 + name.len() + 4 + value.map_or(0, <[u8]>::len);
    }
    let entry = EntryIn {
        topic: input.topic,
        partition: input.partition,
        offset: input.offset,
        timestamp,
        key_len: key.map_or(Ok(NULL), len_i32)?,
        value_len: value.map_or(Ok(NULL), len_i32)?,
        headers_len: u32::try_from(headers).map_err(|_| "headers of more than 4 GiB")?,
    };
    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers;
    Ok((entry, bytes))
}

fn len_i32(bytes: &[u8]) -> Result<i32, &'static str> {
    i32::try_from(bytes.len()).map_err(|_| "a value of more than 2 GiB")
}

/// Writes keys, values and headers of a batch whose entries were made. `to` has just the bytes that they need.
pub(super) fn write(batch: &[Input<'_>], mut to: &mut [u8]) {
    let mut put = |bytes: &[u8]| to.put_slice(bytes);
    for input in batch {
        put(input.record.key.unwrap_or_default());
        put(input.record.value.unwrap_or_default());
        for (name, value) in input.record.headers() {
            put(&(name.len() as u16).to_le_bytes());
            put(name.as_bytes());
            put(&value.map_or(NULL, |value| value.len() as i32).to_le_bytes());
            put(value.unwrap_or_default());
        }
    }
}

/// A transform's word on one input. Several `Emit` of one input are its replacements.
enum Said {
    Keep,
    Emit(Output),
    Reject(String),
}

/// Checks and unpacks what a transform gave back: one outcome per input. `routes` is the number of declared routes.
pub(super) fn outcomes(
    out: PackedOut,
    batch: &[Input<'_>],
    routes: usize,
    budget: &mut Budget,
) -> Result<Vec<Outcome>, Fault> {
    let mut outcomes: Vec<_> = std::iter::repeat_with(|| Outcome::Drop).take(batch.len()).collect();
    judged(out, batch, routes, budget, |source, said| {
        let outcome = &mut outcomes[source as usize];
        match said {
            Said::Keep => *outcome = Outcome::Keep,
            Said::Reject(reason) => *outcome = Outcome::Reject(reason),
            Said::Emit(output) => match outcome {
                Outcome::Emit(outputs) => outputs.push(output),
                other => *other = Outcome::Emit(vec![output]),
            },
        }
    })?;
    Ok(outcomes)
}

/// The same for a transform at work from topic to topic.
pub(super) fn answer(
    out: PackedOut,
    batch: &[Input<'_>],
    routes: usize,
    budget: &mut Budget,
) -> Result<Answer, Fault> {
    let outputs = Vec::with_capacity(out.entries.0.len());
    let mut answer = Answer { outputs, rejected: Vec::new() };
    judged(out, batch, routes, budget, |source, said| match said {
        Said::Keep => answer.outputs.push(Output::kept(source)),
        Said::Emit(output) => answer.outputs.push(output),
        Said::Reject(reason) => answer.rejected.push((source, reason)),
    })?;
    Ok(answer)
}

fn judged(
    out: PackedOut,
    batch: &[Input<'_>],
    routes: usize,
    budget: &mut Budget,
    mut each: impl FnMut(u32, Said),
) -> Result<(), Fault> {
    let mut data = Answered { bytes: out.data.into(), at: 0 };
    let mut last: Option<&EntryOut> = None;
    for (index, entry) in out.entries.0.iter().enumerate() {
        let bad = |what: String| lie(index, &what);
        let source = source_of(batch, entry.source)?;
        match last {
            Some(last) if last.source > entry.source => {
                let sources = (entry.source, last.source);
                return Err(bad(format!(
                    "source {} after source {}; entries are sorted by source",
                    sources.0, sources.1
                )));
            }
            Some(last)
                if last.source == entry.source
                    && (last.action, entry.action) != (Action::Emit, Action::Emit) =>
            {
                return Err(bad(format!("source {} has another verdict already", entry.source)));
            }
            _ => {}
        }
        last = Some(entry);

        // By far the most frequent answer, and nothing of it is to be read.
        let lens = [entry.key_len, entry.value_len, entry.headers_len];
        if entry.action == Action::Keep && lens == [SOURCE; 3] {
            each(entry.source, Said::Keep);
            continue;
        }
        let [key, value, headers] = data.take_all(lens).map_err(bad)?;
        let said = match entry.action {
            Action::Keep => Said::Keep,
            Action::Reject => Said::Reject(reason(value).map_err(bad)?),
            Action::Emit => {
                let output = Output {
                    source: Some(entry.source),
                    route: route(entry.topic, routes).map_err(bad)?,
                    key: key.into_content(true),
                    value: value.into_content(true),
                    timestamp: entry.timestamp,
                    headers: headers.into_headers().map_err(bad)?,
                };
                check(&output, Some(source), budget)?;
                Said::Emit(output)
            }
        };
        each(entry.source, said);
    }
    data.end()
}

/// Checks and unpacks what a processor gave back.
pub(super) fn outputs(
    out: RecordsOut,
    batch: &[Input<'_>],
    routes: usize,
    budget: &mut Budget,
) -> Result<Vec<Output>, Fault> {
    let mut data = Answered { bytes: out.data.into(), at: 0 };
    let mut outputs = Vec::with_capacity(out.entries.0.len());
    for (index, entry) in out.entries.0.iter().enumerate() {
        let bad = |what: String| lie(index, &what);
        let source = match entry.source {
            NO_SOURCE => None,
            index => Some(u32::try_from(index).map_err(|_| bad(format!("source {index}")))?),
        };
        let from = source.map(|source| source_of(batch, source)).transpose()?;
        let lens = [entry.key_len, entry.value_len, entry.headers_len];
        // Passing a record on is frequent, and nothing of it is to be read.
        if let (Some(source), [SOURCE, SOURCE, SOURCE]) = (source, lens) {
            let route = route(entry.topic, routes).map_err(bad)?;
            let output = Output { route, timestamp: entry.timestamp, ..Output::kept(source) };
            check(&output, from, budget)?;
            outputs.push(output);
            continue;
        }
        let [key, value, headers] = data.take_all(lens).map_err(bad)?;
        let output = Output {
            source,
            route: route(entry.topic, routes).map_err(bad)?,
            key: key.into_content(from.is_some()),
            value: value.into_content(from.is_some()),
            timestamp: entry.timestamp,
            headers: headers.into_headers().map_err(bad)?,
        };
        check(&output, from, budget)?;
        outputs.push(output);
    }
    data.end()?;
    Ok(outputs)
}

fn lie(index: usize, what: &str) -> Fault {
    Fault::Protocol(format!("entry {index} of the packed answer: {what}"))
}

/// The default output is 0, the n-th route is n.
fn route(topic: u32, routes: usize) -> Result<Option<u32>, String> {
    match topic.checked_sub(1) {
        Some(route) if route as usize >= routes => {
            Err(format!("output topic {topic}, the deployment declares {routes} routes"))
        }
        route => Ok(route),
    }
}

fn reason(value: Piece) -> Result<String, String> {
    let Piece::Bytes(bytes) = value else { return Ok(String::new()) };
    std::str::from_utf8(&bytes).map(cut).map_err(|_| "a reason that is no UTF-8".to_owned())
}

/// One length-prefixed part of an entry.
enum Piece {
    Source,
    Null,
    Bytes(Bytes),
}

/// The data that came back, taken from its front.
struct Answered {
    bytes: Bytes,
    at: usize,
}

impl Answered {
    /// Key, value and headers of an entry.
    fn take_all(&mut self, lens: [i32; 3]) -> Result<[Piece; 3], String> {
        Ok([self.take(lens[0])?, self.take(lens[1])?, self.take(lens[2])?])
    }

    /// Everything is taken.
    fn end(&self) -> Result<(), Fault> {
        let (taken, found) = (self.at, self.bytes.len());
        if taken == found {
            return Ok(());
        }
        Err(Fault::Protocol(format!(
            "the packed answer's lengths sum to {taken}, its data has {found} bytes"
        )))
    }

    fn take(&mut self, len: i32) -> Result<Piece, String> {
        match len {
            SOURCE => Ok(Piece::Source),
            NULL => Ok(Piece::Null),
            _ => {
                let len = usize::try_from(len).map_err(|_| format!("a length of {len}"))?;
                let left = self.bytes.len() - self.at;
                if len > left {
                    return Err(format!("a length of {len} where {left} bytes are left"));
                }
                let bytes = self.bytes.slice(self.at..self.at + len);
                self.at += len;
                Ok(Piece::Bytes(bytes))
            }
        }
    }
}

impl Piece {
    /// What a source has is null where there is none.
    fn into_content(self, has_source: bool) -> Content {
        match self {
            Self::Source if has_source => Content::Source,
            Self::Source | Self::Null => Content::Null,
            Self::Bytes(bytes) => Content::Bytes(bytes),
        }
    }

    /// Name length u16, name, value length s32 (-1: null), value; until the end.
    fn into_headers(self) -> Result<Option<Vec<Header>>, String> {
        let mut data = match self {
            Self::Source => return Ok(None),
            Self::Null => return Err("headers of length -1".to_owned()),
            Self::Bytes(bytes) => bytes,
        };
        let mut headers = Vec::new();
        while !data.is_empty() {
            let name = split(&mut data, 2)
                .and_then(|len| split(&mut data, usize::from(u16::from_le_bytes([len[0], len[1]]))));
            let name = name.ok_or("a header that ends early")?;
            let name = std::str::from_utf8(&name).map_err(|_| "a header name that is no UTF-8")?.to_owned();
            let len = split(&mut data, 4).ok_or("a header that ends early")?;
            let value = match i32::from_le_bytes([len[0], len[1], len[2], len[3]]) {
                NULL => None,
                len => {
                    let len = usize::try_from(len).map_err(|_| format!("a header value of length {len}"))?;
                    Some(split(&mut data, len).ok_or("a header that ends early")?)
                }
            };
            headers.push(Header { name, value });
        }
        Ok(Some(headers))
    }
}

fn split(data: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= data.len()).then(|| data.split_to(len))
}

#[cfg(test)]
mod tests;
