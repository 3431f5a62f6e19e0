//! The header of a batch: its fields, read and written.

use bytes::BufMut;

use super::codec::Codec;
use super::{BatchError, HEADER_LEN, LENGTH_END};
use crate::model::{Offset, TimestampMs};

const ATTR_CODEC: i16 = 0b111;
const ATTR_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTR_TRANSACTIONAL: i16 = 1 << 4;
const ATTR_CONTROL: i16 = 1 << 5;
const ATTR_DELETE_HORIZON: i16 = 1 << 6;
/// Bits that mean nothing yet.
const ATTR_UNKNOWN: i16 = !0b111_1111;

/// Kafka's "no producer", "no epoch", "no sequence" and "no timestamp".
pub(super) const NONE: i8 = -1;

/// Who produced a batch, for idempotence and transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// given out by the server, not negative
    pub id: i64,
    /// grows when the producer is fenced
    pub epoch: i16,
    /// sequence of the batch's offset delta 0; -1 in a marker
    pub base_sequence: i32,
    /// part of a transaction
    pub transactional: bool,
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
    /// set by the log cleaner: when the tombstones and markers in here may go. It lies where the base timestamp lies.
    pub delete_horizon: Option<TimestampMs>,
    /// offset of the last record minus the base offset; the record itself may be gone
    pub last_offset_delta: u32,
    /// the timestamp deltas count from here
    pub base_timestamp: TimestampMs,
    /// the largest timestamp; -1: no record has one
    pub max_timestamp: TimestampMs,
    /// -1: no idempotent producer
    pub producer_id: i64,
    /// -1 likewise
    pub producer_epoch: i16,
    /// -1 likewise
    pub base_sequence: i32,
    /// records in the batch, fewer than `last_offset_delta + 1` where some are gone
    pub count: u32,
}

impl BatchHeader {
    /// Of a batch that has nothing yet.
    pub(super) fn empty() -> Self {
        Self {
            base_offset: 0,
            size: HEADER_LEN,
            codec: Codec::None,
            log_append_time: false,
            transactional: false,
            control: false,
            delete_horizon: None,
            last_offset_delta: 0,
            base_timestamp: NONE.into(),
            max_timestamp: NONE.into(),
            producer_id: NONE.into(),
            producer_epoch: NONE.into(),
            base_sequence: NONE.into(),
            count: 0,
        }
    }

    /// Reads the header at the start of `bytes`; more may follow it. The checksum is not looked at.
    ///
    /// # Errors
    /// `Length` when there is no whole header, `Magic` for another format, `Codec` and `Malformed` for fields out of
    /// range.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Length { found: bytes.len(), expected: HEADER_LEN });
        }
        let magic = bytes[16] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let attributes = i16::from_be_bytes(array(bytes, 21));
        let size = size_of(bytes)?;
        let negative = |_| BatchError::Malformed("negative offset, delta or count");
        let base_timestamp = i64::from_be_bytes(array(bytes, 27));
        Ok(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)).try_into().map_err(negative)?,
            size,
            codec: Codec::from_bits(attributes & ATTR_CODEC)?,
            log_append_time: attributes & ATTR_LOG_APPEND_TIME != 0,
            transactional: attributes & ATTR_TRANSACTIONAL != 0,
            control: attributes & ATTR_CONTROL != 0,
            delete_horizon: (attributes & ATTR_DELETE_HORIZON != 0).then_some(base_timestamp),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)).try_into().map_err(negative)?,
            base_timestamp,
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            count: i32::from_be_bytes(array(bytes, 57)).try_into().map_err(negative)?,
        })
    }

    /// Writes everything but the checksum, which is 0 then.
    pub(super) fn write(&self, mut out: &mut [u8]) {
        out.put_i64(self.base_offset as i64);
        out.put_i32((self.size - LENGTH_END) as i32);
        out.put_i32(0);
        out.put_i8(2);
        out.put_u32(0);
        out.put_i16(self.attributes());
        out.put_i32(self.last_offset_delta as i32);
        out.put_i64(self.delete_horizon.unwrap_or(self.base_timestamp));
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.count as i32);
    }

    fn attributes(&self) -> i16 {
        let bit = |set: bool, bit: i16| if set { bit } else { 0 };
        self.codec as i16
            | bit(self.log_append_time, ATTR_LOG_APPEND_TIME)
            | bit(self.transactional, ATTR_TRANSACTIONAL)
            | bit(self.control, ATTR_CONTROL)
            | bit(self.delete_horizon.is_some(), ATTR_DELETE_HORIZON)
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.last_offset_delta) + 1
    }

    /// `None`: not from an idempotent producer.
    pub fn producer(&self) -> Option<ProducerStamp> {
        (self.producer_id >= 0).then_some(ProducerStamp {
            id: self.producer_id,
            epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            transactional: self.transactional,
        })
    }

    pub(super) fn set_producer(&mut self, stamp: ProducerStamp) {
        self.producer_id = stamp.id;
        self.producer_epoch = stamp.epoch;
        self.base_sequence = stamp.base_sequence;
        self.transactional = stamp.transactional;
    }
}

/// Bytes of the whole batch by its length field; `bytes` hold a whole header.
pub(super) fn size_of(bytes: &[u8]) -> Result<usize, BatchError> {
    let length = i32::from_be_bytes(array(bytes, 8));
    let size = usize::try_from(length).map_err(|_| BatchError::Malformed("negative length"))? + LENGTH_END;
    if size < HEADER_LEN {
        return Err(BatchError::Length { found: size, expected: HEADER_LEN });
    }
    Ok(size)
}

/// Does a whole header carry attributes that no version of the format gives a meaning?
pub(super) fn has_unknown_attributes(bytes: &[u8]) -> bool {
    i16::from_be_bytes(array(bytes, 21)) & ATTR_UNKNOWN != 0
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
