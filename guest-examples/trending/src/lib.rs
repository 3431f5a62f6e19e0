//! What is most frequent lately, in bounded memory: the Space-Saving counters of `sketch`, whose weights halve with time.
//! Each task has its own list; items that are the records' keys lie in one task each, so the lists of all tasks together
//! have the most frequent of all.
//!
//! | store | key | value |
//! |---|---|---|
//! | `top` | `top` | `{"as_of":…,"items":[{"item":…,"weight":…,"error":…},…]}`, the heaviest first |
//! | `counters` | item | its weight and error, see `sketch` |
//! | `clock` | `clock` | the moment that weights are of and the newest one, milliseconds, `i64` little endian |

mod sketch;

use std::fmt::Write;

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, config, params, processor};
use serde_json::Value;

use sketch::Sketch;

processor!(Trending);

params! {
    "top": {
        "type": "integer", "default": 10, "min": 1, "max": 1000,
        "description": "items of the list"
    },
    "counters": {
        "type": "integer", "default": 1000, "min": 10, "max": 100000,
        "description": "items that are counted at once; any with more than this fraction of all weight is among them"
    },
    "half-life": {
        "type": "duration", "default": "1h",
        "description": "after so much event time a record counts for half; 0s: it counts for ever"
    },
    "field": {
        "type": "string", "min": 1,
        "description": "the field of the JSON value that has the item; without it the key is the item"
    },
    "emit": {
        "type": "enum", "values": ["changes", "none"], "default": "changes",
        "description": "put the list out after a call in which other items are on it, or the same in another order"
    }
}

/// Bytes of an item.
const ITEM_BYTES_MAX: usize = 256;
/// The only key of the stores `top` and `clock`.
const TOP: &str = "top";
const CLOCK: &str = "clock";
/// Rows of a read.
const PAGE: u32 = 1024;

struct Trending {
    most: usize,
    field: Option<String>,
    emits: bool,
    sketch: Sketch,
    /// the items of the list as it is stored
    listed: Vec<Box<[u8]>>,
    is_loaded: bool,
    top: Store,
    counters: Store,
    clock: Store,
}

impl Processor for Trending {
    fn open() -> Result<Self, String> {
        let half_life =
            config::duration("half-life")?.map_or(3_600_000, |half_life| half_life.as_millis() as i64);
        Ok(Self {
            most: config::parse_or("top", 10)?,
            field: config::get("field"),
            emits: config::get("emit").as_deref() != Some("none"),
            sketch: Sketch::new(config::parse_or("counters", 1_000)?, half_life),
            listed: Vec::new(),
            is_loaded: false,
            top: Store::open("top"),
            counters: Store::open("counters"),
            clock: Store::open("clock"),
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let mut items = Vec::with_capacity(batch.len());
        for record in batch {
            items.push(self.item(record).map_err(|why| record.fault(why))?);
        }
        self.load()?;
        for (record, item) in batch.iter().zip(&items) {
            self.sketch.add(item, record.timestamp());
        }
        let list = self.write();
        let top: Vec<_> = self.sketch.top(self.most).map(|(item, _)| item.into()).collect();
        let is_new = self.listed != top;
        self.listed = top;
        let output = Output::new().key(TOP).value(list).timestamp(self.sketch.clock().1);
        Ok(if is_new && self.emits { vec![output] } else { Vec::new() })
    }
}

impl Trending {
    fn item(&self, record: &Record<'_>) -> Result<Box<[u8]>, String> {
        let item: Box<[u8]> = match &self.field {
            None => record.key().ok_or("a record without a key")?.into(),
            Some(field) => {
                let value = record.value().ok_or("the value is null")?;
                let value: Value =
                    serde_json::from_slice(value).map_err(|why| format!("the value is no JSON: {why}"))?;
                match value.get(field) {
                    Some(Value::String(text)) => text.as_bytes().into(),
                    Some(Value::Number(number)) => number.to_string().into_bytes().into(),
                    _ => return Err(format!("the value has no text or number `{field}`")),
                }
            }
        };
        match item.len() {
            1..=ITEM_BYTES_MAX => Ok(item),
            other => Err(format!("an item of {other} bytes, expected 1 to {ITEM_BYTES_MAX}")),
        }
    }

    /// Brings the counters in, once in the life of an instance.
    fn load(&mut self) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_loaded, true) {
            return Ok(());
        }
        let unreadable = |store| Fault::Fatal(format!("store `{store}`: an entry is not readable"));
        if let Some(clock) = self.clock.get(CLOCK) {
            self.sketch.set_clock(&clock).ok_or_else(|| unreadable("clock"))?;
        }
        let mut after = Vec::new();
        loop {
            let page = self.counters.scan(&after, None, PAGE);
            for (item, row) in &page {
                self.sketch.put(item, row).ok_or_else(|| unreadable("counters"))?;
            }
            match page.last() {
                // The next key that there can be.
                Some((last, _)) if page.len() == PAGE as usize => after = [last, &[0][..]].concat(),
                _ => break,
            }
        }
        self.sketch.shrink();
        self.listed = self.sketch.top(self.most).map(|(item, _)| item.into()).collect();
        Ok(())
    }

    /// Writes what the batch changed, and gives the list.
    fn write(&mut self) -> String {
        self.counters.put_many(&self.sketch.take_changes());
        self.clock.put(CLOCK, self.sketch.encode_clock());
        let mut list = format!(r#"{{"as_of":{},"items":["#, self.sketch.clock().1);
        for (at, (item, (weight, error))) in self.sketch.top(self.most).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let item = Value::from(String::from_utf8_lossy(item));
            let _ = write!(list, r#"{comma}{{"item":{item},"weight":{weight:.3},"error":{error:.3}}}"#);
        }
        list.push_str("]}");
        self.top.put(TOP, &list);
        list
    }
}

#[cfg(test)]
mod tests;
