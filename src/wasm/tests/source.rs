//! Sources in the engine: what a poll gives, and what it must not.

use std::time::Duration;

use super::*;

fn ticker(params: &[(&str, &str)]) -> InstanceConfig {
    let mut config = config().0;
    config.params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config
}

async fn source(params: &[(&str, &str)]) -> Source {
    load(&prebuilt::bytes("ticker")).source(ticker(params)).await.unwrap()
}

#[tokio::test]
async fn a_poll_gives_records_and_the_next_cursor() {
    let mut source = source(&[("batch", "2"), ("more", "true")]).await;
    let first = source.poll(None).await.unwrap();
    let keys: Vec<_> = first.outputs.iter().map(|o| (o.source, o.key.clone())).collect();
    assert_eq!(
        keys,
        [(None, Content::Null), (None, Content::Bytes("k1".into()))],
        "nothing to take a key from"
    );
    assert_eq!((first.cursor.as_deref(), first.more), (Some(&b"2"[..]), true));
    let next = source.poll(Some(b"7")).await.unwrap();
    assert_eq!(next.outputs[0].value, Content::Bytes("7".into()));
}

#[tokio::test]
async fn a_poll_that_fails_spends_its_instance() {
    for (param, code) in [("retry", "retry"), ("fatal", "fatal"), ("panic", "trap"), ("loop", "cpu_limit")] {
        let mut source = source(&[(param, "3")]).await;
        assert_eq!(source.poll(Some(b"3")).await.unwrap_err().code(), code);
        assert_eq!(source.poll(None).await.unwrap_err().code(), "instance", "{param}");
    }
}

/// A source whose `poll` is `body`; what it returns lies at 256: the tag, then outputs, cursor and `more`.
fn source_in_text(wit: &str, world: &str, imports: &str, body: &str) -> Bytes {
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") 4)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.add (global.get $next) (local.get 3)))
                (i32.sub (global.get $next) (local.get 3)))
            (func (export "millstream:functions/source@0.1.0#open") (result i32) (i32.const 16))
            (func (export "millstream:functions/source@0.1.0#poll") (param i32 i32 i32) (result i32)
                {body} (i32.const 256)))"#
    );
    let mut bytes = wat::parse_str(text).unwrap();
    embed(&mut bytes, wit, world);
    bytes.into()
}

#[tokio::test]
async fn a_cursor_has_a_largest_size() {
    // Outputs: none (260, 264). The cursor: some (268), at 65536 (272) with this length (276).
    let body = |len: usize| {
        format!(
            "(i32.store8 (i32.const 268) (i32.const 1)) (i32.store (i32.const 272) (i32.const 65536))
            (i32.store (i32.const 276) (i32.const {len}))"
        )
    };
    let poll = async |len| {
        let component = load(&source_in_text(WIT, "polling-source", "", &body(len)));
        component.source(ticker(&[])).await.unwrap().poll(None).await
    };
    assert_eq!(poll(65_536).await.unwrap().cursor.unwrap().len(), 65_536);
    let words = "the code broke the interface: a cursor of 65537, at most 64KiB are allowed";
    assert_eq!(poll(65_537).await.unwrap_err().to_string(), words);
}

#[tokio::test]
async fn a_source_that_never_returns_is_ended_by_the_wall_limit() {
    let wit = wasi::wit().replace("inline-transform@", "polling-source@");
    let body = "(call $block (call $sleep (i64.const 3600000000000)))";
    let component = load(&source_in_text(&wit, "with-wasi", wasi::IMPORTS, body));
    let mut source = component.source(ticker(&[])).await.unwrap();
    source.live.wall_max = Duration::from_millis(50);
    let fault = source.poll(None).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the wall time limit was passed: more than 50ms in one call; `limits.wall` of the deployment raises it"
    );
}

#[tokio::test]
async fn a_source_runs_as_nothing_else() {
    let component = load(&prebuilt::bytes("ticker"));
    let fault = component.transformer(ticker(&[])).await.err().unwrap();
    assert_eq!(fault.to_string(), "no instance: the module exports `source` and cannot run inline");
    let fault = example("template").source(ticker(&[])).await.err().unwrap();
    assert_eq!(
        fault.to_string(),
        "no instance: the module exports `transform-packed` and cannot run as a source"
    );
}
