//! What a client sent for a partition, checked before it is stored: exactly one batch, sound from its checksum to its
//! last record, and within the topic's rules.
//!
//! The rules are those of Kafka's broker (`ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords`,
//! `LogValidator`, 4.x). It does what that one does for clients that get something harmless wrong: a largest timestamp
//! that is not the largest is put right, and offset deltas that do not count up are counted again. It is stricter in
//! four things, none of which a known client does: attributes without a meaning and a delete horizon are refused, so are
//! a producer id below -1, header names that are no UTF-8, and times before 1970 or after 9999, whose sums would leave
//! 64 bits. Which request version may use zstd is the door's affair.

use std::fmt;

use bytes::Bytes;

use super::header::{NONE, has_unknown_attributes, size_of};
use super::rewrite::renumbered;
use super::{BatchError, BatchHeader, HEADER_LEN, Payload, RecordBatch, check_crc};
use crate::model::TimestampMs;
use crate::model::limits::TIMESTAMP_MAX;

/// Records of a batch whose faults are told one by one; the others are counted. A hostile batch may have millions.
pub const RECORD_ERRORS_MAX: usize = 100;

/// What a topic asks of its clients' batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// bytes of a batch as it was sent
    pub size_max: usize,
    /// bytes of its records uncompressed
    pub uncompressed_max: usize,
    /// the topic is compacted
    pub key_required: bool,
    /// whose times count
    pub timestamps: Timestamps,
}

/// Whose times a topic's records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// The producer's, from `from` to `to`, both included. -1, "no timestamp", is always allowed.
    Create {
        /// the earliest
        from: TimestampMs,
        /// the latest
        to: TimestampMs,
    },
    /// The broker's, which is now.
    Append {
        /// now
        now: TimestampMs,
    },
}

/// A batch that may be stored.
#[derive(Debug, Clone)]
pub struct Checked {
    /// as it is to be stored: the client's bytes wherever they need no correction
    pub batch: RecordBatch,
    /// its records uncompressed; shares the batch's bytes when it is not compressed
    pub payload: Payload,
    /// offset delta of the first record that has the largest timestamp
    pub max_timestamp_delta: u32,
}

/// Why a batch may not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes did not arrive as they were sent.
    #[error("{0}")]
    Damaged(BatchError),
    /// Larger than the topic allows.
    #[error("record batch of {found} bytes, the topic allows {limit}")]
    Large {
        /// bytes of the batch
        found: usize,
        /// `max.message.bytes`
        limit: usize,
    },
    /// Uncompressed it is larger than the server allows.
    #[error("record batch of more than {limit} bytes uncompressed")]
    Expands {
        /// bytes
        limit: usize,
    },
    /// A codec that Kafka does not know.
    #[error("record batch compressed with the unknown codec {0}")]
    Codec(i16),
    /// The batch as a whole breaks a rule.
    #[error("invalid record batch: {0}")]
    Invalid(&'static str),
    /// Records that break a rule, and perhaps among them records with a time out of range.
    #[error("{total} of the batch's records are invalid: {}", first(.errors))]
    Records {
        /// the first of them, by index
        errors: Vec<RecordError>,
        /// how many there are
        total: u32,
        /// is a time out of range among the faults?
        timestamp: bool,
    },
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// its position in the batch, from 0
    pub index: u32,
    /// the reason
    pub fault: RecordFault,
}

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Compaction works by key.
    #[error("a compacted topic takes no record without a key")]
    NoKey,
    /// Too old or too far in the future.
    #[error("timestamp {found} is out of range, it should be within [{from}, {to}]")]
    Timestamp {
        /// the record's
        found: TimestampMs,
        /// the earliest
        from: TimestampMs,
        /// the latest
        to: TimestampMs,
    },
    /// Only brokers set it.
    #[error("a producer does not set the timestamp type to LogAppendTime")]
    AppendTime,
    /// Its bytes; nothing behind it is looked at.
    #[error("malformed record: {0}")]
    Malformed(&'static str),
}

fn first(errors: &[RecordError]) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| match errors.first() {
        Some(error) => write!(f, "record {}: {}", error.index, error.fault),
        None => Ok(()),
    })
}

impl Timestamps {
    /// The producer's times, at most `before_ms` older than `now_ms` and at most `after_ms` ahead of it.
    pub fn create(now_ms: TimestampMs, before_ms: u64, after_ms: u64) -> Self {
        let from = now_ms.saturating_sub_unsigned(before_ms).max(0);
        Self::Create { from, to: now_ms.saturating_add_unsigned(after_ms).min(TIMESTAMP_MAX) }
    }
}

/// Checks what a client sent for one partition. One pass over the records, after one for the checksum and one for
/// uncompressing; nothing is allocated per record.
pub fn validate(bytes: Bytes, rules: &Rules) -> Result<Checked, Refusal> {
    let batch = whole(bytes, rules)?;
    check_header(batch.header())?;
    let payload = batch.payload(rules.uncompressed_max).map_err(|error| match error {
        BatchError::Large { limit } => Refusal::Expands { limit },
        other => invalid(other),
    })?;
    let found = check_records(&payload, rules)?;

    let batch = if found.in_order { batch } else { renumbered(&payload).map_err(invalid)? };
    let (batch, max_timestamp_delta) = match rules.timestamps {
        Timestamps::Append { now } => (batch.with_log_append_time(now), 0),
        Timestamps::Create { .. } if batch.header().max_timestamp != found.max_timestamp => {
            (batch.with_max_timestamp(found.max_timestamp), found.max_timestamp_delta)
        }
        Timestamps::Create { .. } => (batch, found.max_timestamp_delta),
    };
    let payload = match found.in_order {
        true => Payload { header: *batch.header(), bytes: payload.bytes },
        false => batch.payload(rules.uncompressed_max).map_err(invalid)?,
    };
    Ok(Checked { batch, payload, max_timestamp_delta })
}

/// Checks records that take the place of those of a batch that was checked: each with its number, whether it has a key,
/// and its time.
pub fn check_made(
    records: impl IntoIterator<Item = (u32, bool, TimestampMs)>,
    rules: &Rules,
) -> Result<(), Refusal> {
    let mut faults = Faults::default();
    for (index, has_key, timestamp) in records {
        if let Some(fault) = fault(has_key, timestamp, rules) {
            faults.add(index, fault);
        }
    }
    faults.none(())
}

/// One batch and nothing else, as it was sent, of a size that the topic allows.
fn whole(bytes: Bytes, rules: &Rules) -> Result<RecordBatch, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Invalid("no record batch"));
    }
    if bytes.len() < HEADER_LEN {
        let (found, expected) = (bytes.len(), HEADER_LEN);
        return Err(Refusal::Damaged(BatchError::Length { found, expected }));
    }
    if bytes[16] != 2 {
        return Err(Refusal::Invalid("a record format other than 2"));
    }
    let size = size_of(&bytes).map_err(Refusal::Damaged)?;
    if size > bytes.len() {
        return Err(Refusal::Damaged(BatchError::Length { found: bytes.len(), expected: size }));
    }
    if size < bytes.len() {
        return Err(Refusal::Invalid("more than one record batch for a partition"));
    }
    if size > rules.size_max {
        return Err(Refusal::Large { found: size, limit: rules.size_max });
    }
    // Before the fields are judged: a client sends damaged bytes again, and gives up on invalid ones.
    check_crc(&bytes).map_err(Refusal::Damaged)?;
    if has_unknown_attributes(&bytes) {
        return Err(Refusal::Invalid("attributes without a meaning"));
    }
    RecordBatch::trusted(bytes).map_err(invalid)
}

fn check_header(header: &BatchHeader) -> Result<(), Refusal> {
    let none = i64::from(NONE);
    let broken = if header.base_offset != 0 {
        "a base offset other than 0"
    } else if header.count == 0 {
        "no records"
    } else if header.count - 1 != header.last_offset_delta {
        "a last offset delta that contradicts the count of records"
    } else if header.control {
        "clients are not allowed to write control records"
    } else if header.delete_horizon.is_some() {
        "clients are not allowed to set a delete horizon"
    } else if header.producer_id < none {
        "a producer id below -1"
    } else if header.producer_id != none && header.producer_epoch < 0 {
        "a producer id without an epoch"
    } else if header.producer_id != none && header.base_sequence < 0 {
        "a producer id without a sequence number"
    } else if header.producer_id == none && header.transactional {
        "a transaction without a producer id"
    } else if header.log_append_time {
        let error = RecordError { index: 0, fault: RecordFault::AppendTime };
        return Err(Refusal::Records { errors: vec![error], total: header.count, timestamp: true });
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid(broken))
}

/// What the pass over the records found out.
struct Found {
    max_timestamp: TimestampMs,
    max_timestamp_delta: u32,
    /// the offset deltas count from 0 without gaps
    in_order: bool,
}

fn check_records(payload: &Payload, rules: &Rules) -> Result<Found, Refusal> {
    let mut found = Found { max_timestamp: NONE.into(), max_timestamp_delta: 0, in_order: true };
    let mut faults = Faults::default();
    for (index, record) in (0..).zip(payload.records()) {
        let record = match record {
            Ok(record) => record,
            Err(error) if index == payload.header().count => return Err(invalid(error)),
            Err(error) => {
                faults.add(index, RecordFault::Malformed(reason(&error)));
                break;
            }
        };
        if let Some(fault) = fault(record.key.is_some(), record.timestamp, rules) {
            faults.add(index, fault);
        }
        found.in_order &= record.offset_delta == index;
        if record.timestamp > found.max_timestamp {
            found.max_timestamp = record.timestamp;
            found.max_timestamp_delta = index;
        }
    }
    faults.none(found)
}

fn fault(has_key: bool, timestamp: TimestampMs, rules: &Rules) -> Option<RecordFault> {
    if rules.key_required && !has_key {
        return Some(RecordFault::NoKey);
    }
    match rules.timestamps {
        Timestamps::Create { from, to }
            if !(from..=to).contains(&timestamp) && timestamp != i64::from(NONE) =>
        {
            Some(RecordFault::Timestamp { found: timestamp, from, to })
        }
        Timestamps::Create { .. } | Timestamps::Append { .. } => None,
    }
}

/// The faults of a batch's records.
#[derive(Default)]
struct Faults {
    errors: Vec<RecordError>,
    total: u32,
    timestamp: bool,
}

impl Faults {
    #[cold]
    fn add(&mut self, index: u32, fault: RecordFault) {
        self.total += 1;
        self.timestamp |= matches!(fault, RecordFault::Timestamp { .. } | RecordFault::AppendTime);
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { index, fault });
        }
    }

    fn none<T>(self, value: T) -> Result<T, Refusal> {
        let Self { errors, total, timestamp } = self;
        if total == 0 { Ok(value) } else { Err(Refusal::Records { errors, total, timestamp }) }
    }
}

/// A batch whose bytes arrived, and make no sense.
fn invalid(error: BatchError) -> Refusal {
    match error {
        BatchError::Codec(codec) => Refusal::Codec(codec),
        other => Refusal::Invalid(reason(&other)),
    }
}

fn reason(error: &BatchError) -> &'static str {
    match error {
        BatchError::Malformed(reason) => reason,
        BatchError::Length { .. } => "a length that contradicts another",
        BatchError::Magic(_) => "a record format other than 2",
        BatchError::Checksum { .. } => "a wrong checksum",
        BatchError::Codec(_) => "an unknown codec",
        BatchError::Large { .. } => "too many bytes uncompressed",
    }
}
