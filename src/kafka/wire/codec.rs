//! The engine: what a field is, and how a value of each type is read and written.
//!
//! ```text
//! bool, i8..i64, u16, f64   big endian
//! uuid                      16 bytes
//! string                    i16 length (-1: null); flexible: uvarint length + 1 (0: null)
//! bytes, records            i32 length (-1: null); flexible: uvarint length + 1 (0: null)
//! array                     i32 count (-1: null);  flexible: uvarint count + 1 (0: null)
//! nullable struct           i8 (-1: null, 1: the struct follows)
//! end of a flexible struct  uvarint count, then each tagged field: uvarint tag, uvarint bytes, value
//! ```

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::api_key::ApiKey;
use super::error::{DecodeError, EncodeError, Fault};
use super::frame::{Frame, Records};
use super::reader::{Broken, Reader};
use super::text::Str;
use super::writer::Writer;

/// Elements for which an array makes room before it has read them; from there on it grows as they come.
const ARRAY_BLOCK: usize = 128;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// the lowest
    pub first: i16,
    /// the highest; below `first`: no version at all
    pub last: i16,
}

impl Versions {
    /// No version.
    pub const NONE: Self = Self { first: 0, last: -1 };

    /// `first` to `last`.
    pub const fn new(first: i16, last: i16) -> Self {
        Self { first, last }
    }

    /// `[]`: none, `[first]`: that and all later ones, `[first, last]`: what is between.
    pub(super) const fn of(bounds: &[i16]) -> Self {
        match *bounds {
            [] => Self::NONE,
            [first] => Self { first, last: i16::MAX },
            [first, last, ..] => Self { first, last },
        }
    }

    /// Whether `version` is one of them.
    pub const fn contain(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// A field as declared.
#[derive(Debug)]
pub(super) struct FieldSpec {
    /// the struct it is in
    pub(super) message: &'static str,
    pub(super) name: &'static str,
    /// in which it is on the wire
    pub(super) versions: Versions,
    /// in which it may be null
    pub(super) nullable: Versions,
    /// `None`: in its place; else among the tagged fields at the end of the struct
    pub(super) tag: Option<u32>,
}

/// What can be written.
pub(super) trait Encode {
    /// `nullable`: whether the field may be null in this version. Where it may not, `None` is written as empty.
    fn encode(&self, w: &mut Writer, nullable: bool);
}

/// What can be read.
pub(super) trait Decode: Sized {
    /// The value where the field is not on the wire and has no default of its own: zero or empty, never null.
    fn initial() -> Self;

    /// `nullable` as in [`Encode::encode`].
    fn decode(r: &mut Reader, nullable: bool) -> Result<Self, Broken>;
}

/// What has a null beside its values.
pub(super) trait Nullable: Encode + Decode {
    fn encode_nullable(value: Option<&Self>, w: &mut Writer);
    fn decode_nullable(r: &mut Reader) -> Result<Option<Self>, Broken>;
}

/// A message of its own: a request, a response, or data in another's bytes.
#[expect(private_bounds, reason = "messages are declared here and nowhere else")]
pub trait Message: Encode + Decode + fmt::Debug + Send + 'static {
    /// as in Kafka's definitions
    const NAME: &'static str;
    /// which can be read and written
    const VERSIONS: Versions;
    /// which have compact lengths and tagged fields
    const FLEXIBLE: Versions;
}

/// A message that asks.
pub trait Request: Message {
    /// its number on the wire
    const API: ApiKey;
    /// what answers it
    type Response: Response;
}

/// A message that answers.
pub trait Response: Message {
    /// the number of its request
    const API: ApiKey;
}

/// Reads a message that fills `bytes`.
///
/// # Errors
/// A version that is not known; bytes that are not this message in this version, or more than it.
pub fn decode_message<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    if !M::VERSIONS.contain(version) {
        return Err(DecodeError::MessageVersion { message: M::NAME, found: version, known: M::VERSIONS });
    }
    let mut reader = Reader::new(bytes, version, M::FLEXIBLE.contain(version));
    let message = M::decode(&mut reader, false);
    reader.finish(M::NAME, message)
}

/// Reads a message from the beginning of `bytes`, whatever comes after it. For what clients send: Kafka ignores bytes after
/// a request's end, and librdkafka 2.16.0 writes three of them in Metadata 13 when it asks for all topics.
///
/// # Errors
/// A version that is not known; bytes that do not begin with this message in this version.
pub fn decode_beginning<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    if !M::VERSIONS.contain(version) {
        return Err(DecodeError::MessageVersion { message: M::NAME, found: version, known: M::VERSIONS });
    }
    let mut reader = Reader::new(bytes, version, M::FLEXIBLE.contain(version));
    let message = M::decode(&mut reader, false);
    reader.split(message).map(|(message, _)| message)
}

/// Writes a message without a header or a length before it.
///
/// # Errors
/// A version that is not known; a string or an array too long for its length field.
pub fn encode_message<M: Message>(message: &M, version: i16) -> Result<Frame, EncodeError> {
    if !M::VERSIONS.contain(version) {
        return Err(EncodeError::Version { message: M::NAME, found: version, known: M::VERSIONS });
    }
    let mut writer = Writer::new(version, M::FLEXIBLE.contain(version));
    message.encode(&mut writer, false);
    writer.start_writing();
    message.encode(&mut writer, false);
    writer.finish(M::NAME)
}

// === numbers ===

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, w: &mut Writer, _nullable: bool) {
                w.put(&self.to_be_bytes());
            }
        }

        impl Decode for $ty {
            fn initial() -> Self {
                Self::default()
            }

            fn decode(r: &mut Reader, _nullable: bool) -> Result<Self, Broken> {
                r.array().map(Self::from_be_bytes)
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, u16, f64);

impl Encode for bool {
    fn encode(&self, w: &mut Writer, _nullable: bool) {
        w.put(&[u8::from(*self)]);
    }
}

impl Decode for bool {
    fn initial() -> Self {
        false
    }

    fn decode(r: &mut Reader, _nullable: bool) -> Result<Self, Broken> {
        // As in Kafka: all but zero is true.
        r.array::<1>().map(|[byte]| byte != 0)
    }
}

impl Encode for Uuid {
    fn encode(&self, w: &mut Writer, _nullable: bool) {
        w.put(self.as_bytes());
    }
}

impl Decode for Uuid {
    fn initial() -> Self {
        Self::nil()
    }

    fn decode(r: &mut Reader, _nullable: bool) -> Result<Self, Broken> {
        r.array().map(Self::from_bytes)
    }
}

// === what has a length, and null as a special one ===

/// Reading and writing of a nullable type where null is not allowed.
macro_rules! with_null {
    ($ty:ty $(, $param:ident: $bound:ident + $more:ident)?) => {
        impl$(<$param: $bound + $more>)? Encode for $ty {
            fn encode(&self, w: &mut Writer, _nullable: bool) {
                Self::encode_nullable(Some(self), w);
            }
        }

        impl$(<$param: $bound + $more>)? Decode for $ty {
            fn initial() -> Self {
                Self::default()
            }

            fn decode(r: &mut Reader, _nullable: bool) -> Result<Self, Broken> {
                match Self::decode_nullable(r)? {
                    Some(value) => Ok(value),
                    None => r.fail(Fault::Null),
                }
            }
        }
    };
}

with_null!(Str);
with_null!(Bytes);
with_null!(Records);
with_null!(Vec<T>, T: Encode + Decode);

impl Nullable for Str {
    fn encode_nullable(value: Option<&Self>, w: &mut Writer) {
        w.string_length(value.map(|text| text.as_bytes().len()));
        if let Some(text) = value {
            w.put(text.as_bytes());
        }
    }

    fn decode_nullable(r: &mut Reader) -> Result<Option<Self>, Broken> {
        let Some(len) = r.string_length()? else { return Ok(None) };
        match Self::try_from(r.slice(len)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => r.fail(Fault::Utf8),
        }
    }
}

impl Nullable for Bytes {
    fn encode_nullable(value: Option<&Self>, w: &mut Writer) {
        w.length(value.map(Self::len));
        if let Some(bytes) = value {
            w.share(bytes);
        }
    }

    fn decode_nullable(r: &mut Reader) -> Result<Option<Self>, Broken> {
        match r.length()? {
            Some(len) => r.slice(len).map(Some),
            None => Ok(None),
        }
    }
}

impl Nullable for Records {
    fn encode_nullable(value: Option<&Self>, w: &mut Writer) {
        w.length(value.map(Self::len));
        for batch in value.into_iter().flat_map(Self::batches) {
            w.share(batch);
        }
    }

    fn decode_nullable(r: &mut Reader) -> Result<Option<Self>, Broken> {
        Bytes::decode_nullable(r).map(|bytes| bytes.map(Self::from))
    }
}

impl<T: Encode + Decode> Nullable for Vec<T> {
    fn encode_nullable(value: Option<&Self>, w: &mut Writer) {
        w.length(value.map(Self::len));
        for element in value.into_iter().flatten() {
            element.encode(w, false);
        }
    }

    fn decode_nullable(r: &mut Reader) -> Result<Option<Self>, Broken> {
        // No element is smaller than a byte, so the count is at most the bytes that are left.
        let Some(count) = r.length()? else { return Ok(None) };
        r.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Self::with_capacity(count.min(ARRAY_BLOCK));
        for _ in 0..count {
            elements.push(T::decode(r, false)?);
        }
        Ok(Some(elements))
    }
}

impl<T: Nullable> Encode for Option<T> {
    fn encode(&self, w: &mut Writer, nullable: bool) {
        match self {
            value if nullable => T::encode_nullable(value.as_ref(), w),
            Some(value) => value.encode(w, false),
            None => T::initial().encode(w, false),
        }
    }
}

impl<T: Nullable> Decode for Option<T> {
    fn initial() -> Self {
        Some(T::initial())
    }

    fn decode(r: &mut Reader, nullable: bool) -> Result<Self, Broken> {
        if nullable { T::decode_nullable(r) } else { T::decode(r, false).map(Some) }
    }
}

// === structs ===

/// [`Nullable::encode_nullable`] of a declared struct.
pub(super) fn encode_nullable_struct<T: Encode>(value: Option<&T>, w: &mut Writer) {
    w.put(&[if value.is_some() { 1 } else { 0xff }]);
    if let Some(value) = value {
        value.encode(w, false);
    }
}

/// [`Nullable::decode_nullable`] of a declared struct.
pub(super) fn decode_nullable_struct<T: Decode>(r: &mut Reader) -> Result<Option<T>, Broken> {
    match i8::decode(r, false)? {
        -1 => Ok(None),
        1 => T::decode(r, false).map(Some),
        found => r.fail(Fault::Marker { found }),
    }
}
