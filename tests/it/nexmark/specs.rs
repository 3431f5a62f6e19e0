//! The Nexmark queries as the server is asked for them: topics, deployments, and events as records.

use nexmark_generator::event::{Event, Person};
use serde_json::{Value, json};

/// Somebody who comes long after the last event and does nothing: all windows before are over.
pub(super) fn last(events: &[Event]) -> Event {
    let end = events.iter().map(Event::timestamp).max().unwrap_or(0) + 60_000;
    Event::Person(Person {
        id: 1,
        name: "Nobody".to_owned(),
        email_address: String::new(),
        credit_card: String::new(),
        city: String::new(),
        state: String::new(),
        date_time: end,
        extra: String::new(),
    })
}

/// An event as a record to be produced.
pub(super) fn record(event: &Event) -> Value {
    let value = serde_json::to_value(event).expect("an event is JSON");
    json!({ "value": value, "timestamp": event.timestamp() })
}

/// A topic that keeps what it is told: the events are of a day long past.
pub(super) fn topic(partitions: u32) -> Value {
    json!({ "partitions": partitions, "config": { "retention.ms": "-1" } })
}

/// A query over a topic of events, and where its rows go.
pub(super) fn deployment(query: &str, events: &str, rows: &str) -> Value {
    json!({
        "kind": "processor", "module": "nexmark", "input": { "topics": [events] }, "output": { "default": rows },
        "params": { "query": query }, "time": { "out_of_order": "5s" },
    })
}

/// The same over many partitions, of which hardly anything may wait to be handed on.
pub(super) fn keyed(query: &str, events: &str, rows: &str) -> Value {
    let mut spec = deployment(query, events, rows);
    spec["internal"] = json!({ "keyed": { "max_lag": 200 } });
    spec
}
