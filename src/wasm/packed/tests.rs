//! The packed form: round trips, and answers that lie.

use proptest::prelude::*;

use super::*;
use crate::model::deployment::GuestLimits;
use crate::model::limits::RECORD_HEADERS_MAX;
use crate::model::{Record, batch};
use crate::wasm::entries::EntriesOut;

/// Three records: a key, value and header; nulls; an empty value and a null header.
fn payload() -> batch::Payload {
    let mut builder = batch::BatchBuilder::new();
    builder.push(5, Some(b"key"), Some(b"value"), [("name", Some(&b"v"[..]))]);
    builder.push(6, None, None, []);
    builder.push(7, Some(b""), Some(b""), [("é", None)]);
    builder.finish(batch::Codec::None).unwrap().payload(1 << 20).unwrap()
}

fn inputs(payload: &batch::Payload) -> Vec<Input<'_>> {
    let input = |record: Result<_, _>| Input { topic: 0, partition: 0, offset: 0, record: record.unwrap() };
    payload.records().map(input).collect()
}

fn entry(source: u32, action: Action, lens: [i32; 3]) -> EntryOut {
    EntryOut {
        source,
        action,
        topic: 0,
        timestamp: None,
        key_len: lens[0],
        value_len: lens[1],
        headers_len: lens[2],
    }
}

fn run(entries: Vec<EntryOut>, data: &[u8]) -> Result<Vec<Outcome>, String> {
    let payload = payload();
    let mut budget = Budget::of(&GuestLimits::default());
    outcomes(
        PackedOut { entries: EntriesOut(entries), data: data.to_vec() },
        &inputs(&payload),
        2,
        &mut budget,
    )
    .map_err(|f| f.to_string())
}

#[test]
fn what_is_packed_reads_back_by_the_same_layout() {
    let payload = payload();
    let inputs = inputs(&payload);
    let mut buffer = Buffer::default();
    let packed = buffer.pack(&inputs).unwrap();
    let entries: Vec<_> = (0u32..)
        .zip(packed.entries)
        .map(|(source, Entry(e))| entry(source, Action::Emit, [e.key_len, e.value_len, e.headers_len as i32]))
        .collect();
    let mut data = vec![0; packed.data.len];
    write(packed.data.batch, &mut data);
    let outcomes = run(entries, &data).unwrap();
    for (outcome, input) in outcomes.iter().zip(&inputs) {
        let Outcome::Emit(outputs) = outcome else { panic!("{outcome:?}") };
        let bytes = |content: &Content| match content {
            Content::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let again = Record {
            key: bytes(&outputs[0].key),
            value: bytes(&outputs[0].value),
            timestamp: input.record.timestamp,
            headers: outputs[0].headers.clone().unwrap(),
        };
        assert_eq!(again, input.record.to_owned_in(payload.bytes()));
    }
}

#[test]
fn inputs_without_an_entry_are_dropped() {
    let outcomes = run(vec![entry(1, Action::Keep, [-2; 3])], b"").unwrap();
    assert_eq!(outcomes, [Outcome::Drop, Outcome::Keep, Outcome::Drop]);
}

#[test]
fn every_lie_is_told_apart() {
    use Action::{Emit, Keep, Reject};
    let routed = EntryOut { topic: 3, ..entry(0, Emit, [-2; 3]) };
    let early = EntryOut { timestamp: Some(-5), ..entry(0, Emit, [-2; 3]) };
    let many = [0, 0, 255, 255, 255, 255].repeat(RECORD_HEADERS_MAX + 1);
    let many_len = many.len() as i32;
    let cases: [(Vec<EntryOut>, &[u8], &str); 14] = [
        (vec![entry(3, Keep, [-2; 3])], b"", "names input 3 as its source, the batch has 3"),
        (
            vec![entry(1, Keep, [-2; 3]), entry(0, Keep, [-2; 3])],
            b"",
            "source 0 after source 1; entries are sorted",
        ),
        (vec![entry(1, Keep, [-2; 3]), entry(1, Emit, [-2; 3])], b"", "source 1 has another verdict already"),
        (
            vec![entry(1, Reject, [-2; 3]), entry(1, Reject, [-2; 3])],
            b"",
            "source 1 has another verdict already",
        ),
        (vec![routed], b"", "output topic 3, the deployment declares 2 routes"),
        (vec![early], b"", "timestamp -5"),
        (vec![entry(0, Emit, [-3, -2, -2])], b"", "a length of -3"),
        (vec![entry(0, Emit, [2, 2, -2])], b"abc", "a length of 2 where 1 bytes are left"),
        (vec![entry(0, Emit, [1, 1, -2])], b"abc", "lengths sum to 2, its data has 3 bytes"),
        (vec![entry(0, Emit, [-2, -2, -1])], b"", "headers of length -1"),
        (vec![entry(0, Emit, [-2, -2, 3])], b"\x05\0a", "a header that ends early"),
        (vec![entry(0, Emit, [-2, -2, 7])], b"\x01\0\xff\0\0\0\0", "a header name that is no UTF-8"),
        (vec![entry(0, Emit, [-2, -2, many_len])], &many, "101 headers, at most 100"),
        (vec![entry(0, Reject, [-2, 1, -2])], b"\xff", "a reason that is no UTF-8"),
    ];
    for (entries, data, words) in cases {
        let told = run(entries, data).unwrap_err();
        assert!(told.contains(words), "{told:?} does not say {words:?}");
    }
}

fn any_entry() -> impl Strategy<Value = EntryOut> {
    let action = prop_oneof![Just(Action::Keep), Just(Action::Emit), Just(Action::Reject)];
    let len = || prop_oneof![Just(-2), Just(-1), 0..8, any::<i32>()];
    let timestamp = proptest::option::of(any::<i64>());
    (0..4u32, action, 0..4u32, timestamp, [len(), len(), len()]).prop_map(
        |(source, action, topic, timestamp, lens)| EntryOut {
            topic,
            timestamp,
            ..entry(source, action, lens)
        },
    )
}

proptest! {
    #[test]
    fn no_answer_is_believed(
        mut entries in proptest::collection::vec(any_entry(), 0..8),
        data in proptest::collection::vec(any::<u8>(), 0..64),
        sorted in any::<bool>(),
    ) {
        if sorted {
            entries.sort_by_key(|entry| entry.source);
        }
        let Ok(outcomes) = run(entries.clone(), &data) else { return Ok(()) };
        prop_assert_eq!(outcomes.len(), 3);
        let claimed: usize = entries
            .iter()
            .flat_map(|e| [e.key_len, e.value_len, e.headers_len])
            .map(|len| usize::try_from(len).unwrap_or(0))
            .sum();
        prop_assert_eq!(claimed, data.len());
        for (source, outcome) in (0u32..).zip(&outcomes) {
            if let Outcome::Emit(outputs) = outcome {
                prop_assert!(!outputs.is_empty() && outputs.iter().all(|output| output.source == Some(source)));
            }
        }
    }
}
