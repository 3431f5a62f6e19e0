//! Groups and offsets as they lie in their tables. Integers are big endian; text is UTF-8. Rows of a version that is not
//! known are refused, never guessed at.
//!
//! ```text
//! group row        version u8 = 1 | kind u8 | what the kind says
//!   kind 1, classic: generation i32 | protocol type text? | protocol text? | leader text? | changed ms i64
//!                    | members u32, each:
//!                        id text | instance id text? | client id text | client host text
//!                        | session timeout ms i64 | rebalance timeout ms i64
//!                        | protocols u32, each: name text, metadata bytes
//!                        | assignment bytes
//!   kind 2, consumer: group epoch i32 | target epoch i32 | topics u32, each: id 16 bytes, partitions u32
//!                    | members u32, each:
//!                        id text | instance id text? | rack text? | client id text | client host text
//!                        | session timeout ms i64 | rebalance timeout ms i64
//!                        | topics u32, each: text | regular expression text? | assignor u8: 0 none, 1 uniform, 2 range
//!                        | epoch i32 | epoch before i32 | progress u8: 1 stable, 2 unrevoked, 3 unreleased
//!                        | owned partitions | to be revoked partitions | target partitions
//! offset row       version u8 = 1 | offset i64 | leader epoch i32 | committed ms i64 | expires ms i64 | metadata: the rest
//! pending offset   version u8 = 1 | producer epoch i16 | an offset row
//!
//! partitions       topics u32, each: id 16 bytes, partitions u32, each u32
//! text, bytes      length u32 | so many bytes
//! text?            0, or 1 and the text
//! ```
//! A leader epoch that was not given, and an offset that does not expire by itself, are −1.

mod consumer;

use std::sync::Arc;

use bytes::Bytes;

use super::machine::consumer::Snapshot as ConsumerSnapshot;
use super::machine::{MemberSnapshot, Protocol, Snapshot};
use super::offsets::{Committed, Pending};

pub(super) use consumer::encode_consumer;

const VERSION: u8 = 1;
const CLASSIC: u8 = 1;
const CONSUMER: u8 = 2;

/// A group as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupRow {
    Classic(Snapshot),
    Consumer(ConsumerSnapshot),
}

/// Why a row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    #[error("its version is {0}, known is {VERSION}")]
    Version(u8),
    #[error("its kind of group is {0}, which is not known")]
    Kind(u8),
    #[error("it ends in the middle, or goes on after its end")]
    Length,
    #[error("its text is not UTF-8")]
    Text,
    #[error("byte {0} stands for nothing that is known")]
    Byte(u8),
}

/// A group's row.
pub(super) fn encode_classic(snapshot: &Snapshot) -> Vec<u8> {
    let mut row = vec![VERSION, CLASSIC];
    row.extend(snapshot.generation.to_be_bytes());
    put_optional(&mut row, snapshot.protocol_type.as_deref());
    put_optional(&mut row, snapshot.protocol.as_deref());
    put_optional(&mut row, snapshot.leader.as_deref());
    row.extend(snapshot.changed_ms.to_be_bytes());
    put_count(&mut row, snapshot.members.len());
    for member in &snapshot.members {
        put_bytes(&mut row, member.id.as_bytes());
        put_optional(&mut row, member.instance_id.as_deref());
        put_bytes(&mut row, member.client_id.as_bytes());
        put_bytes(&mut row, member.client_host.as_bytes());
        row.extend(member.session_timeout_ms.to_be_bytes());
        row.extend(member.rebalance_timeout_ms.to_be_bytes());
        put_count(&mut row, member.protocols.len());
        for protocol in &member.protocols {
            put_bytes(&mut row, protocol.name.as_bytes());
            put_bytes(&mut row, &protocol.metadata);
        }
        put_bytes(&mut row, &member.assignment);
    }
    row
}

/// Reads a group's row.
pub(super) fn decode_group(row: &[u8]) -> Result<GroupRow, RowError> {
    let mut reader = Reader::of(row)?;
    let group = match reader.u8()? {
        CLASSIC => GroupRow::Classic(decode_classic(&mut reader)?),
        CONSUMER => GroupRow::Consumer(consumer::decode(&mut reader)?),
        kind => return Err(RowError::Kind(kind)),
    };
    reader.end()?;
    Ok(group)
}

fn decode_classic(reader: &mut Reader<'_>) -> Result<Snapshot, RowError> {
    let generation = i32::from_be_bytes(reader.array()?);
    let (protocol_type, protocol, leader) = (reader.optional()?, reader.optional()?, reader.optional()?);
    let changed_ms = reader.i64()?;
    let members = reader.list(Reader::member)?;
    Ok(Snapshot { generation, protocol_type, protocol, leader, changed_ms, members })
}

/// An offset's row.
pub(super) fn encode_offset(committed: &Committed) -> Vec<u8> {
    let mut row = vec![VERSION];
    row.extend(committed.offset.to_be_bytes());
    row.extend(committed.leader_epoch.to_be_bytes());
    row.extend(committed.committed_ms.to_be_bytes());
    row.extend(committed.expires_ms.unwrap_or(-1).to_be_bytes());
    row.extend(committed.metadata.as_bytes());
    row
}

/// Reads an offset's row.
pub(super) fn decode_offset(row: &[u8]) -> Result<Committed, RowError> {
    let mut reader = Reader::of(row)?;
    Ok(Committed {
        offset: reader.i64()?,
        leader_epoch: i32::from_be_bytes(reader.array()?),
        committed_ms: reader.i64()?,
        expires_ms: Some(reader.i64()?).filter(|ms| *ms >= 0),
        metadata: text(reader.0)?,
    })
}

/// A pending offset's row.
pub(super) fn encode_pending(pending: &Pending) -> Vec<u8> {
    let mut row = vec![VERSION];
    row.extend(pending.producer_epoch.to_be_bytes());
    row.extend(encode_offset(&pending.committed));
    row
}

/// Reads a pending offset's row.
pub(super) fn decode_pending(row: &[u8]) -> Result<Pending, RowError> {
    let mut reader = Reader::of(row)?;
    let producer_epoch = i16::from_be_bytes(reader.array()?);
    Ok(Pending { producer_epoch, committed: decode_offset(reader.0)? })
}

fn put_count(row: &mut Vec<u8>, count: usize) {
    // What is stored is far smaller: `GROUP_BYTES_MAX`.
    row.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    put_count(row, bytes.len());
    row.extend(bytes);
}

fn put_optional(row: &mut Vec<u8>, text: Option<&str>) {
    row.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_bytes(row, text.as_bytes());
    }
}

fn text(bytes: &[u8]) -> Result<Arc<str>, RowError> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| RowError::Text)
}

/// What has not been read of a row.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn of(row: &'a [u8]) -> Result<Self, RowError> {
        match row.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((version, _)) => Err(RowError::Version(*version)),
            None => Err(RowError::Length),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(RowError::Length)?;
        self.0 = rest;
        Ok(*array)
    }

    fn i32(&mut self) -> Result<i32, RowError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, RowError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u8(&mut self) -> Result<u8, RowError> {
        Ok(self.array::<1>()?[0])
    }

    fn i64(&mut self) -> Result<i64, RowError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], RowError> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(RowError::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<Arc<str>, RowError> {
        text(self.bytes()?)
    }

    fn optional(&mut self) -> Result<Option<Arc<str>>, RowError> {
        if self.u8()? == 0 { Ok(None) } else { self.text().map(Some) }
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, RowError>) -> Result<Vec<T>, RowError> {
        let count = self.u32()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn protocol(&mut self) -> Result<Protocol, RowError> {
        Ok(Protocol { name: self.text()?, metadata: Bytes::copy_from_slice(self.bytes()?) })
    }

    fn member(&mut self) -> Result<MemberSnapshot, RowError> {
        Ok(MemberSnapshot {
            id: self.text()?,
            instance_id: self.optional()?,
            client_id: self.text()?,
            client_host: self.text()?,
            session_timeout_ms: self.i64()?,
            rebalance_timeout_ms: self.i64()?,
            protocols: self.list(Self::protocol)?,
            assignment: Bytes::copy_from_slice(self.bytes()?),
        })
    }

    fn end(&self) -> Result<(), RowError> {
        if self.0.is_empty() { Ok(()) } else { Err(RowError::Length) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn any_text() -> impl Strategy<Value = Arc<str>> {
        any::<String>().prop_map(Arc::from)
    }

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    prop_compose! {
        fn member()(
            (id, client_id, client_host) in (any_text(), any_text(), any_text()),
            instance_id in option::of(any_text()),
            session_timeout_ms: i64,
            rebalance_timeout_ms: i64,
            protocols in vec((any_text(), any_bytes()), 0..3),
            assignment in any_bytes(),
        ) -> MemberSnapshot {
            let protocols = protocols.into_iter().map(|(name, metadata)| Protocol { name, metadata }).collect();
            MemberSnapshot {
                id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, protocols, assignment,
            }
        }
    }

    prop_compose! {
        fn snapshot()(
            generation: i32,
            protocol_type in option::of(any_text()),
            protocol in option::of(any_text()),
            leader in option::of(any_text()),
            changed_ms: i64,
            members in vec(member(), 0..3),
        ) -> Snapshot {
            Snapshot { generation, protocol_type, protocol, leader, changed_ms, members }
        }
    }

    prop_compose! {
        fn pending()(
            producer_epoch: i16,
            offset: i64,
            leader_epoch: i32,
            committed_ms: i64,
            expires_ms in option::of(0..i64::MAX),
            metadata in any_text(),
        ) -> Pending {
            let committed = Committed { offset, leader_epoch, committed_ms, expires_ms, metadata };
            Pending { producer_epoch, committed }
        }
    }

    proptest! {
        #[test]
        fn groups_read_back_and_no_part_of_a_row_is_a_row(group in snapshot()) {
            let row = encode_classic(&group);
            for end in 0..row.len() {
                prop_assert!(decode_group(&row[..end]).is_err());
            }
            let mut long = row.clone();
            long.push(0);
            prop_assert_eq!(decode_group(&long), Err(RowError::Length));
            prop_assert_eq!(decode_group(&row), Ok(GroupRow::Classic(group)));
        }

        #[test]
        fn offsets_read_back_with_their_metadata_as_given(pending in pending()) {
            prop_assert_eq!(decode_offset(&encode_offset(&pending.committed)), Ok(pending.committed.clone()));
            prop_assert_eq!(decode_pending(&encode_pending(&pending)), Ok(pending));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(row: Vec<u8>) {
            let _ = (decode_group(&row), decode_offset(&row), decode_pending(&row));
        }
    }

    #[test]
    fn rows_of_other_versions_and_kinds_are_refused() {
        assert_eq!(decode_group(&[2, 1]), Err(RowError::Version(2)));
        assert_eq!(decode_group(&[1, 3]), Err(RowError::Kind(3)));
        assert_eq!(decode_offset(&[]), Err(RowError::Length));
        assert_eq!(decode_pending(&[9]), Err(RowError::Version(9)));
        let claimed = [&[1, 1][..], &[0; 7], &[0; 8], &[0xff; 4]].concat();
        assert_eq!(decode_group(&claimed), Err(RowError::Length));
    }

    #[test]
    fn the_layout_of_an_offset_row_stays() {
        let committed = Committed {
            offset: 258,
            leader_epoch: -1,
            committed_ms: 1,
            expires_ms: None,
            metadata: "é".into(),
        };
        let row = [
            &[1, 0, 0, 0, 0, 0, 0, 1, 2][..],
            &[0xff; 4],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0xff; 8],
            "é".as_bytes(),
        ];
        assert_eq!(encode_offset(&committed), row.concat());
    }
}
