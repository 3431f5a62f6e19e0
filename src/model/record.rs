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

    /// A view of it, as if it stood in a batch.
    pub fn view(&self, offset_delta: u32) -> RecordView<'_> {
        let headers = HeadersView::Listed(&self.headers);
        let view = RecordView::new(self.timestamp, self.key.as_deref(), self.value.as_deref(), headers);
        RecordView { offset_delta, ..view }
    }
}

/// A record that lies in a batch, or is on its way into one; borrowed, nothing is copied.
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
    /// A view of parts that lie anywhere.
    pub fn new(
        timestamp: TimestampMs,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: HeadersView<'a>,
    ) -> Self {
        Self { offset_delta: 0, timestamp, key, value, headers }
    }

    /// Bytes of key, value and headers: what limits and admission count.
    pub fn size(&self) -> usize {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        len(self.key) + len(self.value) + self.headers.size()
    }

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

/// The headers of one record, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadersView<'a> {
    /// as they lie in a batch; checked when the record was read
    Encoded {
        /// how many
        count: u32,
        /// one after the other
        bytes: &'a [u8],
    },
    /// of a record that is not encoded yet
    Listed(&'a [Header]),
}

impl Default for HeadersView<'_> {
    fn default() -> Self {
        Self::Listed(&[])
    }
}

impl HeadersView<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Encoded { count, .. } => *count as usize,
            Self::Listed(headers) => headers.len(),
        }
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take, their lengths included where they are encoded.
    pub fn size(&self) -> usize {
        match self {
            Self::Encoded { bytes, .. } => bytes.len(),
            Self::Listed(headers) => {
                headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len)).sum()
            }
        }
    }
}

impl<'a> IntoIterator for HeadersView<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        HeadersIter(self)
    }
}

/// Iterator over headers.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a>(HeadersView<'a>);

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            HeadersView::Encoded { count, bytes } => {
                *count = count.checked_sub(1)?;
                let mut cursor = Cursor::new(bytes);
                let header = read_header(&mut cursor).ok();
                *bytes = cursor.rest();
                header
            }
            HeadersView::Listed(headers) => {
                let (first, rest) = headers.split_first()?;
                *headers = rest;
                Some((&first.name, first.value.as_deref()))
            }
        }
    }
}

/// One header: name length varint, name, value length varint (-1: null), value.
pub(super) fn read_header<'a>(c: &mut Cursor<'a>) -> Result<(&'a str, Option<&'a [u8]>), BatchError> {
    let name = c.var_bytes()?.ok_or(BatchError::Malformed("a header without a name"))?;
    let name =
        std::str::from_utf8(name).map_err(|_| BatchError::Malformed("a header name that is no UTF-8"))?;
    Ok((name, c.var_bytes()?))
}
