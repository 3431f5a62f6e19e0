//! `log`: lines of a guest, whether from the `log` import or from stdout and stderr. Lines are cut here; how many of them a
//! deployment may write is the sink's business.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use super::{Host, interface};
use crate::model::limits::LOG_LINE_BYTES_MAX;

/// How important a guest finds a line.
#[derive(ComponentType, Lift, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[component(enum)]
#[repr(u8)]
pub enum LogLevel {
    /// every step
    #[component(name = "trace")]
    Trace,
    /// for its developer
    #[component(name = "debug")]
    Debug,
    /// for its operator
    #[component(name = "info")]
    Info,
    /// something to look at
    #[component(name = "warn")]
    Warn,
    /// something broke
    #[component(name = "error")]
    Error,
}

impl LogLevel {
    /// Lower case, as in the WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Takes a deployment's lines. Called on guest threads: must not block.
pub trait LogSink: Send + Sync {
    /// `text` is one entry of at most `LOG_LINE_BYTES_MAX` bytes; it may contain line breaks.
    fn write(&self, level: LogLevel, text: String);
}

/// Lines of stderr that are remembered in case the call traps: a panic message takes two or three.
const STDERR_LINES_KEPT: usize = 20;

/// Where an instance's lines go, with the last words of the running call.
pub(crate) struct Voice {
    sink: Arc<dyn LogSink>,
    last: Mutex<LastWords>,
}

#[derive(Default)]
struct LastWords {
    error: Option<String>,
    stderr: VecDeque<String>,
}

impl Voice {
    pub(super) fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, last: Mutex::default() }
    }

    /// A new call begins.
    pub(crate) fn begin(&self) {
        *self.last.lock() = LastWords::default();
    }

    pub(super) fn say(&self, level: LogLevel, text: &str) {
        let text = cut(text);
        if level == LogLevel::Error {
            self.last.lock().error = Some(text.clone());
        }
        self.sink.write(level, text);
    }

    pub(super) fn stdout_line(&self, line: &str) {
        self.sink.write(LogLevel::Info, cut(line));
    }

    pub(super) fn stderr_line(&self, line: &str) {
        let line = cut(line);
        let mut last = self.last.lock();
        if last.stderr.len() == STDERR_LINES_KEPT {
            last.stderr.pop_front();
        }
        last.stderr.push_back(line.clone());
        drop(last);
        self.sink.write(LogLevel::Warn, line);
    }

    /// What a call that trapped said last: an error logged, else a panic on stderr, else stderr's last line (Python and
    /// JavaScript end a traceback with the error).
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut last = self.last.lock();
        if let Some(error) = last.error.take() {
            return Some(error);
        }
        let lines = last.stderr.make_contiguous();
        if let Some(at) = lines.iter().rposition(|line| line.contains("panicked at")) {
            let told = lines[at..].iter().filter(|line| !line.starts_with("note: "));
            return Some(told.map(String::as_str).collect::<Vec<_>>().join(" "));
        }
        let told = |line: &&String| !line.trim().is_empty() && !line.starts_with("note: ");
        lines.iter().rev().find(told).cloned()
    }
}

/// At most `LOG_LINE_BYTES_MAX` bytes of `text`, ending between characters.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= LOG_LINE_BYTES_MAX {
        return text.to_owned();
    }
    const MARK: &str = " [cut]";
    text[..text.floor_char_boundary(LOG_LINE_BYTES_MAX - MARK.len())].to_owned() + MARK
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut log = linker.instance(&interface("log"))?;
    log.func_wrap("write", |ctx: StoreContextMut<'_, Host>, (level, text): (LogLevel, WasmStr)| {
        let text = text.to_str(&ctx)?;
        let host = ctx.data();
        host.meter.host(|| host.voice.say(level, &text));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(Mutex<Vec<String>>);

    impl LogSink for Lines {
        fn write(&self, level: LogLevel, text: String) {
            self.0.lock().push(format!("{} {text}", level.as_str()));
        }
    }

    #[test]
    fn a_panic_on_stderr_is_the_last_word_without_its_note() {
        let lines = Arc::new(Lines(Mutex::default()));
        let voice = Voice::new(lines.clone());
        for line in [
            "warming up",
            "thread 'main' panicked at src/lib.rs:3:5:",
            "no such user",
            "note: run with RUST_BACKTRACE=1",
        ] {
            voice.stderr_line(line);
        }
        assert_eq!(voice.last_words().unwrap(), "thread 'main' panicked at src/lib.rs:3:5: no such user");
        assert_eq!(lines.0.lock()[0], "warn warming up");

        voice.say(LogLevel::Error, "the real cause");
        assert_eq!(voice.last_words().unwrap(), "the real cause");
        voice.begin();
        assert_eq!(voice.last_words(), None);
        for line in ["memory allocation of 40000000 bytes failed", "note: run with RUST_BACKTRACE=1", ""] {
            voice.stderr_line(line);
        }
        assert_eq!(voice.last_words().unwrap(), "memory allocation of 40000000 bytes failed");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "é".repeat(LOG_LINE_BYTES_MAX);
        let cut = cut(&long);
        assert!(cut.len() <= LOG_LINE_BYTES_MAX && cut.ends_with("é [cut]"), "{}", cut.len());
    }
}
