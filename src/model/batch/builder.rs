//! Building a batch record by record, as the server does for HTTP, for transforms and for processors.

use bytes::{BufMut, BytesMut};

use super::header::{BatchHeader, ProducerStamp};
use super::{Codec, HEADER_LEN, RecordBatch, seal};
use crate::model::{Header, Offset, Record, RecordView, TimestampMs};

/// Bytes of the longest varint.
const VARINT_MAX: usize = 10;

/// Builds a batch record by record. The base offset is 0 until the writer places the batch.
#[derive(Debug)]
pub struct BatchBuilder {
    /// room for the header, then records
    buffer: BytesMut,
    /// size, codec and last offset delta are set by `finish`
    header: BatchHeader,
    /// set by the first record, unless it was fixed before
    base_timestamp: Option<TimestampMs>,
    /// of the next record
    next_delta: u32,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty builder with room for `bytes` of records.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEADER_LEN + bytes);
        buffer.put_bytes(0, HEADER_LEN);
        Self { buffer, header: BatchHeader::empty(), base_timestamp: None, next_delta: 0 }
    }

    /// For the batch that takes the place of another one: its offset, producer, flags and times, and none of its
    /// records.
    pub(super) fn instead_of(
        other: &BatchHeader,
        delete_horizon: Option<TimestampMs>,
        capacity: usize,
    ) -> Self {
        let mut builder = Self::with_capacity(capacity);
        builder.header = BatchHeader { count: 0, delete_horizon, ..*other };
        builder.base_timestamp = Some(delete_horizon.unwrap_or(other.base_timestamp));
        builder
    }

    /// For the batch that shows another one as it was made over by somebody else: at its offsets and with its kind of times,
    /// and of no producer.
    pub fn in_view_of(other: &BatchHeader, capacity: usize) -> Self {
        let mut builder = Self::instead_of(other, None, capacity);
        let none = BatchHeader::empty();
        builder.header.set_producer(ProducerStamp {
            id: none.producer_id,
            epoch: none.producer_epoch,
            base_sequence: none.base_sequence,
            transactional: false,
        });
        builder
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.header.count
    }

    /// Bytes so far, the header included.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// The offset delta that the next record gets.
    pub fn next_delta(&self) -> u32 {
        self.next_delta
    }

    /// Says who produced the batch.
    pub fn producer(&mut self, stamp: ProducerStamp) {
        self.header.set_producer(stamp);
    }

    /// Leaves out `count` offsets, as for records that were dropped. They count for the batch's last offset, and for
    /// its sequence numbers.
    pub fn skip(&mut self, count: u32) {
        self.next_delta = self.next_delta.saturating_add(count).min(i32::MAX as u32);
    }

    /// Says where the batch ends although its last records are gone; a delta that lies behind changes nothing.
    pub fn set_last_offset_delta(&mut self, last: u32) {
        self.skip((last.saturating_add(1)).saturating_sub(self.next_delta));
    }

    /// The broker's time counts for all records instead of their own.
    pub fn log_append_time(&mut self, now_ms: TimestampMs) {
        self.header.log_append_time = true;
        self.header.max_timestamp = now_ms;
    }

    /// Says where the batch lies, for one that no writer places.
    pub(super) fn base_offset(&mut self, base: Offset) {
        self.header.base_offset = base;
    }

    /// Marks a control batch.
    pub(super) fn control(&mut self) {
        self.header.control = true;
    }

    /// Appends a record made of parts; `headers` are pairs of name and value in their order.
    pub fn push<'h>(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>), IntoIter: Clone>,
    ) {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        if !self.header.log_append_time {
            // The first record's counts alone: a batch that takes the place of another has that one's largest.
            let largest = if self.header.count == 0 { timestamp } else { self.header.max_timestamp };
            self.header.max_timestamp = largest.max(timestamp);
        }
        let time_delta = timestamp.wrapping_sub(base);
        let offset_delta = i64::from(self.next_delta);
        let headers = headers.into_iter();

        let mut header_count = 0i64;
        let mut header_bytes = 0;
        for (name, value) in headers.clone() {
            header_count += 1;
            header_bytes += var_bytes_len(Some(name.as_bytes())) + var_bytes_len(value);
        }
        let length = 1
            + varint_len(time_delta)
            + varint_len(offset_delta)
            + var_bytes_len(key)
            + var_bytes_len(value)
            + varint_len(header_count)
            + header_bytes;

        let out = &mut self.buffer;
        out.reserve(length + VARINT_MAX);
        // The numbers up to the key go in as one piece: this is the hottest loop of HTTP produce.
        let mut front = Varints::new();
        front.put(length as i64);
        front.put(0); // attributes, of which there are none
        front.put(time_delta);
        front.put(offset_delta);
        out.put_slice(front.bytes());
        put_var_bytes(out, key);
        put_var_bytes(out, value);
        put_varint(out, header_count);
        for (name, value) in headers {
            put_var_bytes(out, Some(name.as_bytes()));
            put_var_bytes(out, value);
        }
        self.header.count += 1;
        self.skip(1);
    }

    /// Appends a copy of a view; it gets the next offset delta, not its own.
    pub fn push_view(&mut self, record: &RecordView<'_>) {
        self.push(record.timestamp, record.key, record.value, record.headers());
    }

    /// Appends an owned record.
    pub fn push_record(&mut self, record: &Record) {
        let headers = record.headers.iter().map(|h: &Header| (h.name.as_str(), h.value.as_deref()));
        self.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
    }

    /// The finished batch with its checksum; `None` when it would take no offset. When records were only skipped, it
    /// is an empty batch that keeps their offsets. Stays uncompressed where compression does not make it smaller.
    pub fn finish(self, codec: Codec) -> Option<RecordBatch> {
        let Self { buffer, mut header, base_timestamp, next_delta } = self;
        header.last_offset_delta = next_delta.checked_sub(1)?;
        header.base_timestamp = base_timestamp.unwrap_or(header.base_timestamp);
        let (codec, buffer) = match codec.pack(&buffer[HEADER_LEN..]) {
            Some(packed) => (codec, packed),
            None => (Codec::None, buffer),
        };
        header.codec = codec;
        Some(seal(header, buffer))
    }
}

/// Up to four varints in a row.
struct Varints {
    bytes: [u8; 4 * VARINT_MAX],
    len: usize,
}

impl Varints {
    fn new() -> Self {
        Self { bytes: [0; 4 * VARINT_MAX], len: 0 }
    }

    #[inline]
    fn put(&mut self, value: i64) {
        let mut rest = zigzag(value);
        while rest >= 0x80 {
            self.bytes[self.len] = rest as u8 | 0x80;
            self.len += 1;
            rest >>= 7;
        }
        self.bytes[self.len] = rest as u8;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_len(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}

fn var_bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint_len(b.len() as i64) + b.len())
}

#[inline]
fn put_varint(out: &mut BytesMut, value: i64) {
    let rest = zigzag(value);
    if rest < 0x80 {
        out.put_u8(rest as u8);
        return;
    }
    let mut long = Varints::new();
    long.put(value);
    out.put_slice(long.bytes());
}

#[inline]
fn put_var_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
    }
}
