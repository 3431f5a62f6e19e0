//! Records back as CloudEvents: those that the Kafka protocol binding makes of events, in either of its content modes. A
//! record that is no event has no place among events: it is left out, and counted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::render::string;
use crate::http::json_text;
use crate::http::produce::is_json;
use crate::model::Record;

/// What an event has to have.
const REQUIRED: [&str; 4] = ["ce_id", "ce_source", "ce_specversion", "ce_type"];

/// Appends a record as an event in JSON; false, and nothing appended, when it is none.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) -> bool {
    let header = |name: &str| {
        let found = record.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value.as_deref()?).ok())
    };
    let kind = header("content-type");
    let value = record.value.as_deref();
    if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/cloudevents+json")) {
        let Some(event) = value.and_then(|v| serde_json::from_slice::<&RawValue>(v).ok()) else {
            return false;
        };
        if !event.get().starts_with('{') {
            return false;
        }
        out.extend_from_slice(json_text::compact(event.get()).as_bytes());
        return true;
    }
    if REQUIRED.iter().any(|name| header(name).is_none()) {
        return false;
    }
    out.push(b'{');
    for (name, text) in
        record.headers.iter().filter_map(|h| Some((h.name.strip_prefix("ce_")?, h.value.as_deref()?)))
    {
        // A header that is no text is no attribute.
        if let Ok(text) = std::str::from_utf8(text) {
            member(out, name, text);
        }
    }
    if let Some(kind) = kind {
        member(out, "datacontenttype", kind);
    }
    if let Some(value) = value {
        data(out, kind, value);
    }
    out.push(b'}');
    true
}

fn data(out: &mut Vec<u8>, kind: Option<&str>, value: &[u8]) {
    if kind.is_none_or(is_json) {
        if let Ok(json) = serde_json::from_slice::<&RawValue>(value) {
            name(out, "data");
            return out.extend_from_slice(json_text::compact(json.get()).as_bytes());
        }
    } else if kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/"))
        && let Ok(text) = std::str::from_utf8(value)
    {
        return member(out, "data", text);
    }
    member(out, "data_base64", &STANDARD.encode(value));
}

fn name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

fn member(out: &mut Vec<u8>, of: &str, text: &str) {
    name(out, of);
    string(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Header;
    use bytes::Bytes;

    fn record(headers: &[(&str, &'static str)], value: Option<&'static [u8]>) -> Record {
        let header = |(name, value): &(&str, &'static str)| Header {
            name: (*name).to_owned(),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        Record {
            headers: headers.iter().map(header).collect(),
            value: value.map(Bytes::from_static),
            ..Record::default()
        }
    }

    fn shown(record: &Record) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out, record).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn events_of_either_mode_are_shown_and_other_records_are_not() {
        let base = [("ce_id", "1"), ("ce_source", "/s"), ("ce_specversion", "1.0"), ("ce_type", "t")];
        let head = r#"{"id":"1","source":"/s","specversion":"1.0","type":"t""#;
        assert_eq!(shown(&record(&base, None)), Some(format!("{head}}}")));
        assert_eq!(shown(&record(&base, Some(b"{ }"))), Some(format!("{head},\"data\":{{}}}}")));
        let typed = |kind| [base.as_slice(), &[("content-type", kind)]].concat();
        let text = format!("{head},\"datacontenttype\":\"text/plain\",\"data\":\"hi\"}}");
        assert_eq!(shown(&record(&typed("text/plain"), Some(b"hi"))), Some(text));
        let binary = format!("{head},\"datacontenttype\":\"image/png\",\"data_base64\":\"aGk=\"}}");
        assert_eq!(shown(&record(&typed("image/png"), Some(b"hi"))), Some(binary));
        let broken = format!("{head},\"datacontenttype\":\"application/json\",\"data_base64\":\"aGk=\"}}");
        assert_eq!(shown(&record(&typed("application/json"), Some(b"hi"))), Some(broken));

        let whole = [("content-type", "application/cloudevents+json; charset=utf-8")];
        assert_eq!(shown(&record(&whole, Some(b"{\"id\": 1}"))), Some("{\"id\":1}".into()));
        assert_eq!(shown(&record(&whole, Some(b"[]"))), None);
        assert_eq!(shown(&record(&base[1..], Some(b"{}"))), None);
    }
}
