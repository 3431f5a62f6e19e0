//! Fetches a URL and emits what is new there: the elements of a JSON array, or the lines of NDJSON. What is new, the other
//! side says: by an ETag, and by a query parameter that names the last record seen. Both are the cursor.

use std::collections::BTreeMap;

use millstream_sdk::http::{Request, Response};
use millstream_sdk::{Fault, Output, Polled, Source, config, params, source};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

params! {
    "url": {
        "type": "string", "required": true, "min": 8,
        "description": "what is fetched; grants.http has to cover it"
    },
    "format": {
        "type": "enum", "values": ["json", "ndjson"], "default": "json",
        "description": "a JSON document, or a record in each line"
    },
    "records": {
        "type": "string", "default": "",
        "description": "JSON pointer to the array in the document, such as /items"
    },
    "key": {
        "type": "string",
        "description": "JSON pointer to the record's key within it, such as /id"
    },
    "since-field": {
        "type": "string",
        "description": "JSON pointer to what the last record is known by, such as /id"
    },
    "since-parameter": {
        "type": "string", "default": "since",
        "description": "the query parameter that names the last record seen"
    },
    "page": {
        "type": "integer", "default": 0, "min": 0,
        "description": "records of a full page: so many are followed by another request at once"
    },
    "timeout": {
        "type": "duration", "default": "10s", "min": "100ms", "max": "30s",
        "description": "how long the answer may take to begin"
    },
    "max-size": {
        "type": "bytes", "default": "4MiB", "max": "16MiB",
        "description": "of an answer"
    }
}

struct HttpPoll {
    url: String,
    lines: bool,
    records: String,
    key: Option<String>,
    since_field: Option<String>,
    since_parameter: String,
    page: usize,
    timeout: std::time::Duration,
    size_max: usize,
}

source!(HttpPoll);

/// What is remembered from poll to poll.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Cursor {
    /// of the answer to this very request
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// what the last record is known by
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl Source for HttpPoll {
    fn open() -> Result<Self, String> {
        Ok(Self {
            url: config::require("url")?,
            lines: config::get("format").as_deref() == Some("ndjson"),
            records: config::get("records").unwrap_or_default(),
            key: config::get("key"),
            since_field: config::get("since-field"),
            since_parameter: config::get("since-parameter").unwrap_or_else(|| "since".into()),
            page: config::parse_or("page", 0)?,
            timeout: config::duration("timeout")?.unwrap_or(std::time::Duration::from_secs(10)),
            size_max: usize::try_from(config::size("max-size")?.unwrap_or(4 << 20)).unwrap_or(usize::MAX),
        })
    }

    fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault> {
        let cursor = match cursor {
            None => Cursor::default(),
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| Fault::Fatal(format!("the cursor does not read: {e}")))?,
        };
        let response = self.request(&cursor).send()?;
        match response.status {
            200 => self.taken(&cursor, &response),
            // Nothing is new.
            204 | 304 => Ok(Polled::default()),
            408 | 425 | 429 | 500..600 => {
                Err(Fault::Retry(format!("{} answered {}", self.url, response.status)))
            }
            status => Err(Fault::Fatal(format!("{} answered {status}", self.url))),
        }
    }
}

impl HttpPoll {
    fn request(&self, cursor: &Cursor) -> Request {
        let mut url = self.url.clone();
        if let Some(since) = &cursor.since {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&encoded(&self.since_parameter));
            url.push('=');
            url.push_str(&encoded(since));
        }
        let accepts = if self.lines { "application/x-ndjson" } else { "application/json" };
        let request = Request::get(url).header("accept", accepts).timeout(self.timeout);
        let request = request.response_max(self.size_max);
        match &cursor.etag {
            Some(etag) => request.header("if-none-match", etag.as_str()),
            None => request,
        }
    }

    /// The records of an answer, and where they lead.
    fn taken(&self, before: &Cursor, response: &Response) -> Result<Polled, Fault> {
        let wrong = |why: String| Fault::Fatal(format!("the answer of {}: {why}", self.url));
        let text = std::str::from_utf8(&response.body).map_err(|_| wrong("it is not UTF-8".into()))?;
        let records = self.records_of(text).map_err(wrong)?;
        let mut outputs = Vec::with_capacity(records.len());
        for record in &records {
            let mut output = Output::new().value(*record);
            if let Some(pointer) = &self.key {
                let key = find(record, pointer).and_then(plain);
                output = output
                    .key(key.ok_or_else(|| wrong(format!("a record has nothing at {pointer}: {record}")))?);
            }
            outputs.push(output);
        }
        let mut since = before.since.clone();
        if let (Some(pointer), Some(last)) = (&self.since_field, records.last()) {
            let found = find(last, pointer).and_then(plain);
            since = Some(
                found.ok_or_else(|| wrong(format!("its last record has nothing at {pointer}: {last}")))?,
            );
        }
        let etag = response.header("etag").map(|etag| String::from_utf8_lossy(etag).into_owned());
        // The next request is another one, for which this tag says nothing.
        let etag = etag.filter(|_| since == before.since);
        let cursor = serde_json::to_vec(&Cursor { etag, since }).map_err(|e| wrong(e.to_string()))?;
        let more = self.page > 0 && records.len() >= self.page;
        Ok(Polled { outputs, cursor: Some(cursor), more })
    }

    fn records_of<'a>(&self, text: &'a str) -> Result<Vec<&'a str>, String> {
        if self.lines {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let lines = lines.map(|line| serde_json::from_str::<&RawValue>(line).map(RawValue::get));
            return lines.collect::<Result<_, _>>().map_err(|e| format!("a line is no JSON: {e}"));
        }
        let array = find(text.trim(), &self.records)
            .ok_or_else(|| format!("there is nothing at {}", self.records))?;
        let array: Vec<&RawValue> = serde_json::from_str(array).map_err(|e| format!("no JSON array: {e}"))?;
        Ok(array.into_iter().map(RawValue::get).collect())
    }
}

/// What a JSON pointer (RFC 6901) leads to, as it stands in the text.
fn find<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    let mut at = text;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let inner = match at.as_bytes().first()? {
            b'{' => serde_json::from_str::<BTreeMap<String, &RawValue>>(at).ok()?.get(&token).copied()?,
            b'[' => {
                serde_json::from_str::<Vec<&RawValue>>(at).ok()?.get(token.parse::<usize>().ok()?).copied()?
            }
            _ => return None,
        };
        at = inner.get();
    }
    Some(at)
}

/// A string without its quotes, anything else as it stands; null is nothing.
fn plain(json: &str) -> Option<String> {
    match serde_json::from_str::<String>(json) {
        Ok(text) => Some(text),
        Err(_) => (json != "null").then(|| json.to_owned()),
    }
}

/// Percent-encoded, all but what RFC 3986 leaves alone.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{on_http, poll_until_idle, requests, reset, set_param};

    use super::*;

    fn opened(params: &[(&str, &str)]) -> HttpPoll {
        reset();
        set_param("url", "https://api.example.com/items");
        for (name, value) in params {
            set_param(name, value);
        }
        HttpPoll::open().expect("the parameters are valid")
    }

    fn answers(status: u16, etag: Option<&str>, body: &str) {
        let headers = etag.map(|etag| ("etag".to_owned(), etag.as_bytes().to_vec())).into_iter().collect();
        let response = Response { status, headers, body: body.as_bytes().to_vec() };
        on_http(move |_| Ok(response.clone()));
    }

    #[test]
    fn records_keep_their_text_and_get_their_keys() {
        let mut source = opened(&[("records", "/a~1b/0"), ("key", "/id")]);
        answers(200, Some("\"1\""), r#"{"a/b": [[{"id":7, "n":1.0}, {"id":"x"}]]}"#);
        let polled = source.poll(None).expect("no fault");
        let expected = [
            Output::new().value(r#"{"id":7, "n":1.0}"#).key("7"),
            Output::new().value(r#"{"id":"x"}"#).key("x"),
        ];
        assert_eq!(polled.outputs, expected);
        assert_eq!(polled.cursor.as_deref(), Some(&br#"{"etag":"\"1\""}"#[..]));
        source.poll(polled.cursor.as_deref()).expect("no fault");
        assert!(requests()[1].headers.contains(&("if-none-match".into(), b"\"1\"".to_vec())));
    }

    #[test]
    fn pages_are_fetched_by_the_last_record_until_one_is_not_full() {
        let mut source = opened(&[("since-field", "/id"), ("page", "2"), ("since-parameter", "after")]);
        on_http(|request| {
            let after = request.url.split_once("?after=").map_or("", |(_, after)| after);
            let body = match after {
                "" => r#"[{"id":"a b"},{"id":"c&"}]"#,
                "c%26" => r#"[{"id":"d"}]"#,
                _ => "[]",
            };
            Ok(Response { status: 200, body: body.into(), ..Response::default() })
        });
        let (outputs, cursor) = poll_until_idle(&mut source, None).expect("no fault");
        assert_eq!((outputs.len(), requests().len()), (3, 2));
        assert_eq!(cursor.as_deref(), Some(&br#"{"since":"d"}"#[..]));
        assert_eq!(source.poll(cursor.as_deref()).expect("no fault").outputs, []);
    }

    #[test]
    fn lines_are_records() {
        let mut source = opened(&[("format", "ndjson")]);
        answers(200, None, "{\"n\":1}\n\n 2\n");
        let values = [Output::new().value("{\"n\":1}"), Output::new().value("2")];
        assert_eq!(source.poll(None).expect("no fault").outputs, values);
        answers(200, None, "no JSON\n");
        assert!(matches!(source.poll(None), Err(Fault::Fatal(_))));
    }

    #[test]
    fn an_answer_is_taken_tried_again_or_given_up_by_its_status() {
        let mut source = opened(&[]);
        for (status, expected) in
            [(304, "nothing"), (204, "nothing"), (503, "retry"), (429, "retry"), (404, "fatal")]
        {
            answers(status, None, "");
            let found = match source.poll(None) {
                Ok(polled) if polled == Polled::default() => "nothing",
                Ok(_) => "records",
                Err(Fault::Retry(_)) => "retry",
                Err(_) => "fatal",
            };
            assert_eq!(found, expected, "{status}");
        }
        answers(200, None, r#"{"items": 1}"#);
        assert!(matches!(source.poll(None), Err(Fault::Fatal(_))), "no array");
    }
}
