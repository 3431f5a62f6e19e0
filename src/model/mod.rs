//! Floor 0: the nouns. Plain values with their checks; no async, no lock, no clock, no I/O.

pub mod batch;
pub mod deployment;
pub mod duration;
pub mod limits;
pub mod module;
pub mod names;
pub mod params;
pub mod partitioner;
pub mod producer;
pub mod record;
pub mod revision;
pub mod runtime_config;
pub mod secret;
pub mod topic;
pub mod transaction;

pub use names::{DeploymentName, ModuleName, TopicId, TopicName};
pub use record::{Header, Record, RecordView};

/// A partition of a topic, `0..partitions`.
pub type Partition = u32;

/// A position in a partition, from 0. Ranges of offsets are half open; a *tail* is the first unwritten offset.
pub type Offset = u64;

/// Milliseconds since 1970-01-01T00:00Z, as Kafka counts them.
pub type TimestampMs = i64;

/// The candidate nearest to `word`, if it is near enough to be what was meant: at most a third of its letters differ.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|c| (edit_distance(word, c), c))
        .min()
        .filter(|(distance, c)| *distance <= 1.max(c.len() / 3))
        .map(|(_, c)| c.to_owned())
}

/// Levenshtein's distance over bytes, one row at a time. Long words are far from everything.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len() > 300 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
