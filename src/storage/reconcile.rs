//! What is done on opening when rows and files do not agree.
//!
//! A topic's family is made before its row and dropped after it, and a module's row is committed after its pieces. So a
//! family without a row, or pieces without a row, are left over from a change that did not end: they are dropped. A row
//! without its family is damage, and so are files that RocksDB cannot read: the storage refuses to open, says which
//! topics it is about and what can be done. An operator who has no backup accepts the loss with a file.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use crate::model::TopicId;
use crate::model::module::Digest;

use super::commit::Commit;
use super::db::Db;
use super::directory::{Directory, accept_loss_file};
use super::error::{OpenError, ReadError};
use super::families::{self, Family};
use super::ledger::{Head, Ledger, Segment};
use super::tables::{self, topics::Row};
use super::{guard, keys};

/// How RocksDB says that a family holds what the damaged write-ahead log has lost: the words of its version 11, and those
/// before.
const AHEAD_OF_WAL: [&str; 2] = ["SST files contain newer data", "SST file is ahead of WALs"];

/// How families and rows differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// families without a row
    pub(super) orphans: Vec<String>,
    /// topics without a family
    pub(super) missing: Vec<TopicId>,
}

/// Compares the topics' rows with their families.
pub(super) fn compare(rows: &[Row], families: &[String]) -> Differences {
    let expected: HashSet<String> = rows.iter().map(|row| families::of_topic(row.topic.id)).collect();
    let found: HashSet<&String> = families.iter().collect();
    Differences {
        orphans: families.iter().filter(|name| !expected.contains(*name)).cloned().collect(),
        missing: rows
            .iter()
            .map(|row| row.topic.id)
            .filter(|id| !found.contains(&families::of_topic(*id)))
            .collect(),
    }
}

/// Drops what is left over, and makes new families for topics whose files are gone, if the loss is accepted.
pub(super) fn repair(
    db: &Db,
    directory: &Directory,
    rows: &[Row],
    differences: &Differences,
) -> Result<(), OpenError> {
    let failed = |message| OpenError::Engine { path: directory.database(), message };
    if !differences.missing.is_empty() && !directory.accepts_loss() {
        let names: Vec<_> = rows
            .iter()
            .filter(|row| differences.missing.contains(&row.topic.id))
            .map(|row| format!("`{}`", row.topic.name))
            .collect();
        return Err(OpenError::Damaged {
            path: directory.database(),
            found: format!("the files of {} are missing: topics {}", names.len(), names.join(", ")),
            cure: cure(&directory.database(), "with these topics empty"),
        });
    }
    for id in &differences.missing {
        db.create_family(&families::of_topic(*id)).map_err(failed)?;
    }
    for name in &differences.orphans {
        tracing::info!(family = name, "dropping the files of a topic whose deletion did not end");
        db.drop_family(name).map_err(failed)?;
    }
    Ok(())
}

/// A log whose files are gone: empty, but no offset is given out twice.
pub(super) fn emptied(head: Head) -> Ledger {
    let next = head.next();
    let head = Head { start: next, bytes: 0, active: Segment::empty(next) };
    Ledger { head, ..Ledger::empty() }
}

/// Files that RocksDB cannot read.
pub(super) fn damaged_files(database: &Path, message: String) -> OpenError {
    let path = database.to_owned();
    if !AHEAD_OF_WAL.iter().any(|words| message.contains(words)) {
        let cure = "restore the directory from a backup".to_owned();
        return OpenError::Damaged { path, found: message, cure };
    }
    // The topic's name is in the damaged database; the guard knows it as well.
    let guarded = guard::read(&database.with_file_name("guard")).unwrap_or_default();
    let named = guarded.iter().find(|entry| message.contains(&families::of_topic(entry.id)));
    let whose = named.map(|entry| format!(" (topic `{}`)", entry.name)).unwrap_or_default();
    OpenError::Damaged {
        path,
        found: format!("its write-ahead log has lost records that other files refer to{whose}: {message}"),
        cure: cure(database, "without the records that cannot be read"),
    }
}

fn cure(database: &Path, how: &str) -> String {
    let file = accept_loss_file(database.parent().unwrap_or(database));
    format!(
        "restore the directory from a backup, or, to go on {how}, create the file `{}` and start again",
        file.display()
    )
}

/// A commit that drops the pieces of modules that were never published; `None`: there are none.
///
/// Looks at the first piece of each module only.
pub(super) fn orphan_pieces(db: &Db, published: &HashSet<Digest>) -> Result<Option<Commit>, ReadError> {
    let mut commit = Commit::new();
    let mut orphans = 0;
    let (mut start, end) = keys::all(keys::Kind::ModulePiece);
    loop {
        let mut first = None;
        db.scan(Family::Modules, (start, end.clone()), |key, _| {
            first = keys::parse_module_piece(key);
            ControlFlow::Break(())
        })?;
        let Some((digest, _)) = first else { break };
        if !published.contains(&digest) {
            tables::module_bytes::delete(&mut commit, &digest);
            orphans += 1;
        }
        start = keys::module_pieces(&digest).1;
    }
    Ok((orphans > 0).then_some(commit))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::TopicName;
    use crate::model::topic::{Topic, TopicConfig};

    #[test]
    fn rows_and_families_are_compared_both_ways() {
        let row = |n: u128| Row {
            slot: 1,
            topic: Topic {
                name: TopicName::parse("orders").unwrap(),
                id: TopicId(Uuid::from_u128(n)),
                partitions: 1,
                config: TopicConfig::default(),
                revision: 1,
                replication_factor: 1,
                created_ms: 0,
            },
        };
        let id = |n| TopicId(Uuid::from_u128(n));
        let families = [families::of_topic(id(1)), families::of_topic(id(3))];
        let differences = compare(&[row(1), row(2)], &families);
        let expected = Differences { orphans: vec![families::of_topic(id(3))], missing: vec![id(2)] };
        assert_eq!(differences, expected);
    }

    #[test]
    fn a_lost_log_names_its_topic_and_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let message = "Corruption: SST file is ahead of WALs in CF topic-1".to_owned();
        let error = damaged_files(&dir.path().join("db"), message).to_string();
        assert!(error.contains("restore the directory from a backup, or, to go on"), "{error}");
        assert!(error.contains(&format!("{}", dir.path().join("accept-loss").display())), "{error}");
    }
}
