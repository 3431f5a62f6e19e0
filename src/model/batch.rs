//! Kafka's record batch, format v2: what producers send, what lies in storage, what readers get.
//!
//! Layout of the header, big endian (source: Kafka's documentation, "Record Batch"):
//!
//! ```text
//!  0 i64 base offset        8 i32 length of what follows   12 i32 leader epoch   16 i8 magic = 2
//! 17 u32 CRC-32C of 21..   21 i16 attributes               23 i32 last offset delta
//! 27 i64 base timestamp    35 i64 max timestamp            43 i64 producer id
//! 51 i16 producer epoch    53 i32 base sequence            57 i32 count   61 records, perhaps compressed
//! ```
//!
//! The base offset and the leader epoch lie before the checksum, so placing a batch is an overwrite of 12 bytes.
//! A record is: length varint, attributes i8, timestamp delta varlong, offset delta varint, key and value each with a
//! varint length (-1: null), header count varint, headers.

mod builder;
mod cursor;

use std::io::Read;

use bytes::Bytes;

use super::record::{HeadersView, RecordView, read_header};
use super::{Offset, TimestampMs};

pub use builder::BatchBuilder;
pub(super) use cursor::Cursor;

/// Bytes of the header.
pub const HEADER_LEN: usize = 61;
/// Bytes before those that the length field counts.
const LENGTH_END: usize = 12;
/// The checksum covers everything from here.
const CRC_START: usize = 21;
/// The least bytes a record takes: seven one-byte fields.
const RECORD_LEN_MIN: usize = 7;

const ATTR_CODEC: i16 = 0b111;
const ATTR_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTR_TRANSACTIONAL: i16 = 1 << 4;
const ATTR_CONTROL: i16 = 1 << 5;

/// What is wrong with the bytes of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header or its length field ask for.
    #[error("record batch of {found} bytes, expected {expected}")]
    Length {
        /// bytes there
        found: usize,
        /// bytes asked for
        expected: usize,
    },
    /// Another format version.
    #[error("record batch with magic {0}, expected 2")]
    Magic(i8),
    /// The bytes are damaged.
    #[error("record batch with checksum {found:08x}, its header says {expected:08x}")]
    Checksum {
        /// of the bytes
        found: u32,
        /// in the header
        expected: u32,
    },
    /// A field that contradicts another, or is out of range.
    #[error("malformed record batch: {0}")]
    Malformed(&'static str),
    /// A codec that this server does not read.
    #[error("record batch compressed with {0:?}, which is not supported")]
    Codec(Codec),
    /// Uncompressed records larger than the limit.
    #[error("record batch of more than {limit} bytes uncompressed")]
    Large {
        /// bytes
        limit: usize,
    },
}

/// How the records of a batch are compressed; numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i16)]
pub enum Codec {
    /// not at all
    #[default]
    None = 0,
    /// RFC 1952
    Gzip = 1,
    /// raw or in xerial's framing
    Snappy = 2,
    /// the frame format
    Lz4 = 3,
    /// RFC 8878
    Zstd = 4,
}

impl Codec {
    fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        Ok(match attributes & ATTR_CODEC {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(BatchError::Malformed("unknown compression codec")),
        })
    }
}

/// The decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// offset of the first record
    pub base_offset: Offset,
    /// bytes of the whole batch, header included
    pub size: usize,
    /// see [`Codec`]
    pub codec: Codec,
    /// the timestamps are the broker's, not the producer's
    pub log_append_time: bool,
    /// part of a transaction
    pub transactional: bool,
    /// a marker, no records for readers
    pub control: bool,
    /// offset of the last record minus the base offset
    pub last_offset_delta: u32,
    /// the timestamp deltas count from here
    pub base_timestamp: TimestampMs,
    /// the largest timestamp
    pub max_timestamp: TimestampMs,
    /// -1: no idempotent producer
    pub producer_id: i64,
    /// -1 likewise
    pub producer_epoch: i16,
    /// -1 likewise
    pub base_sequence: i32,
    /// records in the batch
    pub count: u32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; more may follow it. The checksum is not looked at.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Length { found: bytes.len(), expected: HEADER_LEN });
        }
        let magic = bytes[16] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let attributes = i16::from_be_bytes(array(bytes, 21));
        let length = i32::from_be_bytes(array(bytes, 8));
        let size =
            usize::try_from(length).map_err(|_| BatchError::Malformed("negative length"))? + LENGTH_END;
        if size < HEADER_LEN {
            return Err(BatchError::Length { found: size, expected: HEADER_LEN });
        }
        let negative = |_| BatchError::Malformed("negative offset, delta or count");
        Ok(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)).try_into().map_err(negative)?,
            size,
            codec: Codec::from_attributes(attributes)?,
            log_append_time: attributes & ATTR_LOG_APPEND_TIME != 0,
            transactional: attributes & ATTR_TRANSACTIONAL != 0,
            control: attributes & ATTR_CONTROL != 0,
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)).try_into().map_err(negative)?,
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            count: i32::from_be_bytes(array(bytes, 57)).try_into().map_err(negative)?,
        })
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.last_offset_delta) + 1
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A whole batch: a checked header over shared bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// A batch from outside: length and checksum are checked, the records are not yet.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::trusted(bytes)?;
        let expected = u32::from_be_bytes(array(&batch.bytes, 17));
        let found = crc32c(&batch.bytes[CRC_START..]);
        if found != expected {
            return Err(BatchError::Checksum { found, expected });
        }
        Ok(batch)
    }

    /// A batch from our own storage, which checks its bytes itself.
    pub fn trusted(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::read(&bytes)?;
        if header.size != bytes.len() {
            return Err(BatchError::Length { found: bytes.len(), expected: header.size });
        }
        Ok(Self { header, bytes })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Header and records as stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records uncompressed, at most `limit` bytes of them. Not compressed: a share, no copy.
    pub fn payload(&self, limit: usize) -> Result<Payload, BatchError> {
        let raw = self.bytes.slice(HEADER_LEN..);
        let bytes = match self.header.codec {
            Codec::None => raw,
            Codec::Lz4 => lz4_decompress(&raw, limit)?,
            other => return Err(BatchError::Codec(other)),
        };
        if bytes.len() > limit {
            return Err(BatchError::Large { limit });
        }
        Ok(Payload { header: self.header, bytes })
    }
}

fn lz4_decompress(raw: &[u8], limit: usize) -> Result<Bytes, BatchError> {
    let mut out = Vec::with_capacity(limit.min(raw.len().saturating_mul(4)));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    lz4_flex::frame::FrameDecoder::new(raw)
        .take(bound)
        .read_to_end(&mut out)
        .map_err(|_| BatchError::Malformed("lz4 frame that does not decompress"))?;
    if out.len() > limit {
        return Err(BatchError::Large { limit });
    }
    Ok(out.into())
}

/// The uncompressed records of a batch.
#[derive(Debug, Clone)]
pub struct Payload {
    header: BatchHeader,
    bytes: Bytes,
}

impl Payload {
    /// The bytes that the views lie in.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records in offset order; the first malformed one ends the iteration with its error.
    pub fn records(&self) -> Records<'_> {
        Records {
            header: self.header,
            left: self.header.count,
            cursor: Cursor::new(&self.bytes),
            failed: false,
        }
    }
}

/// Iterator over the records of a [`Payload`].
#[derive(Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    left: u32,
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.left == 0 {
            if self.cursor.is_empty() {
                return None;
            }
            self.failed = true;
            return Some(Err(BatchError::Malformed("bytes after the last record")));
        }
        self.left -= 1;
        let record = read_record(&mut self.cursor, &self.header);
        self.failed = record.is_err();
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count comes from outside; no one may reserve more than the bytes can hold.
        let possible = self.cursor.bytes.len() / RECORD_LEN_MIN;
        (0, Some(possible.min(self.left as usize)))
    }
}

fn read_record<'a>(outer: &mut Cursor<'a>, header: &BatchHeader) -> Result<RecordView<'a>, BatchError> {
    let body = outer.var_bytes()?.ok_or(BatchError::Malformed("a record of negative length"))?;
    let mut c = Cursor::new(body);
    c.u8()?;
    let delta = c.varlong()?;
    let offset_delta =
        u32::try_from(c.varint()?).map_err(|_| BatchError::Malformed("negative offset delta"))?;
    if offset_delta > header.last_offset_delta {
        return Err(BatchError::Malformed("an offset delta beyond the last"));
    }
    let key = c.var_bytes()?;
    let value = c.var_bytes()?;
    let count = u32::try_from(c.varint()?).map_err(|_| BatchError::Malformed("negative header count"))?;
    let headers = HeadersView { count, bytes: c.bytes };
    for _ in 0..count {
        read_header(&mut c)?;
    }
    if !c.is_empty() {
        return Err(BatchError::Malformed("bytes after the headers of a record"));
    }
    let timestamp = if header.log_append_time {
        header.max_timestamp
    } else {
        header.base_timestamp.checked_add(delta).ok_or(BatchError::Malformed("timestamp out of range"))?
    };
    Ok(RecordView { offset_delta, timestamp, key, value, headers })
}

/// Overwrites the base offset of an encoded batch in place; the checksum does not cover it.
///
/// # Errors
/// When `bytes` are shorter than a header or the offset does not fit Kafka's 63 bits.
pub fn place(bytes: &mut [u8], base_offset: Offset) -> Result<(), BatchError> {
    let base = i64::try_from(base_offset).map_err(|_| BatchError::Malformed("offset beyond 63 bits"))?;
    let found = bytes.len();
    let field = bytes.get_mut(..8).ok_or(BatchError::Length { found, expected: HEADER_LEN })?;
    field.copy_from_slice(&base.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
