//! Guests whose language needs WASI: it is linked, and empty.

use std::time::Duration;

use super::*;

/// A part of WASI 0.2, beside our package, and a world that uses both.
pub(super) fn wit() -> String {
    let ours = WIT.split_once("0.1.0;").unwrap().1;
    format!(
        "package test:guest;
        world with-wasi {{
            include millstream:functions/inline-transform@0.1.0;
            import wasi:cli/stderr@0.2.0;
            import wasi:cli/environment@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
        }}
        package millstream:functions@0.1.0 {{ {ours} }}
        package wasi:io@0.2.0 {{
            interface error {{ resource error; }}
            interface poll {{ resource pollable {{ block: func(); }} }}
            interface streams {{
                use error.{{error}};
                variant stream-error {{ last-operation-failed(error), closed }}
                resource output-stream {{
                    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                }}
            }}
        }}
        package wasi:cli@0.2.0 {{
            interface stderr {{ use wasi:io/streams@0.2.0.{{output-stream}}; get-stderr: func() -> output-stream; }}
            interface environment {{ get-environment: func() -> list<tuple<string, string>>; }}
        }}
        package wasi:clocks@0.2.0 {{
            interface monotonic-clock {{
                use wasi:io/poll@0.2.0.{{pollable}};
                subscribe-duration: func(when: u64) -> pollable;
            }}
        }}"
    )
}

pub(super) const IMPORTS: &str = r#"
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

#[tokio::test]
async fn stderr_goes_to_the_log_and_the_environment_is_empty() {
    // The environment's length, which is 0, is added to the lines' length.
    let body = "(call $environment (i32.const 128))
        (call $write (call $stderr) (i32.const 1024) (i32.add (i32.const 33) (i32.load (i32.const 132))) (i32.const 160))
        (unreachable)";
    let rest = r#"(data (i32.const 1024) "loading\npanicked at a.py:3: boom\n and more")"#;
    let wit = wit();
    let guest = Guest { wit: &wit, world: "with-wasi", imports: IMPORTS, body, rest, ..Guest::default() };
    let (config, lines) = config();
    let mut transformer = guest.component().transformer(config).await.unwrap();
    let fault = transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    let Fault::Trap { message, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(message, "panicked at a.py:3: boom");
    assert_eq!(*lines.0.lock(), ["warn: loading", "warn: panicked at a.py:3: boom"]);
}

#[tokio::test]
async fn a_guest_that_sleeps_is_woken_by_the_wall_limit() {
    let body = "(call $block (call $sleep (i64.const 3600000000000)))";
    let wit = wit();
    let guest = Guest { wit: &wit, world: "with-wasi", imports: IMPORTS, body, ..Guest::default() };
    let mut transformer = guest.transformer().await.unwrap();
    transformer.live.wall_max = Duration::from_millis(50);
    let fault = transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the wall time limit was passed: more than 50ms in one call; `limits.wall` of the deployment raises it"
    );
}
