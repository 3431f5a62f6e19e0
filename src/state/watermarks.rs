//! A task's watermark and what it is made of: one row, changed in the commit that has used the records it comes from. A
//! restart goes on with it, so that no timer fires twice and no record is late that was not.
//!
//! ```text
//! deployment u32 | generation u32 | task u32 | kind u8 = 27
//!     → format u8 = 1 | is there a watermark u8 | watermark i64 | inputs: (topic id 16 | partition u32 | greatest timestamp i64)*
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{TaskId, keys};
use crate::model::{Partition, TimestampMs, TopicId};
use crate::storage::{Commit, ReadError, Storage};

const FORMAT: u8 = 1;
const INPUT_LEN: usize = 28;

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watermarks {
    /// of the task
    pub watermark: Option<TimestampMs>,
    /// the greatest timestamp of each input that had one
    pub greatest: BTreeMap<(TopicId, Partition), TimestampMs>,
}

impl Watermarks {
    fn encode(&self) -> Bytes {
        let mut row = Vec::with_capacity(10 + self.greatest.len() * INPUT_LEN);
        row.extend_from_slice(&[FORMAT, self.watermark.is_some().into()]);
        row.extend_from_slice(&self.watermark.unwrap_or_default().to_be_bytes());
        for ((topic, partition), greatest) in &self.greatest {
            row.extend_from_slice(topic.0.as_bytes());
            row.extend_from_slice(&partition.to_be_bytes());
            row.extend_from_slice(&greatest.to_be_bytes());
        }
        row.into()
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let ([has @ (0 | 1)], rest) = row.strip_prefix(&[FORMAT])?.split_first_chunk::<1>()? else {
            return None;
        };
        let (watermark, inputs) = rest.split_first_chunk::<8>()?;
        let (inputs, []) = inputs.as_chunks::<INPUT_LEN>() else { return None };
        let input = |input: &[u8; INPUT_LEN]| {
            let (topic, rest) = input.split_first_chunk::<16>()?;
            let (partition, greatest) = rest.split_first_chunk::<4>()?;
            let input = (TopicId(Uuid::from_bytes(*topic)), u32::from_be_bytes(*partition));
            Some((input, i64::from_be_bytes(greatest.try_into().ok()?)))
        };
        Some(Self {
            watermark: (*has == 1).then_some(i64::from_be_bytes(*watermark)),
            greatest: inputs.iter().map(input).collect::<Option<_>>()?,
        })
    }
}

/// Stores them with the commit that has used the records.
pub fn put(commit: &mut Commit, id: TaskId, watermarks: &Watermarks) {
    commit.put_state(keys::watermark(id), watermarks.encode());
}

/// As committed. Blocking.
pub fn load(storage: &Storage, id: TaskId) -> Result<Watermarks, ReadError> {
    read(id, |row| storage.state().value(row))
}

/// Reads them by `value`.
pub(super) fn read(
    id: TaskId,
    value: impl FnOnce(&[u8]) -> Result<Option<Bytes>, ReadError>,
) -> Result<Watermarks, ReadError> {
    let Some(row) = value(&keys::watermark(id))? else { return Ok(Watermarks::default()) };
    Watermarks::decode(&row).ok_or_else(|| ReadError::Damaged(format!("row with the watermark of {id:?}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_read_back(watermark: Option<i64>, inputs: BTreeMap<(u128, u32), i64>) {
            let input = |((topic, partition), at): ((u128, u32), i64)| ((TopicId(Uuid::from_u128(topic)), partition), at);
            let watermarks = Watermarks { watermark, greatest: inputs.into_iter().map(input).collect() };
            prop_assert_eq!(Watermarks::decode(&watermarks.encode()), Some(watermarks));
        }

        #[test]
        fn foreign_rows_are_refused(row in prop::collection::vec(any::<u8>(), 0..10)) {
            prop_assert_eq!(Watermarks::decode(&row), None);
        }
    }

    #[test]
    fn the_row_is_what_it_was_when_it_was_first_written() {
        let greatest = [((TopicId(Uuid::from_u128(7)), 2), 9)].into();
        let row = Watermarks { watermark: Some(5), greatest }.encode();
        let expected =
            [&[1, 1, 0, 0, 0, 0, 0, 0, 0, 5][..], &7_u128.to_be_bytes(), &[0, 0, 0, 2], &9_i64.to_be_bytes()];
        assert_eq!(row, expected.concat());
    }
}
