//! From what a guest emits to what is stored: what an output leaves open is taken from its source.

use bytes::Bytes;

use crate::model::{Record, TimestampMs};
use crate::wasm::{Content, Output};

/// The record to be stored. `timestamp` is used when neither the output nor a source has one.
pub fn fill(output: Output, source: Option<&Record>, timestamp: TimestampMs) -> Record {
    Record {
        key: content(output.key, source.and_then(|s| s.key.as_ref())),
        value: content(output.value, source.and_then(|s| s.value.as_ref())),
        timestamp: output.timestamp.or(source.map(|s| s.timestamp)).unwrap_or(timestamp),
        headers: output.headers.or_else(|| source.map(|s| s.headers.clone())).unwrap_or_default(),
    }
}

fn content(content: Content, source: Option<&Bytes>) -> Option<Bytes> {
    match content {
        Content::Source => source.cloned(),
        Content::Null => None,
        Content::Bytes(bytes) => Some(bytes),
    }
}
