//! Reading the primitives of a record, never beyond the end.

use super::BatchError;

/// Reads primitives off a slice, refusing to go beyond its end.
#[derive(Debug, Clone)]
pub(in crate::model) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(in crate::model) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read yet.
    #[inline]
    pub(in crate::model) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, BatchError> {
        let (first, rest) = self.bytes.split_first().ok_or(BatchError::Malformed("a record cut short"))?;
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn varlong(&mut self) -> Result<i64, BatchError> {
        // Most numbers of a record are small.
        match self.bytes {
            [first, rest @ ..] if *first < 0x80 => {
                self.bytes = rest;
                Ok(unzigzag(u64::from(*first)))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.bytes = rest;
                Ok(unzigzag(u64::from(*first & 0x7f) | u64::from(*second) << 7))
            }
            _ => self.long_varlong(),
        }
    }

    #[inline(never)]
    fn long_varlong(&mut self) -> Result<i64, BatchError> {
        let mut zigzag = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            zigzag |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(unzigzag(zigzag));
            }
        }
        Err(BatchError::Malformed("a variable-length number that is too long"))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<i32, BatchError> {
        i32::try_from(self.varlong()?).map_err(|_| BatchError::Malformed("a number beyond 32 bits"))
    }

    /// Length varint and so many bytes; -1 is null.
    #[inline]
    pub(in crate::model) fn var_bytes(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        let length = self.varint()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| BatchError::Malformed("a negative length"))?;
        let (head, rest) =
            self.bytes.split_at_checked(length).ok_or(BatchError::Malformed("a length beyond the end"))?;
        self.bytes = rest;
        Ok(Some(head))
    }
}

#[inline]
fn unzigzag(zigzag: u64) -> i64 {
    ((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64)
}
