//! Requests as frames: four bytes of length, then so many bytes. A claimed length allocates nothing by itself, a frame
//! that stops arriving ends its connection, and a connection that says nothing holds no buffer.

use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::budget::{Budget, Share};
use crate::model::limits::{
    KAFKA_IDLE_MAX, KAFKA_OTHER_REQUEST_BYTES_MAX, KAFKA_REQUEST_BYTES_MAX, KAFKA_REQUEST_TIME_MAX, KIB, MIB,
};
use crate::runtime::clock::monotonic;

/// Bytes of the length field.
const PREFIX: usize = 4;
/// API key, version and correlation id: the least that a request has.
const REQUEST_BYTES_MIN: usize = 8;
/// The buffer in which small requests arrive, many in one read. Requests that fit it need no share of the budget while
/// they are alone on their connection.
const SMALL: usize = 16 * KIB;
/// What is reserved for a large request at once; untouched memory costs nothing.
const BLOCK: usize = MIB;
/// The API key of Produce.
const PRODUCE: i16 = 0;

/// Why a connection cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The length is none that a request has.
    #[error("a request of {found} bytes, expected {least} to {most}{}", hint(*found))]
    Length {
        /// as claimed
        found: i32,
        /// least allowed
        least: usize,
        /// most allowed
        most: usize,
    },
    /// The connection ended inside a request.
    #[error("the connection ended after {received} of {expected} bytes of a request")]
    Truncated {
        /// bytes that came
        received: usize,
        /// bytes announced
        expected: usize,
    },
    /// Nothing, or too little, came for too long.
    #[error("no whole request came within {waited:?}")]
    Late {
        /// the bound
        waited: Duration,
    },
    /// No request for a long time, which is no fault.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// The system's.
    #[error("cannot read")]
    Io(#[from] io::Error),
}

/// Those who come through the wrong door are told.
fn hint(found: i32) -> &'static str {
    match &found.to_be_bytes() {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"PATC" | b"OPTI" | b"PRI " => {
            "; this is HTTP, which has a port of its own (http.addr)"
        }
        [0x16, 3, ..] => "; this is TLS, which the Kafka port does not speak",
        _ => "",
    }
}

/// A request as it came, without its length field.
#[derive(Debug)]
pub(super) struct Incoming {
    /// at least `REQUEST_BYTES_MIN`
    pub(super) bytes: Bytes,
    /// to be kept for as long as the bytes are
    pub(super) share: Share,
}

impl Incoming {
    /// The API key, which stands first in every version of the header.
    #[cfg(test)]
    pub(super) fn api_key(&self) -> i16 {
        api_key(&self.bytes)
    }
}

fn api_key(bytes: &[u8]) -> i16 {
    bytes.first_chunk().map_or(-1, |key| i16::from_be_bytes(*key))
}

/// Cuts what arrives into frames.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    /// of the frame that is arriving
    share: Share,
    /// bytes that the share stands for
    granted: usize,
    /// since when the frame that is arriving has been; else since when there is silence
    since: Instant,
    /// time that this server let the client wait, which is not the client's fault
    excused: Duration,
}

// === impl FrameReader ===

impl FrameReader {
    /// For a new connection.
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            share: Share::default(),
            granted: 0,
            since: monotonic(),
            excused: Duration::ZERO,
        }
    }

    /// The next frame; `None` when the client ends the connection between two. `alone`: no other request of this
    /// connection is in memory. Cancel safe.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub(super) async fn next(
        &mut self,
        stream: &TcpStream,
        budget: &Budget,
        alone: bool,
    ) -> Result<Option<Incoming>, FrameError> {
        loop {
            let expected = self.expected()?;
            let whole = expected.filter(|expected| self.buffer.len() >= PREFIX + expected);
            if let Some(length) = whole {
                // Records outlive the request that brings them.
                let is_free = length <= SMALL && alone && api_key(&self.buffer[PREFIX..]) != PRODUCE;
                let needed = if is_free { 0 } else { length };
                self.grant(budget, needed).await;
                return Ok(Some(self.take(length)));
            }
            let received = self.buffer.len();
            if let Some(length) = expected.filter(|length| PREFIX + length > SMALL) {
                // Twice what has come, so that a length alone takes no room from others.
                let next = received.max(SMALL).saturating_mul(2).min(length);
                self.grant(budget, next).await;
            }
            if self.read_some(stream, expected).await? == 0 {
                if received == 0 {
                    return Ok(None);
                }
                let expected = expected.map_or(PREFIX, |length| PREFIX + length);
                return Err(FrameError::Truncated { received, expected });
            }
            if received == 0 {
                (self.since, self.excused) = (monotonic(), Duration::ZERO);
            }
        }
    }

    /// Has a whole frame come already?
    pub(super) fn has_whole(&self) -> bool {
        matches!(self.expected(), Ok(Some(length)) if self.buffer.len() >= PREFIX + length)
    }

    /// Ends when the client has closed its side; reads a little ahead for that, and then waits for ever. Cancel safe.
    pub(super) async fn closed(&mut self, stream: &TcpStream) {
        while self.buffer.len() < SMALL {
            let room = SMALL - self.buffer.len();
            if !matches!(self.read_ready(stream, room, room).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Reading goes on after a time in which this server did not read: what has come of a frame waited for the server.
    pub(super) fn resume(&mut self) {
        if !self.buffer.is_empty() {
            (self.since, self.excused) = (monotonic(), Duration::ZERO);
        }
    }

    /// Starts the silence anew: an answer has just left.
    pub(super) fn restart_idle(&mut self) {
        if self.buffer.is_empty() {
            self.since = monotonic();
        }
    }

    /// The length of the frame that is arriving, once it is known, if it is allowed.
    fn expected(&self) -> Result<Option<usize>, FrameError> {
        let Some(found) = self.buffer.first_chunk().map(|prefix| i32::from_be_bytes(*prefix)) else {
            return Ok(None);
        };
        let length = usize::try_from(found).unwrap_or(0);
        let is_other = self.buffer.len() >= PREFIX + 2 && api_key(&self.buffer[PREFIX..]) != PRODUCE;
        let most = if is_other { KAFKA_OTHER_REQUEST_BYTES_MAX } else { KAFKA_REQUEST_BYTES_MAX };
        if (REQUEST_BYTES_MIN..=most).contains(&length) {
            return Ok(Some(length));
        }
        Err(FrameError::Length { found, least: REQUEST_BYTES_MIN, most })
    }

    /// Makes sure that the share stands for so many bytes.
    async fn grant(&mut self, budget: &Budget, bytes: usize) {
        if bytes > self.granted {
            let started = monotonic();
            budget.grow(&mut self.share, bytes - self.granted).await;
            self.granted = bytes;
            self.excused += started.elapsed();
        }
    }

    fn take(&mut self, length: usize) -> Incoming {
        let mut bytes = self.buffer.split_to(PREFIX + length);
        let bytes = bytes.split_off(PREFIX).freeze();
        if self.buffer.is_empty() {
            // It would keep the frame shared, and whoever wants to change its records would have to copy them.
            self.buffer = BytesMut::new();
        }
        let share = std::mem::take(&mut self.share);
        (self.granted, self.excused, self.since) = (0, Duration::ZERO, monotonic());
        Incoming { bytes, share }
    }

    /// Reads what is there, within the time that the client has.
    async fn read_some(&mut self, stream: &TcpStream, expected: Option<usize>) -> Result<usize, FrameError> {
        let received = self.buffer.len();
        let (room, ahead) = match expected {
            // Exactly to its end: what follows finds a fresh small buffer.
            Some(length) if PREFIX + length > SMALL => {
                ((PREFIX + self.granted).saturating_sub(received), PREFIX + length - received)
            }
            _ => (SMALL - received, SMALL - received),
        };
        let bound = if received == 0 {
            KAFKA_IDLE_MAX
        } else {
            let mebibytes = expected.unwrap_or(0) / MIB;
            KAFKA_REQUEST_TIME_MAX + Duration::from_secs(mebibytes as u64)
        };
        let left = (bound + self.excused).saturating_sub(self.since.elapsed());
        match tokio::time::timeout(left, self.read_ready(stream, room, ahead)).await {
            Ok(read) => Ok(read?),
            Err(_) if received == 0 => Err(FrameError::Idle(bound)),
            Err(_) => Err(FrameError::Late { waited: bound }),
        }
    }

    /// Waits for bytes and reads at most `room` of them; 0 at the end of the connection. Makes space for `ahead` bytes if
    /// there is none for `room`.
    async fn read_ready(&mut self, stream: &TcpStream, room: usize, ahead: usize) -> io::Result<usize> {
        loop {
            if self.buffer.is_empty() {
                // While nothing comes there is no buffer either.
                self.buffer = BytesMut::new();
            }
            stream.readable().await?;
            if self.buffer.capacity() - self.buffer.len() < room {
                self.buffer.reserve(ahead.min(BLOCK).max(room));
            }
            match stream.try_read_buf(&mut (&mut self.buffer).limit(room)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
