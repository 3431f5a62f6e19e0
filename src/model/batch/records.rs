//! Reading the records of a batch, as views into its uncompressed bytes.

use bytes::Bytes;

use super::{BatchError, BatchHeader, Cursor};
use crate::model::RecordView;
use crate::model::record::{HeadersView, read_header};

/// The least bytes a record takes: seven one-byte fields.
const RECORD_LEN_MIN: usize = 7;

/// The uncompressed records of a batch.
#[derive(Debug, Clone)]
pub struct Payload {
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
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

    /// The records in offset order, perhaps with gaps; the first malformed one ends the iteration with its error.
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

    #[inline]
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

#[inline]
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
    let headers = HeadersView::Encoded { count, bytes: c.rest() };
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
