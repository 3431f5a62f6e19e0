//! How keys and rows become bytes. Numbers are big endian with a fixed width and signed ones have their sign flipped, so
//! that the order of encoded numbers, and of tuples of them, is their order: a scan of a time range finds its rows.

use std::hash::Hash;

use crate::model::Fault;

/// A value with a form in bytes.
pub trait Stored: Sized {
    /// Appends its bytes.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes it off the front; none: these bytes are none.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

/// What a row is found by.
pub trait Key: Stored + Clone + Eq + Hash {}

impl<T: Stored + Clone + Eq + Hash> Key for T {}

/// The bytes of a value.
pub fn encode(value: &impl Stored) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    bytes
}

/// A value from all of these bytes.
pub fn decode<T: Stored>(mut bytes: &[u8]) -> Option<T> {
    let value = T::take(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

/// A value of a store, which only this code has written.
pub(super) fn read<T: Stored>(bytes: &[u8], store: &str) -> Result<T, Fault> {
    decode(bytes).ok_or_else(|| {
        Fault::Fatal(format!("store `{store}`: an entry is not readable; was it written by another version?"))
    })
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Stored for $number {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_be_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_be_bytes(*bytes))
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);

impl Stored for i64 {
    fn put(&self, to: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        u64::take(from).map(|flipped| (flipped ^ (1 << 63)).cast_signed())
    }
}

impl Stored for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Stored for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// Bytes, after their length: no key of this kind is the beginning of another one.
impl Stored for Box<[u8]> {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u32).put(to);
        to.extend_from_slice(self);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = u32::take(from)? as usize;
        let (bytes, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(bytes.into())
    }
}

impl Stored for String {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u32).put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(<Box<[u8]>>::take(from)?.into()).ok()
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u32).put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = u32::take(from)? as usize;
        // Grows with what is there, whatever the length claims.
        let mut values = Self::with_capacity(length.min(from.len()));
        for _ in 0..length {
            values.push(T::take(from)?);
        }
        Some(values)
    }
}

macro_rules! tuple {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Stored),*> Stored for ($($name,)*) {
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$at.put(to);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(($($name::take(from)?,)*))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order_as_bytes() {
        let times = [i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX];
        assert!(times.windows(2).all(|two| encode(&two[0]) < encode(&two[1])));
        assert!(encode(&(-1_i64, u64::MAX)) < encode(&(0_i64, 0_u64)));
        for time in times {
            assert_eq!(decode::<i64>(&encode(&time)), Some(time));
        }
    }

    #[test]
    fn what_was_put_is_taken() {
        let value = (7_i64, "näh".to_owned(), vec![(1_u64, Some(true)), (2, None)], Box::<[u8]>::from(*b"x"));
        let bytes = encode(&value);
        assert_eq!(decode(&bytes), Some(value.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(decode::<(i64, String, Vec<(u64, Option<bool>)>, Box<[u8]>)>(&bytes[..cut]), None);
        }
        assert_eq!(decode::<Vec<u64>>(&u32::MAX.to_be_bytes()), None, "a length alone takes no memory");
    }
}
