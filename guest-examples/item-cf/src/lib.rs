//! Item-to-item recommendations by incremental cosine: every record teaches, every answer is fresh. The rules stand in
//! `model`, a neighbour row and the meaning of `keep` in `row`; here are records, parameters, state and outputs.
//!
//! | store | key | value |
//! |---|---|---|
//! | `rows` | item id | its neighbours, see `row`; without those of late |
//! | `recent` | number of an event | what was learnt of late, see `journal` |
//! | `counts` | item id | how often it was met, as text |
//! | `histories` | user | item ids as varints, oldest first |
//! | `recommendations` | user | `{"user":…,"items":[{"item":…,"score":…},…]}` after the user's last event |
//!
//! Ids and numbers are keys as decimal text. Counts have rows of their own because a score needs those of all candidates, and
//! reading a candidate's whole neighbour row for its count alone would cost more than everything else.

mod journal;
mod model;
mod row;

use std::collections::HashMap;
use std::fmt::Write;

use common::{ItemId, Label, Reader, put_varint};
use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, config, params, processor};
use serde::Deserialize;

use model::{Changes, LEARN_FROM, Model, Scored, last};

params! {
    "keep": {
        "type": "integer", "default": 200, "min": 0, "max": 4294967295,
        "description": "neighbours of an item; 0: no cap"
    },
    "emit": {
        "type": "enum", "values": ["list", "prediction"], "default": "list",
        "description": "the list after learning from a record, or the prediction before it"
    }
}

processor!(ItemCf);

/// Bytes of a user's name; a state key has room for 4096.
const USER_BYTES_MAX: usize = 1024;
/// Entries of one scan.
const SCAN_ENTRIES: u32 = 1000;
/// Items of a history; beyond it the oldest are forgotten (and may be recommended again), so that its row stays within
/// what state takes for a value (900 KiB).
const HISTORY_MAX: usize = 100_000;

/// The processor.
pub struct ItemCf {
    model: Model,
    emit: Emit,
    rows: Store,
    recent: Store,
    counts: Store,
    histories: Store,
    recommendations: Store,
}

/// What a record's output says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emit {
    /// the list after learning from the record
    List,
    /// the prediction before learning from it, where the rules allow one
    Prediction,
}

/// A record's value.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    user: Label<'a>,
    item: ItemId,
}

/// A user's items in this batch.
struct History {
    items: Vec<u32>,
    /// index in the batch of the user's last event
    last_event: usize,
    /// set by that event
    list: String,
}

impl Processor for ItemCf {
    fn open() -> Result<Self, String> {
        let emit = match config::get("emit").as_deref() {
            Some("prediction") => Emit::Prediction,
            _ => Emit::List,
        };
        Ok(Self {
            model: Model::new(config::parse_or("keep", 200_u32)? as usize),
            emit,
            rows: Store::open("rows"),
            recent: Store::open("recent"),
            counts: Store::open("counts"),
            histories: Store::open("histories"),
            recommendations: Store::open("recommendations"),
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        // Faults of records come first: after this loop nothing but unreadable state can end the batch.
        let mut events = Vec::with_capacity(batch.len());
        for (index, input) in batch.iter().enumerate() {
            events.push(event(input).map_err(|why| Fault::at(index, why))?);
        }
        if self.model.begin_batch() {
            self.read_recent()?;
        }
        let mut histories = self.read(&events)?;

        let mut outputs = Vec::new();
        for (index, Event { user, item }) in events.iter().enumerate() {
            let item = self.model.intern(item.0);
            let history = histories.get_mut(&*user.text).expect("read for every user of the batch");
            if self.emit == Emit::Prediction && !history.items.is_empty() && self.model.is_known(item) {
                let predicted = self.model.predict(&history.items);
                let value = prediction(user, events[index].item, batch[index].offset(), &predicted);
                outputs.push(Output::new().source(index).key(&*user.text).value(value));
            }
            self.model.learn(&mut history.items, item);
            if self.emit == Emit::List || index == history.last_event {
                let list = recommendations(user, &self.model.predict(&history.items));
                if self.emit == Emit::List {
                    outputs.push(Output::new().source(index).key(&*user.text).value(list.as_str()));
                }
                history.list = list;
            }
        }
        self.write(&histories);
        Ok(outputs)
    }
}

impl ItemCf {
    /// Brings in what was learnt of late.
    fn read_recent(&mut self) -> Result<(), Fault> {
        let mut start = Vec::new();
        loop {
            let entries = self.recent.scan(&start, None, SCAN_ENTRIES);
            for (key, value) in &entries {
                let read = self.model.journal.load(key, value);
                read.ok_or_else(|| unreadable("recent", &String::from_utf8_lossy(key)))?;
            }
            match entries.into_iter().last() {
                // The least key after the last one.
                Some((key, _)) => start = [&key, &b"\0"[..]].concat(),
                None => return Ok(()),
            }
        }
    }

    /// Brings in everything the batch may touch, one call per store.
    fn read<'e>(&mut self, events: &'e [Event<'_>]) -> Result<HashMap<&'e str, History>, Fault> {
        let mut histories: HashMap<&str, History> = HashMap::new();
        let mut users: Vec<&str> = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let user = &*event.user.text;
            let history = histories.entry(user).or_insert_with(|| {
                users.push(user);
                History { items: Vec::new(), last_event: 0, list: String::new() }
            });
            history.last_event = index;
        }
        let mut items: Vec<u32> = events.iter().map(|event| self.model.intern(event.item.0)).collect();
        for (&user, stored) in users.iter().zip(self.histories.get_many(&users)) {
            let Some(stored) = stored else { continue };
            let history = self.history(&stored).ok_or_else(|| unreadable("histories", user))?;
            items.extend(last(&history, LEARN_FROM));
            histories.get_mut(user).expect("entered above").items = history;
        }

        items.extend(self.model.due_rows());
        items.sort_unstable();
        items.dedup();
        items.retain(|&item| self.model.need_row(item));
        let keys: Vec<String> = items.iter().map(|&item| self.model.ids[item as usize].to_string()).collect();
        for ((&item, key), stored) in items.iter().zip(&keys).zip(self.rows.get_many(&keys)) {
            if !self.model.set_row(item, stored.as_deref()) {
                return Err(unreadable("rows", key));
            }
        }

        let keys: Vec<String> = self.model.uncounted().iter().map(u32::to_string).collect();
        let mut counts = Vec::with_capacity(keys.len());
        for (key, stored) in keys.iter().zip(self.counts.get_many(&keys)) {
            counts.push(count(stored.as_deref()).ok_or_else(|| unreadable("counts", key))?);
        }
        self.model.set_counts(counts.into_iter());
        Ok(histories)
    }

    /// Writes back everything the batch changed, one call per store.
    fn write(&mut self, histories: &HashMap<&str, History>) {
        // Before the model may forget the items.
        let mut kept = Vec::with_capacity(histories.len());
        let mut lists = Vec::with_capacity(histories.len());
        for (&user, history) in histories {
            let mut bytes = Vec::with_capacity(history.items.len() * 2);
            for &item in last(&history.items, HISTORY_MAX) {
                put_varint(u64::from(self.model.ids[item as usize]), &mut bytes);
            }
            kept.push((user, Some(bytes)));
            lists.push((user, Some(history.list.as_str())));
        }
        self.histories.put_many(&kept);
        self.recommendations.put_many(&lists);

        let Changes { rows, counts, events } = self.model.end_batch();
        let rows: Vec<_> = rows.into_iter().map(|(id, row)| (id.to_string(), Some(row))).collect();
        self.rows.put_many(&rows);
        self.recent.put_many(&events);
        let counts: Vec<_> =
            counts.into_iter().map(|(id, n)| (id.to_string(), Some(n.to_string()))).collect();
        self.counts.put_many(&counts);
    }

    fn history(&mut self, stored: &[u8]) -> Option<Vec<u32>> {
        let mut reader = Reader::new(stored);
        let mut items = Vec::new();
        while !reader.is_empty() {
            items.push(self.model.intern(reader.varint32()?));
        }
        Some(items)
    }
}

fn event<'a>(input: &Record<'a>) -> Result<Event<'a>, String> {
    let value = input.value().ok_or("the value is null")?;
    let event: Event<'_> =
        serde_json::from_slice(value).map_err(|why| format!("the value is no event: {why}"))?;
    if !(1..=USER_BYTES_MAX).contains(&event.user.text.len()) {
        return Err(format!("the value is no event: `user` must have 1 to {USER_BYTES_MAX} bytes"));
    }
    Ok(event)
}

fn count(stored: Option<&[u8]>) -> Option<u32> {
    let Some(stored) = stored else { return Some(0) };
    std::str::from_utf8(stored).ok()?.parse().ok()
}

fn unreadable(store: &str, key: &str) -> Fault {
    Fault::Fatal(format!("store `{store}`: the row of `{key}` is not readable"))
}

fn prediction(user: &Label<'_>, item: ItemId, offset: u64, predicted: &[Scored]) -> String {
    let ids = predicted.iter().map(|scored| scored.id.to_string()).collect::<Vec<_>>().join(",");
    format!(r#"{{"user":{user},"item":{},"offset":{offset},"predicted":[{ids}]}}"#, item.0)
}

fn recommendations(user: &Label<'_>, best: &[Scored]) -> String {
    let mut json = format!(r#"{{"user":{user},"items":["#);
    for (i, Scored { id, score }) in best.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Four digits are enough to look at; the order is the answer.
        let _ = write!(json, r#"{comma}{{"item":{id},"score":{score:.4}}}"#);
    }
    json.push_str("]}");
    json
}

#[cfg(test)]
mod tests;
