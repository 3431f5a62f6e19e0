use super::*;
use crate::testing::{input, judge, judge_all, keyed, set_outputs};

fn with_headers() -> Input {
    let header =
        |name: &str, value: Option<&[u8]>| Header { name: name.into(), value: value.map(<[u8]>::to_vec) };
    let headers = vec![header("trace", Some(b"1")), header("flag", None), header("trace", Some(b""))];
    Input { topic: 2, partition: 3, offset: 4, timestamp: -5, headers, ..keyed("k", "value") }
}

#[test]
fn a_view_shows_what_was_packed() {
    let inputs = [Input::default(), with_headers(), keyed("", "")];
    let (entries, data) = pack(&inputs);
    let mut seen = Vec::new();
    run(&entries, &data, &[], &mut |record| {
        seen.push(Input {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            timestamp: record.timestamp(),
            headers: record.headers().map(Header::from).collect(),
        });
        Ok(Verdict::Keep)
    })
    .expect("a well-formed batch");
    assert_eq!(seen, inputs);
}

#[test]
fn headers_are_found_by_name_and_nulls_are_none() {
    let read = |name: &'static str| {
        move |record: &Record<'_>| match record.header(name) {
            Some(value) => Verdict::Reject(String::from_utf8_lossy(value).into_owned()),
            None => Verdict::Drop,
        }
    };
    assert_eq!(judge(read("trace"), with_headers()), Verdict::Reject("1".into()));
    assert_eq!(judge(read("flag"), with_headers()), Verdict::Drop);
    assert_eq!(judge(read("absent"), with_headers()), Verdict::Drop);
}

#[test]
fn headers_are_drawn_as_the_contract_says() {
    let (entries, data) = pack(&[with_headers()]);
    let packed = b"kvalue\x05\0trace\x01\0\0\x001\x04\0flag\xff\xff\xff\xff\x05\0trace\0\0\0\0";
    assert_eq!(data, packed);
    assert_eq!((entries[0].key_len, entries[0].value_len, entries[0].headers_len), (1, 5, 33));
}

#[test]
fn a_batch_of_keeps_carries_no_data() {
    let (entries, data) = pack(&[with_headers(), input("x")]);
    let (entries, data) = run(&entries, &data, &[], &mut |_| Ok(Verdict::Keep)).expect("a well-formed batch");
    assert_eq!(data, b"");
    let sources: Vec<u32> = entries.iter().map(|entry| entry.source).collect();
    assert_eq!(sources, [0, 1]);
    assert!(entries.iter().all(|entry| entry.action == Action::Keep && entry.value_len == AS_SOURCE));
}

#[test]
fn verdicts_survive_the_packed_form() {
    set_outputs(&["audit", "errors"]);
    let rich = Output::new()
        .topic("errors")
        .key("k2")
        .tombstone()
        .timestamp(7)
        .headers(vec![Header { name: "n".into(), value: None }])
        .header("m", "v");
    let verdicts = [
        Verdict::Keep,
        Verdict::Drop,
        Verdict::Reject("näh".into()),
        Verdict::Emit(Output::new()),
        Verdict::Emit(rich.clone()),
        Verdict::EmitAll(vec![rich, Output::new().null_key().value("").headers(Vec::new())]),
    ];
    let inputs = vec![with_headers(); verdicts.len()];
    let judged = judge_all(|record| verdicts[record.index()].clone(), &inputs);
    assert_eq!(judged.expect("no fault"), verdicts);
}

#[test]
fn an_unknown_output_is_named_with_the_known_ones() {
    set_outputs(&["audit"]);
    let fault =
        judge_all(|_| Verdict::Emit(Output::new().topic("adit")), &[input("x")]).expect_err("no such output");
    let text = "`adit` is not an output of this deployment; outputs: [audit]";
    assert_eq!(fault, Fault::Fatal(text.into()));
}

#[test]
fn a_fault_ends_the_batch_and_names_its_record() {
    let second_is_bad = |record: &Record<'_>| match record.index() {
        1 => Err(record.fault("bad")),
        _ => Ok(Verdict::Keep),
    };
    let fault = judge_all(second_is_bad, &[input("a"), input("b"), input("c")]);
    assert_eq!(fault, Err(Fault::At(1, "bad".into())));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let (entries, data) = pack(&[keyed("k", "v")]);
    let keep = &mut |_: &Record<'_>| Ok(Verdict::Keep);
    let short = run(&entries, &data[..1], &[], keep).expect_err("too short");
    assert_eq!(short, Fault::Fatal("packed batch: entry 0 reaches beyond the data".into()));
    let long = run(&entries, b"kvx", &[], keep).expect_err("too long");
    assert_eq!(long, Fault::Fatal("packed batch: 1 bytes belong to no entry".into()));
    let negative = [EntryIn { key_len: -7, ..entries[0] }];
    assert_eq!(run(&negative, &data, &[], keep).expect_err("negative"), short);
}

#[test]
fn malformed_headers_end_the_iteration() {
    for rest in [&b"\x05"[..], b"\x05\0ab", b"\x01\0a\x01\0", b"\x01\0a\x05\0\0\0x", b"\x01\0\xff\0\0\0\0"] {
        assert_eq!(Headers { rest }.count(), 0, "{rest:?}");
    }
}
