//! Posts records to a URL, each batch as one JSON array: key, value, timestamp, topic, partition, offset, and the headers
//! that are asked for. A value that is JSON stands there as it is, any other as text.

use std::time::Duration;

use millstream_sdk::http::Request;
use millstream_sdk::{Fault, Input, Sink, config, params, sink};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

params! {
    "url": {
        "type": "string", "required": true, "min": 8,
        "description": "where records are posted to; grants.http has to cover it"
    },
    "batch": {
        "type": "integer", "default": 100, "min": 1,
        "description": "records in one request; limits.batch.records bounds them too"
    },
    "headers": {
        "type": "string", "default": "",
        "description": "names of record headers to pass on, with commas between"
    },
    "timeout": {
        "type": "duration", "default": "10s", "min": "100ms", "max": "30s",
        "description": "how long the answer may take to begin"
    }
}

struct Webhook {
    url: String,
    /// records in one request
    batch: usize,
    /// headers of a record that are passed on
    headers: Vec<String>,
    /// how long an answer may take
    timeout: Duration,
    topics: Vec<String>,
}

sink!(Webhook);

/// A record as its receiver sees it.
#[derive(Serialize)]
struct Event<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<String>,
    value: Content<'a>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    headers: serde_json::Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Json(&'a RawValue),
    Text(String),
    Null,
}

impl Sink for Webhook {
    fn open() -> Result<Self, String> {
        Ok(Self {
            url: config::require("url")?,
            batch: config::parse_or("batch", 100)?,
            headers: config::list("headers").unwrap_or_default(),
            timeout: config::duration("timeout")?.unwrap_or(Duration::from_secs(10)),
            topics: config::inputs(),
        })
    }

    fn deliver(&mut self, batch: &[Input]) -> Result<(), Fault> {
        let mut first = 0;
        for part in batch.chunks(self.batch) {
            self.post(part, first)?;
            first += part.len();
        }
        Ok(())
    }
}

impl Webhook {
    /// One request. `first` is the place of its first record in the whole batch.
    fn post(&self, part: &[Input], first: usize) -> Result<(), Fault> {
        let events: Vec<_> = part.iter().map(|input| self.event(input)).collect();
        let body = serde_json::to_vec(&events).map_err(|e| Fault::Fatal(e.to_string()))?;
        let request = Request::post(&self.url).header("content-type", "application/json").body(body);
        let response = request.timeout(self.timeout).send()?;
        let told = format!("{} answered {}", self.url, response.status);
        match response.status {
            200..300 => Ok(()),
            // It is not there yet, has too much to do, or is broken.
            408 | 429 | 500.. => Err(Fault::Retry(told)),
            // It does not take this. One record of several may be to blame, which halving the batch will show.
            _ if part.len() == 1 => Err(Fault::at(first, told)),
            _ => Err(Fault::Fatal(told)),
        }
    }

    fn event<'a>(&'a self, input: &'a Input) -> Event<'a> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = match input.value.as_deref() {
            None => Content::Null,
            Some(value) => match serde_json::from_slice::<&RawValue>(value) {
                Ok(json) => Content::Json(json),
                Err(_) => Content::Text(text(value)),
            },
        };
        let headers =
            self.headers.iter().filter_map(|name| Some((name.clone(), text(input.header(name)?).into())));
        Event {
            topic: self.topics.get(input.topic as usize).map_or("", String::as_str),
            partition: input.partition,
            offset: input.offset,
            timestamp: input.timestamp,
            key: input.key.as_deref().map(text),
            value,
            headers: headers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::http::{Error, Response};
    use millstream_sdk::{Header, testing};

    use super::*;

    fn webhook(status: u16) -> Webhook {
        testing::reset();
        testing::set_inputs(&["orders"]);
        testing::set_param("url", "https://hooks.example.com/orders");
        testing::set_param("batch", "2");
        testing::set_param("headers", "trace");
        testing::on_http(move |_| Ok(Response::of(status)));
        Webhook::open().unwrap()
    }

    #[test]
    fn a_batch_is_posted_in_arrays() {
        let mut inputs = [testing::keyed("k", r#"{"a":1}"#), testing::input("plain"), Input::default()];
        inputs[0].headers.push(Header { name: "trace".into(), value: Some(b"t1".to_vec()) });
        webhook(204).deliver(&inputs).unwrap();
        let bodies: Vec<_> =
            testing::requests().into_iter().map(|r| String::from_utf8(r.body).unwrap()).collect();
        let place = r#""topic":"orders","partition":0,"offset":0,"timestamp":0"#;
        let expected = [
            format!(
                r#"[{{{place},"key":"k","value":{{"a":1}},"headers":{{"trace":"t1"}}}},{{{place},"key":null,"value":"plain"}}]"#
            ),
            format!(r#"[{{{place},"key":null,"value":null}}]"#),
        ];
        assert_eq!(bodies, expected);
    }

    #[test]
    fn statuses_say_whether_to_try_again() {
        let deliver = |status, records: usize| {
            let inputs: Vec<_> = (0..records).map(|n| testing::input(n.to_string())).collect();
            webhook(status).deliver(&inputs)
        };
        let told = |status| format!("https://hooks.example.com/orders answered {status}");
        for status in [408, 429, 500, 503] {
            assert_eq!(deliver(status, 2), Err(Fault::Retry(told(status))));
        }
        assert_eq!(deliver(400, 2), Err(Fault::Fatal(told(400))));
        assert_eq!(deliver(302, 1), Err(Fault::at(0, told(302))));
    }

    #[test]
    fn without_an_answer_the_batch_is_tried_again_unless_nobody_granted_it() {
        let mut webhook = webhook(200);
        let error = |permanent| Error { permanent, message: "no".into() };
        testing::on_http(move |_| Err(error(false)));
        assert_eq!(webhook.deliver(&[testing::input("x")]), Err(Fault::Retry("no".into())));
        testing::on_http(move |_| Err(error(true)));
        assert_eq!(webhook.deliver(&[testing::input("x")]), Err(Fault::Fatal("no".into())));
    }
}
