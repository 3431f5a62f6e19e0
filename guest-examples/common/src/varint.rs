//! Numbers in rows: LEB128, seven bits a byte, low bits first, the high bit says that more follow.

/// Appends a number: 1 byte below 128, at most 10.
#[inline]
pub fn put_varint(n: u64, to: &mut Vec<u8>) {
    // Rows are made of small numbers, and writing them is most of what their guests do.
    if n < 0x80 {
        to.push(n as u8);
    } else if n < 0x4000 {
        to.extend_from_slice(&[n as u8 | 0x80, (n >> 7) as u8]);
    } else {
        put_large(n, to);
    }
}

fn put_large(mut n: u64, to: &mut Vec<u8>) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// Reads a row from its front. Every method returns none where the row is cut short or no row at all.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(row: &'a [u8]) -> Self {
        Self { rest: row }
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// The next number.
    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        let mut n = 0;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Some(n);
            }
        }
        None
    }

    /// The next number, when it fits 32 bits.
    #[inline]
    pub fn varint32(&mut self) -> Option<u32> {
        self.varint()?.try_into().ok()
    }

    /// The next eight bytes as a little endian double.
    pub fn f64(&mut self) -> Option<f64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_order() {
        let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        let mut row = Vec::new();
        for n in numbers {
            put_varint(n, &mut row);
        }
        let mut reader = Reader::new(&row);
        for n in numbers {
            assert_eq!(reader.varint(), Some(n));
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(Reader::new(b"").byte(), None);
        assert_eq!(Reader::new(b"").varint(), None);
        assert_eq!(Reader::new(b"\x80").varint(), None);
        assert_eq!(Reader::new(&[0x80; 11]).varint(), None);
        assert_eq!(Reader::new(b"\x80\x80\x80\x80\x10").varint32(), None);
        assert_eq!(Reader::new(b"\0\0\0").f64(), None);
    }
}
