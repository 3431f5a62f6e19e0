//! The packed form of a batch: records as borrowed views on the way in, entries and one flat buffer on the way out.
//! Facts from `wit/millstream.wit`, interface `transform-packed`. Works on plain slices, so that it is tested natively;
//! must not call the host.
//!
//! ```text
//! data     = key value headers, entry after entry; what has a length below 0 takes no bytes
//! headers  = { name-length u16 | name | value-length s32 (-1: null) | value }*     little endian
//! lengths  : -1 null, -2 as the source has it (outputs only)
//! ```

#[cfg(not(target_arch = "wasm32"))]
use crate::model::Input;
use crate::model::{Content, Fault, Header, Output, Verdict};

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::packed::{
    Action, EntryOut, exports::millstream::functions::transform_packed::EntryIn,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Action, EntryIn, EntryOut};

/// Null, in every length field.
pub(crate) const NULL: i32 = -1;
/// As the source has it.
pub(crate) const AS_SOURCE: i32 = -2;

/// The same records as `wit-bindgen` generates for Wasm, field for field.
#[cfg(not(target_arch = "wasm32"))]
mod native {
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct EntryIn {
        pub(crate) topic: u32,
        pub(crate) partition: u32,
        pub(crate) offset: u64,
        pub(crate) timestamp: i64,
        pub(crate) key_len: i32,
        pub(crate) value_len: i32,
        pub(crate) headers_len: u32,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Action {
        Keep,
        Emit,
        Reject,
    }

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct EntryOut {
        pub(crate) source: u32,
        pub(crate) action: Action,
        pub(crate) topic: u32,
        pub(crate) timestamp: Option<i64>,
        pub(crate) key_len: i32,
        pub(crate) value_len: i32,
        pub(crate) headers_len: i32,
    }
}

/// What is known of a record beside its bytes; the same in every packed interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) key_len: i32,
    pub(crate) value_len: i32,
    pub(crate) headers_len: u32,
}

impl From<&EntryIn> for Head {
    fn from(entry: &EntryIn) -> Self {
        let EntryIn { topic, partition, offset, timestamp, key_len, value_len, headers_len } = *entry;
        Self { topic, partition, offset, timestamp, key_len, value_len, headers_len }
    }
}

/// A record as transforms and processors see it: a view into the batch, nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    index: u32,
    topic: u32,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [u8],
}

/// The headers of a [`Record`], in their order: name and value (none: null).
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

/// Judges every record of a packed batch and packs the verdicts.
///
/// # Errors
/// The first fault that `judge` returned; `Fatal` for a batch whose lengths do not fit its data, for an output that
/// names an unknown topic, and for outputs of 2 GiB or more.
pub(crate) fn run(
    entries: &[EntryIn],
    data: &[u8],
    outputs: &[String],
    judge: &mut dyn FnMut(&Record<'_>) -> Result<Verdict, Fault>,
) -> Result<(Vec<EntryOut>, Vec<u8>), Fault> {
    let packed = Packed { data: Vec::new() };
    let mut packer = Packer { entries: Vec::with_capacity(entries.len()), packed, outputs };
    let mut rest = data;
    for (index, entry) in entries.iter().enumerate() {
        let record = Record::take(index, entry.into(), &mut rest)?;
        packer.push(index as u32, judge(&record)?)?;
    }
    nothing_left(rest)?;
    Ok((packer.entries, packer.packed.data))
}

fn nothing_left(rest: &[u8]) -> Result<(), Fault> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Fault::Fatal(format!("packed batch: {} bytes belong to no entry", rest.len())))
}

/// Packs inputs as the host does; an input without an entry here does not exist.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn pack(inputs: &[Input]) -> (Vec<EntryIn>, Vec<u8>) {
    let mut data = Vec::new();
    let mut append = |bytes: Option<&Vec<u8>>| {
        bytes.map_or(NULL, |bytes| {
            data.extend_from_slice(bytes);
            bytes.len() as i32
        })
    };
    let mut entries = Vec::with_capacity(inputs.len());
    for input in inputs {
        let key_len = append(input.key.as_ref());
        let value_len = append(input.value.as_ref());
        let mut headers = Vec::new();
        for header in &input.headers {
            encode_header(header, &mut headers).expect("a test's header fits the format");
        }
        let headers_len = append(Some(&headers)) as u32;
        let Input { topic, partition, offset, timestamp, .. } = *input;
        entries.push(EntryIn { topic, partition, offset, timestamp, key_len, value_len, headers_len });
    }
    (entries, data)
}

/// Reads packed verdicts as the host does: one verdict per input.
///
/// # Errors
/// What the host would refuse the answer with.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn unpack(
    inputs: usize,
    entries: &[EntryOut],
    data: &[u8],
    outputs: &[String],
) -> Result<Vec<Verdict>, String> {
    let mut verdicts = vec![Verdict::Drop; inputs];
    let mut rest = data;
    let mut last = 0;
    for entry in entries {
        if entry.source < last || entry.source as usize >= inputs {
            return Err(format!("source {} is out of order or out of range", entry.source));
        }
        last = entry.source;
        let mut content = |length: i32| match length {
            AS_SOURCE => Ok(Content::Source),
            NULL => Ok(Content::Null),
            _ => {
                let length = usize::try_from(length).map_err(|_| format!("length {length}"))?;
                let (bytes, tail) =
                    rest.split_at_checked(length).ok_or("an entry reaches beyond the data")?;
                rest = tail;
                Ok::<_, String>(Content::Bytes(bytes.to_vec()))
            }
        };
        let key = content(entry.key_len)?;
        let value = content(entry.value_len)?;
        let headers = match content(entry.headers_len)? {
            Content::Source => None,
            Content::Null => return Err("headers cannot be null".into()),
            Content::Bytes(bytes) => {
                let mut view = Headers { rest: &bytes };
                let headers = view.by_ref().map(Header::from).collect();
                if !view.rest.is_empty() {
                    return Err("headers are malformed".into());
                }
                Some(headers)
            }
        };
        let verdict = &mut verdicts[entry.source as usize];
        match entry.action {
            Action::Keep => *verdict = Verdict::Keep,
            Action::Reject => {
                let Content::Bytes(reason) = value else { return Err("a reject without a reason".into()) };
                *verdict = Verdict::Reject(String::from_utf8(reason).map_err(|e| e.to_string())?);
            }
            Action::Emit => {
                let topic = match entry.topic {
                    0 => None,
                    n => Some(outputs.get(n as usize - 1).ok_or("a topic out of range")?.clone()),
                };
                let output = Output { source: None, topic, key, value, timestamp: entry.timestamp, headers };
                *verdict = match std::mem::replace(verdict, Verdict::Drop) {
                    Verdict::Emit(first) => Verdict::EmitAll(vec![first, output]),
                    Verdict::EmitAll(mut all) => {
                        all.push(output);
                        Verdict::EmitAll(all)
                    }
                    _ => Verdict::Emit(output),
                };
            }
        }
    }
    if rest.is_empty() { Ok(verdicts) } else { Err(format!("{} bytes belong to no entry", rest.len())) }
}

/// Appends a header in its packed form.
fn encode_header(header: &Header, to: &mut Vec<u8>) -> Result<(), Fault> {
    let name = u16::try_from(header.name.len())
        .map_err(|_| Fault::Fatal("a header's name is longer than 65535 bytes".into()))?;
    to.extend_from_slice(&name.to_le_bytes());
    to.extend_from_slice(header.name.as_bytes());
    match &header.value {
        None => to.extend_from_slice(&NULL.to_le_bytes()),
        Some(value) => {
            to.extend_from_slice(&length(value.len())?.to_le_bytes());
            to.extend_from_slice(value);
        }
    }
    Ok(())
}

fn length(bytes: usize) -> Result<i32, Fault> {
    i32::try_from(bytes).map_err(|_| Fault::Fatal("an output of 2 GiB or more".into()))
}

/// Takes `length` bytes off `rest`; the outer none: there are not that many.
fn take<'a>(rest: &mut &'a [u8], length: i32) -> Option<Option<&'a [u8]>> {
    if length == NULL {
        return Some(None);
    }
    let (bytes, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    Some(Some(bytes))
}

/// The answer as it grows. Entries come in source order because inputs do.
struct Packer<'a> {
    entries: Vec<EntryOut>,
    packed: Packed,
    outputs: &'a [String],
}

/// Keys, values and headers of outputs, one after the other.
pub(crate) struct Packed {
    pub(crate) data: Vec<u8>,
}

// === impl Packer ===

impl Packer<'_> {
    fn push(&mut self, source: u32, verdict: Verdict) -> Result<(), Fault> {
        let plain = EntryOut {
            source,
            action: Action::Keep,
            topic: 0,
            timestamp: None,
            key_len: AS_SOURCE,
            value_len: AS_SOURCE,
            headers_len: AS_SOURCE,
        };
        match verdict {
            Verdict::Keep => self.entries.push(plain),
            Verdict::Drop => {}
            Verdict::Reject(reason) => {
                self.packed.data.extend_from_slice(reason.as_bytes());
                let value_len = length(reason.len())?;
                self.entries.push(EntryOut { action: Action::Reject, value_len, ..plain });
            }
            Verdict::Emit(output) => self.emit(plain, &output)?,
            Verdict::EmitAll(outputs) => outputs.iter().try_for_each(|output| self.emit(plain, output))?,
        }
        Ok(())
    }

    fn emit(&mut self, plain: EntryOut, output: &Output) -> Result<(), Fault> {
        let topic = output.topic.as_deref().map_or(Ok(0), |name| Packed::topic(name, self.outputs))?;
        let [key_len, value_len, headers_len] = self.packed.put(output)?;
        let timestamp = output.timestamp;
        self.entries.push(EntryOut {
            action: Action::Emit,
            topic,
            timestamp,
            key_len,
            value_len,
            headers_len,
            ..plain
        });
        Ok(())
    }
}

// === impl Packed ===

impl Packed {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { data: Vec::with_capacity(bytes) }
    }

    /// Appends key, value and headers of an output, and gives their lengths.
    pub(crate) fn put(&mut self, output: &Output) -> Result<[i32; 3], Fault> {
        let key_len = self.content(&output.key)?;
        let value_len = self.content(&output.value)?;
        let headers_len = match &output.headers {
            None => AS_SOURCE,
            Some(headers) => {
                let start = self.data.len();
                headers.iter().try_for_each(|header| encode_header(header, &mut self.data))?;
                length(self.data.len() - start)?
            }
        };
        Ok([key_len, value_len, headers_len])
    }

    fn content(&mut self, content: &Content) -> Result<i32, Fault> {
        match content {
            Content::Source => Ok(AS_SOURCE),
            Content::Null => Ok(NULL),
            Content::Bytes(bytes) => {
                self.data.extend_from_slice(bytes);
                length(bytes.len())
            }
        }
    }

    /// The number of an output of the deployment: 0 is the default one.
    pub(crate) fn topic(name: &str, outputs: &[String]) -> Result<u32, Fault> {
        let found = outputs.iter().position(|output| output == name);
        found.map(|index| index as u32 + 1).ok_or_else(|| {
            let known = outputs.join(", ");
            Fault::Fatal(format!("`{name}` is not an output of this deployment; outputs: [{known}]"))
        })
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Takes the next record off `data`.
    fn take(index: usize, head: Head, data: &mut &'a [u8]) -> Result<Self, Fault> {
        let mut lengths = || {
            let key = take(data, head.key_len)?;
            let value = take(data, head.value_len)?;
            Some((key, value, take(data, i32::try_from(head.headers_len).ok()?)??))
        };
        let (key, value, headers) = lengths()
            .ok_or_else(|| Fault::Fatal(format!("packed batch: entry {index} reaches beyond the data")))?;
        let Head { topic, partition, offset, timestamp, .. } = head;
        Ok(Self { index: index as u32, topic, partition, offset, timestamp, key, value, headers })
    }

    /// Every record of a packed batch.
    pub(crate) fn all(
        heads: impl ExactSizeIterator<Item = Head>,
        mut data: &'a [u8],
    ) -> Result<Vec<Self>, Fault> {
        let mut records = Vec::with_capacity(heads.len());
        for (index, head) in heads.enumerate() {
            records.push(Self::take(index, head, &mut data)?);
        }
        nothing_left(data)?;
        Ok(records)
    }

    /// Its place in the batch.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Index of its topic in [`crate::config::inputs`].
    pub fn topic(&self) -> u32 {
        self.topic
    }

    /// Its partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Its offset; inline: its place in the batch, for no offset is known before the append.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Milliseconds since 1970-01-01T00:00Z.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// None: a record without a key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// None: a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The value as text; none: a tombstone or not UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value?).ok()
    }

    /// Its headers in their order, duplicates kept.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers }
    }

    /// The value of the first header with this name; none when there is no such header or it has no value.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| *found == name)?.1
    }

    /// A fault of this record alone.
    pub fn fault(&self, why: impl Into<String>) -> Fault {
        Fault::At(self.index, why.into())
    }
}

// === impl Headers ===

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    /// Ends early where the bytes are no headers, which the host never sends.
    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest;
        let name_len = take(&mut rest, 2)??;
        let name_len = u16::from_le_bytes(name_len.try_into().ok()?);
        let name = std::str::from_utf8(take(&mut rest, i32::from(name_len))??).ok()?;
        let value_len = take(&mut rest, 4)??;
        let value = take(&mut rest, i32::from_le_bytes(value_len.try_into().ok()?))?;
        self.rest = rest;
        Some((name, value))
    }
}

// === impl Header ===

impl From<(&str, Option<&[u8]>)> for Header {
    fn from((name, value): (&str, Option<&[u8]>)) -> Self {
        Self { name: name.to_owned(), value: value.map(<[u8]>::to_vec) }
    }
}

#[cfg(test)]
mod tests;
