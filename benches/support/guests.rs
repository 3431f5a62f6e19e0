//! Guests that no toolchain would write: one that keeps everything and costs nothing itself, so that what is measured is
//! the way in and out of it; and one that is large in every respect that a compiler minds.

use std::fmt::Write;

use anyhow::Result;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// A packed transform that answers `keep` for every input. Memory is handed out from the bottom up and taken back when
/// the answer has been read.
const KEEP_ALL: &str = r#"
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 1024))

  (func $grow (param $to i32)
    (local $missing i32)
    (local.set $missing (i32.sub (i32.shr_u (i32.add (local.get $to) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then unreachable)))))

  (func $alloc (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.sub (i32.add (global.get $top) (local.get $align)) (i32.const 1))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $at) (local.get $len)))
    (call $grow (global.get $top))
    (local.get $at))

  ;; result<_, string> at 16
  (func (export "millstream:functions/transform-packed@0.1.0#open") (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.const 16))

  ;; result<packed-out, error> at 16; an entry of the answer takes 48 bytes
  (func (export "millstream:functions/transform-packed@0.1.0#process")
    (param $entries i32) (param $count i32) (param $data i32) (param $data_len i32) (result i32)
    (local $out i32) (local $at i32) (local $source i32)
    (local.set $out
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $count) (i32.const 48))))
    (local.set $at (local.get $out))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $source) (local.get $count)))
        (i32.store offset=0 (local.get $at) (local.get $source))
        (i64.store offset=4 (local.get $at) (i64.const 0))
        (i64.store offset=16 (local.get $at) (i64.const 0))
        (i32.store offset=32 (local.get $at) (i32.const -2))
        (i32.store offset=36 (local.get $at) (i32.const -2))
        (i32.store offset=40 (local.get $at) (i32.const -2))
        (local.set $at (i32.add (local.get $at) (i32.const 48)))
        (local.set $source (i32.add (local.get $source) (i32.const 1)))
        (br $next)))
    (i32.store offset=0 (i32.const 16) (i32.const 0))
    (i32.store offset=4 (i32.const 16) (local.get $out))
    (i32.store offset=8 (i32.const 16) (local.get $count))
    (i32.store offset=12 (i32.const 16) (i32.const 8))
    (i32.store offset=16 (i32.const 16) (i32.const 0))
    (i32.const 16))

  (func (export "cabi_post_millstream:functions/transform-packed@0.1.0#process") (param i32)
    (global.set $top (i32.const 1024)))
"#;

/// Keeps every record.
pub(crate) fn keep_all() -> Result<Vec<u8>> {
    packed_transform(&format!("(module {KEEP_ALL})"))
}

/// The same with about `bytes` of functions: arithmetic, memory, branches and calls, no two alike.
pub(crate) fn heavy(bytes: usize) -> Result<Vec<u8>> {
    let mut random = super::events::Random(7);
    let mut text = String::with_capacity(bytes * 8);
    let _ = write!(text, "(module {KEEP_ALL}");
    // A step takes about 64 bytes.
    for function in 0..bytes / (64 * STEPS) {
        write_function(&mut text, function, &mut random);
    }
    text.push(')');
    packed_transform(&text)
}

/// Steps of a function: one is about the size of what compilers of high-level languages make.
const STEPS: usize = 48;

fn write_function(text: &mut String, function: usize, random: &mut super::events::Random) {
    let _ = write!(text, "(func $f{function} (param $a i64) (param $b i64) (result i64) (local $p i32)");
    for step in 0..STEPS {
        let (x, y, shift) = (random.next() >> 1, random.next() % 60_000, random.next() % 63);
        let _ = write!(
            text,
            "(local.set $a (i64.add (i64.mul (local.get $a) (i64.const {x})) (i64.rotl (local.get $b) (i64.const {shift}))))
             (local.set $p (i32.and (i32.wrap_i64 (local.get $a)) (i32.const 65528)))
             (if (i64.gt_u (local.get $a) (i64.const {y}))
               (then (local.set $b (i64.xor (local.get $b) (i64.load offset={y} (local.get $p)))))
               (else (i64.store offset={y} (local.get $p) (local.get $a))))"
        );
        if step % 16 == 15 && function > 0 {
            let callee = random.next() as usize % function;
            let _ = write!(text, "(local.set $b (call $f{callee} (local.get $b) (local.get $a)))");
        }
    }
    text.push_str("(local.get $a))");
}

/// Assembles a core module and embeds the world it is written for.
fn packed_transform(text: &str) -> Result<Vec<u8>> {
    let mut module = wat::parse_str(text)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_source("millstream.wit", include_str!("../../wit/millstream.wit"))?;
    let world = resolve.select_world(&[package], Some("packed-transform"))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// What stands in the code of `stamp` and `stamp-counter` instead of a stamp.
const PLACEHOLDER: &[u8] = b"STAMP-0000000000";

/// One of those modules with a stamp of its own: another version of the same work.
pub(crate) fn stamped(module: &[u8], n: u32) -> Result<Vec<u8>> {
    let mut bytes = module.to_vec();
    let stamp = format!("STAMP-{n:010}");
    let places: Vec<_> = memchr::memmem::find_iter(module, PLACEHOLDER).collect();
    anyhow::ensure!(!places.is_empty(), "the module has no place for a stamp");
    for at in places {
        bytes[at..at + stamp.len()].copy_from_slice(stamp.as_bytes());
    }
    Ok(bytes)
}

/// The same module with other bytes, and so another digest: a custom section at its end, which nobody reads.
pub(crate) fn distinct(mut module: Vec<u8>, name: &str) -> Vec<u8> {
    // Section 0, its length, the length of its name, its name; names here are shorter than 127 bytes.
    let length = name.len() as u8;
    module.extend([0, length + 1, length]);
    module.extend_from_slice(name.as_bytes());
    module
}
