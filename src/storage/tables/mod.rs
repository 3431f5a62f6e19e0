//! The rows beside logs and task state, one file per kind. Each row begins with the number of its format; a reader
//! refuses numbers it does not know instead of guessing. Where a row is the caller's bytes, so is the number.

pub(super) mod aborted;
pub(super) mod cleaned;
pub mod counters;
pub mod deployments;
pub mod group_rows;
pub mod idempotency;
pub(super) mod logs;
pub mod module_bytes;
pub mod modules;
pub mod offsets;
pub(super) mod open_transactions;
pub mod pending_offsets;
pub mod producers;
pub mod revisions;
pub mod runtime_config;
pub(super) mod segments;
pub(super) mod topics;
pub mod transactions;

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Storage;
use super::error::ReadError;
use super::families::Family;
use super::keys::{self, Kind};

/// Format 1: the value as JSON.
const JSON: u8 = 1;

fn encode_json<T: Serialize>(value: &T) -> Bytes {
    let mut row = vec![JSON];
    serde_json::to_writer(&mut row, value).expect("rows are plain structures with string keys");
    row.into()
}

fn decode_json<T: DeserializeOwned>(what: &str, row: &[u8]) -> Result<T, ReadError> {
    let json = match row.split_first() {
        Some((&JSON, json)) => json,
        Some((format, _)) => {
            return Err(ReadError::Damaged(format!("{what} row with unknown format {format}")));
        }
        None => return Err(ReadError::Damaged(format!("empty {what} row"))),
    };
    serde_json::from_slice(json).map_err(|e| ReadError::Damaged(format!("{what} row: {e}")))
}

/// All rows of a kind whose keys are texts, in key order.
fn load_text(storage: &Storage, family: Family, kind: Kind) -> Result<Vec<(String, Bytes)>, ReadError> {
    let mut rows = Vec::new();
    storage.db().scan(family, keys::all(kind), |key, row| {
        if let Some(text) = keys::parse_text(kind, key) {
            rows.push((text.to_owned(), Bytes::copy_from_slice(row)));
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// All rows of a kind, in key order.
fn load_json<T: DeserializeOwned>(storage: &Storage, kind: Kind, what: &str) -> Result<Vec<T>, ReadError> {
    let mut rows = Vec::new();
    let mut damage = None;
    storage.db().scan(Family::Meta, keys::all(kind), |_, row| match decode_json(what, row) {
        Ok(row) => {
            rows.push(row);
            ControlFlow::Continue(())
        }
        Err(error) => {
            damage = Some(error);
            ControlFlow::Break(())
        }
    })?;
    damage.map_or(Ok(rows), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_format_is_refused() {
        let row = encode_json(&7u32);
        assert_eq!(decode_json::<u32>("test", &row), Ok(7));
        let mut other = row.to_vec();
        other[0] = 9;
        let error = decode_json::<u32>("test", &other).unwrap_err();
        assert_eq!(error, ReadError::Damaged("test row with unknown format 9".into()));
        assert_eq!(decode_json::<u32>("test", &[]), Err(ReadError::Damaged("empty test row".into())));
    }
}
