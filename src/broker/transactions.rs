//! The coordinator of transactions: who may write under a transactional id, what its open transaction includes, and how
//! it ends.
//!
//! Every change is one commit, so nothing is ever half done: the end of a transaction is its markers in all partitions,
//! the offsets of its groups and its row, at once. While such a commit is under way the id is claimed, and whoever else
//! asks is told to come again.
//!
//! ```text
//! produce    in its turn in the lane: may it write? (version 2: the partition joins)   → its commit
//! end        claim the id → get in line in all its partitions → one commit → give the id back
//! ```
//!
//! The line makes the end wait for what was let in before the claim, and nothing is let in after it. A partition that
//! joins by being written to gets no row: after a start it is known again by the open transaction in its log.

mod change;
mod error;
mod hanging;
mod members;
mod offsets;
mod upkeep;
mod view;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::model::limits::{TRANSACTION_PARTITIONS_MAX, TRANSACTIONAL_IDS_MAX};
use crate::model::transaction::{Outcome, Phase, Producer, RuleError, Transaction};
use crate::model::{Partition, TimestampMs, TopicId};
use crate::storage::{CommitError, Log, ReadError, Storage, tables};

pub use change::Initialize;
pub use error::TransactionError;
pub use offsets::{TransactionOffsets, TransactionOffsetsError};
pub use view::{ProducerDetail, TransactionView};

/// Producer ids taken from the storage at once; what a stop leaves over is lost (Kafka's number).
const IDS_AT_ONCE: u32 = 1_000;

/// All transactional ids.
pub(super) struct Transactions {
    entries: RwLock<HashMap<String, Arc<Entry>>>,
    by_producer: RwLock<HashMap<i64, Arc<Entry>>>,
    /// producer ids that were taken and not given out yet
    ids: tokio::sync::Mutex<Range<i64>>,
}

/// A transactional id.
pub(super) struct Entry {
    id: String,
    held: Mutex<Held>,
}

struct Held {
    /// as it is stored, but for partitions that joined by being written to
    transaction: Transaction,
    work: Option<Work>,
    /// forgotten; whoever still has it looks again
    gone: bool,
}

/// What is being committed for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// partitions or groups are added; records may come meanwhile
    Adding,
    /// a producer begins, the id expires
    Replacing,
    /// the transaction ends
    Ending(Outcome),
}

/// An id under change; given back when dropped.
struct Claim(Arc<Entry>);

/// How a partition comes to be part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// it was added by a request before
    Added,
    /// by being written to (version 2)
    Joins,
}

// === impl Transactions ===

impl Transactions {
    /// Reads the transactional ids, and adds the partitions in whose logs a transaction of theirs is open.
    pub(super) fn load<'l>(
        storage: &Storage,
        logs: impl Iterator<Item = &'l Arc<Log>>,
        now_ms: TimestampMs,
    ) -> Result<Self, ReadError> {
        let mut entries = HashMap::new();
        let mut by_producer = HashMap::new();
        for (id, row) in tables::transactions::load_all(storage)? {
            let damaged = |e| ReadError::Damaged(format!("transactional id `{id}`: {e}"));
            let transaction = Transaction::decode(&row).map_err(damaged)?;
            let producer_id = transaction.producer.id;
            let held = Mutex::new(Held { transaction, work: None, gone: false });
            let entry = Arc::new(Entry { id: id.clone(), held });
            by_producer.insert(producer_id, entry.clone());
            entries.insert(id, entry);
        }
        for log in logs {
            for open in log.open_transactions() {
                let at = (log.topic_id(), log.partition());
                match by_producer.get(&open.producer_id) {
                    Some(entry) => entry.held.lock().take_over(at, now_ms),
                    None => tracing::warn!(
                        log = ?log, producer_id = open.producer_id, first_offset = open.first_offset,
                        "a transaction is open whose transactional id is not known; committed reads stop before it \
                         until it is aborted (kafka-transactions.sh abort)"
                    ),
                }
            }
        }
        Ok(Self {
            entries: RwLock::new(entries),
            by_producer: RwLock::new(by_producer),
            ids: tokio::sync::Mutex::new(0..0),
        })
    }

    fn find(&self, id: &str) -> Result<Arc<Entry>, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::EmptyId);
        }
        let unknown = || TransactionError::UnknownId(id.to_owned());
        self.entries.read().get(id).cloned().ok_or_else(unknown)
    }

    /// The entry of an id, made if there is none.
    fn find_or_make(
        &self,
        id: &str,
        new: impl FnOnce() -> Transaction,
    ) -> Result<Arc<Entry>, TransactionError> {
        let mut entries = self.entries.write();
        if let Some(known) = entries.get(id) {
            return Ok(known.clone());
        }
        if entries.len() >= TRANSACTIONAL_IDS_MAX {
            return Err(TransactionError::IdsFull { limit: TRANSACTIONAL_IDS_MAX });
        }
        let transaction = new();
        let producer_id = transaction.producer.id;
        let held = Mutex::new(Held { transaction, work: None, gone: false });
        let entry = Arc::new(Entry { id: id.to_owned(), held });
        entries.insert(id.to_owned(), entry.clone());
        self.by_producer.write().insert(producer_id, entry.clone());
        Ok(entry)
    }

    /// A producer id that nobody has.
    async fn next_producer_id(&self, storage: &Storage) -> Result<i64, CommitError> {
        let mut ids = self.ids.lock().await;
        if ids.is_empty() {
            *ids = tables::counters::reserve_producer_ids(storage, IDS_AT_ONCE).await?;
        }
        ids.next().ok_or_else(|| CommitError::Unknown("no producer ids are left".to_owned()))
    }

    /// May a transactional batch of this producer go to a partition? To be called in the partition's turn.
    pub(super) fn check_inside(
        &self,
        id: &str,
        producer: Producer,
        at: (TopicId, Partition),
        membership: Membership,
        now_ms: TimestampMs,
    ) -> Result<(), TransactionError> {
        let entry = self.find(id)?;
        let mut held = entry.held.lock();
        held.transaction.check(producer)?;
        if matches!(held.work, Some(Work::Replacing | Work::Ending(_))) {
            return Err(TransactionError::Concurrent);
        }
        if held.transaction.phase == Phase::Ongoing && held.transaction.partitions.contains(&at) {
            return Ok(());
        }
        match membership {
            Membership::Added => Err(TransactionError::NotAdded { partition: at.1 }),
            Membership::Joins => held.add([at], None, true, now_ms),
        }
    }

    /// Adds partitions to which the transaction of a batch that was let in also writes. To be called in that batch's turn:
    /// an end that was asked for meanwhile stands in line behind it.
    pub(super) fn join(
        &self,
        id: &str,
        partitions: Vec<(TopicId, Partition)>,
        now_ms: TimestampMs,
    ) -> Result<(), TransactionError> {
        let entry = self.find(id)?;
        let mut held = entry.held.lock();
        let bumps = held.transaction.bumps;
        held.add(partitions, None, bumps, now_ms)
    }

    /// A batch outside of any transaction must not come into the middle of its producer's.
    pub(super) fn check_outside(
        &self,
        producer_id: i64,
        at: (TopicId, Partition),
    ) -> Result<(), TransactionError> {
        let Some(entry) = self.by_producer.read().get(&producer_id).cloned() else { return Ok(()) };
        let held = entry.held.lock();
        let is_open = held.transaction.phase == Phase::Ongoing
            && held.transaction.producer.id == producer_id
            && held.transaction.partitions.contains(&at);
        if is_open { Err(TransactionError::Outside { producer_id }) } else { Ok(()) }
    }
}

// === impl Entry ===

impl Entry {
    /// Claims the id for a change that `decide` allows, unless another one is under way.
    fn claim<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Transaction) -> Result<(T, Work), TransactionError>,
    ) -> Result<(T, Claim), TransactionError> {
        let mut held = self.held.lock();
        if held.gone {
            return Err(TransactionError::Concurrent);
        }
        let (decided, work) = match decide(&held.transaction) {
            // What it is about to become may be what was asked for.
            Err(TransactionError::Phase { .. }) if held.work.is_some() => {
                return Err(TransactionError::Concurrent);
            }
            decided => decided?,
        };
        if held.work.is_some() {
            return Err(TransactionError::Concurrent);
        }
        held.work = Some(work);
        Ok((decided, Claim(self.clone())))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.held.lock().work = None;
    }
}

impl Held {
    fn add(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicId, Partition)>,
        group: Option<&str>,
        bumps: bool,
        now_ms: TimestampMs,
    ) -> Result<(), TransactionError> {
        let known = &self.transaction.partitions;
        let new: Vec<_> = partitions.into_iter().filter(|at| !known.contains(at)).collect();
        if !new.is_empty() && known.len() + new.len() > TRANSACTION_PARTITIONS_MAX {
            return Err(TransactionError::PartitionsFull { limit: TRANSACTION_PARTITIONS_MAX });
        }
        self.transaction.add(new, group, bumps, now_ms);
        Ok(())
    }

    /// A partition with an open transaction, as found after a start. Its time begins anew.
    fn take_over(&mut self, at: (TopicId, Partition), now_ms: TimestampMs) {
        let is_open = self.transaction.phase == Phase::Ongoing;
        if !is_open || !self.transaction.partitions.contains(&at) {
            // A transaction without a row was begun by writing, which is version 2; one with a row says what it is, and
            // a partition may have joined it by what transforms have sent there.
            let bumps = self.transaction.bumps || !is_open;
            self.transaction.add([at], None, bumps, now_ms);
        }
    }
}

impl From<RuleError> for TransactionError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Mapping { found } => Self::Mapping { found },
            RuleError::Fenced { found, current } => Self::Fenced { found, current },
            RuleError::Phase { asked, phase } => Self::Phase { asked, phase },
            // Whoever can meet it asks again with a fresh id.
            RuleError::NeedsId => Self::Concurrent,
        }
    }
}
