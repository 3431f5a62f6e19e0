//! From what a guest emits to what is stored: what an output leaves open is taken from its source.

use bytes::Bytes;

use crate::model::record::HeadersView;
use crate::model::{Record, RecordView, TimestampMs};
use crate::wasm::{Content, Output};

/// The record to be stored. `timestamp` is used when neither the output nor a source has one.
pub fn fill(output: Output, source: Option<&Record>, timestamp: TimestampMs) -> Record {
    let content = |content: Content, source: Option<&Bytes>| match content {
        Content::Source => source.cloned(),
        Content::Null => None,
        Content::Bytes(bytes) => Some(bytes),
    };
    Record {
        key: content(output.key, source.and_then(|s| s.key.as_ref())),
        value: content(output.value, source.and_then(|s| s.value.as_ref())),
        timestamp: output.timestamp.or(source.map(|s| s.timestamp)).unwrap_or(timestamp),
        headers: output.headers.or_else(|| source.map(|s| s.headers.clone())).unwrap_or_default(),
    }
}

/// The same as [`fill`], borrowed: for outputs that are encoded at once.
pub fn view<'a>(
    output: &'a Output,
    source: Option<&RecordView<'a>>,
    timestamp: TimestampMs,
) -> RecordView<'a> {
    fn content<'a>(content: &'a Content, source: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match content {
            Content::Source => source,
            Content::Null => None,
            Content::Bytes(bytes) => Some(bytes),
        }
    }
    let headers = match &output.headers {
        Some(headers) => HeadersView::Listed(headers),
        None => source.map(RecordView::headers).unwrap_or_default(),
    };
    RecordView::new(
        output.timestamp.or(source.map(|s| s.timestamp)).unwrap_or(timestamp),
        content(&output.key, source.and_then(|s| s.key)),
        content(&output.value, source.and_then(|s| s.value)),
        headers,
    )
}
