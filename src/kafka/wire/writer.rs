//! A message that is written: counted in a first run, put into memory of exactly that size in a second.

use bytes::{Bytes, BytesMut};

use super::codec::{Encode, FieldSpec, Nullable, Versions};
use super::error::EncodeError;
use super::frame::Frame;

/// Shared bytes up to this size are copied into the head: a segment costs an entry of a vectored write, which is dearer
/// than copying a few cache lines (a guess).
const COPIED_BYTES_MAX: usize = 512;

/// Before the first field.
const START: FieldSpec = FieldSpec {
    message: "message",
    name: "start",
    versions: Versions::NONE,
    nullable: Versions::NONE,
    tag: None,
};

/// A field that is written among the tagged ones. One that has its default is left out.
pub(super) struct TaggedField<'a> {
    pub(super) spec: &'static FieldSpec,
    pub(super) value: &'a dyn Encode,
}

/// The state of writing one message.
pub(super) struct Writer {
    version: i16,
    flexible: bool,
    counting: bool,
    /// bytes counted
    len: usize,
    /// those of them that are copied, not shared
    copied: usize,
    head: BytesMut,
    segments: Vec<Bytes>,
    place: &'static FieldSpec,
    error: Option<EncodeError>,
}

impl Writer {
    /// A writer that counts.
    pub(super) fn new(version: i16, flexible: bool) -> Self {
        Self {
            version,
            flexible,
            counting: true,
            len: 0,
            copied: 0,
            head: BytesMut::new(),
            segments: Vec::new(),
            place: &START,
            error: None,
        }
    }

    /// Ends the first run. What was counted so far is what follows.
    pub(super) fn start_writing(&mut self) {
        self.head = BytesMut::with_capacity(self.copied);
        self.counting = false;
    }

    /// Bytes counted by the first run.
    pub(super) fn counted(&self) -> usize {
        self.len
    }

    /// What was written.
    pub(super) fn finish(mut self, message: &'static str) -> Result<Frame, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if i32::try_from(self.len).is_err() {
            return Err(EncodeError::Frame { message, found: self.len });
        }
        if !self.head.is_empty() {
            self.segments.push(self.head.freeze());
        }
        Ok(Frame::new(self.segments))
    }

    // === bytes ===

    /// Copies `bytes`.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.counting {
            self.len += bytes.len();
            self.copied += bytes.len();
        } else {
            self.head.extend_from_slice(bytes);
        }
    }

    /// Queues `bytes` as they are, unless they are few.
    pub(super) fn share(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            self.put(bytes);
        } else if self.counting {
            self.len += bytes.len();
        } else {
            if !self.head.is_empty() {
                self.segments.push(self.head.split().freeze());
            }
            self.segments.push(bytes.clone());
        }
    }

    fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put(&[(value & 0x7f) as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    // === lengths ===

    /// `None`: null.
    pub(super) fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let value = length.map_or(-1, |length| self.fitting(length, i32::MAX as usize) as i32);
        self.put(&value.to_be_bytes());
    }

    /// As [`Writer::length`], for strings.
    pub(super) fn string_length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let value = length.map_or(-1, |length| self.fitting(length, i16::MAX as usize) as i16);
        self.put(&value.to_be_bytes());
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let value = length.map_or(0, |length| self.fitting(length, i32::MAX as usize) as u32 + 1);
        self.put_uvarint(value);
    }

    /// `found`, or 0 with an error if the length field cannot hold it.
    fn fitting(&mut self, found: usize, most: usize) -> usize {
        if found <= most {
            return found;
        }
        let (message, field) = (self.place.message, self.place.name);
        self.error.get_or_insert(EncodeError::Length { message, field, found, most });
        0
    }

    // === fields ===

    /// Writes a field in its place, if this version has it there.
    pub(super) fn field<T: Encode>(&mut self, spec: &'static FieldSpec, value: &T) {
        if spec.tag.is_none() && spec.versions.contain(self.version) {
            self.place = spec;
            value.encode(self, spec.nullable.contain(self.version));
        }
    }

    /// Writes the tagged fields that end a flexible struct, in the order given, which is that of their tags.
    pub(super) fn tags(&mut self, fields: &[TaggedField<'_>]) {
        if !self.flexible {
            return;
        }
        let version = self.version;
        let there = || fields.iter().filter(move |f| f.spec.versions.contain(version));
        self.put_uvarint(there().count() as u32);
        for field in there() {
            self.place = field.spec;
            self.put_uvarint(field.spec.tag.unwrap_or_default());
            let nullable = field.spec.nullable.contain(version);
            let size = self.size_of(field.value, nullable);
            let size = self.fitting(size, i32::MAX as usize) as u32;
            self.put_uvarint(size);
            field.value.encode(self, nullable);
        }
    }

    /// A string with the old 16-bit length, whatever the version: only the client id of a request header.
    pub(super) fn old_string<T: Nullable>(&mut self, text: Option<&T>) {
        let flexible = std::mem::replace(&mut self.flexible, false);
        T::encode_nullable(text, self);
        self.flexible = flexible;
    }

    /// Bytes that `value` takes.
    fn size_of(&mut self, value: &dyn Encode, nullable: bool) -> usize {
        let before = (self.counting, self.len, self.copied);
        self.counting = true;
        value.encode(self, nullable);
        let size = self.len - before.1;
        (self.counting, self.len, self.copied) = before;
        size
    }
}
