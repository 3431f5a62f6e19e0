//! List-form transforms in the engine.

use super::*;

/// All inputs kept: outcomes of twelve zero bytes each.
const KEEP: &str = "(i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))";

#[tokio::test]
async fn a_list_transform_keeps_what_it_keeps() {
    let mut transformer = Guest { body: KEEP, ..Guest::default() }.transformer().await.unwrap();
    let records = Records::of(&["a", "b", "c"]);
    for _ in 0..3 {
        assert_eq!(transformer.process(&records.inputs()).await.unwrap(), vec![Outcome::Keep; 3]);
    }
    assert_eq!(transformer.process(&[]).await.unwrap(), []);
    assert_eq!(transformer.memory_bytes(), 2 << 16);
    assert!(transformer.cpu_time() > std::time::Duration::ZERO);
}

#[tokio::test]
async fn every_input_wants_its_outcome() {
    let body = "(i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (i32.const 2))";
    let mut transformer = Guest { body, ..Guest::default() }.transformer().await.unwrap();
    let records = Records::of(&["a", "b", "c"]);
    let fault = transformer.process(&records.inputs()).await.unwrap_err();
    assert_eq!(fault, Fault::Protocol("2 outcomes for 3 inputs; one for each is expected".into()));

    let again = transformer.process(&records.inputs()).await.unwrap_err();
    assert_eq!(again.to_string(), "no instance: it is spent: an earlier call failed or was given up");
}

/// One outcome `emit` at 512 with one output at 600, whose key is "new" and whose route is at 720.
const EMIT: &str = r#"
    (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (i32.const 1))
    (i32.store8 (i32.const 512) (i32.const 2)) (i32.store (i32.const 516) (i32.const 600)) (i32.store (i32.const 520) (i32.const 1))
    ;; output: source option<u32> 0, topic option<string> 8, key content 20, value content 32, timestamp option<s64> 48, headers 64
    (i32.store8 (i32.const 608) (i32.const 1)) (i32.store (i32.const 612) (i32.const 1024)) (i32.store (i32.const 616) (i32.const 6))
    (i32.store8 (i32.const 620) (i32.const 2)) (i32.store (i32.const 624) (i32.const 1032)) (i32.store (i32.const 628) (i32.const 3))"#;

#[tokio::test]
async fn outputs_name_their_route() {
    let guest = |data| Guest { body: EMIT, rest: data, ..Guest::default() };
    let records = Records::of(&["a"]);
    let mut known = guest(r#"(data (i32.const 1024) "alerts  new")"#).transformer().await.unwrap();
    let outcomes = known.process(&records.inputs()).await.unwrap();
    let output = Output {
        source: Some(0),
        route: Some(0),
        key: Content::Bytes("new".into()),
        value: Content::Source,
        timestamp: None,
        headers: None,
    };
    assert_eq!(outcomes, [Outcome::Emit(vec![output])]);

    let mut unknown = guest(r#"(data (i32.const 1024) "allert  new")"#).transformer().await.unwrap();
    let fault = unknown.process(&records.inputs()).await.unwrap_err();
    let words = "the code broke the interface: an output names the route `allert`; the deployment declares: alerts, other";
    assert_eq!(fault.to_string(), words);
}

#[tokio::test]
async fn a_batch_error_is_the_guests_word() {
    // result: error, at(tuple<u32, string>): discriminants at 256 and 260, index at 264, text at 268
    let body = |index: u32| {
        format!(
            "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 260) (i32.const 2))
             (i32.store (i32.const 264) (i32.const {index})) (i32.store (i32.const 268) (i32.const 1024))
             (i32.store (i32.const 272) (i32.const 5))"
        )
    };
    let rest = r#"(data (i32.const 1024) "no id")"#;
    let records = Records::of(&["a", "b"]);
    let mut transformer = Guest { body: &body(1), rest, ..Guest::default() }.transformer().await.unwrap();
    let fault = transformer.process(&records.inputs()).await.unwrap_err();
    assert_eq!(fault, Fault::At { index: 1, reason: "no id".into() });

    let mut beyond = Guest { body: &body(2), rest, ..Guest::default() }.transformer().await.unwrap();
    let fault = beyond.process(&records.inputs()).await.unwrap_err();
    assert_eq!(fault, Fault::Protocol("error at input 2 of a batch of 2: no id".into()));
}

#[tokio::test]
async fn open_reads_the_configuration_and_may_refuse() {
    // get("limit") at 128: option<string>; the first letter becomes open's answer
    let imports = r#"(import "millstream:functions/config@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    let rest = r#"(data (i32.const 1024) "limit")"#;
    let open = "(call $get (i32.const 1024) (i32.const 5) (i32.const 128))
        (i32.store8 (i32.const 16) (i32.load8_u (i32.const 128)))
        (i32.store (i32.const 20) (i32.load (i32.const 132))) (i32.store (i32.const 24) (i32.load (i32.const 136)))";
    let fault = Guest { imports, open, rest, ..Guest::default() }.transformer().await.err().unwrap();
    assert_eq!(fault, Fault::Open("7".into()));
}

#[tokio::test]
async fn a_trap_shows_the_panic_message_and_its_function() {
    let imports = r#"(import "millstream:functions/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;
    let body = r"(call $write (i32.const 4) (i32.const 1024) (i32.const 33)) (call $mask)";
    let rest = r#"(func $mask (unreachable)) (data (i32.const 1024) "panicked at src/lib.rs:7:9: no id")"#;
    let component = Guest { imports, body, rest, ..Guest::default() }.component();
    let (config, lines) = config();
    let mut transformer = component.transformer(config).await.unwrap();
    let fault = transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    let Fault::Trap { message, backtrace } = &fault else { panic!("{fault:?}") };
    assert_eq!(message, "panicked at src/lib.rs:7:9: no id");
    assert!(backtrace[0].ends_with("mask"), "{backtrace:?}");
    assert_eq!(*lines.0.lock(), ["error: panicked at src/lib.rs:7:9: no id"]);

    let silent = Guest { body: "(unreachable)", ..Guest::default() };
    let fault = silent.transformer().await.unwrap().process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert_eq!(fault.to_string(), "the code trapped: it aborted (`unreachable`), as a panic does");
}

#[tokio::test]
async fn a_processor_does_not_run_inline() {
    let component = Guest { world: "stateful-processor", ..Guest::default() }.component();
    let fault = component.transformer(config().0).await.err().unwrap();
    assert_eq!(fault.to_string(), "no instance: the module exports `processor` and cannot run inline");
}

#[tokio::test]
async fn a_transform_works_from_topic_to_topic() {
    // Outcomes of 32 bytes at 1024: keep, drop, and a refusal in words.
    let body = r#"(i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (local.get $len))
        (i32.store8 (i32.const 1036) (i32.const 1))
        (i32.store8 (i32.const 1048) (i32.const 3))
        (i32.store (i32.const 1052) (i32.const 2048)) (i32.store (i32.const 1056) (i32.const 6))"#;
    let rest = r#"(data (i32.const 2048) "no way")"#;
    let component = Guest { body, rest, ..Guest::default() }.component();
    let (state, _dir) = processor::state();
    let mut transform = component.processor(config().0, state).await.unwrap();
    assert!(transform.state().is_none());
    let answer = transform.process(&Records::of(&["a", "b", "c"]).inputs()).await.unwrap();
    assert_eq!(answer, Answer { outputs: vec![Output::kept(0)], rejected: vec![(2, "no way".into())] });
}
