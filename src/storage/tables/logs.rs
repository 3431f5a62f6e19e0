//! Bounds of logs: written with every group for every log that it touches, so that opening scans no log.
//!
//! ```text
//! format u8 = 1 | start u64 | bytes u64 | active segment: base u64, next u64, bytes u64, max timestamp i64,
//! opened i64, appended i64
//! ```

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::commit::Commit;
use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use super::super::ledger::{Head, Segment};
use crate::model::{Partition, TopicId};

const FORMAT: u8 = 1;
const LEN: usize = 1 + 8 * 8;

pub(in crate::storage) fn encode(head: &Head) -> [u8; LEN] {
    let active = &head.active;
    let fields = [
        head.start,
        head.bytes,
        active.base,
        active.next,
        active.bytes,
        active.max_timestamp.cast_unsigned(),
        active.opened_ms.cast_unsigned(),
        active.appended_ms.cast_unsigned(),
    ];
    let mut row = [FORMAT; LEN];
    for (to, field) in row[1..].chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field.to_be_bytes());
    }
    row
}

pub(in crate::storage) fn decode(row: &[u8]) -> Option<Head> {
    let (fields, []) = row.strip_prefix(&[FORMAT])?.as_chunks::<8>() else { return None };
    let fields: Vec<u64> = fields.iter().map(|f| u64::from_be_bytes(*f)).collect();
    let [start, bytes, base, next, active_bytes, max_timestamp, opened_ms, appended_ms] = fields[..] else {
        return None;
    };
    let active = Segment {
        base,
        next,
        bytes: active_bytes,
        max_timestamp: max_timestamp.cast_signed(),
        opened_ms: opened_ms.cast_signed(),
        appended_ms: appended_ms.cast_signed(),
    };
    Some(Head { start, bytes, active })
}

/// Stores the bounds of a new log.
pub(in crate::storage) fn put(commit: &mut Commit, id: TopicId, partition: Partition, head: &Head) {
    commit.put(Family::Meta, keys::of_log(Kind::Log, id, partition), encode(head).to_vec().into());
}

pub(in crate::storage) fn load_all(db: &Db) -> Result<HashMap<(TopicId, Partition), Head>, ReadError> {
    let mut rows = HashMap::new();
    let mut damaged = None;
    db.scan(Family::Meta, keys::all(Kind::Log), |key, row| {
        match (keys::parse_of_log(Kind::Log, key), decode(row)) {
            (Some(key), Some(head)) => {
                rows.insert(key, head);
                ControlFlow::Continue(())
            }
            (key, _) => {
                damaged = Some(ReadError::Damaged(format!("row with the bounds of log {key:?}")));
                ControlFlow::Break(())
            }
        }
    })?;
    damaged.map_or(Ok(rows), Err)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_read_back(a: [u64; 5], b: [i64; 3]) {
            let active = Segment {
                base: a[2], next: a[3], bytes: a[4], max_timestamp: b[0], opened_ms: b[1], appended_ms: b[2],
            };
            let head = Head { start: a[0], bytes: a[1], active };
            prop_assert_eq!(decode(&encode(&head)), Some(head));
        }

        #[test]
        fn short_and_long_rows_are_refused(row: Vec<u8>) {
            if row.len() != LEN || row[0] != FORMAT {
                prop_assert_eq!(decode(&row), None);
            }
        }
    }
}
