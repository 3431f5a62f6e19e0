//! Building a batch record by record, as the server does for HTTP, for transforms and for processors.

use bytes::{BufMut, BytesMut};

use super::{BatchHeader, CRC_START, Codec, HEADER_LEN, LENGTH_END, RecordBatch, crc32c};
use crate::model::{Header, Record, RecordView, TimestampMs};

/// Builds a batch record by record. The base offset is 0 until the writer places the batch.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: BytesMut,
    count: u32,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
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
        Self { buffer, count: 0, base_timestamp: 0, max_timestamp: TimestampMs::MIN }
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, the header included.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a record made of parts; `headers` are pairs of name and value in their order.
    pub fn push<'h>(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>), IntoIter: Clone>,
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        let headers = headers.into_iter();

        let sized = |bytes: Option<&[u8]>| bytes.map_or(1, |b| varint_len(b.len() as i64) + b.len());
        let mut header_count = 0i64;
        let mut header_bytes = 0;
        for (name, value) in headers.clone() {
            header_count += 1;
            header_bytes += sized(Some(name.as_bytes())) + sized(value);
        }
        let length = 1
            + varint_len(delta)
            + varint_len(i64::from(self.count))
            + sized(key)
            + sized(value)
            + varint_len(header_count)
            + header_bytes;

        let out = &mut self.buffer;
        out.reserve(length + 5);
        put_varint(out, length as i64);
        out.put_u8(0);
        put_varint(out, delta);
        put_varint(out, i64::from(self.count));
        put_var_bytes(out, key);
        put_var_bytes(out, value);
        put_varint(out, header_count);
        for (name, value) in headers {
            put_var_bytes(out, Some(name.as_bytes()));
            put_var_bytes(out, value);
        }
        self.count += 1;
    }

    /// Appends a copy of a view.
    pub fn push_view(&mut self, record: &RecordView<'_>) {
        self.push(record.timestamp, record.key, record.value, record.headers());
    }

    /// Appends an owned record.
    pub fn push_record(&mut self, record: &Record) {
        let headers = record.headers.iter().map(|h: &Header| (h.name.as_str(), h.value.as_deref()));
        self.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
    }

    /// The finished batch with its checksum; `None` when no record was pushed. A codec other than lz4 means none.
    pub fn finish(mut self, codec: Codec) -> Option<RecordBatch> {
        if self.count == 0 {
            return None;
        }
        let mut used = Codec::None;
        if codec == Codec::Lz4
            && let Some(packed) = lz4_compress(&self.buffer[HEADER_LEN..])
        {
            self.buffer.truncate(HEADER_LEN);
            self.buffer.extend_from_slice(&packed);
            used = Codec::Lz4;
        }
        let length = (self.buffer.len() - LENGTH_END) as i32;
        let last_delta = self.count as i32 - 1;
        {
            let mut h = &mut self.buffer[..HEADER_LEN];
            h.put_i64(0);
            h.put_i32(length);
            h.put_i32(0);
            h.put_i8(2);
            h.put_u32(0);
            h.put_i16(used as i16);
            h.put_i32(last_delta);
            h.put_i64(self.base_timestamp);
            h.put_i64(self.max_timestamp);
            h.put_i64(-1);
            h.put_i16(-1);
            h.put_i32(-1);
            h.put_i32(self.count as i32);
        }
        let crc = crc32c(&self.buffer[CRC_START..]);
        self.buffer[17..21].copy_from_slice(&crc.to_be_bytes());
        let bytes = self.buffer.freeze();
        let header = BatchHeader::read(&bytes).ok()?;
        Some(RecordBatch { header, bytes })
    }
}

/// `None` when compression does not make it smaller.
fn lz4_compress(raw: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(raw.len() / 2));
    encoder.write_all(raw).ok()?;
    encoder.finish().ok().filter(|packed| packed.len() < raw.len())
}

fn varint_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.put_u8((zigzag as u8) | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

fn put_var_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
    }
}
