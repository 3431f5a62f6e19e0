//! The bytes that consumers exchange through a classic group (`ConsumerProtocolSubscription.json`,
//! `ConsumerProtocolAssignment.json`), big endian. A reader takes a version above its own as its own: fields are only ever
//! added at the end.
//!
//! ```text
//! subscription  version i16 | topics: count i32, each text | user data: bytes | from 1: owned partitions
//!               | from 2: generation i32 | from 3: rack text?
//! assignment    version i16 | partitions | user data: bytes
//! partitions    count i32, each: topic text | count i32, each i32
//! text          length i16 | UTF-8            bytes: length i32, −1 for none | so many bytes
//! ```

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Partitions;
use crate::model::Partition;

/// With owned partitions and the generation that they are of, which is what `cooperative-sticky` needs.
const SUBSCRIPTION_VERSION: i16 = 2;
const ASSIGNMENT_VERSION: i16 = 0;

/// Bytes that are no subscription or assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes that are no message of Kafka's consumer protocol")]
pub struct Malformed;

/// What a member wants to read, and what it reads so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// by name
    pub topics: Vec<Arc<str>>,
    /// what it has not given up
    pub owned: Partitions,
    /// in which it was given those; −1: none
    pub generation: i32,
}

// === impl Subscription ===

impl Subscription {
    /// As a member sends it.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(SUBSCRIPTION_VERSION);
        out.put_i32(self.topics.len() as i32);
        for topic in &self.topics {
            put_text(&mut out, topic);
        }
        out.put_i32(-1);
        put_partitions(&mut out, &self.owned);
        out.put_i32(self.generation);
        out.freeze()
    }

    /// Reads any version.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let version = reader.version()?;
        let topics = reader.list(Reader::text)?;
        reader.bytes()?;
        let owned = if version >= 1 { reader.partitions()? } else { Partitions::new() };
        let generation = if version >= 2 { reader.i32()? } else { -1 };
        Ok(Self { topics, owned, generation })
    }
}

/// An assignment as a leader sends it.
pub fn encode_assignment(assignment: &Partitions) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(ASSIGNMENT_VERSION);
    put_partitions(&mut out, assignment);
    out.put_i32(-1);
    out.freeze()
}

/// Reads an assignment of any version. No bytes at all are one of nothing: its member was left out.
///
/// # Errors
/// `Malformed`.
pub fn decode_assignment(bytes: &[u8]) -> Result<Partitions, Malformed> {
    if bytes.is_empty() {
        return Ok(Partitions::new());
    }
    let mut reader = Reader(bytes);
    reader.version()?;
    reader.partitions()
}

fn put_text(out: &mut BytesMut, text: &str) {
    // Names of topics have 249 bytes at most.
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn put_partitions(out: &mut BytesMut, partitions: &Partitions) {
    out.put_i32(partitions.len() as i32);
    for (topic, list) in partitions {
        put_text(out, topic);
        out.put_i32(list.len() as i32);
        for partition in list {
            out.put_i32(partition.cast_signed());
        }
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn version(&mut self) -> Result<i16, Malformed> {
        let version = i16::from_be_bytes(self.array()?);
        if version < 0 { Err(Malformed) } else { Ok(version) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<Arc<str>, Malformed> {
        let length = usize::try_from(i16::from_be_bytes(self.array()?)).map_err(|_| Malformed)?;
        std::str::from_utf8(self.take(length)?).map(Arc::from).map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<(), Malformed> {
        match self.i32()? {
            -1 => Ok(()),
            length => self.take(usize::try_from(length).map_err(|_| Malformed)?).map(drop),
        }
    }

    /// Nothing is set aside for a count that the bytes do not hold.
    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = u32::try_from(self.i32()?).map_err(|_| Malformed)?;
        (0..count).map(|_| item(self)).collect()
    }

    fn partition(&mut self) -> Result<Partition, Malformed> {
        Partition::try_from(self.i32()?).map_err(|_| Malformed)
    }

    fn partitions(&mut self) -> Result<Partitions, Malformed> {
        let mut all = Partitions::new();
        for (topic, list) in self.list(|r| Ok((r.text()?, r.list(Self::partition)?)))? {
            all.entry(topic).or_default().extend(list);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::partitions;
    use super::*;

    fn subscription() -> Subscription {
        let topics = vec![Arc::from("orders"), Arc::from("clicks")];
        Subscription { topics, owned: partitions(&[("orders", &[0, 2])]), generation: 7 }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let bytes = b"\0\x02\0\0\0\x02\0\x06orders\0\x06clicks\xff\xff\xff\xff\
            \0\0\0\x01\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\x07";
        assert_eq!(subscription().encode(), &bytes[..]);
        let bytes = b"\0\0\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x03\xff\xff\xff\xff";
        assert_eq!(encode_assignment(&partitions(&[("a", &[3])])), &bytes[..]);
        assert_eq!(decode_assignment(bytes), Ok(partitions(&[("a", &[3])])));
    }

    #[test]
    fn every_version_is_read() {
        assert_eq!(Subscription::decode(&subscription().encode()), Ok(subscription()));
        let oldest = b"\0\0\0\0\0\x01\0\x01a\0\0\0\x01x";
        let expected = Subscription { topics: vec!["a".into()], owned: Partitions::new(), generation: -1 };
        assert_eq!(Subscription::decode(oldest), Ok(expected));
        let mut newer = subscription().encode().to_vec();
        newer[1] = 9;
        newer.extend(b"\xff\xffand more");
        assert_eq!(Subscription::decode(&newer), Ok(subscription()));
        assert_eq!(decode_assignment(b""), Ok(Partitions::new()));
    }

    #[test]
    fn short_and_lying_bytes_are_refused() {
        let whole = subscription().encode();
        for end in 0..whole.len() {
            assert_eq!(Subscription::decode(&whole[..end]), Err(Malformed));
        }
        assert_eq!(Subscription::decode(b"\0\0\x7f\xff\xff\xff"), Err(Malformed));
        assert_eq!(decode_assignment(b"\0\0\x7f\xff\xff\xff"), Err(Malformed));
        assert_eq!(decode_assignment(b"\xff\xff\0\0\0\0"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = (Subscription::decode(&bytes), decode_assignment(&bytes));
        }
    }
}
