//! What makes a produce request repeatable: its key, and an answer that holds the offsets that the writer gave. Row: the
//! caller's bytes.

use std::ops::ControlFlow;

use super::super::Storage;
use super::super::commit::{Commit, Placed};
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};

/// A key and its answer.
pub type Row = (Vec<u8>, Vec<u8>);

/// Stores the answer under its key. `make` runs on the writer's thread after the commit was placed and before it is
/// written, only if the commit was not refused; it must be quick and must not wait.
pub fn put(commit: &mut Commit, key: Vec<u8>, make: impl FnOnce(&[Placed]) -> Vec<u8> + Send + 'static) {
    commit.put_late(Family::Producers, keys::idempotency(key), make, None);
}

/// Forgets a key.
pub fn delete(commit: &mut Commit, key: &[u8]) {
    commit.delete(Family::Producers, keys::idempotency(key.to_vec()));
}

/// All keys with their answers, in key order. Blocking.
pub fn load_all(storage: &Storage) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    storage.db().scan(Family::Producers, keys::all(Kind::Idempotency), |key, answer| {
        if let Some(key) = keys::parse_idempotency(key) {
            rows.push((key.to_vec(), answer.to_vec()));
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}
