//! A record: owned, for those who build one, and as a view into a batch, for those who read.

use bytes::Bytes;

use super::TimestampMs;
use super::batch::{BatchError, Cursor};

/// A header; duplicates of a name are allowed and their order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// UTF-8 text
    pub name: String,
    /// `None` is Kafka's null
    pub value: Option<Bytes>,
}

/// An owned record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// `None`: no key; placed on the sticky partition
    pub key: Option<Bytes>,
    /// `None`: a tombstone
    pub value: Option<Bytes>,
    /// milliseconds since the epoch
    pub timestamp: TimestampMs,
    /// in their order
    pub headers: Vec<Header>,
}

impl Record {
    /// Bytes of key, value and headers: what limits and admission count.
    pub fn size(&self) -> usize {
        let len = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|h| h.name.len() + len(&h.value)).sum();
        len(&self.key) + len(&self.value) + headers
    }
}

/// A record inside a batch; borrowed, nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// its offset minus the batch's base offset
    pub offset_delta: u32,
    /// milliseconds since the epoch
    pub timestamp: TimestampMs,
    /// `None`: no key
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone
    pub value: Option<&'a [u8]>,
    /// see [`RecordView::headers`]
    pub(super) headers: HeadersView<'a>,
}

impl<'a> RecordView<'a> {
    /// The headers in their order.
    pub fn headers(&self) -> HeadersView<'a> {
        self.headers
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.headers.into_iter().find(|h| h.0 == name).map(|h| h.1)
    }

    /// A copy that owns its bytes; slices of `payload` are shared when the view lies inside it.
    pub fn to_owned_in(&self, payload: &Bytes) -> Record {
        let own = |slice: &[u8]| slice_in(payload, slice);
        Record {
            key: self.key.map(own),
            value: self.value.map(own),
            timestamp: self.timestamp,
            headers: self
                .headers
                .into_iter()
                .map(|(name, value)| Header { name: name.to_owned(), value: value.map(own) })
                .collect(),
        }
    }
}

/// `slice` as a share of `whole` if it lies inside, else a copy.
fn slice_in(whole: &Bytes, slice: &[u8]) -> Bytes {
    let start = (slice.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    match start.checked_add(slice.len()) {
        Some(end) if end <= whole.len() => whole.slice(start..end),
        _ => Bytes::copy_from_slice(slice),
    }
}

/// Encoded headers of one record, checked when the record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadersView<'a> {
    pub(super) count: u32,
    pub(super) bytes: &'a [u8],
}

impl HeadersView<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the encoded form.
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> IntoIterator for HeadersView<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        HeadersIter { left: self.count, cursor: Cursor::new(self.bytes) }
    }
}

/// Iterator over headers.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a> {
    left: u32,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        read_header(&mut self.cursor).ok()
    }
}

/// One header: name length varint, name, value length varint (-1: null), value.
pub(super) fn read_header<'a>(c: &mut Cursor<'a>) -> Result<(&'a str, Option<&'a [u8]>), BatchError> {
    let name = c.var_bytes()?.ok_or(BatchError::Malformed("a header without a name"))?;
    let name =
        std::str::from_utf8(name).map_err(|_| BatchError::Malformed("a header name that is no UTF-8"))?;
    Ok((name, c.var_bytes()?))
}
