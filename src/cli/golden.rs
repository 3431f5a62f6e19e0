//! Golden files: records as lines of JSON, what goes in and what has to come out. A line of input is a record as produce
//! takes it, and may name its place; a line of output is what would be stored, a rejection, or an error. Values stand as
//! JSON where they are JSON, else as `value_text`, else as `value_base64`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::json_text::compact;
use crate::model::{Header, Offset, Partition, Record, TimestampMs};
use crate::pipelines::dry_run::{Entry, Sample};

/// One test: `NAME.in.ndjson` and `NAME.out.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Golden {
    pub(super) name: String,
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
}

/// A line of input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    topic: Option<String>,
    partition: Option<Partition>,
    offset: Option<Offset>,
    timestamp: Option<TimestampMs>,
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_text: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
}

/// Headers in their order.
#[derive(Default)]
struct Headers(Vec<Header>);

/// The tests in a folder, by name.
pub(super) fn find(folder: &Path) -> std::io::Result<Vec<Golden>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let input = entry?.path();
        let file = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".in.ndjson") {
            let output = folder.join(format!("{name}.out.ndjson"));
            found.push(Golden { name: name.to_owned(), input, output });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The records of an input file, each with its line number. `topics` are the deployment's inputs.
///
/// # Errors
/// The first wrong line, and what is wrong.
pub(super) fn samples(text: &str, topics: &[String]) -> Result<Vec<(usize, Sample)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.enumerate().map(|(index, (number, line))| {
        let sample = sample(line, index as Offset, topics).map_err(|why| format!("line {number}: {why}"))?;
        Ok((number, sample))
    });
    parsed.collect()
}

fn sample(line: &str, index: Offset, topics: &[String]) -> Result<Sample, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let topic = match line.topic {
        None => 0,
        Some(topic) => topics
            .iter()
            .position(|t| *t == topic)
            .ok_or_else(|| format!("`{topic}` is no input of deploy.yaml; it has {}", topics.join(", ")))?,
    };
    let key = match (line.key, line.key_base64) {
        (Some(key), None) => Some(Bytes::from(key)),
        (None, encoded) => encoded.map(|text| decode(&text)).transpose()?,
        (Some(_), Some(_)) => return Err("`key` and `key_base64`: give one of the two".to_owned()),
    };
    let value = match (line.value, line.value_text, line.value_base64) {
        (Some(json), None, None) => Some(Bytes::from(compact(json.get()).into_owned())),
        (None, Some(text), None) => Some(Bytes::from(text)),
        (None, None, encoded) => encoded.map(|text| decode(&text)).transpose()?,
        _ => return Err("give one of `value`, `value_text` and `value_base64`".to_owned()),
    };
    Ok(Sample {
        topic: u32::try_from(topic).unwrap_or_default(),
        partition: line.partition.unwrap_or_default(),
        offset: line.offset.unwrap_or(index),
        record: Record { key, value, timestamp: line.timestamp.unwrap_or_default(), headers: line.headers.0 },
    })
}

fn decode(text: &str) -> Result<Bytes, String> {
    BASE64.decode(text).map(Bytes::from).map_err(|e| format!("no base64: {e}"))
}

/// A line of output, without the line feed.
pub(super) fn line(entry: &Entry) -> String {
    let (route, record, timestamp) = match entry {
        Entry::Rejected(reason) => return format!("{{\"reject\":{}}}", string(reason)),
        Entry::Failed(reason) => return format!("{{\"error\":{}}}", string(reason)),
        Entry::Stored { route, record, timestamp } => (route, record, timestamp),
    };
    let mut members = Vec::new();
    if let Some(route) = route {
        members.push(format!("\"topic\":{}", string(route)));
    }
    if let Some(key) = &record.key {
        members.push(match std::str::from_utf8(key) {
            Ok(text) => format!("\"key\":{}", string(text)),
            Err(_) => format!("\"key_base64\":\"{}\"", BASE64.encode(key)),
        });
    }
    members.push(value(record.value.as_deref()));
    if !record.headers.is_empty() {
        members.push(format!("\"headers\":{}", headers(&record.headers)));
    }
    if let Some(timestamp) = timestamp {
        members.push(format!("\"timestamp\":{timestamp}"));
    }
    format!("{{{}}}", members.join(","))
}

fn value(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "\"value\":null".to_owned() };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("\"value_base64\":\"{}\"", BASE64.encode(bytes));
    };
    // `null` would read as a tombstone, and white space would be lost.
    let is_exact = serde_json::from_str::<&RawValue>(text).is_ok_and(|json| compact(json.get()) == text);
    if is_exact && text != "null" {
        format!("\"value\":{text}")
    } else {
        format!("\"value_text\":{}", string(text))
    }
}

fn headers(headers: &[Header]) -> String {
    let mut out = String::from("{");
    for (index, header) in
        headers.iter().enumerate().filter(|(i, h)| !headers[..*i].iter().any(|x| x.name == h.name))
    {
        let same: Vec<_> =
            headers[index..].iter().filter(|h| h.name == header.name).map(header_value).collect();
        let values = if let [one] = &same[..] { one.clone() } else { format!("[{}]", same.join(",")) };
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}:{values}", string(&header.name));
    }
    out + "}"
}

fn header_value(header: &Header) -> String {
    match header.value.as_deref().map(|v| (v, std::str::from_utf8(v))) {
        None => "null".to_owned(),
        Some((_, Ok(text))) => string(text),
        Some((bytes, Err(_))) => format!("{{\"base64\":\"{}\"}}", BASE64.encode(bytes)),
    }
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// The lines of a file as this module writes them: without blank lines and space between tokens.
pub(super) fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| match serde_json::from_str::<&RawValue>(line) {
            Ok(json) => compact(json.get()).into_owned(),
            Err(_) => line.to_owned(),
        })
        .collect()
}

/// What differs, as `diff -u` marks it; `None`: nothing. A long run of equal lines is counted.
pub(super) fn diff(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    /// Equal lines shown beside a difference.
    const CONTEXT: usize = 2;
    let marked = marked(expected, found);
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(marked.len());
        marked[around].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut out = String::new();
    let mut hidden = 0;
    for (at, (mark, line)) in marked.iter().enumerate() {
        if !near(at) {
            hidden += 1;
            continue;
        }
        if hidden > 0 {
            let _ = writeln!(out, "    … {hidden} equal");
            hidden = 0;
        }
        let _ = writeln!(out, "  {mark} {line}");
    }
    if hidden > 0 {
        let _ = writeln!(out, "    … {hidden} equal");
    }
    Some(out)
}

/// `-`: only expected, `+`: only found. The longest common subsequence stays, if the files are not too long for it.
fn marked<'a>(expected: &'a [String], found: &'a [String]) -> Vec<(char, &'a str)> {
    /// Steps of the comparison: 4 MiB of table.
    const STEPS_MAX: usize = 1 << 20;
    let begin = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (a, b) = (&expected[begin..], &found[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b, tail) = (&a[..a.len() - end], &b[..b.len() - end], &a[a.len() - end..]);

    let mut out: Vec<_> = expected[..begin].iter().map(|line| (' ', line.as_str())).collect();
    let (mut i, mut j) = (0, 0);
    if a.len() * b.len() <= STEPS_MAX {
        // length[i][j]: of the longest common subsequence of a[i..] and b[j..]
        let mut length = vec![vec![0u32; b.len() + 1]; a.len() + 1];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                length[i][j] = if a[i] == b[j] {
                    length[i + 1][j + 1] + 1
                } else {
                    length[i + 1][j].max(length[i][j + 1])
                };
            }
        }
        while i < a.len() && j < b.len() {
            if a[i] == b[j] {
                out.push((' ', &a[i]));
                (i, j) = (i + 1, j + 1);
            } else if length[i + 1][j] >= length[i][j + 1] {
                out.push(('-', &a[i]));
                i += 1;
            } else {
                out.push(('+', &b[j]));
                j += 1;
            }
        }
    }
    out.extend(a[i..].iter().map(|line| ('-', line.as_str())));
    out.extend(b[j..].iter().map(|line| ('+', line.as_str())));
    out.extend(tail.iter().map(|line| (' ', line.as_str())));
    out
}

// === impl Headers ===

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;
        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of headers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    let values = if let Value::Array(list) = value { list } else { vec![value] };
                    for value in values {
                        let value = one_value(&value).map_err(de::Error::custom)?;
                        headers.push(Header { name: name.clone(), value });
                    }
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_map(HeadersVisitor)
    }
}

fn one_value(value: &Value) -> Result<Option<Bytes>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::from(text.clone()))),
        other => match other.get("base64").and_then(Value::as_str) {
            Some(text) => decode(text).map(Some),
            None => Err("a header is a string, null, {\"base64\": \"…\"}, or a list of these".to_owned()),
        },
    }
}

#[cfg(test)]
#[path = "golden/tests.rs"]
mod tests;
