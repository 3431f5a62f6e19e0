//! CloudEvents 1.0 into records: structured, batched, or binary (`ce-…` headers), by the specification's HTTP and JSON
//! bindings. They are stored in the binary content mode of its Kafka protocol binding (1.0.2, section 3.2): attributes as
//! headers `ce_…`, `datacontenttype` as `content-type`, the data as the value, `partitionkey` as the key.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

use super::envelope::bounded::{self, Members};
use super::envelope::{ERRORS_MAX, Rules, check_size, wrong};
use super::events::Shape;
use super::{idempotency_key, invalid, producer, reply, store};
use crate::broker::TopicHandle;
use crate::broker::produce::{NewHeader, NewRecord};
use crate::http::App;
use crate::http::body::{Media, Whole, read_whole};
use crate::http::codes::Code;
use crate::http::error::{FieldError, Problem};
use crate::http::json_text;
use crate::http::query::decode_percent;
use crate::model::limits::{BODY_BYTES_MAX, RECORD_HEADERS_MAX, REQUEST_RECORDS_MAX};

/// What every event has to have.
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];
/// What is stored under the name of a header of its own.
const CONTENT_TYPE: &str = "datacontenttype";

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// attributes in headers, data in the body
    Binary,
    /// one JSON object
    Structured,
    /// a JSON array of them
    Batch,
}

/// An event on its way into a record: attributes in their order, and the data.
#[derive(Debug, Default)]
struct Event<'a> {
    attributes: Vec<(String, String)>,
    data: Option<Cow<'a, [u8]>>,
}

/// The events of a batch; of too many, one more than there may be.
#[derive(Deserialize)]
struct Batch<'a>(#[serde(borrow, deserialize_with = "bounded::records")] Vec<&'a RawValue>);

/// How the request's events come; `None` when it has none.
pub(super) fn mode(headers: &HeaderMap, media: Media) -> Option<Mode> {
    match media {
        Media::CloudEvent => Some(Mode::Structured),
        Media::CloudEvents => Some(Mode::Batch),
        _ => headers.contains_key("ce-specversion").then_some(Mode::Binary),
    }
}

/// Stores a request's events in one commit, or none of them.
pub(super) async fn produce(
    app: &App,
    topic: Arc<TopicHandle>,
    shape: Shape,
    mode: Mode,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let Whole { bytes, share } = read_whole(body, BODY_BYTES_MAX, &app.budget).await?;
    let events = match mode {
        Mode::Binary => vec![binary(&parts.headers, &bytes).map_err(|error| (String::new(), vec![error]))],
        Mode::Structured => vec![structured("", json(&bytes)?)],
        Mode::Batch => {
            let Batch(events) = json(&bytes)?;
            if events.len() > REQUEST_RECORDS_MAX {
                let detail =
                    format!("more than {REQUEST_RECORDS_MAX} events, which is the most that a request takes");
                return Err(Problem::new(Code::BodyTooLarge, detail));
            }
            events.iter().enumerate().map(|(index, event)| structured(&format!("/{index}"), event)).collect()
        }
    };
    let numbered = producer::numbered(&parts.headers)?;
    let mut records = producer::records(numbered.as_ref(), topic, bytes.len(), app.now_ms());
    let mut told = String::new();
    let mut errors = Vec::new();
    for event in &events {
        let checked = match event {
            Ok((at, event)) => {
                if mode == Mode::Binary {
                    told = format!("{:?}", event.attributes);
                }
                event
                    .record(&shape)
                    .map_err(|error| vec![FieldError { pointer: at.clone() + &error.pointer, ..error }])
            }
            Err((_, errors)) => Err(errors.clone()),
        };
        match checked {
            Ok(record) if errors.is_empty() => records.push(&record)?,
            Ok(_) => {}
            Err(more) => errors.extend(more),
        }
        if errors.len() >= ERRORS_MAX {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    // In binary mode the headers are a part of what the key stands for.
    let idempotency = idempotency_key(&parts.headers, &parts.uri, told.as_bytes(), &bytes)?;
    drop(events);
    drop((bytes, share));
    if let Some(stamp) = numbered {
        return producer::store(app, records, stamp).await;
    }
    let reply = store(app, records, Vec::new(), idempotency).await?;
    Ok(reply::response(&reply))
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => invalid(vec![wrong("", e.to_string())]),
        _ => Problem::new(Code::MalformedJson, e.to_string()),
    })
}

/// Where it stands and what it is; or that, and every place that is wrong.
type Read<'a> = Result<(String, Event<'a>), (String, Vec<FieldError>)>;

/// An event in JSON.
fn structured<'a>(at: &str, json: &'a RawValue) -> Read<'a> {
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(json.get()) else {
        return Err((at.to_owned(), vec![wrong(at, "expected an event: a JSON object")]));
    };
    let mut errors = Vec::new();
    let (mut event, mut data, mut base64) = (Event::default(), None, None);
    if members.len() >= ERRORS_MAX {
        errors.push(wrong(at, format!("has {ERRORS_MAX} members or more")));
    }
    for (name, value) in members {
        match (name.as_str(), attribute(value.get())) {
            (_, Ok(None)) => {}
            ("data", _) => data = Some(value),
            ("data_base64", Ok(Some(text))) if value.get().starts_with('"') => base64 = Some(text),
            ("data_base64", _) => errors.push(wrong(&format!("{at}/data_base64"), "expected a string")),
            (_, Ok(Some(text))) => event.attributes.push((name, text)),
            (_, Err(detail)) => errors.push(wrong(&format!("{at}/{}", escaped(&name)), detail)),
        }
    }
    errors
        .extend(event.check().into_iter().map(|e| FieldError { pointer: format!("{at}{}", e.pointer), ..e }));
    match (data, base64) {
        (Some(_), Some(_)) => {
            errors.push(wrong(&format!("{at}/data_base64"), "stands beside `data`; give one of the two"));
        }
        (None, Some(text)) => match STANDARD.decode(&text) {
            Ok(bytes) => event.data = Some(Cow::Owned(bytes)),
            Err(error) => errors.push(wrong(&format!("{at}/data_base64"), format!("is not base64: {error}"))),
        },
        (Some(data), None) => event.set_json(data),
        (None, None) => {}
    }
    if errors.is_empty() { Ok((at.to_owned(), event)) } else { Err((at.to_owned(), errors)) }
}

/// An attribute's value as its text; `None` for null, which is absence.
fn attribute(json: &str) -> Result<Option<String>, &'static str> {
    match json.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => serde_json::from_str(json).map(Some).map_err(|_| "is no text"),
        Some(b't' | b'f') => Ok(Some(json.to_owned())),
        // The specification's integers have 32 bits.
        _ if json.parse::<i32>().is_ok() => Ok(Some(json.to_owned())),
        _ => Err("expected text, a whole number of 32 bits, or a boolean"),
    }
}

/// An event whose attributes are headers of the request.
fn binary<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(String, Event<'a>), FieldError> {
    let mut event = Event { data: Some(Cow::Borrowed(body)).filter(|b| !b.is_empty()), ..Event::default() };
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| (CONTENT_TYPE, value));
    for (name, value) in named.chain(content_type) {
        let text = value.to_str().ok().and_then(decode_percent);
        let text =
            text.ok_or_else(|| wrong(&format!("/{name}"), "the header is no percent-encoded UTF-8"))?;
        event.attributes.push((name.to_owned(), text.into_owned()));
    }
    match event.check().into_iter().next() {
        Some(error) => Err(error),
        None => Ok((String::new(), event)),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

// === impl Event ===

impl<'a> Event<'a> {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Every attribute that is not as the specification wants it.
    fn check(&self) -> Vec<FieldError> {
        let missing = REQUIRED.into_iter().filter(|name| self.attribute(name).is_none());
        let mut errors: Vec<_> = missing.map(|name| wrong(&format!("/{name}"), "is missing")).collect();
        for (index, (name, value)) in self.attributes.iter().enumerate() {
            let detail = match name.as_str() {
                _ if name.is_empty()
                    || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) =>
                {
                    "names of attributes have a-z and 0-9 only".to_owned()
                }
                _ if self.attributes[..index].iter().any(|(earlier, _)| earlier == name) => {
                    "stands twice".to_owned()
                }
                "specversion" if value != "1.0" => format!("is {value:?}, expected \"1.0\""),
                "time" if value.parse::<jiff::Timestamp>().is_err() => {
                    format!("is {value:?}, expected a time of RFC 3339")
                }
                "id" | "source" | "type" | "subject" | "dataschema" | CONTENT_TYPE if value.is_empty() => {
                    "is empty".to_owned()
                }
                _ => continue,
            };
            errors.push(wrong(&format!("/{}", escaped(name)), detail));
        }
        errors
    }

    /// The data of an event in JSON: JSON stays JSON, unless it is the text of another media type.
    fn set_json(&mut self, data: &'a RawValue) {
        let kind = self.attribute(CONTENT_TYPE);
        let is_text = kind.is_some_and(|kind| !is_json(kind));
        if kind.is_none() {
            // Data in JSON without a type is JSON (JSON event format, section 3.1).
            self.attributes.push((CONTENT_TYPE.into(), "application/json".into()));
        }
        let text = is_text.then(|| serde_json::from_str::<String>(data.get()).ok()).flatten();
        self.data = Some(match text {
            Some(text) => Cow::Owned(text.into_bytes()),
            None => json_text::bytes(json_text::compact(data.get())),
        });
    }

    fn record<'e>(&'e self, shape: &'e Shape) -> Result<NewRecord<'e>, FieldError> {
        let attribute = |(name, value): &'e (String, String)| -> NewHeader<'e> {
            let name = if name == CONTENT_TYPE { "content-type".to_owned() } else { format!("ce_{name}") };
            (Cow::Owned(name), Some(Cow::Borrowed(value.as_bytes())))
        };
        let headers: Vec<_> = self.attributes.iter().map(attribute).chain(shape.record_headers()).collect();
        if headers.len() > RECORD_HEADERS_MAX {
            return Err(wrong("", format!("has more than {RECORD_HEADERS_MAX} attributes and headers")));
        }
        let key = self.attribute("partitionkey").map(|key| Cow::Borrowed(key.as_bytes()));
        let rules: &Rules = shape.rules();
        let record = NewRecord {
            partition: rules.partition,
            timestamp: None,
            key: key.or_else(|| shape.key()),
            value: self.data.as_deref().map(Cow::Borrowed),
            headers,
        };
        check_size(&record, rules)?;
        Ok(record)
    }
}

/// Does the media type say JSON?
pub(in crate::http) fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// attributes and data, or what is wrong
    type Read = Result<(Vec<(String, String)>, Option<String>), Vec<String>>;

    fn read(json: &str) -> Read {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        match structured("/3", raw) {
            Ok((_, event)) => {
                let data = event.data.map(|data| String::from_utf8_lossy(&data).into_owned());
                Ok((event.attributes, data))
            }
            Err((_, errors)) => {
                Err(errors.into_iter().map(|e| format!("{} {}", e.pointer, e.detail)).collect())
            }
        }
    }

    const HEAD: &str = r#""id":"1","source":"/s","specversion":"1.0","type":"t""#;

    fn data(rest: &str) -> Option<String> {
        read(&format!("{{{HEAD},{rest}}}")).unwrap().1
    }

    #[test]
    fn data_is_stored_as_its_media_type_says() {
        assert_eq!(data(r#""data": {"a": 1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(data(r#""data": "x""#).as_deref(), Some("\"x\""));
        assert_eq!(data(r#""datacontenttype":"text/plain","data":"x\ny""#).as_deref(), Some("x\ny"));
        assert_eq!(data(r#""datacontenttype":"text/xml","data_base64":"aGk=""#).as_deref(), Some("hi"));
        assert_eq!(data(r#""data":null"#), None);
    }

    #[test]
    fn attributes_become_text_and_null_is_absence() {
        let (attributes, _) = read(&format!("{{{HEAD},\"n\":-7,\"yes\":true,\"no\":null}}")).unwrap();
        let extensions: Vec<_> = attributes.iter().filter(|(n, _)| !REQUIRED.contains(&n.as_str())).collect();
        assert_eq!(extensions, [&("n".to_owned(), "-7".to_owned()), &("yes".to_owned(), "true".to_owned())]);
    }

    #[test]
    fn every_wrong_attribute_is_named() {
        let errors =
            read(r#"{"id":"","source":"s","specversion":"0.3","Big":"x","deep":{},"n":1.5,"time":"noon"}"#);
        let mut errors = errors.unwrap_err();
        errors.sort();
        let places: Vec<_> = errors.iter().map(|e| e.split(' ').next().unwrap()).collect();
        assert_eq!(places, ["/3/Big", "/3/deep", "/3/id", "/3/n", "/3/specversion", "/3/time", "/3/type"]);
        assert_eq!(read("[]").unwrap_err(), ["/3 expected an event: a JSON object"]);
    }

    #[test]
    fn headers_are_percent_decoded() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("ce-id", "%22a%E2%82%AC"), ("ce-source", "/s+t"), ("ce-type", "t"), ("ce-specversion", "1.0")]
        {
            headers.insert(name, value.parse().unwrap());
        }
        let (_, event) = binary(&headers, b"").unwrap();
        assert_eq!((event.attribute("id"), event.attribute("source")), (Some("\"a€"), Some("/s+t")));
        assert_eq!(event.data, None);
        headers.remove("ce-type");
        assert_eq!(binary(&headers, b"").unwrap_err().pointer, "/type");
    }
}
