//! Joins a stream with a table by key: each record of the stream gets the fields of the newest row that the table has of its
//! key. Both are topics with JSON objects; a null value of the table deletes its row. Deploy it with both as inputs, which
//! must have the same number of partitions.
//!
//! | store | key | row |
//! |---|---|---|
//! | `rows` | the records' key | the row as it came, or the records that wait for it |

use millstream_sdk::toolbox::{Latest, Table};
use millstream_sdk::{Fault, Output, Processor, Record, config, params, processor};
use serde_json::{Map, Value};

processor!(EnrichJoin);

params! {
    "table": {
        "type": "string", "required": true, "min": 1,
        "description": "which of the inputs is the table"
    },
    "missing": {
        "type": "enum", "values": ["wait", "keep", "drop"], "default": "wait",
        "description": "what becomes of a record whose key has no row yet"
    },
    "wait-max": {
        "type": "integer", "default": 100, "min": 1, "max": 1000,
        "description": "records of a key that wait at most, of 256 KiB together; more of them are faults"
    },
    "into": {
        "type": "string", "default": "",
        "description": "the field that gets the row; without it the row's fields are added, where they are not there yet"
    }
}

/// Bytes of the records of a key that wait at most: they are one row, which every further one writes anew.
const WAIT_BYTES_MAX: usize = 256 << 10;

/// A key, or a value as it came.
type Bytes = Box<[u8]>;
/// A record that waits: its time and its value.
type Waiting = (i64, Bytes);

struct EnrichJoin {
    /// index of the table among the inputs
    table: u32,
    missing: Missing,
    wait_max: usize,
    into: String,
    rows: Table<Bytes, Latest<Bytes, Waiting>>,
}

/// What becomes of a record without a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Wait,
    Keep,
    Drop,
}

impl Processor for EnrichJoin {
    fn open() -> Result<Self, String> {
        let name = config::require("table")?;
        let inputs = config::inputs();
        let table = inputs.iter().position(|input| *input == name).ok_or_else(|| {
            format!(
                "parameter `table`: `{name}` is no input of this deployment; there is {}",
                inputs.join(", ")
            )
        })?;
        Ok(Self {
            table: table as u32,
            missing: match config::get("missing").as_deref() {
                Some("keep") => Missing::Keep,
                Some("drop") => Missing::Drop,
                _ => Missing::Wait,
            },
            wait_max: config::parse_or("wait-max", 100)?,
            into: config::get("into").unwrap_or_default(),
            rows: Table::open("rows"),
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        // Faults of records come first, so that a fault leaves nothing half done.
        for record in batch {
            self.check(record).map_err(|why| record.fault(why))?;
        }
        self.rows.load(batch.iter().filter_map(|record| Some(record.key()?.into())))?;
        let mut outputs = Vec::with_capacity(batch.len());
        for record in batch {
            let key: Bytes = record.key().unwrap_or_default().into();
            if record.topic() == self.table {
                self.update(&key, record.value(), &mut outputs);
            } else {
                outputs.extend(self.find(record, &key)?);
            }
        }
        self.rows.flush();
        Ok(outputs)
    }
}

impl EnrichJoin {
    fn check(&self, record: &Record<'_>) -> Result<(), String> {
        record.key().ok_or("a record without a key joins nothing")?;
        match record.value() {
            None if record.topic() == self.table => Ok(()),
            None => Err("the value is null".into()),
            Some(value) => object(value).map(drop),
        }
    }

    /// A new row, or none any more. What has waited for it goes out, in the order in which it came.
    fn update(&mut self, key: &Bytes, row: Option<&[u8]>, outputs: &mut Vec<Output>) {
        let Some(row) = row else {
            // What waits for a row goes on waiting.
            if let Some(Latest::Row(_)) = self.rows.get(key) {
                *self.rows.row(key) = None;
            }
            return;
        };
        let waiting = self.rows.row(key).get_or_insert_default().update(row.into());
        for (time, value) in waiting {
            outputs.push(Output::new().key(&**key).value(self.joined(&value, row)).timestamp(time));
        }
    }

    /// What becomes of a record of the stream.
    fn find(&mut self, record: &Record<'_>, key: &Bytes) -> Result<Option<Output>, Fault> {
        let value = record.value().unwrap_or_default();
        let output = Output::new().source(record.index());
        if let Some(Latest::Row(row)) = self.rows.get(key) {
            return Ok(Some(output.value(self.joined(value, row))));
        }
        match self.missing {
            Missing::Keep => return Ok(Some(output)),
            Missing::Drop => return Ok(None),
            Missing::Wait => {}
        }
        if let Some(Latest::Waiting(records)) = self.rows.get(key) {
            let (count, bytes) = (records.len(), records.iter().map(|(_, value)| value.len()).sum::<usize>());
            if count >= self.wait_max || bytes + value.len() > WAIT_BYTES_MAX {
                let why = format!("{count} records of its key, of {bytes} bytes, wait for a row already");
                return Err(record.fault(why));
            }
        }
        let waiting = || (record.timestamp(), value.into());
        self.rows.row(key).get_or_insert_default().find(waiting);
        Ok(None)
    }

    /// Both are objects: `check` has seen them.
    fn joined(&self, value: &[u8], row: &[u8]) -> String {
        let [mut value, row] = [value, row].map(|json| object(json).unwrap_or_default());
        if self.into.is_empty() {
            for (name, field) in row {
                value.entry(name).or_insert(field);
            }
        } else {
            value.insert(self.into.clone(), Value::Object(row));
        }
        Value::Object(value).to_string()
    }
}

fn object(json: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(json).map_err(|why| format!("the value is no JSON object: {why}"))
}

#[cfg(test)]
mod tests;
