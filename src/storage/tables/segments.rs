//! Closed segments of logs, under topic, partition and base offset.
//!
//! ```text
//! format u8 = 1 | next u64 | bytes u64 | max timestamp i64 | opened i64 | appended i64
//! ```

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use super::super::ledger::Segment;
use crate::model::{Offset, Partition, TopicId};

const FORMAT: u8 = 1;
const LEN: usize = 1 + 5 * 8;

pub(in crate::storage) fn encode(segment: &Segment) -> [u8; LEN] {
    let fields = [
        segment.next,
        segment.bytes,
        segment.max_timestamp.cast_unsigned(),
        segment.opened_ms.cast_unsigned(),
        segment.appended_ms.cast_unsigned(),
    ];
    let mut row = [FORMAT; LEN];
    for (to, field) in row[1..].chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field.to_be_bytes());
    }
    row
}

pub(in crate::storage) fn decode(base: Offset, row: &[u8]) -> Option<Segment> {
    let (fields, []) = row.strip_prefix(&[FORMAT])?.as_chunks::<8>() else { return None };
    let fields: Vec<u64> = fields.iter().map(|f| u64::from_be_bytes(*f)).collect();
    let [next, bytes, max_timestamp, opened_ms, appended_ms] = fields[..] else { return None };
    Some(Segment {
        base,
        next,
        bytes,
        max_timestamp: max_timestamp.cast_signed(),
        opened_ms: opened_ms.cast_signed(),
        appended_ms: appended_ms.cast_signed(),
    })
}

/// The segments of every log, oldest first.
pub(in crate::storage) fn load_all(
    db: &Db,
) -> Result<HashMap<(TopicId, Partition), Vec<Segment>>, ReadError> {
    let mut rows: HashMap<_, Vec<Segment>> = HashMap::new();
    let mut damaged = None;
    db.scan(Family::Meta, keys::all(Kind::Segment), |key, row| {
        let parsed = keys::parse_in_log(Kind::Segment, key);
        let segment = parsed.and_then(|(_, _, base)| decode(base, row));
        match (parsed, segment) {
            (Some((id, partition, _)), Some(segment)) => {
                rows.entry((id, partition)).or_default().push(segment);
                ControlFlow::Continue(())
            }
            (key, _) => {
                damaged = Some(ReadError::Damaged(format!("row of segment {key:?}")));
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
        fn segments_read_back(a: [u64; 3], b: [i64; 3]) {
            let segment = Segment {
                base: a[0], next: a[1], bytes: a[2], max_timestamp: b[0], opened_ms: b[1], appended_ms: b[2],
            };
            prop_assert_eq!(decode(a[0], &encode(&segment)), Some(segment));
        }

        #[test]
        fn short_and_long_rows_are_refused(row: Vec<u8>) {
            if row.len() != LEN || row[0] != FORMAT {
                prop_assert_eq!(decode(0, &row), None);
            }
        }
    }
}
