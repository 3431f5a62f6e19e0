//! WASI 0.2 over an empty context, and the two streams that lead to the log.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi::{WasiCtx, async_trait};

use super::log::Voice;
use crate::model::limits::LOG_LINE_BYTES_MAX;

/// Bytes of random numbers that one call may ask for.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Bytes that one write to a stream may carry.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Clocks, random numbers, a closed stdin, and output that goes to the log. Nothing else is there.
pub(super) fn empty_context(voice: &Arc<Voice>) -> WasiCtx {
    let stream = |to| LineStream { voice: voice.clone(), to, line: Arc::default() };
    WasiCtx::builder()
        .stdout(stream(Target::Stdout))
        .stderr(stream(Target::Stderr))
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

#[derive(Clone, Copy)]
enum Target {
    Stdout,
    Stderr,
}

/// Cuts a stream of bytes into lines. Clones write to the same line.
#[derive(Clone)]
struct LineStream {
    voice: Arc<Voice>,
    to: Target,
    line: Arc<Mutex<Vec<u8>>>,
}

impl LineStream {
    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LOG_LINE_BYTES_MAX + 1 - line.len().min(LOG_LINE_BYTES_MAX + 1);
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.end(&mut line);
            }
        }
    }

    fn end(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        match self.to {
            Target::Stdout => self.voice.stdout_line(&text),
            Target::Stderr => self.voice.stderr_line(&text),
        }
        line.clear();
    }
}

impl Drop for LineStream {
    fn drop(&mut self) {
        // The context holds the first; streams that the guest opened are clones. The last one ends an unfinished line.
        if Arc::strong_count(&self.line) == 1 {
            let mut line = std::mem::take(&mut *self.line.lock());
            if !line.is_empty() {
                self.end(&mut line);
            }
        }
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
