//! What a log knows of its idempotent producers. Row: the caller's bytes, under topic, partition and producer id. They
//! are put with [`Commit::put_producer`], and go with their topic.

use std::ops::ControlFlow;

use super::super::Storage;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::{Partition, TopicId};
#[cfg(doc)]
use crate::storage::Commit;

/// Visits the rows of all logs: by topic, partition, and producer id in no order. Blocking.
pub fn each(
    storage: &Storage,
    mut visit: impl FnMut(TopicId, Partition, i64, &[u8]),
) -> Result<(), ReadError> {
    storage.db().scan(Family::Producers, keys::all(Kind::Producer), |key, row| {
        if let Some((topic, partition, id)) = keys::parse_in_log(Kind::Producer, key) {
            visit(topic, partition, id.cast_signed(), row);
        }
        ControlFlow::Continue(())
    })
}
