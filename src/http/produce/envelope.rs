//! The JSON envelope of records: parsed in one pass that borrows from the body, so that keys and values are copied once,
//! into their batch. When that fails, a second pass, whose speed does not matter, finds every place that is wrong.

pub(super) mod bounded;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use self::bounded::Members;
use crate::broker::produce::{NewHeader, NewRecord};
use crate::http::error::FieldError;
use crate::http::json_text::{self, Objects};
use crate::model::batch::HEADER_LEN;
use crate::model::limits::RECORD_HEADERS_MAX;
use crate::model::limits::TIMESTAMP_MAX;
use crate::model::{Offset, Partition, TimestampMs};

/// Places named in one answer at most.
pub(super) const ERRORS_MAX: usize = 100;
/// What a record takes in a batch beside key, value and headers, with room to spare.
const RECORD_ROOM: usize = HEADER_LEN + 64;

/// How `value` is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Format {
    /// any JSON, stored compact; `null` is a tombstone
    #[default]
    Json,
    /// a string, stored as UTF-8
    Text,
    /// only `value_base64`
    Base64,
}

/// One record as it stands in the body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self", expecting = "a record: an object")]
pub(super) struct Entry<'a> {
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    key_base64: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Given<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    value_base64: Option<Option<Text<'a>>>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
    #[serde(default)]
    timestamp: Option<TimestampMs>,
    #[serde(default)]
    partition: Option<Partition>,
}

/// A body with many records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch<'a> {
    /// of too many, one more than there may be
    #[serde(borrow, deserialize_with = "bounded::records")]
    pub(super) records: Vec<Entry<'a>>,
    /// partition → the offset at which it has to continue
    #[serde(default)]
    pub(super) expected_offsets: BTreeMap<Partition, Offset>,
}

/// What an envelope is turned into records with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) format: Format,
    /// of the path
    pub(super) partition: Option<Partition>,
    /// of the topic
    pub(super) partitions: u32,
    /// `max.message.bytes` of the topic
    pub(super) record_bytes_max: usize,
}

/// Text that borrows from the body unless it holds escapes.
pub(super) struct Text<'a>(Cow<'a, str>);

/// A value as JSON text; `null` is something, absence is not.
#[derive(Default)]
struct Given<'a>(Option<&'a RawValue>);

/// Headers in their order; of too many, some more than there may be.
#[derive(Default)]
struct Headers<'a>(Vec<(Text<'a>, HeaderValue<'a>)>);

enum HeaderValue<'a> {
    Null,
    Text(Text<'a>),
    Base64(Text<'a>),
}

/// All values of one name.
struct HeaderValues<'a>(Vec<HeaderValue<'a>>);

/// Does the body hold `{"records": …}` rather than one record? The first member tells.
pub(super) fn is_batch(body: &[u8]) -> bool {
    let inner = body.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inner.is_some_and(|b| b.starts_with(b"\"records\"") || b.starts_with(b"\"expected_offsets\""))
}

// === impl Entry ===

impl<'a> Entry<'a> {
    /// The record, borrowed from what the entry was parsed from.
    pub(super) fn into_record(self, rules: &Rules) -> Result<NewRecord<'a>, FieldError> {
        let key = match (self.key, self.key_base64) {
            (Some(_), Some(_)) => {
                return Err(wrong("/key_base64", "stands beside `key`; give one of the two"));
            }
            (Some(key), None) => Some(key.into_bytes()),
            (None, Some(key)) => Some(decode("/key_base64", &key)?),
            (None, None) => None,
        };
        let value = match (self.value.0, self.value_base64) {
            (Some(_), Some(_)) => {
                return Err(wrong("/value_base64", "stands beside `value`; give one of the two"));
            }
            (None, None) => return Err(wrong("", "has no `value`; write \"value\": null for a tombstone")),
            (None, Some(None)) => None,
            (None, Some(Some(value))) => Some(decode("/value_base64", &value)?),
            (Some(value), None) => value_bytes(value, rules.format)?,
        };
        let timestamp = self.timestamp;
        if let Some(timestamp) = timestamp.filter(|timestamp| !(0..=TIMESTAMP_MAX).contains(timestamp)) {
            return Err(wrong(
                "/timestamp",
                format!("{timestamp}, expected milliseconds since 1970, 0 to {TIMESTAMP_MAX}"),
            ));
        }
        let partition = place(self.partition, rules)?;
        let headers = self.headers.into_headers()?;
        let record = NewRecord { partition, timestamp, key, value, headers };
        check_size(&record, rules)?;
        Ok(record)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Objects(deserializer))
    }
}

/// Refuses a record that its topic would not take.
pub(super) fn check_size(record: &NewRecord<'_>, rules: &Rules) -> Result<(), FieldError> {
    let found = record.size();
    if found + RECORD_ROOM > rules.record_bytes_max {
        let limit = rules.record_bytes_max;
        return Err(wrong(
            "",
            format!("takes {found} bytes, the topic allows {limit} (max.message.bytes) with its framing"),
        ));
    }
    Ok(())
}

fn place(own: Option<Partition>, rules: &Rules) -> Result<Option<Partition>, FieldError> {
    match (own, rules.partition) {
        (Some(own), Some(path)) if own != path => {
            Err(wrong("/partition", format!("is {own}, the path says {path}")))
        }
        (Some(own), _) if own >= rules.partitions => {
            Err(wrong("/partition", format!("is {own}, must be < {}", rules.partitions)))
        }
        (own, path) => Ok(own.or(path)),
    }
}

fn value_bytes(value: &RawValue, format: Format) -> Result<Option<Cow<'_, [u8]>>, FieldError> {
    let text = value.get();
    if text == "null" {
        return Ok(None);
    }
    match format {
        Format::Json => Ok(Some(json_text::bytes(json_text::compact(text)))),
        Format::Text => match serde_json::from_str::<Text<'_>>(text) {
            Ok(text) => Ok(Some(text.into_bytes())),
            Err(_) => Err(wrong("/value", "expected a string, because format=text")),
        },
        Format::Base64 => Err(wrong("/value", "expected `value_base64` instead, because format=base64")),
    }
}

fn decode<'a>(pointer: &str, text: &Text<'_>) -> Result<Cow<'a, [u8]>, FieldError> {
    STANDARD.decode(&*text.0).map(Cow::Owned).map_err(|e| wrong(pointer, format!("is not base64: {e}")))
}

/// One wrong place, relative to the record.
pub(super) fn wrong(pointer: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.to_owned(), detail: detail.into() }
}

/// Every wrong place of a body that is JSON but did not parse as an envelope.
pub(super) fn diagnose(body: &[u8], batch: bool) -> Vec<FieldError> {
    #[derive(Deserialize)]
    struct Loose<'a> {
        #[serde(borrow, deserialize_with = "bounded::records")]
        records: Vec<&'a RawValue>,
    }
    if !batch {
        return diagnose_entry("", body);
    }
    let loose = serde_json::from_slice::<Loose<'_>>(body);
    let places = loose.iter().flat_map(|loose| &loose.records).enumerate();
    let mut errors: Vec<_> = places
        .flat_map(|(index, raw)| diagnose_entry(&format!("/records/{index}"), raw.get().as_bytes()))
        .take(ERRORS_MAX)
        .collect();
    if errors.is_empty()
        && let Err(error) = serde_json::from_slice::<Batch<'_>>(body)
    {
        let (pointer, sentence) = json_text::wrong_place(body, &error);
        errors.push(wrong(&pointer, sentence));
    }
    errors
}

/// Tries every member of a record alone: what fails alone is what is wrong.
fn diagnose_entry(at: &str, entry: &[u8]) -> Vec<FieldError> {
    let Err(whole) = serde_json::from_slice::<Entry<'_>>(entry) else { return Vec::new() };
    let members = serde_json::from_slice::<Members<'_>>(entry).map(|members| members.0);
    let mut errors = Vec::new();
    for (name, value) in members.unwrap_or_default() {
        let quoted = serde_json::to_string(&name).unwrap_or_default();
        let alone = format!("{{{quoted}:{}}}", value.get());
        if let Err(error) = serde_json::from_str::<Entry<'_>>(&alone) {
            let name = name.replace('~', "~0").replace('/', "~1");
            errors.push(wrong(&format!("{at}/{name}"), without_place(&error)));
        }
    }
    if errors.is_empty() {
        errors.push(wrong(at, without_place(&whole)));
    }
    errors
}

/// serde's sentence without the line and column, which count within a piece of the body.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(sentence, _)| sentence.to_owned())
}

/// `null` is something, absence is not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Text<'a>>>, D::Error> {
    Option::<Text<'a>>::deserialize(deserializer).map(Some)
}

// === impl Text ===

impl<'a> Text<'a> {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        json_text::bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

// === impl Given ===

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

// === impl Headers ===

impl<'a> Headers<'a> {
    fn into_headers(self) -> Result<Vec<NewHeader<'a>>, FieldError> {
        if self.0.len() > RECORD_HEADERS_MAX {
            return Err(wrong("/headers", format!("more than {RECORD_HEADERS_MAX} headers")));
        }
        let header = |(name, value): (Text<'a>, HeaderValue<'a>)| {
            let value = match value {
                HeaderValue::Null => None,
                HeaderValue::Text(text) => Some(text.into_bytes()),
                HeaderValue::Base64(text) => Some(decode("/headers", &text)?),
            };
            Ok((name.0, value))
        };
        self.0.into_iter().map(header).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;
        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers, or a list of [name, value] pairs")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Headers<'de>, E> {
                Ok(Headers::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, values)) = map.next_entry::<Text<'de>, HeaderValues<'de>>()? {
                    if headers.len() > RECORD_HEADERS_MAX {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        break;
                    }
                    let mut values = values.0.into_iter();
                    if let Some(first) = values.next() {
                        let again = name.0.clone();
                        headers.push((name, first));
                        headers.extend(values.map(|value| (Text(again.clone()), value)));
                    }
                }
                Ok(Headers(headers))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Headers<'de>, A::Error> {
                bounded::first(seq, RECORD_HEADERS_MAX + 1).map(Headers)
            }
        }
        deserializer.deserialize_any(HeadersVisitor)
    }
}

const HEADER_VALUE: &str = "a string, null, or {\"base64\": \"…\"}";

impl<'de: 'a, 'a> Deserialize<'de> for HeaderValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = HeaderValues::deserialize(deserializer)?.0;
        match (values.pop(), values.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(de::Error::custom(format!("expected {HEADER_VALUE}"))),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderValues<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = HeaderValues<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{HEADER_VALUE}, or a list of these")
            }
            fn visit_unit<E: de::Error>(self) -> Result<HeaderValues<'de>, E> {
                Ok(HeaderValues(vec![HeaderValue::Null]))
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<HeaderValues<'de>, E> {
                Ok(HeaderValues(vec![HeaderValue::Text(Text(Cow::Borrowed(text)))]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderValues<'de>, E> {
                Ok(HeaderValues(vec![HeaderValue::Text(Text(Cow::Owned(text.to_owned())))]))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderValues<'de>, A::Error> {
                match map.next_entry::<Cow<'_, str>, Text<'de>>()? {
                    Some((name, text)) if name == "base64" && map.next_key::<Cow<'_, str>>()?.is_none() => {
                        Ok(HeaderValues(vec![HeaderValue::Base64(text)]))
                    }
                    _ => Err(de::Error::custom(format!("expected {HEADER_VALUE}"))),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<HeaderValues<'de>, A::Error> {
                bounded::first(seq, RECORD_HEADERS_MAX + 1).map(HeaderValues)
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
mod tests;
