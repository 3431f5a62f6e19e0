//! The rules of transactions: what a transactional id may do next, and what it is afterwards. Pure; the broker keeps one
//! [`Transaction`] an id and makes each change one commit, so there are no states in between.
//!
//! Source of the rules: Kafka's `TransactionCoordinator` and `TransactionMetadata`, KIP-360 (going on after an error) and
//! KIP-890 (version 2: each end of a transaction bumps the epoch, and partitions join by being written to).
//!
//! A row is the byte 1 and the value as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Partition, TimestampMs, TopicId};

const FORMAT: u8 = 1;

/// No producer id.
pub const NO_PRODUCER: i64 = -1;
/// No epoch.
pub const NO_EPOCH: i16 = -1;

/// Who sends: the id that the server gave, and the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Producer {
    /// given out by the server
    pub id: i64,
    /// grows when an instance replaces another
    pub epoch: i16,
}

/// Where a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// nothing since the producer was initialised
    Empty,
    /// partitions or offsets have been added
    Ongoing,
    /// the last transaction was committed
    Committed,
    /// the last transaction was aborted
    Aborted,
}

/// What is known of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// who may write; epoch -1: not initialised yet
    pub producer: Producer,
    /// the id before the last change of ids, or -1
    pub previous_id: i64,
    /// what the producer had before its last bump, when it may still ask with it; else -1
    pub last_epoch: i16,
    /// an open transaction is aborted after so long
    pub timeout_ms: u32,
    /// where it stands
    pub phase: Phase,
    /// version 2: each end bumps the epoch
    pub bumps: bool,
    /// what the open transaction has been told to include
    pub partitions: BTreeSet<(TopicId, Partition)>,
    /// groups whose offsets are part of the open transaction
    pub groups: BTreeSet<String>,
    /// when the open transaction began
    pub started_ms: TimestampMs,
    /// the last change
    pub updated_ms: TimestampMs,
}

/// Commit or abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// its records are valid
    Commit,
    /// they are not
    Abort,
}

/// An id as it will be, and what it takes to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// the new value
    pub next: Transaction,
    /// the open transaction ends so, its markers carry this producer
    pub ends: Option<(Outcome, Producer)>,
}

/// What an end of a transaction means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// it was ended so before; the request is a repetition
    Already,
    /// to be made
    Make(Box<Change>),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The transactional id belongs to another producer id.
    #[error("producer id {found} does not belong to the transactional id")]
    Mapping {
        /// as sent
        found: i64,
    },
    /// A newer instance has taken over, or the transaction timed out.
    #[error("epoch {found} was sent, epoch {current} is in force")]
    Fenced {
        /// as sent
        found: i16,
        /// in force
        current: i16,
    },
    /// Not possible from here.
    #[error("a transaction cannot be {asked} when it is {phase:?}")]
    Phase {
        /// in words: committed, aborted
        asked: &'static str,
        /// where it stands
        phase: Phase,
    },
    /// The epochs are used up; to be asked again with a fresh producer id.
    #[error("a new producer id is needed")]
    NeedsId,
}

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("transaction row: {0}")]
pub struct RowError(String);

/// The last epoch that is never handed out: ending the last transaction takes one more.
fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

// === impl Transaction ===

impl Transaction {
    /// Of an id that is seen for the first time; not initialised yet.
    pub fn new(producer_id: i64, timeout_ms: u32, now_ms: TimestampMs) -> Self {
        Self {
            producer: Producer { id: producer_id, epoch: NO_EPOCH },
            previous_id: NO_PRODUCER,
            last_epoch: NO_EPOCH,
            timeout_ms,
            phase: Phase::Empty,
            bumps: false,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            started_ms: now_ms,
            updated_ms: now_ms,
        }
    }

    /// Is this the producer in force?
    pub fn check(&self, producer: Producer) -> Result<(), RuleError> {
        if producer.id != self.producer.id {
            return Err(RuleError::Mapping { found: producer.id });
        }
        if producer.epoch != self.producer.epoch {
            return Err(self.fenced(producer.epoch));
        }
        Ok(())
    }

    fn fenced(&self, found: i16) -> RuleError {
        RuleError::Fenced { found, current: self.producer.epoch }
    }

    /// A producer begins, or goes on after an error with what it was (`asked`). An open transaction is aborted. `fresh`: a
    /// producer id to be used if the epochs of the present one are used up.
    ///
    /// # Errors
    /// `Fenced`, `NeedsId`.
    pub fn initialize(
        &self,
        asked: Option<Producer>,
        timeout_ms: u32,
        fresh: Option<i64>,
        now_ms: TimestampMs,
    ) -> Result<Change, RuleError> {
        let Producer { id, epoch } = self.producer;
        if let Some(asked) = asked {
            let after_rotation = asked.id == self.previous_id && is_exhausted(asked.epoch);
            if epoch != NO_EPOCH && asked.id != id && !after_rotation {
                return Err(self.fenced(asked.epoch));
            }
            let is_current = epoch == NO_EPOCH || (asked.id == id && asked.epoch == epoch);
            // The answer to the same request was lost; nobody else has begun since, or the last epoch would be -1.
            let is_repeated = asked.epoch == self.last_epoch && self.last_epoch != NO_EPOCH;
            if !is_current && (!is_repeated || self.phase == Phase::Ongoing) {
                return Err(self.fenced(asked.epoch));
            }
            if !is_current {
                let next = Self { timeout_ms, updated_ms: now_ms, ..self.clone() }.emptied(Phase::Empty);
                return Ok(Change { next, ends: None });
            }
        }

        let ends = (self.phase == Phase::Ongoing).then_some((Outcome::Abort, self.marker()));
        // An abort uses up an epoch of the old id.
        let used_up = if ends.is_some() { epoch.saturating_add(1) } else { epoch };
        let last_epoch = if asked.is_some() { epoch } else { NO_EPOCH };
        let next = if epoch != NO_EPOCH && is_exhausted(used_up) {
            let id = fresh.ok_or(RuleError::NeedsId)?;
            Self { producer: Producer { id, epoch: 0 }, previous_id: self.producer.id, ..self.clone() }
        } else {
            Self { producer: Producer { id, epoch: epoch + 1 }, ..self.clone() }
        };
        let next = Self { last_epoch, timeout_ms, updated_ms: now_ms, ..next };
        Ok(Change { next: next.emptied(Phase::Empty), ends })
    }

    /// Ends the open transaction. `bumps`: the client speaks version 2.
    ///
    /// # Errors
    /// `Mapping`, `Fenced`, `Phase`, `NeedsId`.
    pub fn end(
        &self,
        producer: Producer,
        outcome: Outcome,
        bumps: bool,
        fresh: Option<i64>,
        now_ms: TimestampMs,
    ) -> Result<End, RuleError> {
        let over = self.bumps && matches!(self.phase, Phase::Committed | Phase::Aborted);
        let rotated = over
            && producer.id == self.previous_id
            && producer.epoch == i16::MAX - 1
            && self.producer.epoch == 0;
        if producer.id != self.producer.id && !rotated {
            return Err(RuleError::Mapping { found: producer.id });
        }
        let bumped = over && producer.id == self.producer.id && self.producer.epoch - 1 == producer.epoch;
        let is_repeated = rotated || bumped;
        if !is_repeated && producer.epoch != self.producer.epoch {
            return Err(self.fenced(producer.epoch));
        }

        let asked = match outcome {
            Outcome::Commit => "committed",
            Outcome::Abort => "aborted",
        };
        let refused = Err(RuleError::Phase { asked, phase: self.phase });
        match (self.phase, outcome) {
            (Phase::Ongoing, _) => {}
            (Phase::Committed, Outcome::Commit) | (Phase::Aborted, Outcome::Abort)
                if is_repeated || !self.bumps =>
            {
                return Ok(End::Already);
            }
            // Version 2 aborts also what has nothing in it: the client cannot know whether its records arrived.
            (_, Outcome::Abort) if bumps && !is_repeated => {}
            _ => return refused,
        }
        self.ended(outcome, bumps, fresh, now_ms).map(|change| End::Make(Box::new(change)))
    }

    fn ended(
        &self,
        outcome: Outcome,
        bumps: bool,
        fresh: Option<i64>,
        now_ms: TimestampMs,
    ) -> Result<Change, RuleError> {
        let phase = match outcome {
            Outcome::Commit => Phase::Committed,
            Outcome::Abort => Phase::Aborted,
        };
        let Producer { id, epoch } = self.producer;
        let base = Self { bumps, updated_ms: now_ms, ..self.clone() };
        let (next, marker) = if !bumps {
            (base, self.producer)
        } else if is_exhausted(epoch) {
            let fresh = fresh.ok_or(RuleError::NeedsId)?;
            let producer = Producer { id: fresh, epoch: 0 };
            (Self { producer, previous_id: id, last_epoch: epoch, ..base }, self.marker())
        } else {
            let producer = Producer { id, epoch: epoch + 1 };
            (Self { producer, last_epoch: epoch, ..base }, producer)
        };
        Ok(Change { next: next.emptied(phase), ends: Some((outcome, marker)) })
    }

    /// Aborts the open transaction because its time is over; its producer is fenced. `None` when it is not open or has
    /// time left.
    pub fn time_out(&self, now_ms: TimestampMs) -> Option<Change> {
        let is_over = now_ms.saturating_sub(self.started_ms) >= i64::from(self.timeout_ms);
        (self.phase == Phase::Ongoing && is_over).then(|| self.fence(now_ms))
    }

    /// Aborts the open transaction and fences its producer.
    pub fn fence(&self, now_ms: TimestampMs) -> Change {
        let producer = self.marker();
        let next = Self { producer, last_epoch: NO_EPOCH, updated_ms: now_ms, ..self.clone() };
        Change { next: next.emptied(Phase::Aborted), ends: Some((Outcome::Abort, producer)) }
    }

    /// The producer of markers that fence: one epoch on, as far as there is one.
    fn marker(&self) -> Producer {
        Producer { id: self.producer.id, epoch: self.producer.epoch.saturating_add(1) }
    }

    /// Adds partitions and a group; begins a transaction if none is open.
    pub fn add(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicId, Partition)>,
        group: Option<&str>,
        bumps: bool,
        now_ms: TimestampMs,
    ) {
        if self.phase != Phase::Ongoing {
            self.phase = Phase::Ongoing;
            self.started_ms = now_ms;
        }
        self.bumps = bumps;
        self.updated_ms = now_ms;
        self.partitions.extend(partitions);
        self.groups.extend(group.map(str::to_owned));
    }

    fn emptied(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self.partitions.clear();
        self.groups.clear();
        self
    }

    /// As laid out above.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        serde_json::to_writer(&mut row, self).expect("a plain structure");
        row
    }

    /// Reads what [`Transaction::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        match row.split_first() {
            Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|e| RowError(e.to_string())),
            Some((format, _)) => Err(RowError(format!("unknown format {format}, expected {FORMAT}"))),
            None => Err(RowError("empty".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
