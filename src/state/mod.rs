//! Floor 2: the keyed memory of tasks. A task's code reads and writes its stores through [`TaskState`]; what it wrote
//! goes into one storage commit together with its input positions and its outputs. Others read what is committed
//! through [`committed`].

pub mod committed;
pub mod cursor;
mod keys;
pub mod migration;
mod overlay;
pub mod positions;
mod quota;
mod scratch;
mod store;
mod timers;
mod ttl;
pub mod watermarks;

#[cfg(test)]
mod tests;

pub use scratch::{Changed, Changes, ChangesMax, Given, Scratch};
pub use store::TaskState;
pub use timers::{Timer, TimerClock, timers};
pub use ttl::{Expiry, Ttls};

use bytes::Bytes;

use crate::model::deployment::StateSpec;
use crate::model::limits::{STATE_KEY_MAX, STATE_VALUE_MAX, STORE_NAME_MAX, TIMER_NAME_MAX};
use crate::model::names::{self, NameError};
use crate::storage::{Commit, ReadError};

/// Whose state it is. The generation grows when the state is cleared: what is left of an old one is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// the deployment's id
    pub deployment: u32,
    /// of the deployment's state
    pub generation: u32,
    /// the index of the partition that the task works on
    pub task: u32,
}

/// What the state of one task may grow to, all stores together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// of keys and values
    pub bytes: u64,
    /// how many keys
    pub keys: u64,
}

impl Allowed {
    /// As a spec says.
    pub fn by(spec: &StateSpec) -> Self {
        Self { bytes: spec.max_bytes, keys: spec.max_keys }
    }
}

/// Why the state did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store's name is no name.
    #[error(transparent)]
    StoreName(#[from] NameError),
    /// One store more than a deployment may have.
    #[error("more than {limit} stores")]
    Stores {
        /// how many there may be
        limit: usize,
    },
    /// A key that is too long.
    #[error("state key of {found} bytes, at most {limit} are allowed")]
    KeySize {
        /// bytes
        found: usize,
        /// bytes
        limit: usize,
    },
    /// A value that is too long.
    #[error("state value of {found} bytes, at most {limit} are allowed")]
    ValueSize {
        /// bytes
        found: usize,
        /// bytes
        limit: usize,
    },
    /// Too much changed in one batch.
    #[error("{found} bytes of state changed in one batch, at most {limit} are allowed")]
    BatchBytes {
        /// bytes
        found: usize,
        /// bytes
        limit: usize,
    },
    /// More than the deployment's `state.max_bytes`.
    #[error("state of {bytes} bytes, at most {limit} are allowed (`state.max_bytes`)")]
    Quota {
        /// as it would be
        bytes: u64,
        /// as configured
        limit: u64,
    },
    /// More than the deployment's `state.max_keys`.
    #[error("state of {keys} keys, at most {limit} are allowed (`state.max_keys`)")]
    Keys {
        /// as it would be
        keys: u64,
        /// as configured
        limit: u64,
    },
    /// A timer's name that is too long.
    #[error("timer name of {found} bytes, at most {} are allowed", TIMER_NAME_MAX)]
    TimerName {
        /// bytes
        found: usize,
    },
    /// More than the deployment's `state.max_timers`.
    #[error("{timers} timers, at most {limit} are allowed (`state.max_timers`)")]
    Timers {
        /// as it would be
        timers: u64,
        /// as configured
        limit: u64,
    },
    /// It is the state of a moment, which is over.
    #[error("a query cannot change state or timers")]
    Pinned,
    /// A store holds keys of the other kind.
    #[error("store `{store}` holds keys {}; its ttl is given or taken away only while it holds none", if *timed { "with a ttl" } else { "without a ttl" })]
    Kind {
        /// the store
        store: String,
        /// its keys have the times of their writes
        timed: bool,
    },
    /// The storage could not read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Deletes everything of one generation of a deployment. What is put into the commit afterwards stays.
pub fn clear_generation(commit: &mut Commit, deployment: u32, generation: u32) {
    let (start, end) = keys::of_generation(deployment, generation);
    commit.delete_state_range(start, end);
}

/// Deletes everything of a deployment.
pub fn clear_deployment(commit: &mut Commit, deployment: u32) {
    let (start, end) = keys::of_deployment(deployment);
    commit.delete_state_range(start, end);
}

fn check_store(store: &str) -> Result<(), Error> {
    Ok(names::check("store", store, STORE_NAME_MAX)?)
}

fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.len() > STATE_KEY_MAX {
        return Err(Error::KeySize { found: key.len(), limit: STATE_KEY_MAX });
    }
    Ok(())
}

fn check_value(value: &Bytes) -> Result<(), Error> {
    if value.len() > STATE_VALUE_MAX {
        return Err(Error::ValueSize { found: value.len(), limit: STATE_VALUE_MAX });
    }
    Ok(())
}
