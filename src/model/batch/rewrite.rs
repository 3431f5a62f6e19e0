//! Batches made from batches: other times, another codec, fewer records. What is not said to change stays as it was.

use bytes::{BufMut, BytesMut};

use super::builder::BatchBuilder;
use super::{BatchError, BatchHeader, Codec, HEADER_LEN, Payload, RecordBatch, seal};
use crate::model::{RecordView, TimestampMs};

impl RecordBatch {
    /// The batch with the broker's time as the time of all its records. The records are not touched, so nothing is
    /// compressed again; the bytes are copied if anyone else holds them.
    #[must_use]
    pub fn with_log_append_time(self, now_ms: TimestampMs) -> Self {
        self.with_header(|header| {
            header.log_append_time = true;
            header.max_timestamp = now_ms;
        })
    }

    /// The batch with another largest timestamp in its header.
    pub(super) fn with_max_timestamp(self, max_timestamp: TimestampMs) -> Self {
        self.with_header(|header| header.max_timestamp = max_timestamp)
    }

    fn with_header(self, change: impl FnOnce(&mut BatchHeader)) -> Self {
        let Self { mut header, bytes } = self;
        let own = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        change(&mut header);
        seal(header, own)
    }

    /// The batch compressed with another codec, or not at all where `codec` does not make it smaller.
    ///
    /// # Errors
    /// As [`RecordBatch::payload`] with the same `limit`.
    pub fn with_codec(self, codec: Codec, limit: usize) -> Result<Self, BatchError> {
        if self.header.codec == codec {
            return Ok(self);
        }
        let payload = self.payload(limit)?;
        let mut header = self.header;
        let (codec, buffer) = match codec.pack(payload.bytes()) {
            Some(packed) => (codec, packed),
            None => {
                let mut plain = BytesMut::with_capacity(HEADER_LEN + payload.bytes().len());
                plain.put_bytes(0, HEADER_LEN);
                plain.put_slice(payload.bytes());
                (Codec::None, plain)
            }
        };
        header.codec = codec;
        Ok(seal(header, buffer))
    }

    /// The batch with only those records that `keep` says, at their offsets, for the log cleaner. When none is left it
    /// is an empty batch, which keeps the offsets and the producer's sequence. A `delete_horizon` is added to the
    /// batch, or takes the place of the one it has; `None` leaves that as it is. The same bytes if nothing changes.
    ///
    /// # Errors
    /// As [`RecordBatch::payload`] with the same `limit`, and for the first malformed record.
    pub fn retain(
        &self,
        limit: usize,
        delete_horizon: Option<TimestampMs>,
        mut keep: impl FnMut(&RecordView<'_>) -> bool,
    ) -> Result<Self, BatchError> {
        let horizon = delete_horizon.or(self.header.delete_horizon);
        let payload = self.payload(limit)?;
        let mut builder = BatchBuilder::instead_of(&self.header, horizon, payload.bytes().len());
        for record in payload.records() {
            let record = record?;
            if keep(&record) {
                builder.skip(record.offset_delta.saturating_sub(builder.next_delta()));
                builder.push_view(&record);
            }
        }
        if builder.count() == self.header.count && horizon == self.header.delete_horizon {
            return Ok(self.clone());
        }
        builder.set_last_offset_delta(self.header.last_offset_delta);
        builder.finish(self.header.codec).ok_or(BatchError::Malformed("a batch without offsets"))
    }
}

/// The batch of `payload` with offset deltas that count from 0 without gaps.
pub(super) fn renumbered(payload: &Payload) -> Result<RecordBatch, BatchError> {
    let header = payload.header();
    let mut builder = BatchBuilder::instead_of(header, header.delete_horizon, payload.bytes().len());
    for record in payload.records() {
        builder.push_view(&record?);
    }
    builder.finish(header.codec).ok_or(BatchError::Malformed("a batch without offsets"))
}
