//! Posts the value of every record to a URL.

use millstream_sdk::http::Request;
use millstream_sdk::{Fault, Input, Sink, config, params, sink};

// What a deployment may say in `params`; anything else is refused when it is made.
params! {
    "url": { "type": "string", "required": true, "description": "where records are posted to" }
}

struct Poster {
    url: String,
}

sink!(Poster);

impl Sink for Poster {
    /// Once per instance, before the first batch.
    fn open() -> Result<Self, String> {
        Ok(Self { url: config::require("url")? })
    }

    /// `Ok` says that all have arrived. Records may come again after a crash: at least once.
    fn deliver(&mut self, batch: &[Input]) -> Result<(), Fault> {
        for (index, input) in batch.iter().enumerate() {
            let body = input.value.clone().unwrap_or_default();
            // Without an answer the whole batch comes again, later.
            let response = Request::post(&self.url).body(body).send()?;
            match response.status {
                200..300 => {}
                500.. => return Err(Fault::Retry(format!("the answer was {}", response.status))),
                status => return Err(Fault::at(index, format!("the answer was {status}"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::http::Response;
    use millstream_sdk::testing::{input, on_http, requests, set_param};

    use super::*;

    #[test]
    fn a_record_that_is_not_taken_is_named() {
        set_param("url", "https://hooks.example.com");
        on_http(|request| Ok(Response::of(if request.body == b"bad" { 400 } else { 204 })));
        let mut poster = Poster::open().unwrap();
        assert_eq!(poster.deliver(&[input("a"), input("b")]), Ok(()));
        assert_eq!(poster.deliver(&[input("a"), input("bad")]), Err(Fault::at(1, "the answer was 400")));
        assert_eq!(requests().len(), 4);
    }
}
