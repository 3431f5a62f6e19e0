//! Answers on their way out, in order, written with vectored writes from where their bytes lie. A client that takes no
//! bytes for a while loses its connection, or it would keep its answers in memory as long as it likes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Instant;

use bytes::Buf as _;
use tokio::net::TcpStream;

use super::budget::Share;
use super::wire::Frame;
use crate::model::limits::{KAFKA_STALL_MAX, KIB};
use crate::runtime::clock::monotonic;

/// Pieces of one write: what Linux takes at once is 1024, and no write gets that far.
const SLICES: usize = 64;
/// While more than this waits to be written, no new request is begun.
const BACKLOG_MAX: usize = 256 * KIB;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// length, header and body
    pub(super) frame: Frame,
    /// of the budget, to be kept until it is written
    pub(super) share: Share,
}

/// The answers not yet written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    answers: VecDeque<Answer>,
    bytes: usize,
    /// since when the client has taken nothing
    stalled: Option<Instant>,
}

impl Outgoing {
    /// Adds an answer behind the others.
    pub(super) fn push(&mut self, answer: Answer) {
        self.bytes += answer.frame.len();
        self.answers.push_back(answer);
    }

    /// Is everything written?
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Is so much waiting that nothing should be added to it?
    pub(super) fn is_behind(&self) -> bool {
        self.bytes > BACKLOG_MAX
    }

    /// Writes what the socket takes now, at least one byte; how many. Waits for room in the socket. Cancel safe.
    ///
    /// # Errors
    /// The system's; `TimedOut` when the client takes nothing for too long.
    pub(super) async fn write(&mut self, stream: &TcpStream) -> io::Result<usize> {
        loop {
            match self.try_write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(written) => {
                    self.stalled = None;
                    self.advance(written);
                    return Ok(written);
                }
                Err(error) => return Err(error),
            }
            let since = *self.stalled.get_or_insert_with(monotonic);
            let left = KAFKA_STALL_MAX.saturating_sub(since.elapsed());
            let writable = tokio::time::timeout(left, stream.writable()).await;
            writable
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client takes no more bytes"))??;
        }
    }

    fn try_write(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        for answer in &self.answers {
            filled += answer.frame.chunks_vectored(&mut slices[filled..]);
            if filled == SLICES {
                break;
            }
        }
        stream.try_write_vectored(&slices[..filled])
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(answer) = self.answers.front_mut() {
            let step = written.min(answer.frame.len());
            answer.frame.advance(step);
            written -= step;
            if !answer.frame.is_empty() {
                return;
            }
            self.answers.pop_front();
        }
    }
}
