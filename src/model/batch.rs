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
mod codec;
pub mod control;
mod cursor;
mod header;
mod records;
mod rewrite;
pub mod validate;

use bytes::{Bytes, BytesMut};

use super::Offset;
use header::array;

pub use builder::BatchBuilder;
pub use codec::Codec;
pub use control::MarkerKind;
pub(super) use cursor::Cursor;
pub use header::{BatchHeader, ProducerStamp};
pub use records::{Payload, Records};

/// Bytes of the header.
pub const HEADER_LEN: usize = 61;
/// Bytes before those that the length field counts.
const LENGTH_END: usize = 12;
/// The leader epoch ends here; it and the base offset are what `place` writes.
const EPOCH_END: usize = 16;
/// The checksum's place.
const CRC: std::ops::Range<usize> = 17..21;
/// The checksum covers everything from here.
const CRC_START: usize = 21;

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
    /// A codec that Kafka does not know.
    #[error("record batch compressed with the unknown codec {0}")]
    Codec(i16),
    /// Uncompressed records larger than the limit.
    #[error("record batch of more than {limit} bytes uncompressed")]
    Large {
        /// bytes
        limit: usize,
    },
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Compares the checksum of a batch that has a whole header.
fn check_crc(bytes: &[u8]) -> Result<(), BatchError> {
    let expected = u32::from_be_bytes(array(bytes, CRC.start));
    let found = crc32c(&bytes[CRC_START..]);
    if found == expected { Ok(()) } else { Err(BatchError::Checksum { found, expected }) }
}

/// Writes the header, with size and checksum, over the first bytes of `buffer`.
fn seal(mut header: BatchHeader, mut buffer: BytesMut) -> RecordBatch {
    header.size = buffer.len();
    header.write(&mut buffer[..HEADER_LEN]);
    let crc = crc32c(&buffer[CRC_START..]);
    buffer[CRC].copy_from_slice(&crc.to_be_bytes());
    RecordBatch { header, bytes: buffer.freeze() }
}

/// A whole batch: a checked header over shared bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// A batch from outside: length and checksum are checked, the records are not yet (see [`validate`]).
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::trusted(bytes)?;
        check_crc(&batch.bytes)?;
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
    ///
    /// # Errors
    /// `Large` as soon as it is clear that there would be more, `Malformed` for what does not uncompress.
    pub fn payload(&self, limit: usize) -> Result<Payload, BatchError> {
        let raw = self.bytes.slice(HEADER_LEN..);
        Ok(Payload { header: self.header, bytes: self.header.codec.uncompress(&raw, limit)? })
    }
}

/// Overwrites the base offset and the leader epoch of an encoded batch in place; the checksum does not cover them. The
/// epoch is 0: a node that is alone has led its partitions from the beginning.
///
/// # Errors
/// When `bytes` are shorter than a header or the offset does not fit Kafka's 63 bits.
pub fn place(bytes: &mut [u8], base_offset: Offset) -> Result<(), BatchError> {
    let base = i64::try_from(base_offset).map_err(|_| BatchError::Malformed("offset beyond 63 bits"))?;
    let found = bytes.len();
    let fields = bytes.get_mut(..EPOCH_END).ok_or(BatchError::Length { found, expected: HEADER_LEN })?;
    fields[..8].copy_from_slice(&base.to_be_bytes());
    fields[LENGTH_END..].fill(0);
    Ok(())
}

#[cfg(test)]
mod tests;
