//! Transactions of a log, derived from its batches as they are placed: a transactional batch opens one for its producer,
//! a marker closes it. Whether a producer may do so was decided before.
//!
//! ```text
//!   offsets   0 1 2 3 4 5 6 7 8 9
//!   producer  a b - a A b B c - -        lower case: records, upper case: marker, -: no transaction
//!             |<----->|                  a's transaction
//!               |<------->|              b's, first offset 1
//!                             c is open: the last stable offset is 7
//! ```
//!
//! Readers of what is committed stop at the last stable offset, and pass over the records of aborted transactions. For
//! these there is an index, by the offset of the marker. Each row also holds what was the last stable offset after its
//! marker: a transaction aborted later has begun there or behind, which is where a search may end.

use std::ops::ControlFlow;

use crate::model::Offset;

use super::db::Db;
use super::error::ReadError;
use super::families::Family;
use super::keys::{self, Kind};
use super::log::Log;
use super::tables;

/// A transaction that ended with an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// whose it was
    pub producer_id: i64,
    /// offset of its first record
    pub first_offset: Offset,
    /// offset of its marker
    pub last_offset: Offset,
}

/// A transaction without a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTxn {
    /// whose it is
    pub producer_id: i64,
    /// offset of its first record
    pub first_offset: Offset,
}

/// Transactions without a marker: first offset and producer id, in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Open(Vec<(Offset, i64)>);

impl Open {
    /// From rows in any order.
    pub(super) fn from_rows(mut rows: Vec<(Offset, i64)>) -> Self {
        rows.sort_unstable();
        Self(rows)
    }

    /// The producer has a transactional batch at `base`, which is behind all others; false: it has a transaction already.
    pub(super) fn begin(&mut self, producer_id: i64, base: Offset) -> bool {
        let is_new = self.0.iter().all(|(_, id)| *id != producer_id);
        if is_new {
            self.0.push((base, producer_id));
        }
        is_new
    }

    /// The producer has a marker. The first offset of its transaction, if it had one.
    pub(super) fn end(&mut self, producer_id: i64) -> Option<Offset> {
        let at = self.0.iter().position(|(_, id)| *id == producer_id)?;
        Some(self.0.remove(at).0)
    }

    /// In the order of their offsets.
    pub(super) fn list(&self) -> Vec<OpenTxn> {
        let open = |(first, id): &(Offset, i64)| OpenTxn { producer_id: *id, first_offset: *first };
        self.0.iter().map(open).collect()
    }

    /// The last stable offset of a log with this next offset.
    pub(super) fn stable(&self, next: Offset) -> Offset {
        self.0.first().map_or(next, |(first, _)| *first)
    }
}

/// The aborted transactions that overlap `from..to`, by first offset; blocking.
pub(super) fn aborted(db: &Db, log: &Log, from: Offset, to: Offset) -> Result<Vec<AbortedTxn>, ReadError> {
    let mut found = Vec::new();
    let mut damaged = None;
    let kind = Kind::AbortedTransaction;
    let (_, end) = keys::all_in_log(kind, log.topic_id(), log.partition());
    let start = keys::in_log(kind, log.topic_id(), log.partition(), from);
    db.scan(Family::Producers, (start, end), |key, row| {
        let last_offset = keys::parse_in_log(kind, key).map(|(_, _, offset)| offset);
        let Some((last_offset, row)) = last_offset.zip(tables::aborted::decode(row)) else {
            damaged = Some(ReadError::Damaged(format!("row of an aborted transaction of {log:?}")));
            return ControlFlow::Break(());
        };
        if row.first_offset < to {
            let (producer_id, first_offset) = (row.producer_id, row.first_offset);
            found.push(AbortedTxn { producer_id, first_offset, last_offset });
        }
        if row.stable < to { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    found.sort_unstable_by_key(|txn| txn.first_offset);
    damaged.map_or(Ok(found), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_open_transaction_holds_the_stable_offset() {
        let mut open = Open::default();
        assert_eq!(open.stable(9), 9);
        assert!(open.begin(1, 3));
        assert!(open.begin(2, 5));
        assert!(!open.begin(1, 7), "it goes on");
        assert_eq!(open.stable(9), 3);
        assert_eq!(open.end(1), Some(3));
        assert_eq!(open.end(1), None, "a marker without a transaction");
        assert_eq!(open.stable(9), 5);
        assert_eq!(open.end(2), Some(5));
        assert_eq!(open.stable(9), 9);
    }

    #[test]
    fn rows_come_in_any_order() {
        assert_eq!(Open::from_rows(vec![(8, 1), (2, 9)]).stable(10), 2);
    }
}
