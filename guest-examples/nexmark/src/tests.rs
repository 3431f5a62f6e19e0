//! Every query against the oracle, natively: in order, out of order, and with instances that are dropped in between.

mod oracle;

use std::borrow::Cow;

use millstream_sdk::{Content, Input, Output, Processor, testing};
use nexmark_generator::event::Event as Generated;

use super::*;
use crate::event::{Auction, Bid, Body, Person};
use crate::json::{Reader, Value};

/// Events of a second, so that there are several windows.
const PER_SECOND: usize = 200;
const EVENTS: usize = 12_000;
/// How far events may be out of order.
const OUT_OF_ORDER: u64 = 5_000;
/// Records of a call.
const BATCH: usize = 256;

/// The events as the server hands them over.
fn inputs(events: &[Generated], format: Format) -> Vec<Input> {
    let input = |event: &Generated| {
        let value = match format {
            Format::Json => serde_json::to_vec(event).unwrap(),
            Format::Binary => {
                let mut value = Vec::new();
                binary::put(&body(event), &mut value);
                value
            }
        };
        Input { timestamp: event.timestamp() as i64, ..testing::input(value) }
    };
    events.iter().map(input).collect()
}

fn body(event: &Generated) -> Body<'_> {
    let text = |text: &'_ str| Cow::Owned(text.as_bytes().to_vec());
    match event {
        Generated::Person(person) => Body::Person(Person {
            id: person.id as u64,
            name: text(&person.name),
            email_address: text(&person.email_address),
            credit_card: text(&person.credit_card),
            city: text(&person.city),
            state: text(&person.state),
            date_time: person.date_time,
            extra: text(&person.extra),
        }),
        Generated::Auction(auction) => Body::Auction(Auction {
            id: auction.id as u64,
            item_name: text(&auction.item_name),
            description: text(&auction.description),
            initial_bid: auction.initial_bid as u64,
            reserve: auction.reserve as u64,
            date_time: auction.date_time,
            expires: auction.expires,
            seller: auction.seller as u64,
            category: auction.category as u64,
            extra: text(&auction.extra),
        }),
        Generated::Bid(bid) => Body::Bid(Bid {
            auction: bid.auction as u64,
            bidder: bid.bidder as u64,
            price: bid.price as u64,
            channel: text(&bid.channel),
            url: text(&bid.url),
            date_time: bid.date_time,
            extra: text(&bid.extra),
        }),
    }
}

/// Takes events through a query as a task does: batches, and timers when the watermark has moved. A new instance every
/// `lives` batches has what is in state and no more.
fn run(query: &str, format: Format, inputs: &[Input], lives: usize) -> Vec<Output> {
    testing::reset();
    testing::set_param("query", query);
    testing::set_param("format", if format == Format::Json { "json" } else { "binary" });
    let mut processor = Nexmark::open().unwrap();
    let mut outputs = Vec::new();
    let mut latest = i64::MIN;
    for (n, batch) in inputs.chunks(BATCH).enumerate() {
        if n % lives == lives - 1 {
            processor = Nexmark::open().unwrap();
        }
        outputs.extend(testing::process(&mut processor, batch).unwrap());
        latest = latest.max(batch.iter().map(|input| input.timestamp).max().unwrap());
        outputs.extend(testing::move_watermark(&mut processor, latest - OUT_OF_ORDER as i64).unwrap());
    }
    outputs.extend(testing::move_watermark(&mut processor, latest + 60_000).unwrap());
    assert_eq!(testing::timers(), [], "{query}: nothing is left to be done");
    outputs
}

fn text(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        _ => String::new(),
    }
}

fn compare(query: &str, outputs: &[Output], expected: &[String], how: &str) {
    let rows = outputs.iter().map(|output| (text(&output.key), text(&output.value)));
    let actual = oracle::canonical(query, rows);
    let difference = expected.iter().zip(&actual).find(|(expected, actual)| expected != actual);
    assert_eq!(difference, None, "{query}, {how}");
    assert_eq!(actual.len(), expected.len(), "{query}, {how}");
}

#[test]
fn every_query_is_right_whatever_the_order_of_events() {
    let events = oracle::events(EVENTS, PER_SECOND);
    let ordered = inputs(&events, Format::Json);
    let shuffled = inputs(&oracle::shuffled(events.clone(), OUT_OF_ORDER, 41), Format::Json);
    for query in oracle::ALL {
        let expected = oracle::expected(query, &events);
        assert!(expected.len() > 3 || query == "q15", "{query}: {} rows are no test", expected.len());
        compare(query, &run(query, Format::Json, &ordered, usize::MAX), &expected, "in order");
        compare(query, &run(query, Format::Json, &shuffled, usize::MAX), &expected, "out of order");
        compare(query, &run(query, Format::Json, &shuffled, 7), &expected, "with new instances");
    }
}

#[test]
fn what_is_handed_on_by_key_comes_to_the_same() {
    let events = oracle::shuffled(oracle::events(EVENTS / 4, PER_SECOND), OUT_OF_ORDER, 47);
    for (format, name) in [(Format::Json, "json"), (Format::Binary, "binary")] {
        for query in oracle::KEYED {
            testing::reset();
            testing::set_param("query", query);
            testing::set_param("format", name);
            testing::set_inputs(&["events", "keyed"]);
            testing::set_outputs(&["rows", "keyed"]);
            let mut processor = Nexmark::open().unwrap();
            let inputs = inputs(&events, format);
            let handed = testing::process(&mut processor, &inputs).unwrap();
            assert!(handed.iter().all(|output| output.topic.as_deref() == Some("keyed")), "{query}");
            let again = |output: &Output| {
                let input = inputs[output.source.unwrap() as usize].clone();
                let Content::Bytes(key) = &output.key else { panic!("{query}: no key") };
                Input { topic: 1, key: Some(key.clone()), ..input }
            };
            let handed: Vec<_> = handed.iter().map(again).collect();
            let mut outputs = Vec::new();
            for batch in handed.chunks(BATCH) {
                outputs.extend(testing::process(&mut processor, batch).unwrap());
            }
            outputs.extend(testing::move_watermark(&mut processor, i64::MAX).unwrap());
            if format == Format::Json {
                compare(query, &outputs, &oracle::expected(query, &events), "behind the internal topic");
            }
            assert!(!outputs.is_empty(), "{query}");
        }
    }
    testing::set_param("query", "q5");
    let why = "parameter `query`: `q5` has no key for an internal topic `keyed`";
    assert_eq!(Nexmark::open().err().as_deref(), Some(why));
}

/// Walks a row of JSON and reads the same fields from its binary form.
fn assert_same(json: &[u8], mut binary: &[u8]) {
    let number = |binary: &mut &[u8]| {
        let (bytes, rest) = binary.split_first_chunk().unwrap();
        *binary = rest;
        u64::from_le_bytes(*bytes)
    };
    let whole: serde_json::Value = serde_json::from_slice(json).unwrap();
    let row = Reader::new(json).object(|key, value| {
        let key = std::str::from_utf8(key).unwrap();
        match value {
            Value::Number(expected) => assert_eq!(number(&mut binary), expected, "{key}"),
            Value::Text(expected) => {
                let (length, rest) = binary.split_first_chunk().unwrap();
                let (text, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)));
                assert_eq!(text, &*expected, "{key}");
                binary = rest;
            }
            Value::Other if whole[key].is_null() => {
                binary = binary.strip_prefix(&binary::NULL.to_le_bytes()).unwrap();
            }
            Value::Other => {
                let thousandths = (whole[key].as_f64().unwrap() * 1000.0).round();
                assert_eq!(number(&mut binary) as f64, thousandths, "{key}");
            }
        }
    });
    assert_eq!(row, Ok(()));
    assert!(binary.is_empty(), "{} bytes follow", binary.len());
}

#[test]
fn both_forms_say_the_same() {
    let events = oracle::shuffled(oracle::events(EVENTS / 4, PER_SECOND), OUT_OF_ORDER, 43);
    let (json, binary) = (inputs(&events, Format::Json), inputs(&events, Format::Binary));
    for query in oracle::ALL {
        let json = run(query, Format::Json, &json, usize::MAX);
        let binary = run(query, Format::Binary, &binary, usize::MAX);
        assert_eq!(json.len(), binary.len(), "{query}");
        for (json, binary) in json.iter().zip(&binary) {
            let (Content::Bytes(json), Content::Bytes(binary)) = (&json.value, &binary.value) else {
                panic!("{query}: a row without a value")
            };
            assert_same(json, binary);
        }
    }
}

#[test]
fn bids_of_the_clock_are_counted_once() {
    let events = oracle::events(2_000, PER_SECOND);
    let inputs = inputs(&events, Format::Json);
    testing::reset();
    testing::set_param("query", "q12");
    let mut processor = Nexmark::open().unwrap();
    let mut outputs = Vec::new();
    for (n, batch) in inputs.chunks(100).enumerate() {
        outputs.extend(testing::move_clock(&mut processor, n as i64 * 1_500).unwrap());
        outputs.extend(testing::process(&mut processor, batch).unwrap());
    }
    outputs.extend(testing::move_clock(&mut processor, 100_000).unwrap());

    let mut expected = std::collections::BTreeMap::new();
    for (n, event) in events.iter().enumerate() {
        if let Generated::Bid(bid) = event {
            *expected.entry((bid.bidder as u64, (n as u64 / 100) * 1_500 / 10_000 * 10_000)).or_insert(0) +=
                1_u64;
        }
    }
    let row = |output: &Output| {
        let row: serde_json::Value = serde_json::from_str(&text(&output.value)).unwrap();
        let number = |name: &str| row[name].as_u64().unwrap();
        assert_eq!(number("end_time") - number("start_time"), 10_000);
        ((number("bidder"), number("start_time")), number("bid_count"))
    };
    assert_eq!(outputs.len(), expected.len());
    assert_eq!(outputs.iter().map(row).collect::<std::collections::BTreeMap<_, _>>(), expected);
}

#[test]
fn what_is_wrong_is_said() {
    testing::reset();
    assert_eq!(Nexmark::open().err().as_deref(), Some("parameter `query` is missing"));
    testing::set_param("query", "q6");
    assert_eq!(Nexmark::open().err().as_deref(), Some("parameter `query`: `q6` is none"));
    testing::set_param("query", "q0");
    testing::set_param("format", "xml");
    assert_eq!(
        Nexmark::open().err().as_deref(),
        Some("parameter `format`: `xml`, expected `json` or `binary`")
    );
    testing::set_param("format", "json");
    let mut processor = Nexmark::open().unwrap();
    let told = testing::process(&mut processor, &[testing::input(br#"{"Bid":{}}"#)]);
    let why = "the value is no event: no number `auction` (byte 9)";
    assert_eq!(told, Err(Fault::At(0, why.into())));
}
