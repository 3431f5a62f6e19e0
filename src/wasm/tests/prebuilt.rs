//! The guests of `guest-examples`, as users would upload them.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

pub(super) fn bytes(name: &str) -> Bytes {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-examples/prebuilt");
    std::fs::read(dir.join(name).with_extension("wasm")).unwrap().into()
}

async fn processor(name: &str) -> (Processor, TempDir) {
    let (state, dir) = processor::state();
    (load(&bytes(name)).processor(config().0, state).await.unwrap(), dir)
}

/// The fault of a misbehaving guest at a record that tells it to, after one that does not.
async fn misbehave(name: &str, key: &str) -> Fault {
    let mut builder = BatchBuilder::new();
    builder.push(0, Some(key.as_bytes()), Some(b"misbehave"), []);
    let bad = Records(builder.finish(Codec::None).unwrap().payload(1 << 20).unwrap());
    let (state, _dir) = processor::state();
    let mut config = config().0;
    if name != "endless-loop" {
        // A busy machine must not turn another limit into that of the CPU.
        config.limits.cpu = Duration::from_secs(20);
    }
    let mut processor = load(&bytes(name)).processor(config, state).await.unwrap();
    let outputs = processor.process(&Records::of(&["a", "b"]).inputs()).await.unwrap().outputs;
    assert_eq!(outputs.iter().map(|output| output.source).collect::<Vec<_>>(), [Some(0), Some(1)]);
    processor.process(&bad.inputs()).await.unwrap_err()
}

#[tokio::test]
async fn a_rust_panic_shows_its_message_and_the_users_function() {
    let Fault::Trap { message, backtrace } = misbehave("trap", "").await else { panic!() };
    assert!(
        message.contains("record 0 told the code to misbehave") && message.contains("src/lib.rs"),
        "{message}"
    );
    assert!(backtrace.iter().any(|frame| frame.ends_with("#process")), "{backtrace:#?}");
    assert!(!backtrace[0].contains("::h"), "{backtrace:#?}");

    let Fault::Trap { message, backtrace } = misbehave("trap", "unreachable").await else { panic!() };
    assert_eq!(message, "it aborted (`unreachable`), as a panic does");
    assert!(!backtrace.is_empty());
}

#[tokio::test]
async fn misbehaving_guests_meet_their_limits() {
    for (name, key, code) in [
        ("endless-loop", "", "cpu_limit"),
        ("memory-hog", "", "memory_limit"),
        ("oversized-output", "", "output_bytes_limit"),
        ("oversized-output", "records", "output_records_limit"),
    ] {
        let fault = misbehave(name, key).await;
        assert_eq!(fault.code(), code, "{name}: {fault}");
    }
}

#[test]
fn a_component_of_another_house_is_refused_by_name() {
    let told = inspect(&bytes("wrong-world")).unwrap_err();
    assert_eq!(told, Invalid::NoKind { found: vec!["elsewhere:other/greeter@1.0.0".into()] });
}

#[tokio::test]
async fn word_count_counts_across_calls() {
    let (mut words, _dir) = processor("word-count").await;
    let mut counts = Vec::new();
    for _ in 0..2 {
        let outputs = words.process(&Records::of(&["a b", "b"]).inputs()).await.unwrap().outputs;
        counts.extend(outputs.into_iter().map(|output| (output.source.unwrap(), output.key, output.value)));
    }
    let row = |source, key: &'static str, value: &'static str| {
        (source, Content::Bytes(key.into()), Content::Bytes(value.into()))
    };
    let first = [row(0, "a", "1"), row(0, "b", "1"), row(1, "b", "2")];
    let second = [row(0, "a", "2"), row(0, "b", "3"), row(1, "b", "4")];
    assert_eq!(counts, [first, second].concat());
    assert_eq!(words.state().unwrap().get("counts", b"b").unwrap().unwrap(), "4");
}

#[test]
fn the_tools_and_imports_of_a_guest_are_known() {
    let inspected = inspect(&bytes("word-count")).unwrap();
    assert!(inspected.producers.iter().any(|tool| tool.starts_with("rustc ")), "{:?}", inspected.producers);
    assert!(
        inspected.imports.contains(&"millstream:functions/state@0.1.0".to_owned()),
        "{:?}",
        inspected.imports
    );
}
