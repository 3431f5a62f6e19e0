//! Guests whose toolchain knows WASI preview 1 alone.

use super::*;
use crate::wasm::preview1::ADAPTER;

fn assembled() -> Vec<u8> {
    let mut bytes = wat::parse_str(include_str!("../preview1/adapter.wat")).unwrap();
    embed(&mut bytes, include_str!("../preview1/adapter.wit"), "adapter");
    bytes
}

#[test]
fn the_adapter_is_what_its_text_says() {
    assert!(ADAPTER == assembled(), "cargo test --lib preview1 -- --ignored writes it anew");
}

#[test]
#[ignore = "writes src/wasm/preview1/adapter.wasm"]
fn write_the_adapter() {
    std::fs::write("src/wasm/preview1/adapter.wasm", assembled()).unwrap();
}

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;

/// Traps before the lines are written unless `$told` is `$wanted`.
const CHECK: &str = "(func $check (param $told i32) (param $wanted i32)
        (if (i32.ne (local.get $told) (local.get $wanted)) (then (unreachable))))
    (data (i32.const 1024) \"one\\ntwo\\n\")";

#[tokio::test]
async fn code_for_preview_1_has_clocks_random_numbers_sleep_and_a_log() {
    let body = "
        (i64.store (i32.const 0) (i64.const 0x1122334455667788))
        (call $check (call $random_get (i32.const 2000) (i32.const 13)) (i32.const 0))
        (call $check (i64.eqz (i64.load (i32.const 2000))) (i32.const 0))
        (call $check (i64.eqz (i64.load (i32.const 2005))) (i32.const 0))
        (call $check (i32.load8_u (i32.const 2013)) (i32.const 0))

        (call $check (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 2024)) (i32.const 0))
        (call $check (i64.gt_u (i64.load (i32.const 2024)) (i64.const 1700000000000000000)) (i32.const 1))
        (call $check (call $clock_time_get (i32.const 5) (i64.const 0) (i32.const 2024)) (i32.const 28))
        (call $check (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 2024)) (i32.const 0))

        ;; two milliseconds from now, and a file
        (i64.store (i32.const 2100) (i64.const 7))
        (i32.store (i32.const 2116) (i32.const 1))
        (i64.store (i32.const 2124) (i64.const 2000000))
        (call $check
            (call $poll_oneoff (i32.const 2100) (i32.const 2200) (i32.const 1) (i32.const 2300)) (i32.const 0))
        (call $check (i32.load (i32.const 2300)) (i32.const 1))
        (call $check (i32.load (i32.const 2200)) (i32.const 7))
        (call $check (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 2032)) (i32.const 0))
        (call $check
            (i64.ge_u (i64.sub (i64.load (i32.const 2032)) (i64.load (i32.const 2024))) (i64.const 2000000))
            (i32.const 1))
        (i32.store8 (i32.const 2108) (i32.const 1))
        (call $check
            (call $poll_oneoff (i32.const 2100) (i32.const 2200) (i32.const 1) (i32.const 2300)) (i32.const 0))
        (call $check (i32.load16_u (i32.const 2208)) (i32.const 58))

        (i32.store (i32.const 2400) (i32.const 9))
        (call $check (call $environ_sizes_get (i32.const 2400) (i32.const 2404)) (i32.const 0))
        (call $check (i32.load (i32.const 2400)) (i32.const 0))
        (call $check
            (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 0) (i64.const 0)
                (i64.const 0) (i32.const 0) (i32.const 2400))
            (i32.const 8))

        (i32.store (i32.const 2400) (i32.const 1024))
        (i32.store (i32.const 2404) (i32.const 4))
        (i32.store (i32.const 2408) (i32.const 1028))
        (i32.store (i32.const 2412) (i32.const 4))
        (call $check (call $fd_write (i32.const 3) (i32.const 2400) (i32.const 2) (i32.const 2416)) (i32.const 8))
        (call $check (i64.eq (i64.load (i32.const 0)) (i64.const 0x1122334455667788)) (i32.const 1))
        (call $check (call $fd_write (i32.const 2) (i32.const 2400) (i32.const 2) (i32.const 2416)) (i32.const 0))
        (call $check (i32.load (i32.const 2416)) (i32.const 8))
        (call $check (i64.eq (i64.load (i32.const 0)) (i64.const 0x1122334455667788)) (i32.const 1))
        (i64.store (i32.const 0) (i64.const 0))
        (unreachable)";
    let guest = Guest { imports: IMPORTS, body, rest: CHECK, ..Guest::default() };
    let (config, lines) = config();
    let mut transformer = guest.component().transformer(config).await.unwrap();
    transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert_eq!(*lines.0.lock(), ["warn: one", "warn: two"]);
}

#[tokio::test]
async fn time_stands_still_while_code_for_preview_1_makes_room_for_its_input() {
    let held = "(import \"wasi_snapshot_preview1\" \"hold\" (func $hold (param i32)))";
    // a second from now, which is not waited for
    let realloc = "
        (call $hold (i32.const 1))
        (call $check (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 2008)) (i32.const 0))
        (call $check (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 2016)) (i32.const 0))
        (i32.store (i32.const 2116) (i32.const 1))
        (i64.store (i32.const 2124) (i64.const 1000000000))
        (call $check
            (call $poll_oneoff (i32.const 2100) (i32.const 2200) (i32.const 1) (i32.const 2300)) (i32.const 0))
        (i32.store (i32.const 2400) (i32.const 1024))
        (i32.store (i32.const 2404) (i32.const 4))
        (i32.store (i32.const 2408) (i32.const 1028))
        (i32.store (i32.const 2412) (i32.const 4))
        (call $check (call $fd_write (i32.const 2) (i32.const 2400) (i32.const 2) (i32.const 2416)) (i32.const 0))
        (call $check (i32.load (i32.const 2416)) (i32.const 8))
        (call $hold (i32.const 0))";
    let open = "
        (call $check (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 2024)) (i32.const 0))
        (call $check (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 2032)) (i32.const 0))";
    let body = "
        (call $check (i64.eq (i64.load (i32.const 2008)) (i64.load (i32.const 2024))) (i32.const 1))
        (call $check (i64.eq (i64.load (i32.const 2016)) (i64.load (i32.const 2032))) (i32.const 1))
        (call $check (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 2040)) (i32.const 0))
        (call $check (i64.gt_u (i64.load (i32.const 2040)) (i64.load (i32.const 2032))) (i32.const 1))
        (i32.store (i32.const 260) (i32.const 512))
        (i32.store (i32.const 264) (local.get $len))";
    let imports = format!("{IMPORTS}{held}");
    let guest = Guest { imports: &imports, open, body, realloc, rest: CHECK, ..Guest::default() };
    let (config, lines) = config();
    let mut transformer = guest.component().transformer(config).await.unwrap();
    assert_eq!(transformer.process(&Records::of(&["a"]).inputs()).await.unwrap(), [Outcome::Keep]);
    assert!(lines.0.lock().is_empty(), "what is written meanwhile is lost");
}
