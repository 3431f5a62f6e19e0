//! The queries of the Nexmark benchmark, one per deployment: parameter `query`. Events are read from one topic, as JSON or
//! in a binary form (parameter `format`), and what comes out has the same form. The event time of a record is its timestamp.
//!
//! What each query computes is told in its file below `queries`; what the bytes are, in `json` and `binary`. With an internal
//! topic `keyed` it works in two stages, see `keyed`.

pub mod binary;
pub mod event;
pub mod json;
mod keyed;
mod output;
mod queries;

use millstream_sdk::timers::Timer;
use millstream_sdk::{Fault, Output, Processor, Record, Timed, config, params, processor};

use event::{Event, Kind};
use keyed::Keyed;
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
    keyed: Option<Keyed>,
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
        Ok(Self { format, query, keyed: keyed::open(&name)? })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        if let Some(Keyed { key, topic }) = self.keyed
            && batch.first().is_some_and(|record| record.topic() != topic)
        {
            return self.hand_on(batch, key);
        }
        let wanted = self.query.wants();
        let mut events = Vec::with_capacity(batch.len());
        for record in batch {
            if let Some(body) = self.parse(record, wanted)? {
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
    /// First stage: the wanted events as they came, to the task of their key.
    fn hand_on(&self, batch: &[Record<'_>], key: keyed::Key) -> Result<Vec<Output>, Fault> {
        let wanted = self.query.wants();
        let mut outputs = Vec::with_capacity(batch.len());
        for record in batch {
            if let Some(key) = self.parse(record, wanted)?.as_ref().and_then(key) {
                outputs.push(Output::new().topic(keyed::TOPIC).source(record.index()).key(key));
            }
        }
        Ok(outputs)
    }

    /// The event, when it is of a wanted kind.
    fn parse<'a>(&self, record: &Record<'a>, wanted: &[Kind]) -> Result<Option<event::Body<'a>>, Fault> {
        let value = record.value().ok_or_else(|| record.fault("the value is null"))?;
        let event = match self.format {
            Format::Json => json::parse(value, wanted),
            Format::Binary => binary::parse(value, wanted),
        };
        event.map_err(|why| record.fault(why))
    }
}

#[cfg(test)]
mod tests;
