//! How far the logs of compacted topics are cleaned, under topic and partition.
//!
//! ```text
//! format u8 = 1 | first offset that is not cleaned u64 | when a tombstone or marker may go i64, the largest: never
//! ```

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::cleaner::Cleaned;
use super::super::commit::Commit;
use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use super::super::log::Log;
use crate::model::{Partition, TopicId};

const FORMAT: u8 = 1;
const LEN: usize = 1 + 2 * 8;
const NEVER: i64 = i64::MAX;

pub(in crate::storage) fn encode(cleaned: &Cleaned) -> [u8; LEN] {
    let mut row = [FORMAT; LEN];
    row[1..9].copy_from_slice(&cleaned.dirty_from.to_be_bytes());
    row[9..].copy_from_slice(&cleaned.horizon_ms.unwrap_or(NEVER).to_be_bytes());
    row
}

pub(in crate::storage) fn decode(row: &[u8]) -> Option<Cleaned> {
    let ([dirty_from, horizon], []) = row.strip_prefix(&[FORMAT])?.as_chunks::<8>() else { return None };
    let horizon_ms = Some(i64::from_be_bytes(*horizon)).filter(|ms| *ms != NEVER);
    Some(Cleaned { dirty_from: u64::from_be_bytes(*dirty_from), horizon_ms })
}

pub(in crate::storage) fn put(commit: &mut Commit, log: &Log, cleaned: &Cleaned) {
    let key = keys::of_log(Kind::Cleaned, log.topic_id(), log.partition());
    commit.put(Family::Meta, key, encode(cleaned).to_vec().into());
}

/// Of every log that was cleaned.
pub(in crate::storage) fn load_all(db: &Db) -> Result<HashMap<(TopicId, Partition), Cleaned>, ReadError> {
    let mut rows = HashMap::new();
    db.scan(Family::Meta, keys::all(Kind::Cleaned), |key, row| {
        // A log whose row cannot be read is cleaned from its start, which is right for every log.
        if let Some((log, cleaned)) = keys::parse_of_log(Kind::Cleaned, key).zip(decode(row)) {
            rows.insert(log, cleaned);
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_read_back_and_nothing_else_does(dirty_from: u64, horizon: Option<i64>, other: Vec<u8>) {
            let horizon_ms = horizon.filter(|ms| *ms != NEVER);
            let cleaned = Cleaned { dirty_from, horizon_ms };
            prop_assert_eq!(decode(&encode(&cleaned)), Some(cleaned));
            if other.len() != LEN || other[0] != FORMAT {
                prop_assert_eq!(decode(&other), None);
            }
        }
    }
}
