//! Records as JSON text, written without building a tree.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::http::json_text;
use crate::http::produce::Format;
use crate::model::{Header, Offset, Partition, Record};

/// How records are shown.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Shape {
    pub(in crate::http) format: Format,
    pub(in crate::http) headers: bool,
}

/// Appends a record as one JSON object without newlines.
pub(in crate::http) fn record(
    out: &mut Vec<u8>,
    partition: Partition,
    offset: Offset,
    record: &Record,
    shape: Shape,
) {
    // Writing to memory does not fail.
    let _ = write!(out, "{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":{}", record.timestamp);
    match record.key.as_deref() {
        None => out.extend_from_slice(b",\"key\":null"),
        Some(key) => match std::str::from_utf8(key) {
            Ok(text) => member(out, "key", text),
            Err(_) => base64_member(out, "key_base64", key),
        },
    }
    value(out, record.value.as_deref(), shape.format);
    if shape.headers && !record.headers.is_empty() {
        out.extend_from_slice(b",\"headers\":");
        headers(out, &record.headers);
    }
    out.push(b'}');
}

/// Appends `,"value":…` or `,"value_base64":…`, the latter with `decode_error` when the format does not fit.
pub(in crate::http) fn value(out: &mut Vec<u8>, value: Option<&[u8]>, format: Format) {
    let Some(bytes) = value else {
        return out.extend_from_slice(b",\"value\":null");
    };
    let error = match format {
        Format::Base64 => None,
        Format::Text => match std::str::from_utf8(bytes) {
            Ok(text) => return member(out, "value", text),
            Err(error) => Some(error.to_string()),
        },
        Format::Json => match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(json) => {
                out.extend_from_slice(b",\"value\":");
                return out.extend_from_slice(json_text::compact(json.get()).as_bytes());
            }
            Err(error) => Some(format!("not JSON: {error}")),
        },
    };
    base64_member(out, "value_base64", bytes);
    if let Some(error) = error {
        member(out, "decode_error", &error);
    }
}

/// Name → value; a name that occurs more than once has a list of its values.
fn headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.push(b'{');
    let mut first = true;
    for (index, header) in headers.iter().enumerate() {
        if headers[..index].iter().any(|h| h.name == header.name) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        string(out, &header.name);
        out.push(b':');
        let mut same = headers[index..].iter().filter(|h| h.name == header.name).peekable();
        let mut values = 0;
        let start = out.len();
        while let Some(header) = same.next() {
            values += 1;
            header_value(out, header);
            if same.peek().is_some() {
                out.push(b',');
            }
        }
        if values > 1 {
            out.insert(start, b'[');
            out.push(b']');
        }
    }
    out.push(b'}');
}

fn header_value(out: &mut Vec<u8>, header: &Header) {
    match header.value.as_deref().map(|v| (v, std::str::from_utf8(v))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => string(out, text),
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b"{\"base64\":");
            base64(out, bytes);
            out.push(b'}');
        }
    }
}

fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    let _ = write!(out, ",\"{name}\":");
    string(out, text);
}

/// Appends `,"name":"<base64>"`.
pub(in crate::http) fn base64_member(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let _ = write!(out, ",\"{name}\":");
    base64(out, bytes);
}

/// Appends a JSON string.
pub(in crate::http) fn string(out: &mut Vec<u8>, text: &str) {
    // Text to memory: cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(record_in: &Record, format: Format) -> String {
        let mut out = Vec::new();
        record(&mut out, 1, 7, record_in, Shape { format, headers: true });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn field_names_say_the_encoding() {
        let mut r = Record {
            key: Some(Bytes::from_static(b"u\"1")),
            value: Some(Bytes::from_static(b"{ \"a\": 1 }")),
            timestamp: 5,
            headers: Vec::new(),
        };
        let head = r#"{"partition":1,"offset":7,"timestamp":5,"key":"u\"1","#;
        assert_eq!(shown(&r, Format::Json), format!("{head}\"value\":{{\"a\":1}}}}"));
        assert_eq!(shown(&r, Format::Text), format!("{head}\"value\":\"{{ \\\"a\\\": 1 }}\"}}"));
        assert_eq!(shown(&r, Format::Base64), format!("{head}\"value_base64\":\"eyAiYSI6IDEgfQ==\"}}"));
        r.value = None;
        assert_eq!(shown(&r, Format::Base64), format!("{head}\"value\":null}}"));
        (r.key, r.value) = (Some(Bytes::from_static(&[255])), Some(Bytes::from_static(&[254])));
        let json: serde_json::Value = serde_json::from_str(&shown(&r, Format::Json)).unwrap();
        assert_eq!((&json["key_base64"], &json["value_base64"]), (&"/w==".into(), &"/g==".into()));
        assert!(json["decode_error"].as_str().unwrap().starts_with("not JSON"));
    }

    #[test]
    fn duplicate_headers_become_a_list() {
        let header = |name: &str, value: Option<&'static [u8]>| Header {
            name: name.into(),
            value: value.map(Bytes::from_static),
        };
        let headers = vec![
            header("a", Some(b"1")),
            header("b", None),
            header("a", Some(&[255])),
            header("c", Some(b"x")),
        ];
        let text = shown(&Record { headers, ..Record::default() }, Format::Json);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["headers"], serde_json::json!({"a": ["1", {"base64": "/w=="}], "b": null, "c": "x"}));
    }
}
