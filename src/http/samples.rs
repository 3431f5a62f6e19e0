//! Records as people write them for a run, and what comes out of one, as JSON: the lines of golden files and the bodies
//! of `POST …/run`. Values stand as JSON where they are JSON, else as `value_text`, else as `value_base64`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json_text::{Objects, compact};
use crate::model::{Header, Offset, Partition, Record, TimestampMs};

/// A record as produce takes it, with its place where the code looks at it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self", expecting = "a record: an object")]
pub(crate) struct Line {
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<Partition>,
    pub(crate) offset: Option<Offset>,
    timestamp: Option<TimestampMs>,
    key: Option<String>,
    key_base64: Option<String>,
    // `null` is a value, and no value is null as well.
    value: Option<Box<RawValue>>,
    value_text: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
}

/// Headers in their order.
#[derive(Default)]
struct Headers(Vec<Header>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Objects(deserializer))
    }
}

impl Line {
    /// The record that it describes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn record(&mut self) -> Result<Record, String> {
        let key = match (self.key.take(), self.key_base64.take()) {
            (Some(key), None) => Some(Bytes::from(key)),
            (None, encoded) => encoded.map(|text| decode(&text)).transpose()?,
            (Some(_), Some(_)) => return Err("`key` and `key_base64`: give one of the two".to_owned()),
        };
        let value = match (self.value.take(), self.value_text.take(), self.value_base64.take()) {
            (Some(json), None, None) => Some(Bytes::from(compact(json.get()).into_owned())),
            (None, Some(text), None) => Some(Bytes::from(text)),
            (None, None, encoded) => encoded.map(|text| decode(&text)).transpose()?,
            _ => return Err("give one of `value`, `value_text` and `value_base64`".to_owned()),
        };
        let headers = std::mem::take(&mut self.headers.0);
        Ok(Record { key, value, timestamp: self.timestamp.unwrap_or_default(), headers })
    }
}

fn decode(text: &str) -> Result<Bytes, String> {
    BASE64.decode(text).map(Bytes::from).map_err(|e| format!("no base64: {e}"))
}

/// A record's members as JSON text, such as `"key":"a","value":1`; the timestamp only when it is given.
pub(crate) fn members(record: &Record, timestamp: Option<TimestampMs>) -> String {
    let mut members = Vec::new();
    if let Some(key) = &record.key {
        members.push(text_member("key", key));
    }
    members.push(value_member("value", record.value.as_deref()));
    if !record.headers.is_empty() {
        members.push(format!("\"headers\":{}", headers(&record.headers)));
    }
    if let Some(timestamp) = timestamp {
        members.push(format!("\"timestamp\":{timestamp}"));
    }
    members.join(",")
}

/// `"name":"text"`, or `"name_base64":…` for what is no text.
pub(crate) fn text_member(name: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{name}\":{}", string(text)),
        Err(_) => format!("\"{name}_base64\":\"{}\"", BASE64.encode(bytes)),
    }
}

/// `"name":…` with JSON, or `"name_text"`, or `"name_base64"`; what is not there is null.
pub(crate) fn value_member(name: &str, bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return format!("\"{name}\":null") };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("\"{name}_base64\":\"{}\"", BASE64.encode(bytes));
    };
    // `null` would read as a tombstone, and white space would be lost.
    let is_exact = serde_json::from_str::<&RawValue>(text).is_ok_and(|json| compact(json.get()) == text);
    if is_exact && text != "null" {
        format!("\"{name}\":{text}")
    } else {
        format!("\"{name}_text\":{}", string(text))
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

/// A JSON string.
pub(crate) fn string(text: &str) -> String {
    Value::from(text).to_string()
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
