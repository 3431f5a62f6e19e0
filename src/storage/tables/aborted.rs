//! Aborted transactions, under topic, partition and the offset of the marker. They go when the log's start passes the
//! marker.
//!
//! ```text
//! format u8 = 1 | producer id i64 | first offset u64 | last stable offset after the marker u64
//! ```

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::{Offset, Partition, TopicId};

const FORMAT: u8 = 1;
const LEN: usize = 1 + 3 * 8;

/// See [`super::super::transactions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Row {
    pub(in crate::storage) producer_id: i64,
    pub(in crate::storage) first_offset: Offset,
    /// the last stable offset after the marker
    pub(in crate::storage) stable: Offset,
}

pub(in crate::storage) fn encode(row: &Row) -> [u8; LEN] {
    let mut bytes = [FORMAT; LEN];
    let fields = [row.producer_id.cast_unsigned(), row.first_offset, row.stable];
    for (to, field) in bytes[1..].chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field.to_be_bytes());
    }
    bytes
}

pub(in crate::storage) fn decode(row: &[u8]) -> Option<Row> {
    let ([producer_id, first, stable], []) = row.strip_prefix(&[FORMAT])?.as_chunks::<8>() else {
        return None;
    };
    Some(Row {
        producer_id: i64::from_be_bytes(*producer_id),
        first_offset: u64::from_be_bytes(*first),
        stable: u64::from_be_bytes(*stable),
    })
}

/// For every log that has some: the offset after the last marker.
pub(in crate::storage) fn ends(db: &Db) -> Result<HashMap<(TopicId, Partition), Offset>, ReadError> {
    let mut ends = HashMap::new();
    let kind = Kind::AbortedTransaction;
    db.scan(Family::Producers, keys::all(kind), |key, _| {
        if let Some((topic, partition, marker)) = keys::parse_in_log(kind, key) {
            // In key order the last one of a log stays.
            ends.insert((topic, partition), marker.saturating_add(1));
        }
        ControlFlow::Continue(())
    })?;
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_read_back_and_nothing_else_does(producer_id: i64, offsets: [u64; 2], other: Vec<u8>) {
            let row = Row { producer_id, first_offset: offsets[0], stable: offsets[1] };
            prop_assert_eq!(decode(&encode(&row)), Some(row));
            if other.len() != LEN || other[0] != FORMAT {
                prop_assert_eq!(decode(&other), None);
            }
        }
    }
}
