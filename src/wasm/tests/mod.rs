//! Guests that no toolchain would write: core modules in text, with the released WIT attached.

mod limits;
mod packed;
mod prebuilt;
mod preview1;
mod processor;
mod source;
mod transform;
mod wasi;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parking_lot::Mutex;
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::*;
use crate::model::batch::{BatchBuilder, Codec, Payload};
use crate::model::deployment::GuestLimits;
use crate::model::module::Digest;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(NodeLimits::default()).unwrap());

/// One engine for all tests.
pub(crate) fn engine() -> Engine {
    ENGINE.clone()
}

/// A core module for one of the released worlds.
///
/// `imports` are import declarations; `body` is that of `process`, whose result lies at 256; `rest` holds more functions
/// and data. Memory below 1024 is zero, arguments lie from 64 KiB on and are forgotten by the next call.
pub(crate) struct Guest<'a> {
    pub(crate) wit: &'a str,
    pub(crate) world: &'a str,
    pub(crate) imports: &'a str,
    pub(crate) open: &'a str,
    pub(crate) body: &'a str,
    pub(crate) realloc: &'a str,
    pub(crate) rest: &'a str,
    pub(crate) pages: u32,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            wit: WIT,
            world: "inline-transform",
            imports: "",
            open: "",
            body: "",
            realloc: "",
            rest: "",
            pages: 2,
        }
    }
}

/// What the packed forms of `process` take.
const PACKED: &str = "(param $in i32) (param $len i32) (param $data i32) (param $data_len i32)";

impl Guest<'_> {
    pub(crate) fn module(&self) -> Bytes {
        let Self { wit, world, imports, open, body, realloc, rest, pages } = self;
        let (export, params) = match *world {
            "inline-transform" | "with-wasi" => ("transform", "(param $in i32) (param $len i32)"),
            "packed-transform" => ("transform-packed", PACKED),
            "packed-processor" => ("processor-packed", PACKED),
            _ => ("processor", "(param $in i32) (param $len i32)"),
        };
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    {realloc}
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (block $fits
                        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
                        (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
                    (local.get $at))
                (func (export "millstream:functions/{export}@0.1.0#open") (result i32)
                    {open}
                    (global.set $next (i32.const 65536))
                    (i32.const 16))
                (func $process (export "millstream:functions/{export}@0.1.0#process") {params} (result i32)
                    {body}
                    (global.set $next (i32.const 65536))
                    (i32.const 256))
                {rest})"#
        );
        let mut bytes = wat::parse_str(text).unwrap();
        embed(&mut bytes, wit, world);
        bytes.into()
    }

    pub(crate) fn component(&self) -> Component {
        load(&self.module())
    }

    async fn transformer(&self) -> Result<Transformer, Fault> {
        self.component().transformer(config().0).await
    }
}

/// Attaches a world to a core module.
pub(super) fn embed(module: &mut Vec<u8>, wit: &str, world: &str) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).unwrap();
}

/// Inspects, compiles and loads.
fn load(bytes: &Bytes) -> Component {
    let inspected = inspect(bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("component");
    let out = dir.path().join(artifact::file_name(&ENGINE, &Digest::of(bytes)));
    std::fs::write(&source, &inspected.component).unwrap();
    artifact::compile_file(&source, &out).unwrap();
    ENGINE.load(&out, inspected.kind).unwrap()
}

/// A guest of `guest-examples`.
pub(crate) fn example(name: &str) -> Component {
    load(&prebuilt::bytes(name))
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn write(&self, level: LogLevel, text: String) {
        self.0.lock().push(format!("{}: {text}", level.as_str()));
    }
}

fn config() -> (InstanceConfig, Arc<Lines>) {
    let log = Arc::new(Lines::default());
    let config = InstanceConfig {
        label: "test/0".into(),
        params: [("limit".to_owned(), "7".to_owned())].into(),
        inputs: vec!["in".into()],
        outputs: vec!["alerts".into(), "other".into()],
        limits: GuestLimits::default(),
        place: None,
        log: log.clone(),
        http: None,
    };
    (config, log)
}

/// Records with a key, a value and one header.
struct Records(Payload);

impl Records {
    fn of(values: &[&str]) -> Self {
        let mut builder = BatchBuilder::new();
        for (i, value) in values.iter().enumerate() {
            let key = format!("k{i}");
            builder.push(
                1000 + i as i64,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                [("h", Some(&b"x"[..]))],
            );
        }
        Self(builder.finish(Codec::None).unwrap().payload(1 << 20).unwrap())
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let records = self.0.records().map(Result::unwrap);
        records
            .enumerate()
            .map(|(i, record)| Input { topic: 0, partition: 3, offset: i as u64, record })
            .collect()
    }
}
