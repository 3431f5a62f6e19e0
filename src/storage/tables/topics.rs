//! Topics. Row: JSON of `{ slot, topic }` under the topic's id. A topic's family is made before its row and dropped
//! after it: a row without a family is damage, a family without a row is left over.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::super::commit::Commit;
use super::super::db::Db;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::keys::{self, Kind};
use crate::model::TopicId;
use crate::model::topic::Topic;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct Row {
    /// the topic's number in the keys of its batches
    pub(in crate::storage) slot: u32,
    pub(in crate::storage) topic: Topic,
}

pub(in crate::storage) fn put(commit: &mut Commit, row: &Row) {
    commit.put(Family::Meta, keys::topic(row.topic.id), super::encode_json(row));
}

/// The topic with all rows of its logs.
pub(in crate::storage) fn delete(commit: &mut Commit, id: TopicId) {
    commit.delete(Family::Meta, keys::topic(id));
    delete_rows(commit, id, &[(Family::Meta, Kind::Log), (Family::Producers, Kind::Producer)]);
    delete_contents(commit, id);
}

/// The rows that say something about batches.
pub(in crate::storage) fn delete_contents(commit: &mut Commit, id: TopicId) {
    let kinds = [
        (Family::Meta, Kind::Segment),
        (Family::Meta, Kind::Cleaned),
        (Family::Producers, Kind::OpenTransaction),
        (Family::Producers, Kind::AbortedTransaction),
    ];
    delete_rows(commit, id, &kinds);
}

fn delete_rows(commit: &mut Commit, id: TopicId, kinds: &[(Family, Kind)]) {
    for (family, kind) in kinds {
        let (start, end) = keys::of_topic(*kind, id);
        commit.delete_range(*family, start, end);
    }
}

pub(in crate::storage) fn load_all(db: &Db) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    db.scan(Family::Meta, keys::all(Kind::Topic), |_, row| {
        rows.push(super::decode_json("topic", row));
        ControlFlow::Continue(())
    })?;
    rows.into_iter().collect()
}
