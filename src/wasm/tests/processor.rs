//! Processors in the engine, with state.

use tempfile::TempDir;

use super::*;
use crate::runtime::clock::Clock;
use crate::state::{Allowed, TaskId, TaskState};
use crate::storage::{Options, Storage};

/// An empty state; it lives as long as its directory.
pub(super) fn state() -> (TaskState, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = Clock::manual(0);
    let options = Options { dir: dir.path().to_owned(), memory: 64 << 20, clock, reader_threads: 1 };
    let storage = Storage::open(options).unwrap();
    let id = TaskId { deployment: 1, generation: 1, task: 0 };
    let allowed = Allowed { bytes: 1 << 20, keys: 1 << 20 };
    (TaskState::open(&storage, id, allowed).unwrap(), dir)
}

const STATE: &str = r#"
    (import "millstream:functions/state@0.1.0" "[constructor]store" (func $store (param i32 i32) (result i32)))
    (import "millstream:functions/state@0.1.0" "[method]store.get" (func $get (param i32 i32 i32 i32)))
    (import "millstream:functions/state@0.1.0" "[method]store.put" (func $put (param i32 i32 i32 i32 i32)))
    (import "millstream:functions/state@0.1.0" "[method]store.delete" (func $delete (param i32 i32 i32)))
    (import "millstream:functions/state@0.1.0" "[method]store.scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "millstream:functions/state@0.1.0" "[resource-drop]store" (func $close (param i32)))"#;

fn guest<'a>(body: &'a str, rest: &'a str) -> Guest<'a> {
    Guest { world: "stateful-processor", imports: STATE, body, rest, ..Guest::default() }
}

async fn processor(body: &str, rest: &str) -> (Processor, TempDir) {
    let (state, dir) = state();
    (guest(body, rest).component().processor(config().0, state).await.unwrap(), dir)
}

async fn fault(body: &str, rest: &str) -> Fault {
    let (mut processor, _dir) = processor(body, rest).await;
    processor.process(&Records::of(&["a"]).inputs()).await.unwrap_err()
}

const DATA: &str = r#"(data (i32.const 1024) "countskeyvalue") (global $it (mut i32) (i32.const 0))"#;

#[tokio::test]
async fn changes_are_seen_by_the_code_and_by_the_caller() {
    // put key -> value; the output's key is what get answers: option at 128.
    let body = "(global.set $it (call $store (i32.const 1024) (i32.const 6)))
        (call $put (global.get $it) (i32.const 1030) (i32.const 3) (i32.const 1033) (i32.const 5))
        (call $get (global.get $it) (i32.const 1030) (i32.const 3) (i32.const 128))
        (call $close (global.get $it))
        (i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store8 (i32.const 532) (i32.const 2))
        (i32.store (i32.const 536) (i32.load (i32.const 132))) (i32.store (i32.const 540) (i32.load (i32.const 136)))";
    let (mut processor, _dir) = processor(body, DATA).await;
    for _ in 0..2 {
        let outputs = processor.process(&Records::of(&["a"]).inputs()).await.unwrap().outputs;
        assert_eq!(outputs[0].key, Content::Bytes("value".into()));
        assert_eq!(
            (outputs[0].source, &outputs[0].value),
            (None, &Content::Null),
            "no source to take it from"
        );
    }
    assert_eq!(processor.state().unwrap().get("counts", b"key").unwrap().unwrap(), "value");
}

#[tokio::test]
async fn a_scan_crosses_the_hosts_steps() {
    // 600 keys of four bytes; scan's answer is a list at 128, its length becomes the outputs'.
    let body = "(local $i i32)
        (global.set $it (call $store (i32.const 1024) (i32.const 6)))
        (loop $next
            (i32.store (i32.const 200) (local.get $i))
            (call $put (global.get $it) (i32.const 200) (i32.const 4) (i32.const 1033) (i32.const 5))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 600))))
        (call $scan (global.get $it) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10000) (i32.const 128))
        (i32.store (i32.const 260) (i32.const 65536)) (i32.store (i32.const 264) (i32.load (i32.const 132)))
        (memory.fill (i32.const 65536) (i32.const 0) (i32.const 60000))";
    let (mut processor, _dir) = processor(body, DATA).await;
    assert_eq!(processor.process(&Records::of(&["a"]).inputs()).await.unwrap().outputs.len(), 600);
}

#[tokio::test]
async fn refusals_of_the_state_end_the_call_in_words() {
    let bad_name = "(drop (call $store (i32.const 1024) (i32.const 6)))";
    let told = fault(bad_name, r#"(data (i32.const 1024) "a/b/cd")"#).await;
    let words = "store name has the character '/'; allowed are a-z, A-Z, 0-9, '.', '_' and '-'";
    assert_eq!(told, Fault::Fatal(words.into()));

    let large = "(global.set $it (call $store (i32.const 1024) (i32.const 6)))
        (drop (memory.grow (i32.const 20)))
        (call $put (global.get $it) (i32.const 1030) (i32.const 3) (i32.const 1033) (i32.const 1000000))";
    let told = fault(large, DATA).await;
    assert_eq!(told.code(), "state_limit", "{told}");

    let quota = "(local $i i32)
        (global.set $it (call $store (i32.const 1024) (i32.const 6)))
        (drop (memory.grow (i32.const 20)))
        (loop $next
            (i32.store (i32.const 200) (local.tee $i (i32.add (local.get $i) (i32.const 1))))
            (call $put (global.get $it) (i32.const 200) (i32.const 4) (i32.const 1033) (i32.const 300000))
            (br $next))";
    let told = fault(quota, DATA).await;
    assert_eq!(told.code(), "state_limit", "{told}");

    let leak = "(loop $again (drop (call $store (i32.const 1024) (i32.const 6))) (br $again))";
    let told = fault(leak, DATA).await;
    assert!(told.to_string().contains("1000 stores are open at once"), "{told}");
}
