//! Core modules of toolchains that know WASI preview 1 alone, such as Go's: what stands between them and the server. How it
//! does that is told in `preview1/adapter.wat`, of which `preview1/adapter.wasm` is assembled.

use memchr::memmem;

/// The module that such code imports.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// Preview 1 in terms of WASI 0.2, with its WIT in a custom section.
pub(super) const ADAPTER: &[u8] = include_bytes!("preview1/adapter.wasm");

/// Whether a core module may import it: the name stands somewhere in it.
pub(super) fn is_named(module: &[u8]) -> bool {
    memmem::find(module, MODULE.as_bytes()).is_some()
}
