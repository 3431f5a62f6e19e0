//! How far the migration of a task's state is: one row, changed in the commit of each step.
//!
//! ```text
//! deployment u32 | generation u32 | task u32 | kind u8 = 22
//!     → format u8 = 1 | revision that asked for it u64 | is done u8 | is there an `at` u8 | at
//! ```

use super::{TaskId, keys};
use crate::storage::{Commit, ReadError, Storage};

const FORMAT: u8 = 1;

/// Where a migration stands. Without a row nothing of it was committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// names the migration
    pub revision: u64,
    /// nothing is left to do
    pub done: bool,
    /// what the last committed step returned
    pub at: Option<Vec<u8>>,
}

impl Progress {
    fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        row.extend_from_slice(&self.revision.to_be_bytes());
        row.push(self.done.into());
        row.push(self.at.is_some().into());
        row.extend_from_slice(self.at.as_deref().unwrap_or_default());
        row
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (revision, rest) = row.strip_prefix(&[FORMAT])?.split_first_chunk::<8>()?;
        let ([done @ (0 | 1), has_at @ (0 | 1)], at) = rest.split_first_chunk::<2>()? else { return None };
        if *has_at == 0 && !at.is_empty() {
            return None;
        }
        let at = (*has_at == 1).then(|| at.to_vec());
        Some(Self { revision: u64::from_be_bytes(*revision), done: *done == 1, at })
    }
}

/// Stores it with the step's changes of state.
pub fn put(commit: &mut Commit, id: TaskId, progress: &Progress) {
    commit.put_state(keys::migration(id), progress.encode().into());
}

/// As committed, of this migration. Blocking.
pub fn load(storage: &Storage, id: TaskId, revision: u64) -> Result<Option<Progress>, ReadError> {
    let Some(row) = storage.state().value(&keys::migration(id))? else { return Ok(None) };
    let damaged = || ReadError::Damaged(format!("row with the migration of {id:?}"));
    let progress = Progress::decode(&row).ok_or_else(damaged)?;
    Ok(Some(progress).filter(|p| p.revision == revision))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn progress_reads_back(revision: u64, done: bool, at: Option<Vec<u8>>) {
            let progress = Progress { revision, done, at };
            prop_assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }

        #[test]
        fn short_and_foreign_rows_are_refused(row in prop::collection::vec(any::<u8>(), 0..11)) {
            prop_assert_eq!(Progress::decode(&row), None);
        }
    }
}
