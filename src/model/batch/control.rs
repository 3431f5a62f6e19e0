//! Control batches: the markers that end a transaction in a partition. Readers of records never see them.
//!
//! A marker is a batch with the control and the transactional bit, the producer's id and epoch, and one record
//! (source: Kafka's documentation, "Control Batches"; `EndTxnMarker.json`), big endian:
//!
//! ```text
//! key:   i16 version = 0   i16 type: 0 abort, 1 commit
//! value: i16 version = 0   i32 coordinator epoch
//! ```

use super::builder::BatchBuilder;
use super::header::{NONE, ProducerStamp};
use super::{BatchError, Codec, RecordBatch};
use crate::model::{Offset, TimestampMs};

/// Bytes of a marker's records; room for a compressed one too.
const MARKER_LEN_MAX: usize = 1024;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum MarkerKind {
    /// its records are not for readers of committed records
    Abort = 0,
    /// its records count
    Commit = 1,
}

impl MarkerKind {
    /// What the batch says about its producer's transaction; `None` when it is no control batch, or one whose marker
    /// the cleaner has taken out.
    ///
    /// # Errors
    /// `Malformed` for a control batch that is no marker.
    pub fn of(batch: &RecordBatch) -> Result<Option<Self>, BatchError> {
        if !batch.header().control || batch.header().count == 0 {
            return Ok(None);
        }
        let payload = batch.payload(MARKER_LEN_MAX)?;
        let marker =
            payload.records().next().ok_or(BatchError::Malformed("a control batch without a record"))??;
        match marker.key {
            // Later versions of the key only add to it.
            Some([0..=0x7f, _, 0, 0, ..]) => Ok(Some(Self::Abort)),
            Some([0..=0x7f, _, 0, 1, ..]) => Ok(Some(Self::Commit)),
            _ => Err(BatchError::Malformed("a control record that is no transaction marker")),
        }
    }
}

/// The batch that ends the producer's transaction in a partition; it takes one offset.
pub fn marker(
    kind: MarkerKind,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    now_ms: TimestampMs,
) -> RecordBatch {
    let mut key = [0; 4];
    key[2..].copy_from_slice(&(kind as i16).to_be_bytes());
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());

    let mut builder = BatchBuilder::with_capacity(32);
    builder.producer(ProducerStamp {
        id: producer_id,
        epoch: producer_epoch,
        base_sequence: NONE.into(),
        transactional: true,
    });
    builder.control();
    builder.push(now_ms, Some(&key), Some(&value), []);
    builder.finish(Codec::None).expect("it has a record")
}

/// The batch that says that `from..next` holds nothing for its reader: a marker of nobody's transaction at the last of these
/// offsets. An empty batch would do for Java's clients; librdkafka takes answers without any message for too small, and
/// the offset that it commits moves with messages and markers alone.
pub fn passed_over(from: Offset, next: Offset, timestamp: TimestampMs) -> RecordBatch {
    let mut key = [0; 4];
    key[2..].copy_from_slice(&(MarkerKind::Commit as i16).to_be_bytes());

    let mut builder = BatchBuilder::with_capacity(32);
    // Offsets of one batch reach 31 bits far; of what lies before them a reader misses nothing.
    let first = from.max(next.saturating_sub(i32::MAX as u64)).min(next.saturating_sub(1));
    builder.base_offset(first);
    builder.skip(u32::try_from(next.saturating_sub(1).saturating_sub(first)).unwrap_or(0));
    builder.control();
    builder.push(timestamp, Some(&key), Some(&[0; 6]), []);
    builder.finish(Codec::None).expect("it has a record")
}
