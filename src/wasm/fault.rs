//! What can go wrong in a call into a guest, as opposed to the guest's verdict on a record.

use wasmtime::{Trap, WasmBacktrace};

/// A call that failed. Its instance is spent and has to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The code aborted: a panic, an access out of bounds, endless recursion.
    #[error("the code trapped: {message}")]
    Trap {
        /// the panic's message where the code logged one, else the kind of trap
        message: String,
        /// function names, innermost first
        backtrace: Vec<String>,
    },
    /// A bound of the deployment was passed.
    #[error("the {} limit was passed: {detail}{}", kind.name(), kind.raised_by())]
    Limit {
        /// which one
        kind: LimitKind,
        /// found and allowed
        detail: String,
    },
    /// The code says: the whole batch, later.
    #[error("the code asks to retry: {0}")]
    Retry(String),
    /// The code says: the whole batch, never.
    #[error("the code gave up on the batch: {0}")]
    Fatal(String),
    /// The code says: only this input is bad.
    #[error("the code refused input {index} of the batch: {reason}")]
    At {
        /// which input of the batch, from 0
        index: u32,
        /// the code's words
        reason: String,
    },
    /// What came back contradicts the interface.
    #[error("the code broke the interface: {0}")]
    Protocol(String),
    /// The code's `open` refused to start.
    #[error("the code's open failed: {0}")]
    Open(String),
    /// No instance could be made, or a spent one was called.
    #[error("no instance: {0}")]
    Instance(String),
    /// What all guests of the node have together is used up: nobody's fault, and over when others have ended.
    #[error("the node is busy: {0}")]
    Busy(String),
}

/// Bounds of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// CPU time of one call
    Cpu,
    /// wall time of one call
    Wall,
    /// linear memory
    Memory,
    /// bytes that came back
    OutputBytes,
    /// records that came back
    OutputRecords,
    /// state: quota, sizes, number of stores
    State,
}

impl LimitKind {
    /// As users read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU time",
            Self::Wall => "wall time",
            Self::Memory => "memory",
            Self::OutputBytes => "output bytes",
            Self::OutputRecords => "output records",
            Self::State => "state",
        }
    }
}

impl LimitKind {
    /// The end of a message: the member of the deployment's spec that raises it, where it is a single one.
    fn raised_by(self) -> &'static str {
        match self {
            Self::Cpu => "; `limits.cpu` of the deployment raises it",
            Self::Wall => "; `limits.wall` of the deployment raises it",
            Self::Memory => "; `limits.memory` of the deployment raises it",
            Self::OutputBytes => "; `limits.output.bytes` of the deployment raises it",
            Self::OutputRecords => "; `limits.output.records` of the deployment raises it",
            Self::State => "",
        }
    }
}

impl Fault {
    /// Stable name for metrics, logs and problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Limit { kind, .. } => match kind {
                LimitKind::Cpu => "cpu_limit",
                LimitKind::Wall => "wall_limit",
                LimitKind::Memory => "memory_limit",
                LimitKind::OutputBytes => "output_bytes_limit",
                LimitKind::OutputRecords => "output_records_limit",
                LimitKind::State => "state_limit",
            },
            Self::Retry(_) => "retry",
            Self::Fatal(_) => "fatal",
            Self::At { .. } => "refused",
            Self::Protocol(_) => "protocol",
            Self::Open(_) => "open_failed",
            Self::Instance(_) => "instance",
            Self::Busy(_) => "node_busy",
        }
    }

    /// It came before any record was looked at, so it is the fault of none.
    pub fn is_of_no_record(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Instance(_) | Self::Busy(_))
    }

    /// The same while an instance starts or opens: it is the code's, whichever record comes first.
    pub(super) fn at_start(self) -> Self {
        let place = match &self {
            Self::Trap { backtrace, .. } if !backtrace.is_empty() => {
                format!(" (in {})", backtrace.join(", called by "))
            }
            _ => String::new(),
        };
        match self {
            Self::Open(_) | Self::Instance(_) | Self::Busy(_) | Self::Retry(_) => self,
            Self::Protocol(cause) => Self::Instance(cause),
            other => Self::Open(format!("{other}{place}")),
        }
    }

    /// An output has nowhere to go.
    pub(crate) fn no_output() -> Self {
        let words = "an output names no route, and the deployment has no `output.default`";
        Self::Protocol(words.to_owned())
    }

    pub(super) fn limit(kind: LimitKind, detail: impl Into<String>) -> Self {
        Self::Limit { kind, detail: detail.into() }
    }
}

/// Words for an error that ended a call and that no host function explained. `spoken` is what the code logged last as
/// an error: the panic message, if the language logs one.
pub(super) fn from_engine(error: &wasmtime::Error, spoken: Option<String>) -> Fault {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        let exit = format!("it called exit({})", exit.0);
        return Fault::Trap { message: spoken.unwrap_or(exit), backtrace };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let message = spoken.unwrap_or_else(|| trap_words(*trap));
        return Fault::Trap { message, backtrace };
    }
    let cause = error.root_cause().to_string();
    // The type of this error is private to wasmtime; a test pins its text.
    if cause.contains("fuel allocated for hostcalls") {
        return Fault::limit(
            LimitKind::OutputBytes,
            "the code handed over more data in one call than it may",
        );
    }
    Fault::Protocol(cause)
}

fn trap_words(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "it aborted (`unreachable`), as a panic does".to_owned(),
        Trap::StackOverflow => "its call stack is exhausted; endless recursion?".to_owned(),
        // Compilers keep part of the stack in linear memory, at its lowest addresses: which of the two ends first depends on
        // the code.
        Trap::MemoryOutOfBounds => {
            "it reached outside of its memory; endless recursion? A wrong pointer?".to_owned()
        }
        other => other.to_string().trim_start_matches("wasm trap: ").to_owned(),
    }
}

/// Names as the engine prints them: demangled, with the source line where the module carries debug information.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let printed = backtrace.to_string();
    let mut out: Vec<String> = Vec::new();
    for line in printed.lines().skip(1) {
        let line = line.trim();
        match (line.strip_prefix("at "), out.last_mut()) {
            (Some(place), Some(frame)) => {
                frame.push_str(" at ");
                frame.push_str(place);
            }
            // `3:   0x1f2 - redact.wasm!redact::mask`, or `- redact::mask` for what was inlined into the frame above
            _ => {
                let name = line.rsplit_once("- ").map_or(line, |(_, name)| name);
                let name = name.split_once(".wasm!").map_or(name, |(_, name)| name);
                out.push(without_hash(name).to_owned());
            }
        }
    }
    // Recursion without end is one frame.
    out.dedup();
    // Interpreters are built without names: their frames are no calls of the user's.
    out.retain(|frame| !frame.contains("<wasm function "));
    without_noise(out)
}

/// Innermost frames of the panic runtime, and everywhere those of the language's library and of the glue between guest
/// and host: they say nothing about the user's code. Where that is all there is, for the user's functions were inlined, the
/// export that was called stays.
fn without_noise(frames: Vec<String>) -> Vec<String> {
    const LIBRARY: [&str; 11] = [
        "core::",
        "<core::",
        "alloc::",
        "<alloc::",
        "std::",
        "<std::",
        "dlmalloc::",
        "__rust",
        "rust_",
        "cabi_",
        "millstream_sdk::",
    ];
    const GLUE: [&str; 4] = ["panicking", "process::abort", "_cabi", "wit_bindgen"];
    let is_export = |f: &&String| f.starts_with("millstream:functions/");
    let is_noise = |f: &&String| {
        LIBRARY.iter().any(|start| f.starts_with(start)) || GLUE.iter().any(|part| f.contains(part))
    };
    let own: Vec<_> = frames.iter().filter(|f| !is_noise(f) && !is_export(f)).cloned().collect();
    let own = if own.is_empty() { frames.iter().filter(is_export).cloned().collect() } else { own };
    if own.is_empty() { frames } else { own }
}

/// Without the `::h0123456789abcdef` that rustc ends names with.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_users() {
        let frames = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let all = frames(&[
            "core::panicking::panic_fmt",
            "shop::price at src/lib.rs:7:9",
            "core::iter::traits::iterator::Iterator::map",
            "<shop::Shop as millstream_sdk::Processor>::process",
            "millstream_sdk::runtime::wasm::open_processor::{{closure}}",
            "millstream:functions/processor@0.1.0#process",
        ]);
        let own =
            frames(&["shop::price at src/lib.rs:7:9", "<shop::Shop as millstream_sdk::Processor>::process"]);
        assert_eq!(without_noise(all), own);
        let inlined =
            ["rust_panic", "millstream_sdk::packed::run", "millstream:functions/sink@0.1.0#deliver"];
        assert_eq!(without_noise(frames(&inlined)), ["millstream:functions/sink@0.1.0#deliver"]);
        assert_eq!(without_noise(frames(&["rust_panic"])), ["rust_panic"]);
    }

    #[test]
    fn a_fault_of_the_start_is_nobodys_record() {
        let fault = Fault::Trap { message: "no".into(), backtrace: vec!["a".into(), "b".into()] };
        let said = "the code's open failed: the code trapped: no (in a, called by b)";
        assert_eq!(fault.at_start().to_string(), said);
    }

    #[test]
    fn a_fault_reads_as_one_line_with_a_code() {
        let fault = Fault::limit(LimitKind::Cpu, "more than 200ms in one call");
        assert_eq!(
            fault.to_string(),
            "the CPU time limit was passed: more than 200ms in one call; `limits.cpu` of the deployment raises it"
        );
        assert_eq!(fault.code(), "cpu_limit");
        assert_eq!(
            Fault::At { index: 3, reason: "no id".into() }.to_string(),
            "the code refused input 3 of the batch: no id"
        );
    }
}
