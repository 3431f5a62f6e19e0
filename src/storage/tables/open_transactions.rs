//! Transactions without a marker yet, under topic, partition and producer id. Written and deleted together with the
//! batches that open and close them.
//!
//! ```text
//! format u8 = 1 | first offset u64
//! ```

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use super::super::transactions::Open;
use crate::model::{Offset, Partition, TopicId};

const FORMAT: u8 = 1;

pub(in crate::storage) fn encode(first: Offset) -> [u8; 9] {
    let mut row = [FORMAT; 9];
    row[1..].copy_from_slice(&first.to_be_bytes());
    row
}

pub(in crate::storage) fn decode(row: &[u8]) -> Option<Offset> {
    Some(u64::from_be_bytes(row.strip_prefix(&[FORMAT])?.try_into().ok()?))
}

/// The open transactions of every log that has some.
pub(in crate::storage) fn load_all(db: &Db) -> Result<HashMap<(TopicId, Partition), Open>, ReadError> {
    let mut rows: HashMap<_, Vec<(Offset, i64)>> = HashMap::new();
    let mut damaged = None;
    let kind = Kind::OpenTransaction;
    db.scan(Family::Producers, keys::all(kind), |key, row| {
        match (keys::parse_in_log(kind, key), decode(row)) {
            (Some((topic, partition, producer_id)), Some(first)) => {
                rows.entry((topic, partition)).or_default().push((first, producer_id.cast_signed()));
                ControlFlow::Continue(())
            }
            (key, _) => {
                damaged = Some(ReadError::Damaged(format!("row of the open transaction {key:?}")));
                ControlFlow::Break(())
            }
        }
    })?;
    let rows = rows.into_iter().map(|(log, rows)| (log, Open::from_rows(rows))).collect();
    damaged.map_or(Ok(rows), Err)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn first_offsets_read_back_and_nothing_else_does(first: u64, row: Vec<u8>) {
            prop_assert_eq!(decode(&encode(first)), Some(first));
            if row.len() != 9 || row[0] != FORMAT {
                prop_assert_eq!(decode(&row), None);
            }
        }
    }
}
