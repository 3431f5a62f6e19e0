//! Packed transforms and processors in the engine.

use super::*;

fn guest<'a>(body: &'a str, rest: &'a str) -> Guest<'a> {
    Guest { world: "packed-transform", body, rest, ..Guest::default() }
}

/// Entries at 1024, 48 bytes each, with the timestamp absent; data at 4096.
const RESULT: &str =
    "(i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 268) (i32.const 4096))";

/// One entry as the canonical ABI lays it out.
fn entry(source: u32, action: u8, topic: u32, lens: [i32; 3]) -> String {
    let mut bytes = [0u8; 48];
    bytes[..4].copy_from_slice(&source.to_le_bytes());
    bytes[4] = action;
    bytes[8..12].copy_from_slice(&topic.to_le_bytes());
    for (i, len) in lens.iter().enumerate() {
        bytes[32 + 4 * i..36 + 4 * i].copy_from_slice(&len.to_le_bytes());
    }
    bytes.iter().map(|b| format!("\\{b:02x}")).collect()
}

async fn run(entries: &[String], data: &str, inputs: usize) -> Result<Vec<Outcome>, Fault> {
    let body = format!(
        "{RESULT} (i32.store (i32.const 264) (i32.const {})) (i32.store (i32.const 272) (i32.const {}))",
        entries.len(),
        data.len()
    );
    let rest = format!(r#"(data (i32.const 1024) "{}") (data (i32.const 4096) "{data}")"#, entries.concat());
    let values: Vec<_> = ["a", "b", "c", "d"][..inputs].to_vec();
    guest(&body, &rest).transformer().await?.process(&Records::of(&values).inputs()).await
}

#[tokio::test]
async fn verdicts_come_back_packed_and_outputs_share_one_buffer() {
    let entries = [
        entry(0, 0, 0, [-2, -2, -2]),
        entry(2, 1, 2, [1, 2, -2]),
        entry(2, 1, 0, [-1, 3, 0]),
        entry(3, 2, 0, [-2, 6, -2]),
    ];
    let outcomes = run(&entries, "kvvwwwno way", 4).await.unwrap();
    assert_eq!(outcomes[..2], [Outcome::Keep, Outcome::Drop]);
    assert_eq!(outcomes[3], Outcome::Reject("no way".into()));
    let Outcome::Emit(outputs) = &outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!((outputs[0].route, outputs[1].route), (Some(1), None));
    assert_eq!((&outputs[1].key, &outputs[1].headers), (&Content::Null, &Some(vec![])));
    let (Content::Bytes(key), Content::Bytes(value)) = (&outputs[0].key, &outputs[1].value) else { panic!() };
    assert_eq!((&key[..], &value[..]), (&b"k"[..], &b"www"[..]));
    assert_eq!(value.as_ptr() as usize - key.as_ptr() as usize, 3, "slices of the same buffer");
}

#[tokio::test]
async fn a_lying_table_is_a_fault() {
    let say = async |entries: &[String], data| run(entries, data, 2).await.unwrap_err().to_string();
    let words = say(&[entry(0, 1, 0, [-2, 50, -2])], "abc").await;
    assert!(
        words.ends_with("entry 0 of the packed answer: a length of 50 where 3 bytes are left"),
        "{words}"
    );
    let words = say(&[entry(5, 0, 0, [-2; 3])], "").await;
    assert!(words.ends_with("an output names input 5 as its source, the batch has 2"), "{words}");
}

#[tokio::test]
async fn input_arrives_packed() {
    // The answer's data are the input's, as one output's value.
    let body = "(i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store (i32.const 268) (local.get $data)) (i32.store (i32.const 272) (local.get $data_len))
        (i32.store8 (i32.const 1028) (i32.const 1))
        (i32.store (i32.const 1056) (i32.const -1)) (i32.store (i32.const 1060) (local.get $data_len))
        (i32.store (i32.const 1064) (i32.const -2))";
    let mut transformer = guest(body, "").transformer().await.unwrap();
    let outcomes = transformer.process(&Records::of(&["ab", "c"]).inputs()).await.unwrap();
    let Outcome::Emit(outputs) = &outcomes[0] else { panic!("{outcomes:?}") };
    let expected = b"k0ab\x01\0h\x01\0\0\0xk1c\x01\0h\x01\0\0\0x";
    assert_eq!(outputs[0].value, Content::Bytes(Bytes::from_static(expected)));
}

#[tokio::test]
async fn entries_arrive_in_the_canonical_layout() {
    // The answer's data are the input's entries, as one output's value.
    let body = "(i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store (i32.const 268) (local.get $in)) (i32.store (i32.const 272) (i32.mul (local.get $len) (i32.const 40)))
        (i32.store8 (i32.const 1028) (i32.const 1))
        (i32.store (i32.const 1056) (i32.const -1))
        (i32.store (i32.const 1060) (i32.mul (local.get $len) (i32.const 40)))
        (i32.store (i32.const 1064) (i32.const -2))";
    let mut transformer = guest(body, "").transformer().await.unwrap();
    let outcomes = transformer.process(&Records::of(&["ab", "c"]).inputs()).await.unwrap();
    let Outcome::Emit(outputs) = &outcomes[0] else { panic!("{outcomes:?}") };
    let mut expected = Vec::new();
    for (offset, value_len) in [(0u64, 2i32), (1, 1)] {
        expected.extend([0u32, 3].map(u32::to_le_bytes).concat());
        expected.extend(offset.to_le_bytes());
        expected.extend((1000 + offset).to_le_bytes());
        expected.extend([2, value_len, 8, 0].map(i32::to_le_bytes).concat());
    }
    assert_eq!(outputs[0].value, Content::Bytes(expected.into()));
}

#[tokio::test]
async fn answers_are_read_in_the_canonical_layout() {
    let timestamp = |at: u32, tag: u8, value: i64| {
        format!(
            "(i32.store8 (i32.const {}) (i32.const {tag})) (i64.store (i32.const {}) (i64.const {value}))",
            at + 16,
            at + 24
        )
    };
    let answer = async |list: &str, timestamp: &str| {
        let body = format!(
            "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store (i32.const 1064) (i32.const -2)) {list} {timestamp}"
        );
        let mut transformer = guest(&body, "").transformer().await.unwrap();
        transformer.process(&Records::of(&["a"]).inputs()).await
    };
    let list = |at: i32, count: i32| {
        format!(
            "(i32.store (i32.const 260) (i32.const {at})) (i32.store (i32.const 264) (i32.const {count}))"
        )
    };
    let outcomes = answer(&list(1024, 1), &timestamp(1024, 1, 5_000_000_000)).await.unwrap();
    let Outcome::Emit(outputs) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outputs[0].timestamp, Some(5_000_000_000));

    let lies = [
        (list(1024, 1), timestamp(1024, 2, 0), "an option that is neither none nor some"),
        (
            list(1024, 1),
            "(i32.store8 (i32.const 1028) (i32.const 3))".to_owned(),
            "an action that does not exist",
        ),
        (list(1028, 1), String::new(), "a list of answers that is not aligned"),
        (list(-48, 2), String::new(), "a list of answers beyond the memory"),
    ];
    for (list, rest, words) in lies {
        let told = answer(&list, &rest).await.unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    assert!(answer(&list(1024, i32::MAX), "").await.is_err());
}

#[tokio::test]
async fn a_packed_transform_works_from_topic_to_topic() {
    let entries =
        [entry(0, 0, 0, [-2, -2, -2]), entry(2, 1, 2, [1, 2, -2]), entry(3, 2, 0, [-2, 6, -2])].concat();
    let body = format!(
        "{RESULT} (i32.store (i32.const 264) (i32.const 3)) (i32.store (i32.const 272) (i32.const 9))"
    );
    let rest = format!(r#"(data (i32.const 1024) "{entries}") (data (i32.const 4096) "kvvno way")"#);
    let (state, _dir) = processor::state();
    let mut transform = guest(&body, &rest).component().processor(config().0, state).await.unwrap();
    let answer = transform.process(&Records::of(&["a", "b", "c", "d"]).inputs()).await.unwrap();
    assert_eq!(answer.rejected, [(3, "no way".to_owned())]);
    assert_eq!(answer.outputs[0], Output::kept(0));
    assert_eq!((answer.outputs[1].source, answer.outputs[1].route), (Some(2), Some(1)));
    assert_eq!(answer.outputs[1].value, Content::Bytes("vv".into()));
    assert_eq!(answer.outputs.len(), 2);
}

// === processors ===

/// One record of a processor as the canonical ABI lays it out.
fn record(source: i32, topic: u32, timestamp: Option<i64>, lens: [i32; 3]) -> Vec<u8> {
    let mut bytes = vec![0u8; 40];
    bytes[..4].copy_from_slice(&source.to_le_bytes());
    bytes[4..8].copy_from_slice(&topic.to_le_bytes());
    bytes[8] = u8::from(timestamp.is_some());
    bytes[16..24].copy_from_slice(&timestamp.unwrap_or(0).to_le_bytes());
    for (i, len) in lens.iter().enumerate() {
        bytes[24 + 4 * i..28 + 4 * i].copy_from_slice(&len.to_le_bytes());
    }
    bytes
}

/// What a processor's answer of these records over two inputs comes to.
async fn emitted(records: &[Vec<u8>], data: &[u8]) -> Result<Vec<Output>, Fault> {
    let text = |bytes: &[u8]| bytes.iter().map(|b| format!("\\{b:02x}")).collect::<String>();
    let body = format!(
        "{RESULT} (i32.store (i32.const 264) (i32.const {})) (i32.store (i32.const 272) (i32.const {}))",
        records.len(),
        data.len()
    );
    let rest = format!(
        r#"(data (i32.const 1024) "{}") (data (i32.const 4096) "{}")"#,
        text(&records.concat()),
        text(data)
    );
    let (state, _dir) = processor::state();
    let guest = Guest { world: "packed-processor", body: &body, rest: &rest, ..Guest::default() };
    let mut processor = guest.component().processor(config().0, state).await?;
    Ok(processor.process(&Records::of(&["a", "b"]).inputs()).await?.outputs)
}

#[tokio::test]
async fn records_are_read_in_the_canonical_layout() {
    let records = [
        record(1, 2, Some(5_000_000_000), [1, 2, 8]),
        record(-1, 0, None, [-2, 3, -2]),
        record(0, 1, None, [-2, -1, 0]),
    ];
    let outputs = emitted(&records, b"kvv\x01\0h\x01\0\0\0xwww").await.unwrap();
    let bytes = |text: &'static str| Content::Bytes(text.into());
    let header = crate::model::Header { name: "h".into(), value: Some("x".into()) };
    let expected = [
        Output {
            source: Some(1),
            route: Some(1),
            key: bytes("k"),
            value: bytes("vv"),
            timestamp: Some(5_000_000_000),
            headers: Some(vec![header]),
        },
        Output { source: None, key: Content::Null, value: bytes("www"), ..Output::kept(0) },
        Output { route: Some(0), value: Content::Null, headers: Some(vec![]), ..Output::kept(0) },
    ];
    assert_eq!(outputs, expected);
}

#[tokio::test]
async fn no_record_of_a_processor_is_believed() {
    let plain = |lens| record(0, 0, None, lens);
    let mut neither = plain([-2; 3]);
    neither[8] = 2;
    let cases: [(Vec<u8>, &[u8], &str); 12] = [
        (record(2, 0, None, [-2; 3]), b"", "names input 2 as its source, the batch has 2"),
        (record(-2, 0, None, [-2; 3]), b"", "entry 0 of the packed answer: source -2"),
        (record(0, 3, None, [-2; 3]), b"", "output topic 3, the deployment declares 2 routes"),
        (record(-1, 0, Some(-5), [-2; 3]), b"", "timestamp -5"),
        (neither, b"", "an option that is neither none nor some"),
        (plain([-3, -2, -2]), b"", "a length of -3"),
        (plain([i32::MAX, i32::MAX, -2]), b"abc", "a length of 2147483647 where 3 bytes are left"),
        (plain([2, 2, -2]), b"abc", "a length of 2 where 1 bytes are left"),
        (plain([1, 1, -2]), b"abc", "lengths sum to 2, its data has 3 bytes"),
        (plain([-2, -2, -1]), b"", "headers of length -1"),
        (plain([-2, -2, 3]), b"\x05\0a", "a header that ends early"),
        (plain([-2, -2, 7]), b"\x01\0\xff\0\0\0\0", "a header name that is no UTF-8"),
    ];
    for (record, data, words) in cases {
        let told = emitted(&[record], data).await.unwrap_err().to_string();
        assert!(told.contains(words), "{told:?} does not say {words:?}");
    }
}

#[tokio::test]
async fn a_processors_list_beyond_its_memory_is_a_fault() {
    for (at, count) in [(1028, 1), (-40, 2), (1024, i32::MAX)] {
        let body = format!(
            "(i32.store (i32.const 260) (i32.const {at})) (i32.store (i32.const 264) (i32.const {count}))"
        );
        let (state, _dir) = processor::state();
        let guest = Guest { world: "packed-processor", body: &body, ..Guest::default() };
        let mut processor = guest.component().processor(config().0, state).await.unwrap();
        let records = Records::of(&["a"]);
        assert!(processor.process(&records.inputs()).await.is_err(), "{at} {count}");
        let told = processor.process(&records.inputs()).await.unwrap_err().to_string();
        assert!(told.contains("it is spent"), "{told}");
    }
}
