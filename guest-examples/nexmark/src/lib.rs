//! The queries of the Nexmark benchmark, one per deployment: parameter `query`. Events are read from one topic, as JSON or
//! in a binary form (parameter `format`), and what comes out has the same form. The event time of a record is its timestamp.
//!
//! What each query computes is told in its file below `queries`; what the bytes are, in `json` and `binary`.

pub mod binary;
pub mod event;
pub mod json;
mod output;
mod queries;

use millstream_sdk::timers::Timer;
use millstream_sdk::{Fault, Output, Processor, Record, Timed, config, params, processor};

use event::{Event, Kind};
use output::{Format, Out};
use queries::Query;

processor!(Nexmark, timed);

params! {
    "query": {
        "type": "enum",
        "required": true,
        "values": ["q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q11", "q12", "q14", "q15", "q16", "q17", "q18",
            "q19", "q20", "q21", "q22"],
        "description": "which query to run"
    },
    "format": {
        "type": "enum",
        "values": ["json", "binary"],
        "default": "json",
        "description": "the form of the events and of the results"
    }
}

/// The processor.
pub struct Nexmark {
    format: Format,
    query: Box<dyn Query>,
}

impl Processor for Nexmark {
    fn open() -> Result<Self, String> {
        let format = match config::get("format").as_deref() {
            None | Some("json") => Format::Json,
            Some("binary") => Format::Binary,
            Some(other) => {
                return Err(format!("parameter `format`: `{other}`, expected `json` or `binary`"));
            }
        };
        let name = config::require("query")?;
        let query = queries::open(&name).map_err(|why| format!("parameter `query`: {why}"))?;
        Ok(Self { format, query })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let wanted = self.query.wants();
        let mut events = Vec::with_capacity(batch.len());
        for record in batch {
            let value = record.value().ok_or_else(|| record.fault("the value is null"))?;
            let event = self.parse(value, wanted).map_err(|why| record.fault(why))?;
            if let Some(body) = event {
                events.push(Event { index: record.index(), time: record.timestamp(), body });
            }
        }
        let mut out = Out::new(self.format);
        self.query.process(&events, &mut out)?;
        Ok(out.rows)
    }
}

impl Timed for Nexmark {
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        let mut out = Out::new(self.format);
        for timer in due {
            self.query.on_timer(timer, &mut out)?;
        }
        Ok(out.rows)
    }
}

impl Nexmark {
    /// The event, when it is of a wanted kind.
    fn parse<'a>(&self, value: &'a [u8], wanted: &[Kind]) -> Result<Option<event::Body<'a>>, String> {
        match self.format {
            Format::Json => json::parse(value, wanted),
            Format::Binary => binary::parse(value, wanted),
        }
    }
}

#[cfg(test)]
#[path = "../tests/oracle.rs"]
#[allow(unreachable_pub, reason = "the tests of the server use it as well")]
mod oracle;
#[cfg(test)]
mod tests;
