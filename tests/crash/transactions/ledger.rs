//! What the writers have done, and what they were told became of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fate {
    /// it was not asked to be committed
    #[default]
    Aborted,
    Committed,
    /// the answer to its commit was lost: all of it counts, or nothing
    Either,
}

/// A transaction of a writer.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    /// partition and text of each record for `events`, and whether it was acknowledged
    pub(super) events: Vec<(i32, String, bool)>,
    /// key and value for `latest`
    pub(super) latest: Option<(String, Option<String>)>,
    pub(super) fate: Fate,
}

/// Transactions by writer and number.
pub(super) type Transactions = BTreeMap<(&'static str, u64), Written>;

#[derive(Default)]
pub(super) struct Ledger(Mutex<Transactions>);

impl Ledger {
    pub(super) fn open(&self) -> MutexGuard<'_, Transactions> {
        self.0.lock().expect("nobody panics with it")
    }
}
