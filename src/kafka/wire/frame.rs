//! What goes out: a message as a list of segments, so that records are written from where they lie.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// The record batches of one partition in a response, one after the other and not copied.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Records {
    batches: Vec<Bytes>,
    len: usize,
}

impl Records {
    /// No batch.
    pub const fn new() -> Self {
        Self { batches: Vec::new(), len: 0 }
    }

    /// Adds a batch at the end.
    pub fn push(&mut self, batch: Bytes) {
        self.len += batch.len();
        self.batches.push(batch);
    }

    /// Bytes of all batches.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In their order.
    pub fn batches(&self) -> &[Bytes] {
        &self.batches
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batches.as_slice() {
            [] => Bytes::new().fmt(f),
            [one] => one.fmt(f),
            several => several.fmt(f),
        }
    }
}

impl From<Bytes> for Records {
    /// One piece, however many batches are in it.
    fn from(bytes: Bytes) -> Self {
        let mut records = Self::new();
        if !bytes.is_empty() {
            records.push(bytes);
        }
        records
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(batches: I) -> Self {
        let mut records = Self::new();
        batches.into_iter().for_each(|batch| records.push(batch));
        records
    }
}

/// Bytes to be written. As a [`Buf`] it is what `AsyncWriteExt::write_all_buf` takes, which writes the segments with
/// vectored writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// none is empty
    segments: VecDeque<Bytes>,
    len: usize,
}

impl Frame {
    pub(super) fn new(segments: Vec<Bytes>) -> Self {
        let len = segments.iter().map(Bytes::len).sum();
        Self { segments: segments.into(), len }
    }

    /// Bytes of all segments that are not written yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is not written yet, in order.
    pub fn segments(&self) -> impl Iterator<Item = &Bytes> {
        self.segments.iter()
    }

    /// The segments as one, copied unless there is only one: for tests, and for data in another message's bytes.
    pub fn into_bytes(mut self) -> Bytes {
        if self.segments.len() == 1 {
            return self.segments.pop_front().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.len);
        self.segments.iter().for_each(|segment| whole.extend_from_slice(segment));
        whole.freeze()
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&[], |segment| segment.as_ref())
    }

    fn chunks_vectored<'a>(&'a self, slots: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, segment) in slots.iter_mut().zip(&self.segments) {
            *slot = IoSlice::new(segment);
            filled += 1;
        }
        filled
    }

    /// # Panics
    /// When `count` is more than what is left, as every `Buf`.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        self.len -= count;
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.len() {
                segment.advance(count);
                return;
            }
            count -= segment.len();
            self.segments.pop_front();
        }
    }
}
