//! A frame that is read from front to back in one version of a message.

use bytes::Bytes;

use super::codec::{Decode, FieldSpec, Versions};
use super::error::{DecodeError, Fault};

/// Memory that the decoded arrays of one message may take. Strings and records are slices of the frame and do not
/// count. Enough for 800,000 partitions of a fetch; a frame of the largest size full of one-byte elements would take
/// gigabytes without it (a guess between the two).
pub(super) const ARRAYS_BYTES_MAX: usize = 64 << 20;

/// Reading has failed; what and where stands in the [`Reader`]. It is empty so that every read stays small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken;

/// Before the first field.
const START: FieldSpec = FieldSpec {
    message: "message",
    name: "start",
    versions: Versions::NONE,
    nullable: Versions::NONE,
    tag: None,
};

/// The state of reading one message.
pub(super) struct Reader {
    frame: Bytes,
    /// the next byte, in `0..=end`
    at: usize,
    /// of the message, or of the tagged field that is being read
    end: usize,
    version: i16,
    flexible: bool,
    /// memory left for arrays
    budget: usize,
    /// the field being read, for the error
    place: &'static FieldSpec,
    fault: Option<Fault>,
}

impl Reader {
    pub(super) fn new(frame: Bytes, version: i16, flexible: bool) -> Self {
        let end = frame.len();
        Self { frame, at: 0, end, version, flexible, budget: ARRAYS_BYTES_MAX, place: &START, fault: None }
    }

    /// The message, if it was read without a fault and fills its frame.
    pub(super) fn finish<M>(self, name: &'static str, message: Result<M, Broken>) -> Result<M, DecodeError> {
        let (message, found) = self.split(message)?;
        match found.len() {
            0 => Ok(message),
            found => Err(DecodeError::Trailing { message: name, found }),
        }
    }

    /// What was read, and the rest of the frame.
    pub(super) fn split<M>(self, message: Result<M, Broken>) -> Result<(M, Bytes), DecodeError> {
        match (message, self.fault) {
            (Ok(message), None) => Ok((message, self.frame.slice(self.at..))),
            (_, fault) => Err(DecodeError::Field {
                message: self.place.message,
                field: self.place.name,
                fault: fault.unwrap_or(Fault::Null),
            }),
        }
    }

    /// Notes the first fault; the place is that of the field being read.
    pub(super) fn fail<T>(&mut self, fault: Fault) -> Result<T, Broken> {
        self.fault.get_or_insert(fault);
        Err(Broken)
    }

    // === bytes ===

    fn left(&self) -> usize {
        self.end - self.at
    }

    /// Moves over the next `len` bytes and says where they begin.
    fn take(&mut self, len: usize) -> Result<usize, Broken> {
        let found = self.left();
        if len > found {
            return self.fail(Fault::Short { found, expected: len });
        }
        let start = self.at;
        self.at += len;
        Ok(start)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let start = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.frame[start..start + N]);
        Ok(array)
    }

    /// The next `len` bytes, sharing the frame's memory.
    pub(super) fn slice(&mut self, len: usize) -> Result<Bytes, Broken> {
        let start = self.take(len)?;
        Ok(self.frame.slice(start..start + len))
    }

    fn uvarint(&mut self) -> Result<u32, Broken> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).or_else(|_| self.fail(Fault::Varint));
            }
        }
        self.fail(Fault::Varint)
    }

    // === lengths, compared with what is left ===

    /// `None`: null. Never more than the bytes that are left.
    pub(super) fn length(&mut self) -> Result<Option<usize>, Broken> {
        if self.flexible {
            return self.compact_length();
        }
        let length = i32::from_be_bytes(self.array()?);
        self.checked_length(length.into())
    }

    /// As [`Reader::length`], for strings.
    pub(super) fn string_length(&mut self) -> Result<Option<usize>, Broken> {
        if self.flexible {
            return self.compact_length();
        }
        let length = i16::from_be_bytes(self.array()?);
        self.checked_length(length.into())
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Broken> {
        let length = i64::from(self.uvarint()?) - 1;
        self.checked_length(length)
    }

    fn checked_length(&mut self, found: i64) -> Result<Option<usize>, Broken> {
        let most = self.left();
        match usize::try_from(found) {
            Ok(length) if length <= most => Ok(Some(length)),
            Err(_) if found == -1 => Ok(None),
            _ => self.fail(Fault::Length { found, most }),
        }
    }

    /// Takes memory for an array out of the message's budget.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Broken> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => self.fail(Fault::Large { limit: ARRAYS_BYTES_MAX }),
        }
    }

    // === fields ===

    /// Reads a field in its place, if this version has it there.
    pub(super) fn field<T: Decode>(&mut self, spec: &'static FieldSpec, slot: &mut T) -> Result<(), Broken> {
        if spec.tag.is_none() && spec.versions.contain(self.version) {
            self.place = spec;
            *slot = T::decode(self, spec.nullable.contain(self.version))?;
        }
        Ok(())
    }

    /// Reads a field found among the tagged ones; `false` if this version has no such field.
    pub(super) fn tagged<T: Decode>(
        &mut self,
        spec: &'static FieldSpec,
        slot: &mut T,
    ) -> Result<bool, Broken> {
        if !spec.versions.contain(self.version) {
            return Ok(false);
        }
        self.place = spec;
        *slot = T::decode(self, spec.nullable.contain(self.version))?;
        Ok(true)
    }

    /// Reads the tagged fields that end a flexible struct. `known` reads the value of a tag, or says that it does not
    /// know it; such a value is skipped (KIP-482).
    pub(super) fn tags(
        &mut self,
        known: &mut dyn FnMut(&mut Self, u32) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.uvarint()?;
        let end = self.end;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let found = self.left();
            if size > found {
                return self.fail(Fault::Short { found, expected: size });
            }
            self.end = self.at + size;
            if !known(self, tag)? {
                self.at = self.end;
            }
            let found = self.left();
            if found > 0 {
                return self.fail(Fault::TagTrailing { found });
            }
            self.end = end;
        }
        Ok(())
    }

    /// A string with the old 16-bit length, whatever the version: only the client id of a request header.
    pub(super) fn old_string<T: Decode>(&mut self, spec: &'static FieldSpec) -> Result<T, Broken> {
        self.place = spec;
        let flexible = std::mem::replace(&mut self.flexible, false);
        let text = T::decode(self, true);
        self.flexible = flexible;
        text
    }
}
