//! Asks the URL in its parameter `url` while it opens, and takes every record. For tests of the server: how long it takes to
//! open, and how often it does, the other side decides and sees. It is asked again as long as it answers 202, with a query
//! that tells that apart: no single answer may take as long as a whole call.

use millstream_sdk::http::Request;
use millstream_sdk::{Fault, Input, Sink, config, sink};

struct Asking;

sink!(Asking);

impl Sink for Asking {
    fn open() -> Result<Self, String> {
        let url = config::require("url")?;
        let ask = |url: &str| Request::get(url).send().map_err(|e| e.message);
        let mut answer = ask(&url)?;
        while answer.status == 202 {
            answer = ask(&format!("{url}/?again"))?;
        }
        if answer.status == 200 { Ok(Self) } else { Err(format!("{url} answered {}", answer.status)) }
    }

    fn deliver(&mut self, _: &[Input]) -> Result<(), Fault> {
        Ok(())
    }
}
