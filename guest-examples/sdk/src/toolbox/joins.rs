//! What joins keep. Each is a row for a [`Table`](super::Table) or an aggregate for [`Windows`](super::Windows), by the key on
//! which both sides meet; both sides come to one task when their topics have the same keys and partitions.
//!
//! | join | what to use |
//! |---|---|
//! | stream–stream, in windows | `Windows<K, Sides<L, R>>`, or `Pair` for one of each, results from `fire` |
//! | stream–table | `Table<K, Latest<T, S>>`: a record of the stream that comes before its row waits for it |
//! | table–table, one to one | `Table<K, Pair<L, R>>` |
//! | table–table, one to many | `Table<K, Sides<L, R>>` by the key of the one |

use super::codec::Stored;
use super::windows::Merge;

/// The records of both sides, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides<L, R> {
    /// of the one side
    pub left: Vec<L>,
    /// of the other
    pub right: Vec<R>,
}

/// A row of each side, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<L, R> {
    /// of the one side
    pub left: Option<L>,
    /// of the other
    pub right: Option<R>,
}

/// The newest row of a table, or the records of a stream that wait for a first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latest<T, S> {
    /// the row
    Row(T),
    /// the records, as they came
    Waiting(Vec<S>),
}

// === impl Sides ===

impl<L, R> Sides<L, R> {
    /// Every record of the one side with every one of the other.
    pub fn pairs(&self) -> impl Iterator<Item = (&L, &R)> {
        self.left.iter().flat_map(|left| self.right.iter().map(move |right| (left, right)))
    }
}

impl<L, R> Default for Sides<L, R> {
    fn default() -> Self {
        Self { left: Vec::new(), right: Vec::new() }
    }
}

impl<L, R> Merge for Sides<L, R> {
    fn merge(&mut self, other: Self) {
        self.left.extend(other.left);
        self.right.extend(other.right);
    }
}

impl<L: Stored, R: Stored> Stored for Sides<L, R> {
    fn put(&self, to: &mut Vec<u8>) {
        self.left.put(to);
        self.right.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self { left: Vec::take(from)?, right: Vec::take(from)? })
    }
}

// === impl Pair ===

impl<L, R> Pair<L, R> {
    /// Both rows, when both are there.
    pub fn both(&self) -> Option<(&L, &R)> {
        self.left.as_ref().zip(self.right.as_ref())
    }

    /// Whether nothing is left: then its row can be deleted.
    pub fn is_empty(&self) -> bool {
        self.left.is_none() && self.right.is_none()
    }
}

/// The newer row of each side.
impl<L, R> Merge for Pair<L, R> {
    fn merge(&mut self, other: Self) {
        self.left = other.left.or(self.left.take());
        self.right = other.right.or(self.right.take());
    }
}

impl<L, R> Default for Pair<L, R> {
    fn default() -> Self {
        Self { left: None, right: None }
    }
}

impl<L: Stored, R: Stored> Stored for Pair<L, R> {
    fn put(&self, to: &mut Vec<u8>) {
        self.left.put(to);
        self.right.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self { left: <Option<L> as Stored>::take(from)?, right: <Option<R> as Stored>::take(from)? })
    }
}

// === impl Latest ===

impl<T, S> Latest<T, S> {
    /// Takes a new row, and gives back the records that were waiting for it.
    pub fn update(&mut self, row: T) -> Vec<S> {
        match std::mem::replace(self, Self::Row(row)) {
            Self::Row(_) => Vec::new(),
            Self::Waiting(records) => records,
        }
    }

    /// The row for a record of the stream; without one the record is kept until it comes.
    pub fn find(&mut self, record: impl FnOnce() -> S) -> Option<&T> {
        match self {
            Self::Row(row) => Some(row),
            Self::Waiting(records) => {
                records.push(record());
                None
            }
        }
    }
}

impl<T, S> Default for Latest<T, S> {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl<T: Stored, S: Stored> Stored for Latest<T, S> {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Row(row) => {
                true.put(to);
                row.put(to);
            }
            Self::Waiting(records) => {
                false.put(to);
                records.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Self::Row) } else { Vec::take(from).map(Self::Waiting) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolbox::{decode, encode};

    #[test]
    fn every_left_meets_every_right() {
        let mut sides = Sides { left: vec![1_u64, 2], right: vec![7_u64] };
        sides.merge(Sides { left: Vec::new(), right: vec![8] });
        let pairs: Vec<_> = sides.pairs().collect();
        assert_eq!(pairs, [(&1, &7), (&1, &8), (&2, &7), (&2, &8)]);
        assert_eq!(decode(&encode(&sides)), Some(sides));
    }

    #[test]
    fn records_wait_for_the_first_row_only() {
        let mut latest: Latest<u64, u64> = Latest::default();
        assert_eq!(latest.find(|| 1), None);
        assert_eq!(latest.find(|| 2), None);
        assert_eq!(decode(&encode(&latest)), Some(latest.clone()));
        assert_eq!(latest.update(10), [1, 2]);
        assert_eq!(latest.find(|| 3), Some(&10));
        assert_eq!(latest.update(11), []);
        assert_eq!(latest.find(|| 3), Some(&11));
        assert_eq!(decode(&encode(&latest)), Some(latest));
    }

    #[test]
    fn a_pair_is_one_when_both_are_there() {
        let mut pair: Pair<u64, u64> = Pair::default();
        assert!(pair.is_empty());
        pair.left = Some(1);
        assert_eq!(pair.both(), None);
        pair.right = Some(2);
        assert_eq!(pair.both(), Some((&1, &2)));
        assert_eq!(decode(&encode(&pair)), Some(pair));
    }
}
