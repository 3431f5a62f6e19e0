//! What is viewed next, by streaming sequential rules. Within a session a new item i, k = 1 to 20 items after another
//! one, adds 1/k² to weight[that one][i]. The prediction for the next item is the 20 heaviest followers of the current
//! one, by (weight descending, id ascending). How a row keeps to its size stands in `row`.
//!
//! | store | key | value |
//! |---|---|---|
//! | `rows` | item id | its followers, see `row` |
//! | `sessions` | session | its last 20 item ids as varints, oldest first |
//! | `also_viewed` | item id | `{"item":…,"items":[{"item":…,"weight":…},…]}`, the 20 heaviest |
//!
//! Ids are keys as decimal text. Deployed with an internal topic `pairs` it works in two stages, see `staged`.

mod row;
mod staged;

use std::collections::HashMap;
use std::fmt::Write;

use common::{ItemId, Label, Reader, put_varint};
use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, config, processor};
use serde::Deserialize;

use row::{Row, STEPS_MAX};

processor!(AlsoViewed);

/// Items of a prediction.
const PREDICTED: usize = 20;
/// Bytes of a session's name; a state key has room for 4096.
const SESSION_BYTES_MAX: usize = 1024;
/// Memory for rows, in bytes: with keys, values and outputs of a batch beside it this stays well below the 64 MiB of an
/// instance (a guess with a wide margin).
const ROW_BYTES_MAX: usize = 24 << 20;
/// What a row in memory takes beside its vectors: its place in the table and three allocations (an estimate).
const ROW_BYTES_MIN: usize = 160;

/// The processor.
pub struct AlsoViewed {
    keep: usize,
    emit: Emit,
    /// index of the internal topic among the inputs, when there are two stages
    pairs: Option<u32>,
    rows: Store,
    sessions: Store,
    also_viewed: Store,
    /// rows in memory, of this batch and of earlier ones
    cache: HashMap<u32, Cached>,
    cache_bytes: usize,
    /// items whose rows differ from state
    changed: Vec<u32>,
    batch: u64,
}

/// What a record's output says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emit {
    /// the list of its item after learning from it
    List,
    /// the prediction before learning from it, where the session has an item before it
    Prediction,
    /// nothing
    None,
}

#[derive(Default)]
struct Cached {
    row: Row,
    /// the batch that used it last
    used: u64,
    is_changed: bool,
}

/// A record's value.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    session: Label<'a>,
    item: ItemId,
}

impl Processor for AlsoViewed {
    fn open() -> Result<Self, String> {
        let emit = match config::get("emit").as_deref() {
            None | Some("list") => Emit::List,
            Some("prediction") => Emit::Prediction,
            Some("none") => Emit::None,
            Some(other) => {
                return Err(format!("parameter `emit`: `{other}`, expected `list`, `prediction` or `none`"));
            }
        };
        let pairs = staged::topic(emit)?;
        Ok(Self {
            keep: config::parse_or("keep", 200_u32)? as usize,
            emit,
            pairs,
            rows: Store::open("rows"),
            sessions: Store::open("sessions"),
            also_viewed: Store::open("also_viewed"),
            cache: HashMap::new(),
            cache_bytes: 0,
            changed: Vec::new(),
            batch: 0,
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        self.batch += 1;
        let outputs = if self.pairs.is_some() { self.staged(batch) } else { self.whole(batch) }?;
        self.make_room();
        Ok(outputs)
    }
}

impl AlsoViewed {
    /// Sessions and rows in one task.
    fn whole(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let events = events(batch)?;
        let mut sessions = self.read_sessions(&events)?;
        let items = events.iter().map(|event| event.item.0);
        self.read_rows(items.chain(sessions.values().flatten().copied()).collect())?;

        let mut outputs = Vec::with_capacity(batch.len());
        for (index, Event { session, item }) in events.iter().enumerate() {
            let past = sessions.get_mut(&*session.text).expect("read for every session of the batch");
            let output = Output::new().source(index).key(&*session.text);
            if let (Emit::Prediction, Some(current)) = (self.emit, past.last()) {
                let predicted = self.cached(*current).row.best(PREDICTED);
                outputs.push(output.clone().value(prediction(
                    session,
                    *item,
                    batch[index].offset(),
                    &predicted,
                )));
            }
            for (back, &before) in past.iter().rev().enumerate() {
                self.meet(before, item.0, back + 1);
            }
            remember(past, item.0);
            if self.emit == Emit::List {
                let best = self.cached(item.0).row.best(PREDICTED);
                outputs.push(output.value(format!(r#"{{"session":{session},{}}}"#, list(item.0, &best))));
            }
        }
        self.write_rows();
        self.write_sessions(&sessions);
        Ok(outputs)
    }

    /// Brings in the sessions of the batch.
    fn read_sessions<'e>(&self, events: &'e [Event<'_>]) -> Result<HashMap<&'e str, Vec<u32>>, Fault> {
        let mut names: Vec<&str> = events.iter().map(|event| &*event.session.text).collect();
        names.sort_unstable();
        names.dedup();
        let mut sessions = HashMap::with_capacity(names.len());
        for (&name, stored) in names.iter().zip(self.sessions.get_many(&names)) {
            let past = past(stored.as_deref().unwrap_or_default());
            let past = past.ok_or_else(|| unreadable("sessions", name))?;
            sessions.insert(name, past);
        }
        Ok(sessions)
    }

    /// Brings in the rows of these items, those that are not in memory with one read.
    fn read_rows(&mut self, mut items: Vec<u32>) -> Result<(), Fault> {
        items.sort_unstable();
        items.dedup();
        items.retain(|id| match self.cache.get_mut(id) {
            Some(cached) => {
                cached.used = self.batch;
                false
            }
            None => true,
        });
        let keys: Vec<String> = items.iter().map(u32::to_string).collect();
        for ((&id, key), stored) in items.iter().zip(&keys).zip(self.rows.get_many(&keys)) {
            let row = match stored {
                None => Row::default(),
                Some(stored) => Row::decode(&stored, self.keep).ok_or_else(|| unreadable("rows", key))?,
            };
            self.cache_bytes += ROW_BYTES_MIN + row.bytes();
            self.cache.insert(id, Cached { row, used: self.batch, is_changed: false });
        }
        Ok(())
    }

    /// A row that `read_rows` brought in.
    fn cached(&mut self, id: u32) -> &mut Cached {
        self.cache.get_mut(&id).expect("read for every item of the batch")
    }

    /// Learns that `item` came so many steps after another one.
    fn meet(&mut self, before: u32, item: u32, step: usize) {
        let keep = self.keep;
        let cached = self.cached(before);
        let bytes = cached.row.bytes();
        cached.row.meet(item, step, keep);
        let grown = cached.row.bytes();
        let was_changed = std::mem::replace(&mut cached.is_changed, true);
        if !was_changed {
            self.changed.push(before);
        }
        self.cache_bytes = self.cache_bytes + grown - bytes;
    }

    /// Writes back the rows that the batch changed and their lists, one call per store.
    fn write_rows(&mut self) {
        let mut rows = Vec::new();
        let mut lists = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let cached = self.cached(id);
            cached.is_changed = false;
            let best = cached.row.best(PREDICTED);
            rows.push((id.to_string(), Some(cached.row.encode())));
            lists.push((id.to_string(), Some(format!("{{{}}}", list(id, &best)))));
        }
        self.rows.put_many(&rows);
        self.also_viewed.put_many(&lists);
    }

    fn write_sessions(&self, sessions: &HashMap<&str, Vec<u32>>) {
        let session = |(&name, past): (&&str, &Vec<u32>)| {
            let mut bytes = Vec::with_capacity(past.len() * 4);
            past.iter().for_each(|&id| put_varint(u64::from(id), &mut bytes));
            (name.to_owned(), Some(bytes))
        };
        let sessions: Vec<_> = sessions.iter().map(session).collect();
        self.sessions.put_many(&sessions);
    }

    /// When rows take too much memory, those unused for longest go until three quarters of it are left. What goes is in
    /// state and comes back when it is needed.
    fn make_room(&mut self) {
        if self.cache_bytes <= ROW_BYTES_MAX {
            return;
        }
        let mut by_age: Vec<(u64, u32)> = self.cache.iter().map(|(&id, cached)| (cached.used, id)).collect();
        by_age.sort_unstable();
        for (_, id) in by_age {
            if self.cache_bytes <= ROW_BYTES_MAX / 4 * 3 {
                break;
            }
            if let Some(cached) = self.cache.remove(&id) {
                self.cache_bytes -= ROW_BYTES_MIN + cached.row.bytes();
            }
        }
    }
}

/// The events of the records. Faults of records come first: after this nothing but unreadable state can end the batch.
fn events<'a>(batch: &[Record<'a>]) -> Result<Vec<Event<'a>>, Fault> {
    batch.iter().map(|record| event(record).map_err(|why| record.fault(why))).collect()
}

/// Adds an item to a session, of which the last ones are kept.
fn remember(past: &mut Vec<u32>, item: u32) {
    if past.len() == STEPS_MAX {
        past.remove(0);
    }
    past.push(item);
}

fn event<'a>(input: &Record<'a>) -> Result<Event<'a>, String> {
    let value = input.value().ok_or("the value is null")?;
    let event: Event<'_> =
        serde_json::from_slice(value).map_err(|why| format!("the value is no event: {why}"))?;
    if !(1..=SESSION_BYTES_MAX).contains(&event.session.text.len()) {
        return Err(format!("the value is no event: `session` must have 1 to {SESSION_BYTES_MAX} bytes"));
    }
    Ok(event)
}

fn past(stored: &[u8]) -> Option<Vec<u32>> {
    let mut reader = Reader::new(stored);
    let mut items = Vec::with_capacity(STEPS_MAX);
    while !reader.is_empty() {
        items.push(reader.varint32()?);
    }
    Some(items)
}

fn unreadable(store: &str, key: &str) -> Fault {
    Fault::Fatal(format!("store `{store}`: the row of `{key}` is not readable"))
}

fn prediction(session: &Label<'_>, item: ItemId, offset: u64, predicted: &[(u32, f64)]) -> String {
    let ids = predicted.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(",");
    format!(r#"{{"session":{session},"item":{},"offset":{offset},"predicted":[{ids}]}}"#, item.0)
}

/// The members `item` and `items` of a list.
fn list(item: u32, best: &[(u32, f64)]) -> String {
    let mut json = format!(r#""item":{item},"items":["#);
    for (i, (id, weight)) in best.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Four digits are enough to look at; the order is the answer.
        let _ = write!(json, r#"{comma}{{"item":{id},"weight":{weight:.4}}}"#);
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests;
