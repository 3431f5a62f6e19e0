//! Guests that no toolchain would write: core modules in text, with a world attached.

use anyhow::Result;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// What a module is made of.
#[derive(Clone, Copy)]
struct Core<'a> {
    /// WIT with the world
    wit: &'a str,
    world: &'a str,
    /// the exported interface with its version, such as `transform@0.1.0`
    export: &'a str,
    imports: &'a str,
    /// the function that is called with records or for them
    call: &'a str,
    /// of that function, whose answer lies at 256; memory below 1024 is zero
    body: &'a str,
    rest: &'a str,
}

/// What the packed form of `process` takes; the list form takes the first two.
const PACKED: &str = "(param $in i32) (param $len i32) (param $data i32) (param $data_len i32)";
const LIST: &str = "(param $in i32) (param $len i32)";
/// What `poll` takes: an optional cursor.
const CURSOR: &str = "(param $some i32) (param $cursor i32) (param $len i32)";

impl Core<'_> {
    fn module(&self) -> Result<Vec<u8>> {
        let Self { wit, world, export, imports, call, body, rest } = self;
        let params = match *call {
            "poll" => CURSOR,
            _ if export.contains("packed") => PACKED,
            _ => LIST,
        };
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 16)
                (global $next (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func (export "millstream:functions/{export}#open") (result i32) (i32.const 16))
                (func (export "millstream:functions/{export}#{call}") {params} (result i32)
                    {body}
                    (global.set $next (i32.const 65536))
                    (i32.const 256))
                {rest})"#
        );
        let mut module = wat::parse_str(text)?;
        let mut resolve = Resolve::default();
        let package = resolve.push_str("hostile.wit", wit)?;
        let world = resolve.select_world(&[package], Some(world))?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        Ok(module)
    }
}

fn ours() -> Core<'static> {
    Core {
        wit: millstream::wasm::WIT,
        world: "inline-transform",
        export: "transform@0.1.0",
        imports: "",
        call: "process",
        body: "",
        rest: "",
    }
}

/// Answers with no outcome, however many records it was given.
pub(crate) fn wrong_outcome_count() -> Result<Vec<u8>> {
    ours().module()
}

/// A packed answer whose one entry has a value of 1,000,000 bytes where three bytes lie.
pub(crate) fn lying_lengths() -> Result<Vec<u8>> {
    let body = "(i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store (i32.const 268) (i32.const 4096)) (i32.store (i32.const 272) (i32.const 3))
        (i32.store8 (i32.const 1028) (i32.const 1))
        (i32.store (i32.const 1056) (i32.const -1)) (i32.store (i32.const 1060) (i32.const 1000000))
        (i32.store (i32.const 1064) (i32.const -2))";
    Core { world: "packed-transform", export: "transform-packed@0.1.0", body, ..ours() }.module()
}

/// Written against a version of the package that does not exist.
pub(crate) fn wrong_version() -> Result<Vec<u8>> {
    let wit = millstream::wasm::WIT.replace("0.1.0", "9.9.0");
    Core { wit: &wit, export: "transform@9.9.0", ..ours() }.module()
}

/// Wants a function that no server has.
pub(crate) fn unknown_import() -> Result<Vec<u8>> {
    let wit = nested(
        "inline-transform",
        "import elsewhere:weather/forecast@1.0.0;",
        "package elsewhere:weather@1.0.0 { interface forecast { rain: func() -> bool; } }",
    );
    let imports = r#"(import "elsewhere:weather/forecast@1.0.0" "rain" (func (result i32)))"#;
    Core { wit: &wit, world: "strange", imports, ..ours() }.module()
}

/// Sleeps for an hour in a function of the host.
pub(crate) fn sleeper() -> Result<Vec<u8>> {
    asleep("inline-transform", &ours())
}

/// A source that sleeps for an hour instead of giving records.
pub(crate) fn sleeping_source() -> Result<Vec<u8>> {
    asleep("polling-source", &source(""))
}

/// A source that goes round in circles.
pub(crate) fn endless_source() -> Result<Vec<u8>> {
    source("(loop (br 0))").module()
}

fn source(body: &'static str) -> Core<'static> {
    Core { world: "polling-source", export: "source@0.1.0", call: "poll", body, ..ours() }
}

fn asleep(world: &str, guest: &Core<'_>) -> Result<Vec<u8>> {
    let wit = nested(
        world,
        "import wasi:clocks/monotonic-clock@0.2.0;",
        "package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }
         package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                subscribe-duration: func(when: u64) -> pollable;
            }
         }",
    );
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let body = "(call $block (call $sleep (i64.const 3600000000000)))";
    Core { wit: &wit, world: "strange", imports, body, ..*guest }.module()
}

/// Small to upload, long to compile: loops within loops that all change all variables, so that the compiler carries each
/// variable through each of them.
pub(crate) fn compile_bomb() -> Result<Vec<u8>> {
    const DEPTH: usize = 500;
    let set = |i: usize| {
        let next = (i + 1) % DEPTH;
        format!("(local.set {i} (i64.add (local.get {next}) (i64.mul (local.get {i}) (i64.const {next}))))")
    };
    let again = |i: usize| format!("(br_if 0 (i64.eqz (local.get {i}))))");
    let inside: String = (0..DEPTH).map(set).collect();
    let ends: String = (0..DEPTH).map(again).collect();
    let body = format!("{}{inside}{ends}", "(loop ".repeat(DEPTH));
    let function = |n: usize| {
        format!("(func $bomb{n} (result i64) (local {}) {body} (local.get 0))", "i64 ".repeat(DEPTH))
    };
    let functions: String = (0..20).map(function).collect();
    Core { rest: &functions, ..ours() }.module()
}

/// A world `strange`: one of ours with one more import, beside the packages it needs.
fn nested(world: &str, import: &str, packages: &str) -> String {
    let ours = millstream::wasm::WIT.split_once("0.1.0;").map_or("", |(_, rest)| rest);
    format!(
        "package hostile:guest;
        world strange {{
            include millstream:functions/{world}@0.1.0;
            {import}
        }}
        package millstream:functions@0.1.0 {{ {ours} }}
        {packages}"
    )
}
